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
    identity: Sequence[ColumnElement[Any]] = (),
) -> Listed[Row]:
    """The page of `matching` (ordered, its columns in the order of the row type's fields), and its total.
    `identity`: the columns that tell its rows apart, see `part_of`.
    """
    total = await connection.scalar(select(func.count()).select_from(matching.order_by(None).subquery()))
    part = await connection.execute(part_of(matching, page, identity))
    return Listed(rows=[row_type(*row) for row in part], total=total or 0)


def part_of(
    matching: Select[*tuple[Any, ...]], page: Page, identity: Sequence[ColumnElement[Any]] = ()
) -> Select[*tuple[Any, ...]]:
    """Statement: the page of `matching`. Postgres computes and joins also what it passes over on its way to a
    page: with `identity` it passes over these columns only, and looks for the rest of those that are shown.
    """
    skipped = (page.number - 1) * page.size
    if not identity or not skipped:
        return matching.limit(page.size).offset(skipped)
    shown = matching.with_only_columns(*identity).limit(page.size).offset(skipped)
    return matching.where(tuple_(*identity).in_(shown))
