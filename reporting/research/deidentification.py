"""What de-identification makes of a value, as expressions of SQL: the rules of `variables.Rule`.

`Shown` is made for one row of a table that belongs to somebody (`of`: whose it is) and for one audience. What
has to be hashed stands in lateral subqueries with `OFFSET 0`, which Postgres neither flattens nor repeats for
each trial that is joined to the row; it leaves out what nobody asks of them, and remembers the participant's
(`Memoize`) where it expects them again.

| the study's policy | codes | keys | dates | days since enrolment |
|---|---|---|---|---|
| none | missing | missing | missing | missing |
| `participants` code | as they are | as they are | | |
| `participants` pseudonym | `P-…` | `S-…`, `D-…`, `R-…` | | |
| `dates` actual, shifted, days | | | as they are, shifted, missing | as they are |

What clocks say, and that a visit is due, is shown where dates are as they are: it would tell the shifts.

A shifted moment that would leave the years 1 to 9999 is missing: no client could hold it.
"""

import re
from collections.abc import Sequence
from datetime import UTC, date, datetime
from typing import Any, Final

from sqlalchemy import (
    ColumnElement,
    Date,
    FromClause,
    Integer,
    LargeBinary,
    Select,
    Text,
    and_,
    case,
    cast,
    false,
    func,
    literal,
    literal_column,
    null,
    or_,
    select,
    true,
)
from sqlalchemy.dialects.postgresql import BIT, JSONB
from sqlalchemy.sql.selectable import LateralFromClause

from reporting.research.audience import Audience
from reporting.research.datasets import KEPT_MEMBERS
from reporting.tables import research_grants, research_policies

DIGEST_DIGITS: Final = 16
_SESSION_NAME: Final = re.compile(rf"S-[0-9A-F]{{{DIGEST_DIGITS}}}")
LONGEST_WORD: Final = 20
"""Characters: a text among `KEPT_MEMBERS` that is longer, or holds a space, may be what somebody typed."""

_FENCE: Final[ColumnElement[Any]] = literal_column("0")
_SHIFTABLE: Final = date(20, 1, 1), date(9980, 1, 1)
"""The most that a policy shifts is ten years."""


def fixed(value: str | int | date | datetime) -> ColumnElement[Any]:
    """A value of ours as it is, not as a parameter: views have none."""
    return literal(value, literal_execute=True)


def granted(
    study: ColumnElement[str], site: ColumnElement[Any], *, identified: bool = False
) -> ColumnElement[bool]:
    """Condition: the login that asks has a grant for the study and site; `identified`: of identified data."""
    g = research_grants.alias("g")
    found: Select[Any] = (
        select(literal_column("1"))
        .where(
            g.c.login == literal_column("current_user"),
            g.c.study == study,
            or_(g.c.site.is_(None), g.c.site == site),
            or_(g.c.expires_at.is_(None), g.c.expires_at > func.now()),
        )
        .correlate_except(g)
    )
    return (found.where(g.c.identified) if identified else found).exists()


class Shown:
    """Values of the rows of one table as the audience sees them; `source` is what to select from."""

    def __init__(
        self, audience: Audience, rows: FromClause, *, of: ColumnElement[str], join: FromClause
    ) -> None:
        """`rows` has columns study and site; `of` is the participant's code; `join` begins with `rows`."""
        self._audience = audience
        self._rows = rows
        self._policy = research_policies.alias("p")
        self._laterals: dict[str, LateralFromClause] = {}
        self.source = join
        if audience is Audience.IDENTIFIED:
            return
        p = self._policy.c
        self.source = self.source.outerjoin(self._policy, p.study == rows.c.study)
        if audience is Audience.LOGIN:
            self._join("i", identified=granted(rows.c.study, rows.c.site, identified=True))
        self._join("h", participant=self._participant(of), shift=self._shift(of))

    def add_keys(self, **keys: tuple[str, ColumnElement[Any], ColumnElement[Any]]) -> None:
        """Name identifiers of other things: (what of, where it is unique, the identifier)."""
        if self._audience is not Audience.IDENTIFIED:
            made = {
                name: case((key.is_not(None), self._key(purpose, within, key)))
                for name, (purpose, within, key) in keys.items()
            }
            self._join("k", **made)
        self._keys = {name: key for name, (_, _, key) in keys.items()}

    @property
    def identified(self) -> ColumnElement[bool]:
        """Whether the row is shown as it is."""
        if self._audience is Audience.LOGIN:
            found: ColumnElement[bool] = self._laterals["i"].c.identified
            return found
        return true() if self._audience is Audience.IDENTIFIED else false()

    def participant(self, code: ColumnElement[str]) -> ColumnElement[Any]:
        """Rule `pseudonym`."""
        return code if self._audience is Audience.IDENTIFIED else self._laterals["h"].c.participant

    def key(self, name: str) -> ColumnElement[Any]:
        """Rule `key`, of one that was added."""
        return self._keys[name] if self._audience is Audience.IDENTIFIED else self._laterals["k"].c[name]

    def date(self, value: ColumnElement[Any], *, moment: bool) -> ColumnElement[Any]:
        """Rule `date`, of a moment or a day."""
        if self._audience is Audience.IDENTIFIED:
            return value
        p, shift = self._policy.c, self._laterals["h"].c.shift
        low, high = _SHIFTABLE
        # Hours, because a day of an interval is 23 hours at times in the zone of whoever asks.
        by = func.make_interval(0, 0, 0, 0, shift * 24) if moment else shift
        bounds = [datetime(each.year, 1, 1, tzinfo=UTC) if moment else each for each in (low, high)]
        in_range = and_(value >= fixed(bounds[0]), value < fixed(bounds[1]))
        return case(
            (self._has_dates(), value),
            (and_(p.dates == fixed("shifted"), in_range), value.op("+")(by)),
        )

    def clock(self, value: ColumnElement[Any]) -> ColumnElement[Any]:
        """Rule `clock`."""
        return value if self._audience is Audience.IDENTIFIED else case((self._has_dates(), value))

    def state(self, value: ColumnElement[Any]) -> ColumnElement[Any]:
        """Rule `today`."""
        if self._audience is Audience.IDENTIFIED:
            return value
        return case(
            (self._has_dates(), value), (value == fixed("due"), cast(fixed("planned"), Text)), else_=value
        )

    def day(self, on: ColumnElement[Any], enrolled_on: ColumnElement[Any]) -> ColumnElement[Any]:
        """Days since enrolment, which every policy keeps."""
        days = cast(on - enrolled_on, Integer)
        if self._audience is Audience.IDENTIFIED:
            return days
        return case((or_(self._policy.c.study.is_not(None), self.identified), days))

    def withheld(self, value: ColumnElement[Any]) -> ColumnElement[Any]:
        """Rule `withhold`."""
        return seen_or(self._audience, self.identified, value, cast(null(), value.type))

    def _join(self, name: str, **columns: ColumnElement[Any]) -> None:
        made = select(*(column.label(key) for key, column in columns.items())).offset(_FENCE)
        lateral = made.correlate(self._rows, self._policy, *self._laterals.values()).lateral(name)
        self.source = self.source.join(lateral, literal_column("true"))
        self._laterals[name] = lateral

    def _hash(self, purpose: str, of: ColumnElement[Any]) -> ColumnElement[Any]:
        return _keyed_hash(self._policy, self._rows, purpose, of)

    def _digits(self, digest: ColumnElement[Any]) -> ColumnElement[str]:
        return func.upper(func.left(func.encode(digest, fixed("hex")), fixed(DIGEST_DIGITS)), type_=Text)

    def _as_it_is(self) -> ColumnElement[bool]:
        return or_(self._policy.c.participants == fixed("code"), self.identified)

    def _has_dates(self) -> ColumnElement[bool]:
        return or_(self._policy.c.dates == fixed("actual"), self.identified)

    def _participant(self, of: ColumnElement[Any]) -> ColumnElement[Any]:
        return case((self._as_it_is(), of), else_=fixed("P-").op("||")(self._digits(self._hash("code", of))))

    def _key(self, purpose: str, within: ColumnElement[Any], key: ColumnElement[Any]) -> ColumnElement[Any]:
        digest = self._hash(purpose, _at(within, key))
        prefix = fixed(f"{purpose[0].upper()}-")
        return case((self._as_it_is(), key), else_=prefix.op("||")(self._digits(digest)))

    def _shift(self, of: ColumnElement[Any]) -> ColumnElement[Any]:
        """The participant's own number of days, from -shift_days to shift_days."""
        digest, most = self._hash("days", of), self._policy.c.shift_days
        bits = fixed("x").op("||")(func.left(func.encode(digest, fixed("hex")), fixed(6)))
        number = cast(cast(bits, BIT(24)), Integer)
        return func.mod(number, most * 2 + 1, type_=Integer) - most


def is_shown_as(
    rows: FromClause,
    policy: FromClause,
    *,
    within: ColumnElement[Any],
    key: ColumnElement[Any],
    names: Sequence[str],
) -> ColumnElement[bool]:
    """Condition: the session `key` is shown as one of the names. By the bytes of its digest: half as dear as
    making the name of every session.
    """
    digests = [bytes.fromhex(name[2:]) for name in names if _SESSION_NAME.fullmatch(name)]
    own = func.substr(_keyed_hash(policy, rows, "session", _at(within, key)), 1, DIGEST_DIGITS // 2)
    return case(
        (policy.c.participants == fixed("code"), key.in_(names)),
        else_=func.coalesce(own.in_([literal(each, LargeBinary) for each in digests]), false()),
    )


def _at(within: ColumnElement[Any], key: ColumnElement[Any]) -> ColumnElement[Any]:
    return within.op("||")(fixed(":")).op("||")(key)


def _keyed_hash(
    policy: FromClause, rows: FromClause, purpose: str, of: ColumnElement[Any]
) -> ColumnElement[Any]:
    # The secret before and after: nobody lengthens what is hashed, and codes cannot be tried without it.
    secret = policy.c.secret
    text = fixed(f"{purpose}:").op("||")(rows.c.study).op("||")(fixed(":")).op("||")(of)
    encoded = func.convert_to(text, fixed("UTF8"), type_=LargeBinary)
    return func.sha256(secret.op("||")(encoded).op("||")(secret), type_=LargeBinary)


def seen_or(
    audience: Audience,
    identified: ColumnElement[bool],
    value: ColumnElement[Any],
    otherwise: ColumnElement[Any],
) -> ColumnElement[Any]:
    """The value where the row is shown as it is, or else the other."""
    if audience is Audience.IDENTIFIED:
        return value
    if audience is Audience.DEIDENTIFIED:
        return otherwise
    return case((identified, value), else_=otherwise)


def judged(response: ColumnElement[Any], correct: ColumnElement[Any]) -> ColumnElement[Any]:
    """Rule `judged`."""
    harmless = func.jsonb_typeof(response).in_([fixed("number"), fixed("boolean")])
    return case((or_(correct.is_not(None), harmless), response))


def members(extra: ColumnElement[Any]) -> ColumnElement[Any]:
    """Rule `members`."""
    each = func.jsonb_each(extra).table_valued("key", "value", name="m")
    value = cast(each.c.value, JSONB)
    kind = func.jsonb_typeof(value)
    text = value.op("#>>", return_type=Text())(literal_column("'{}'"))
    is_word = text.op("~")(fixed(f"^\\S{{1,{LONGEST_WORD}}}$"))
    kept = or_(kind.in_([fixed("number"), fixed("boolean")]), and_(kind == fixed("string"), is_word))
    return (
        select(func.jsonb_object_agg(each.c.key, value, type_=JSONB))
        .where(each.c.key.in_([fixed(name) for name in KEPT_MEMBERS]), kept)
        .scalar_subquery()
    )


def local_day(moment: ColumnElement[Any], offset_minutes: ColumnElement[Any]) -> ColumnElement[Any]:
    """The day of a moment where the device was, as far as its offset is known; else of UTC."""
    at = func.timezone(fixed("UTC"), moment)
    by = func.make_interval(0, 0, 0, 0, 0, func.coalesce(offset_minutes, fixed(0)))
    return cast(at.op("+")(by), Date)
