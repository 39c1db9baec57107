"""A question of one dataset, and its conditions as statements that reach indexes.

| asked for | answered by |
|---|---|
| a pseudonym | the code that has it, found first, once for every participant of the study |
| the digest of a session | the session that has it, likewise |
| shifted dates | the shown ones; what no shift brings there is left out unshifted |
| a digest or pseudonym that nobody has | no row |
| dates or clocks, where the study does not show them | NoSuchFilter |
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
    false,
    func,
    literal,
    select,
    tuple_,
)
from sqlalchemy.dialects.postgresql import ARRAY

from reporting.research.audience import Audience, Wanted
from reporting.research.datasets import DATASETS
from reporting.research.deidentification import Shown, is_shown_as
from reporting.research.filters import Filter, NoSuchFilter, Operator
from reporting.research.relations import OF_SESSIONS, relation
from reporting.research.sources import ROWS, session_rows
from reporting.research.variables import Dataset, Rule, Variable
from reporting.steps import Steps
from reporting.tables import participants, research_policies, sessions, studies, visits

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
    def people(self) -> FromClause:
        """Participants or visits, to select from, without what is counted of them."""
        return _people(self.dataset.name, self.audience, self.wanted)

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


@lru_cache(maxsize=128)
def _people(dataset: str, audience: Audience, wanted: Wanted) -> FromClause:
    return ROWS[dataset](audience, wanted).subquery("r")


class Prepared(NamedTuple):
    """A question with its pseudonyms and digests found out."""

    question: Question
    participants: tuple[str, ...] | None
    """Raw codes that may be in the answer; None: all."""
    sessions: tuple[tuple[str, str], ...] | None
    """Raw (site, id), likewise."""
    shift_days: int
    """The most that dates are shifted."""
    policy_version: int | None = None
    """Of the study's policy, where the answer depends on it."""

    @property
    def fingerprint(self) -> str:
        """Of the question, by this policy: pages by two policies would show a participant under two names,
        and in two places.
        """
        return f"{self.question.fingerprint}.{self.policy_version or 0}"

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
    """What a study's policy says of dates, and its version; None: the study has no policy."""

    dates: str | None
    shift_days: int | None
    row_version: int | None


def select_dates(study: str) -> Select[Any]:
    """Statement: the fields of Dates; no row: there is no such study."""
    p = research_policies.c
    of_study = studies.outerjoin(research_policies, p.study == studies.c.code)
    return select(p.dates, p.shift_days, p.row_version).select_from(of_study).where(studies.c.code == study)


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
        dates = Dates(*found_dates[0]) if found_dates else Dates(None, None, None)
    refuse_hidden(question, dates.dates)
    shift_days = (dates.shift_days or 0) if dates.dates == "shifted" else 0
    codes = found = None
    if people is not None:
        codes = tuple(row[0] for row in (yield select_codes(question, people)))
    if keys is not None and question.dataset.name in OF_SESSIONS:
        found = tuple((row[0], row[1]) for row in (yield select_sessions(question, keys)))
    return Prepared(question, codes, found, shift_days, dates.row_version)


def refuse_hidden(question: Question, dates: str | None) -> None:
    """Of what a study does not show nothing would be found, which looks as if nothing were there.

    Raises NoSuchFilter.
    """
    hidden = {"days": (Rule.DATE, Rule.CLOCK), "shifted": (Rule.CLOCK,)}.get(dates or "", ())
    for each in question.filters:
        if each.variable.rule in hidden and each.operator is not Operator.NULL:
            raise NoSuchFilter(
                f"This study does not show {each.variable.name}, so nothing is found by it: ask by days since"
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


def _named(question: Question, name: str) -> list[str] | None:
    """Values of `eq` and `in` on a variable that is hashed, which all have to hold; None: it is not asked."""
    asked = [
        set(each.values)
        for each in question.filters
        if each.variable.name == name and each.operator in (Operator.EQ, Operator.IN)
    ]
    return sorted(set.intersection(*asked)) if asked else None
