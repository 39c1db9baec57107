"""One consistent view for a question that takes several statements.

The projector replaces a session's rows as a whole while people read. Under the default isolation a reader
could get a session from before and its scores from after, or a total that its pages do not add up to.
"""

from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from typing import Any, Generic, TypeVar

import msgspec
from sqlalchemy import ColumnElement, Select, func, select
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
    row: ColumnElement[Any] | None = None,
) -> Listed[Row]:
    """The page of `matching` (its columns in the order of the row type's fields), and its total.

    `order`: where `matching` is in none yet. A page in the second half is then read from the end, so that
    pages in the middle are the slowest. `row`: what tells the rows apart. What comes before the page is then
    passed over by it and the order alone, and everything else is asked for rows of the page.
    """
    total = await connection.scalar(select(func.count()).select_from(matching.order_by(None).subquery())) or 0
    before = (page.number - 1) * page.size
    size = min(page.size, total - before)
    if size <= 0:
        return Listed(rows=[], total=total)
    is_backwards = bool(order) and before > total // 2
    passed = total - before - size if is_backwards else before
    wanted = matching.order_by(*(backwards(order) if is_backwards else order)).limit(size).offset(passed)
    if row is not None:
        rows = wanted.with_only_columns(row).subquery()
        wanted = matching.where(row.in_(select(*rows.c))).order_by(*order)
    found = [row_type(*each) for each in await connection.execute(wanted)]
    return Listed(rows=found[::-1] if is_backwards and row is None else found, total=total)
