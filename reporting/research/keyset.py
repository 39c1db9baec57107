"""Where in a dataset's order a page ends: by keys, so that the next page begins where it ended, whatever was
written meanwhile.

Rows are ordered by `relations.sort_key`: the *unit* (a session at its site) first, then what is told apart
within it. A page that stopped looking after a session that had no matching row has a position without `row`.

| meanwhile | the next pages |
|---|---|
| rows are added before the position | do not show them |
| the row or session of the position goes | begin after where it was |
| the query is another one, or the study's policy has changed | are refused: a position belongs to its query |
"""

from collections.abc import Sequence
from typing import Any

import msgspec
from sqlalchemy import ColumnElement, literal, tuple_


class Position(msgspec.Struct, frozen=True, array_like=True):
    """After this row; without `row`, after all rows of the unit. Datasets of people have no unit."""

    unit: tuple[str, ...] = ()
    row: tuple[str | int, ...] | None = None


class Cursor(msgspec.Struct, frozen=True, array_like=True):
    """A position, and the query that it belongs to (`query.Prepared.fingerprint`)."""

    question: str
    position: Position


def encode(cursor: Cursor) -> str:
    """As text, to be sealed: raw keys never leave the server."""
    return msgspec.json.encode(cursor).decode()


def decode(text: str) -> Cursor:
    """Raises msgspec.ValidationError, msgspec.DecodeError."""
    return msgspec.json.decode(text, type=Cursor)


def after(columns: Sequence[ColumnElement[Any]], values: Sequence[Any]) -> ColumnElement[bool]:
    """Condition: the row comes after these values in the order of the columns."""
    found: ColumnElement[bool] = tuple_(*columns) > _values(columns, values)
    return found


def from_(columns: Sequence[ColumnElement[Any]], values: Sequence[Any]) -> ColumnElement[bool]:
    """Condition: it is of these values, or comes after them."""
    found: ColumnElement[bool] = tuple_(*columns) >= _values(columns, values)
    return found


def _values(columns: Sequence[ColumnElement[Any]], values: Sequence[Any]) -> Any:
    if len(columns) != len(values):
        raise ValueError("a position of another order")
    return tuple_(*(literal(value, column.type) for column, value in zip(columns, values, strict=True)))
