"""Pages of a question's rows, in the order of keys.

What hangs on sessions is walked session by session: a first statement finds the next sessions that conditions
on sessions let through (by their indexes), a second one the rows of these. So a page costs what its sessions
hold, wherever it is, and a condition on something rare (`rt_ms.gte=5000`) does not read a table to its end:
after `MOST_SESSIONS` a page ends with what was found, which may be nothing, and says where to go on.

People come in the order of what they are shown as, for which everybody of the study is hashed (2 to 3 µs
each); what is counted of them is counted for those of the page.
"""

from collections.abc import Sequence
from typing import Any, Final, NamedTuple

from sqlalchemy import ColumnElement, FromClause, Select, Text, any_, cast, literal, select
from sqlalchemy.dialects.postgresql import ARRAY
from sqlalchemy.sql.elements import KeyedColumnElement

from reporting.research.keyset import Position, after, from_
from reporting.research.query import Prepared
from reporting.research.relations import shown_as, sort_key
from reporting.research.variables import Type, Variable
from reporting.steps import Steps

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


class Page(NamedTuple):
    """Rows (the wanted columns in order), and where the next page begins; None: there is none."""

    rows: list[tuple[Any, ...]]
    next: Position | None


def read_page(prepared: Prepared, columns: Sequence[str], limit: int, after_: Position | None) -> Steps[Page]:
    """The page of at most `limit` rows after a position, in order of keys."""
    if not prepared.is_of_sessions:
        return (yield from _roster_page(prepared, columns, limit, after_))
    return (yield from _walk(prepared, columns, limit, after_))


def _roster_page(
    prepared: Prepared, columns: Sequence[str], limit: int, position: Position | None
) -> Steps[Page]:
    # Whose rows these are is found first: to hash everybody is cheap, to count everybody's sessions is not.
    people = _next_people(prepared, position)
    found = yield people.order_by(*people.selected_columns).limit(limit + 1)
    statement, keys = _select(prepared, columns)
    codes = sorted({row.key_participant for row in found[:limit]})
    statement = statement.where(
        keys[1] == any_(literal(codes, ARRAY(Text))),
        *prepared.conditions(_rows_of(keys)),
        *_beyond(keys, position),
    )
    rows = [tuple(row) for row in (yield statement.order_by(*keys).limit(limit))]
    last = tuple(rows[-1][len(columns) :]) if rows else ()
    return Page([row[: len(columns)] for row in rows], Position((), last) if len(found) > limit else None)


def _next_people(prepared: Prepared, position: Position | None) -> Select[Any]:
    """Statement: the keys of the next rows of people, without what is counted of each where nobody asks."""
    question = prepared.question
    of_people = question.people
    rows = of_people if all(each.variable.name in of_people.c for each in question.filters) else question.rows
    keys = [shown_as(question.audience, rows), rows.c.key_participant]
    if question.dataset.name == "visits":
        keys.append(rows.c.visit)
    return select(*keys).where(*prepared.conditions(rows), *_beyond(keys, position))


def _beyond(keys: Sequence[ColumnElement[Any]], position: Position | None) -> list[ColumnElement[bool]]:
    return [] if position is None or position.row is None else [after(keys, position.row)]


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
