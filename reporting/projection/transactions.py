"""One transaction around several calls of one connection, with looks at a site database in between."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import psycopg

from reporting.projection.connections import Lease


@asynccontextmanager
async def transaction(lease: Lease, *, keep: bool = True) -> AsyncIterator[None]:
    """Commits at the end, or rolls back: after an exception, or where nothing is to be kept."""
    await lease.run(_execute, "BEGIN")
    try:
        yield
    except BaseException:
        await lease.run(_execute, "ROLLBACK")
        raise
    await lease.run(_execute, "COMMIT" if keep else "ROLLBACK")


def _execute(connection: psycopg.Connection, statement: str) -> None:
    if not connection.closed:
        connection.execute(statement.encode())
