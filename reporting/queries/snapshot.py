"""One consistent view for a question that takes several statements.

The projector replaces a session's rows as a whole while people read. Under the default isolation a reader
could get a session from before and its scores from after, or a total that its pages do not add up to.
"""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any, Generic, TypeVar

import msgspec
from sqlalchemy import Select, func, select
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
    connection: AsyncConnection, row_type: type[Row], matching: Select[*tuple[Any, ...]], page: Page
) -> Listed[Row]:
    """The page of `matching` (ordered, its columns in the order of the row type's fields), and its total."""
    total = await connection.scalar(select(func.count()).select_from(matching.order_by(None).subquery()))
    part = await connection.execute(matching.limit(page.size).offset((page.number - 1) * page.size))
    return Listed(rows=[row_type(*row) for row in part], total=total or 0)
