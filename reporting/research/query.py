"""A question of one dataset, and the statements that answer it a page at a time.

What hangs on sessions is walked session by session, in the order of keys: a first statement finds the next
sessions that conditions on sessions let through (by their indexes), a second one the rows of these. So a page
costs what its sessions hold, wherever it is, and a condition on something rare (`rt_ms.gte=5000`) does not
read a table to its end: after `MOST_SESSIONS` a page ends with what was found, which may be nothing, and says
where to go on.

| asked for | answered by |
|---|---|
| a pseudonym | the code that has it, found first, once for every participant of the study |
| the digest of a session | the session that has it, likewise |
| shifted dates | the shown ones; what no shift brings there is left out unshifted |
| a digest or pseudonym that nobody has | no row |
| dates, where the study shows none | NoSuchFilter |
"""

import hashlib
import operator
from collections.abc import Callable, Iterable, Mapping, Sequence
from functools import lru_cache
from typing import Any, Final, NamedTuple

import msgspec
from sqlalchemy import (
    ColumnElement,
    FromClause,
    Select,
    Text,
    any_,
    cast,
    false,
    func,
    literal,
    select,
    tuple_,
)
from sqlalchemy.dialects.postgresql import ARRAY
from sqlalchemy.sql.elements import KeyedColumnElement

from reporting.research.audience import Audience, Wanted
from reporting.research.datasets import DATASETS
from reporting.research.deidentification import Shown, is_shown_as
from reporting.research.filters import Filter, NoSuchFilter, Operator
from reporting.research.keyset import Position, after, from_
from reporting.research.relations import OF_SESSIONS, relation, sort_key
from reporting.research.sources import session_rows
from reporting.research.variables import Dataset, Rule, Type, Variable
from reporting.steps import Steps
from reporting.tables import participants, research_policies, sessions, studies, visits

MOST_SESSIONS: Final = {
    "sessions_wide": 800,
    "scores_long": 2_000,
    "trials": 400,
    "quality": 2_000,
    "provenance": 2_000,
}
"""So many are looked at for a page while conditions on their rows let too few through."""
_ROWS_A_SESSION: Final = {"trials": 300, "scores_long": 30}
_FEWEST_AT_ONCE: Final = 8
_MOST_AT_ONCE: Final = 500
_UNIT: Final = 2
"""The columns of `sort_key` that name a session."""

SESSION_VARIABLES: Final = frozenset(
    column.name
    for column in session_rows(Audience.IDENTIFIED, Wanted("")).selected_columns
    if not column.name.startswith("key_")
)


_PLACES: Final = ("site", "visit")

_COMPARE: Final[Mapping[Operator, Callable[[Any, Any], Any]]] = {
    Operator.EQ: operator.eq,
    Operator.NE: operator.ne,
    Operator.GTE: operator.ge,
    Operator.GT: operator.gt,
    Operator.LTE: operator.le,
    Operator.LT: operator.lt,
}


class Question(NamedTuple):
    """What is asked of a dataset; `wanted` is within what the caller may see."""

    dataset: Dataset
    audience: Audience
    wanted: Wanted
    filters: tuple[Filter, ...] = ()

    @property
    def rows(self) -> FromClause:
        """The dataset's relation, to select from."""
        return _relation(self.dataset.name, self.audience, self.wanted)

    @property
    def sessions(self) -> FromClause:
        """The sessions there are, to select from."""
        return _sessions(self.audience, self.wanted)

    @property
    def fingerprint(self) -> str:
        """Equal for equal questions; columns, and how many rows a page has, are no part of it."""
        conditions = sorted(
            [each.variable.name, each.operator.value, *map(str, each.values)] for each in self.filters
        )
        told = [self.dataset.name, self.audience, self.wanted.study, self.wanted.sites, conditions]
        return hashlib.sha256(msgspec.json.encode(told)).hexdigest()[:32]


# Made once: to put one together takes as long as Postgres needs for a page.
@lru_cache(maxsize=128)
def _relation(dataset: str, audience: Audience, wanted: Wanted) -> FromClause:
    return relation(DATASETS[dataset], audience, wanted).subquery("d")


@lru_cache(maxsize=128)
def _sessions(audience: Audience, wanted: Wanted) -> FromClause:
    return session_rows(audience, wanted).subquery("s")


class Page(NamedTuple):
    """Rows (the wanted columns in order), and where the next page begins; None: there is none."""

    rows: list[tuple[Any, ...]]
    next: Position | None


class Prepared(NamedTuple):
    """A question with its pseudonyms and digests found out."""

    question: Question
    participants: tuple[str, ...] | None
    """Raw codes that may be in the answer; None: all."""
    sessions: tuple[tuple[str, str], ...] | None
    """Raw (site, id), likewise."""
    shift_days: int
    """The most that dates are shifted."""

    @property
    def is_of_sessions(self) -> bool:
        """Whether the dataset hangs on sessions."""
        return self.question.dataset.name in OF_SESSIONS

    def conditions(self, rows: FromClause, *, of_sessions: bool | None = None) -> list[ColumnElement[bool]]:
        """Conditions on a relation, or on sessions. `of_sessions` True: those on sessions only; False: the
        others only.
        """
        found: list[ColumnElement[bool]] = []
        if of_sessions is not False:
            found += self._by_keys(rows)
        for each in self.question.filters:
            if of_sessions is None or (self.is_on_session(each.variable)) is of_sessions:
                found += self._condition(rows, each)
        return found

    def is_on_session(self, variable: Variable) -> bool:
        """Whether sessions alone say whether a condition on it is met."""
        return self.is_of_sessions and variable.name in SESSION_VARIABLES

    def _by_keys(self, rows: FromClause) -> list[ColumnElement[bool]]:
        found: list[ColumnElement[bool]] = []
        if self.participants is not None:
            found.append(rows.c.key_participant == any_(literal(list(self.participants), ARRAY(Text))))
        if self.sessions is not None:
            key = tuple_(rows.c.site, rows.c.key_session)
            found.append(key.in_(self.sessions) if self.sessions else false())
        return found

    def _condition(self, rows: FromClause, asked: Filter) -> Iterable[ColumnElement[bool]]:
        name, is_found = asked.variable.name, asked.operator in (Operator.EQ, Operator.IN)
        if is_found and name == "participant" and self.participants is not None:
            return
        if is_found and name == "session_id" and self.sessions is not None:
            return
        if name == "started_at" and self.is_of_sessions:
            # Not every dataset shows it, and sessions themselves call it so.
            yield condition(rows.c["key_shown_at" if "key_shown_at" in rows.c else name], asked)
            yield from self._possible(rows.c.key_started_at, asked)
        else:
            yield condition(rows.c[name], asked)

    def _possible(self, raw: ColumnElement[Any], asked: Filter) -> Iterable[ColumnElement[bool]]:
        """What is true of the raw moment if the condition is true of the shown one, and costs no hash."""
        most = func.make_interval(0, 0, 0, self.shift_days)
        if asked.operator in (Operator.GTE, Operator.GT, Operator.EQ):
            yield raw >= literal(asked.values[0], raw.type) - most
        if asked.operator in (Operator.LTE, Operator.LT, Operator.EQ):
            yield raw <= literal(asked.values[0], raw.type) + most


def condition(column: ColumnElement[Any], asked: Filter) -> ColumnElement[bool]:
    """The condition on a column."""
    match asked.operator:
        case Operator.NULL:
            return column.is_(None) if asked.values[0] else column.is_not(None)
        case Operator.IN:
            return column.in_([literal(each, column.type) for each in asked.values])
        case compared:
            compare: Callable[[Any, Any], ColumnElement[bool]] = _COMPARE[compared]
            return compare(column, literal(asked.values[0], column.type))


class Dates(NamedTuple):
    """What a study's policy says of dates; None: the study has no policy."""

    dates: str | None
    shift_days: int | None


def select_dates(study: str) -> Select[Any]:
    """Statement: the fields of Dates; no row: there is no such study."""
    p = research_policies.c
    of_study = studies.outerjoin(research_policies, p.study == studies.c.code)
    return select(p.dates, p.shift_days).select_from(of_study).where(studies.c.code == study)


def prepare(question: Question, dates: Dates | None = None) -> Steps[Prepared]:
    """Find out whom and what pseudonyms and digests are of. `dates` None: they are asked for.

    Raises NoSuchFilter.
    """
    people = _named(question, "participant")
    keys = _named(question, "session_id")
    if question.audience is Audience.IDENTIFIED:
        return Prepared(question, None if people is None else tuple(people), None, 0)
    if dates is None:
        found_dates = yield select_dates(question.wanted.study)
        dates = Dates(*found_dates[0]) if found_dates else Dates(None, None)
    if dates.dates == "days":
        refuse_dates(question)
    shift_days = (dates.shift_days or 0) if dates.dates == "shifted" else 0
    codes = found = None
    if people is not None:
        codes = tuple(row[0] for row in (yield select_codes(question, people)))
    if keys is not None and question.dataset.name in OF_SESSIONS:
        found = tuple((row[0], row[1]) for row in (yield select_sessions(question, keys)))
    return Prepared(question, codes, found, shift_days)


def refuse_dates(question: Question) -> None:
    """Where a study shows no dates: nothing would be found, which looks as if nothing were there.

    Raises NoSuchFilter.
    """
    for each in question.filters:
        if each.variable.rule is Rule.DATE and each.operator is not Operator.NULL:
            raise NoSuchFilter(
                f"This study shows no dates, so nothing is found by {each.variable.name}: ask by days since"
                " enrolment (started_day.gte, due_day.lte, …).",
                parameter=each.variable.name,
            )


def select_codes(question: Question, pseudonyms: Sequence[str]) -> Select[Any]:
    """Statement: the raw codes of the participants who are shown as one of these."""
    table, name = {
        "participants": (participants, "code"),
        "visits": (visits, "participant"),
    }.get(question.dataset.name, (sessions, "participant"))
    everybody = (
        select(table.c.study, table.c[name].label("code"))
        .where(table.c.study == question.wanted.study)
        .distinct()
        .subquery("r")
    )
    shown = Shown(question.audience, everybody, of=everybody.c.code, join=everybody)
    return (
        select(everybody.c.code)
        .select_from(shown.source)
        .where(shown.participant(everybody.c.code).in_(pseudonyms))
    )


def select_sessions(question: Question, digests: Sequence[str]) -> Select[Any]:
    """Statement: raw (site, id) of the sessions that are shown as one of these. A digest costs 1 µs for each
    session of the study; of its site and visit, where those are named too.
    """
    r, p = sessions.alias("r"), research_policies.alias("p")
    is_one = is_shown_as(r, p, within=r.c.site, key=r.c.id, names=digests)
    found = (
        select(r.c.site, r.c.id)
        .select_from(r.join(p, p.c.study == r.c.study))
        .where(r.c.study == question.wanted.study, r.c.source_missing_at.is_(None), is_one)
    )
    of_places = (each for each in question.filters if each.variable.name in _PLACES)
    found = found.where(*(condition(r.c[each.variable.name], each) for each in of_places))
    return found if question.wanted.sites is None else found.where(r.c.site.in_(question.wanted.sites))


def read_page(prepared: Prepared, columns: Sequence[str], limit: int, after_: Position | None) -> Steps[Page]:
    """The page of at most `limit` rows after a position, in order of keys."""
    if not prepared.is_of_sessions:
        return (yield from _roster_page(prepared, columns, limit, after_))
    return (yield from _walk(prepared, columns, limit, after_))


def _roster_page(
    prepared: Prepared, columns: Sequence[str], limit: int, position: Position | None
) -> Steps[Page]:
    statement, keys = _select(prepared, columns)
    statement = statement.where(*prepared.conditions(_rows_of(keys)))
    if position is not None and position.row is not None:
        statement = statement.where(after(keys, position.row))
    found = yield statement.order_by(*keys).limit(limit + 1)
    rows = [tuple(row) for row in found[:limit]]
    last = tuple(rows[-1][len(columns) :]) if rows else ()
    return Page([row[: len(columns)] for row in rows], Position((), last) if len(found) > limit else None)


def _walk(prepared: Prepared, columns: Sequence[str], limit: int, position: Position | None) -> Steps[Page]:
    question = prepared.question
    most = MOST_SESSIONS[question.dataset.name]
    if all(prepared.is_on_session(each.variable) for each in question.filters):
        most = 2 * max(most, limit)
    statement, keys = _select(prepared, columns)
    rows_of = _rows_of(keys)
    statement = statement.where(*prepared.conditions(rows_of, of_sessions=False)).order_by(*keys)
    rows: list[tuple[Any, ...]] = []
    looked_at, n_columns = 0, len(columns)
    at_once = max(_FEWEST_AT_ONCE, limit // _ROWS_A_SESSION.get(question.dataset.name, 1) + 1)
    while True:
        wanted = min(at_once, _MOST_AT_ONCE)
        found = yield _next_sessions(prepared, position, wanted)
        if not found:
            return Page(rows, None)
        site = found[0][0]
        chunk = [row[1] for row in found if row[0] == site]
        some = statement.where(
            rows_of.c.key_site == site,
            rows_of.c.key_session == any_(literal(chunk, ARRAY(Text))),
            *_within(keys, position),
        )
        left = limit - len(rows)
        got = [tuple(row) for row in (yield some.limit(left + 1))]
        rows += [row[:n_columns] for row in got[:left]]
        if len(got) > left:
            last = got[left - 1][n_columns:]
            return Page(rows, Position(tuple(last[:_UNIT]), tuple(last[_UNIT:])))
        looked_at += len(chunk)
        position = Position((site, chunk[-1]))
        if len(chunk) == len(found) < wanted:
            return Page(rows, None)
        if len(rows) == limit or looked_at >= most:
            return Page(rows, position)
        at_once = min(at_once * 4, most - looked_at)


def _next_sessions(prepared: Prepared, position: Position | None, limit: int) -> Select[Any]:
    """Statement: raw (site, id) of the next sessions that conditions on sessions let through."""
    question = prepared.question
    s = question.sessions
    key = (s.c.site, s.c.key_session)
    statement = select(*key).where(*prepared.conditions(s, of_sessions=True))
    if position is not None:
        is_within = position.row is not None
        statement = statement.where(from_(key, position.unit) if is_within else after(key, position.unit))
    return statement.order_by(*key).limit(limit)


def _within(keys: Sequence[ColumnElement[Any]], position: Position | None) -> list[ColumnElement[bool]]:
    """Condition: after the row of the position, whose session may have more of them."""
    if position is None or position.row is None:
        return []
    return [after(keys, (*position.unit, *position.row))]


def _select(prepared: Prepared, columns: Sequence[str]) -> tuple[Select[Any], list[KeyedColumnElement[Any]]]:
    """The wanted columns, then the keys; JSON as text."""
    question = prepared.question
    rows = question.rows
    keys = [rows.c[name] for name in sort_key(question.dataset)]
    return select(*(shown(rows, question.dataset.by_name[name]) for name in columns), *keys), keys


def shown(rows: FromClause, variable: Variable) -> ColumnElement[Any]:
    """A column as it is answered: JSON as text."""
    column = rows.c[variable.name]
    return cast(column, Text).label(variable.name) if variable.type is Type.JSON else column


def _rows_of(keys: Sequence[KeyedColumnElement[Any]]) -> FromClause:
    rows: FromClause = keys[0].table
    return rows


def _named(question: Question, name: str) -> list[str] | None:
    """Values of `eq` and `in` on a variable that is hashed, which all have to hold; None: it is not asked."""
    asked = [
        set(each.values)
        for each in question.filters
        if each.variable.name == name and each.operator in (Operator.EQ, Operator.IN)
    ]
    return sorted(set.intersection(*asked)) if asked else None
