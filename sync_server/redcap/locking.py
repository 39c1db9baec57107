"""One worker a project at a time: an advisory lock of Postgres, held for a batch on a connection of its own.

| what happens | outcome |
|---|---|
| another worker has it | waited for, two seconds; then Busy |
| the worker dies | Postgres takes the lock back with the connection |
| the worker is paused, its machine alive | it has the lock: nobody else is at work |
| the connection is lost | `still_held` says so before the next import; the ledger's fence does the rest |
"""

from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from datetime import timedelta
from typing import Final

import psycopg
import sqlalchemy.exc
from sqlalchemy import Text, cast, func, literal, select, text
from sqlalchemy.ext.asyncio import AsyncEngine

_LOCK_SPACE: Final = 0x4EDC
"""First half of the key of advisory locks on projects; the second is the name's hash."""

_WAIT: Final = text("SET lock_timeout = '2s'")
_WAIT_AS_BEFORE: Final = text("RESET lock_timeout")

LOOK_AGAIN: Final = timedelta(seconds=2)
"""After which whoever found another worker at it looks again."""

StillHeld = Callable[[], Awaitable[None]]
"""Raises Busy where the lock was lost."""


class Busy(Exception):
    """Another worker is at the project."""


@asynccontextmanager
async def project_lock(engine: AsyncEngine, project: str) -> AsyncIterator[StillHeld]:
    """Hold it. Raises Busy."""
    key = (_LOCK_SPACE, func.hashtext(cast(literal(project), Text)))
    async with engine.connect() as plain:
        connection = await plain.execution_options(isolation_level="AUTOCOMMIT")
        await connection.execute(_WAIT)
        try:
            await connection.execute(select(func.pg_advisory_lock(*key)))
        except sqlalchemy.exc.DBAPIError as error:
            if isinstance(error.orig, psycopg.errors.LockNotAvailable):
                await connection.execute(_WAIT_AS_BEFORE)
                raise Busy(f"another worker is at {project}") from error
            raise
        await connection.execute(_WAIT_AS_BEFORE)

        async def still_held() -> None:
            try:
                await connection.execute(select(literal(1)))
            except sqlalchemy.exc.SQLAlchemyError as error:
                raise Busy(f"the lock on {project} was lost") from error

        try:
            yield still_held
        finally:
            try:
                await connection.execute(select(func.pg_advisory_unlock(*key)))
            except sqlalchemy.exc.SQLAlchemyError:
                # With the connection the lock goes.
                await connection.invalidate()
