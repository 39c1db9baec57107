"""One consistent view for a question that takes several statements.

The projector replaces a session's rows as a whole while people read. Under the default isolation a reader
could get a session from before and its scores from after, or a total that its pages do not add up to.
"""

from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from typing import Any, Generic, TypeVar

import msgspec
from sqlalchemy import ColumnElement, Select, func, select, tuple_
from sqlalchemy.ext.asyncio import AsyncConnection, AsyncEngine

from reporting.queries.listing import backwards

Row = TypeVar("Row", bound=msgspec.Struct)


class Page(msgspec.Struct, frozen=True):
    """Which part of a list is wanted: `number` counts from 1, `size` rows a page."""

    number: int
    size: int


class Listed(msgspec.Struct, Generic[Row], frozen=True):
    """A page of a list, and how many rows the whole list has."""

    rows: list[Row]
    total: int


@asynccontextmanager
async def snapshot(engine: AsyncEngine) -> AsyncIterator[AsyncConnection]:
    """A read-only connection whose statements all see the database at the same moment."""
    reader = engine.execution_options(isolation_level="REPEATABLE READ", postgresql_readonly=True)
    async with reader.connect() as connection:
        yield connection


async def list_page(
    connection: AsyncConnection,
    row_type: type[Row],
    matching: Select[*tuple[Any, ...]],
    page: Page,
    *,
    order: Sequence[ColumnElement[Any]] = (),
    identity: Sequence[ColumnElement[Any]] = (),
) -> Listed[Row]:
    """The page of `matching` (its columns in the order of the row type's fields), and its total.
    `order`: where `matching` is in none yet. `identity`: the columns that tell its rows apart, see `part_of`.
    """
    total = await connection.scalar(select(func.count()).select_from(matching.order_by(None).subquery())) or 0
    if order and (page.number - 1) * page.size > total // 2:
        found = await connection.execute(end_of(matching, page, order, identity, total))
        return Listed(rows=[row_type(*row) for row in found][::-1], total=total)
    part = await connection.execute(part_of(matching.order_by(*order), page, identity))
    return Listed(rows=[row_type(*row) for row in part], total=total)


def end_of(
    matching: Select[*tuple[Any, ...]],
    page: Page,
    order: Sequence[ColumnElement[Any]],
    identity: Sequence[ColumnElement[Any]],
    total: int,
) -> Select[*tuple[Any, ...]]:
    """Statement: a page of the second half, backwards: less is passed over on the way from the end."""
    passed = (page.number - 1) * page.size
    size = max(0, min(page.size, total - passed))
    return _part(matching.order_by(*backwards(order)), total - passed - size if size else 0, size, identity)


def part_of(
    matching: Select[*tuple[Any, ...]], page: Page, identity: Sequence[ColumnElement[Any]] = ()
) -> Select[*tuple[Any, ...]]:
    """Statement: the page of `matching`. Postgres computes and joins also what it passes over on its way to a
    page: with `identity` it passes over these columns only, and looks for the rest of those that are shown.
    """
    return _part(matching, (page.number - 1) * page.size, page.size, identity)


def _part(
    matching: Select[*tuple[Any, ...]], passed: int, size: int, identity: Sequence[ColumnElement[Any]]
) -> Select[*tuple[Any, ...]]:
    if not identity or not passed:
        return matching.limit(size).offset(passed)
    shown = matching.with_only_columns(*identity).limit(size).offset(passed)
    return matching.where(tuple_(*identity).in_(shown))
