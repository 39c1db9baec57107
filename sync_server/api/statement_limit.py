"""Questions that Postgres may not be asked for ever: researchers' are as expensive as they like to make them.

| what happens | answer |
|---|---|
| a statement takes longer than `RESEARCH_STATEMENT_SECONDS` | 422 `too_expensive`, with what to do about it |
| it waits as long for a lock | likewise |
| too many are asked at once | 429, by `limits.questions` |
"""

from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from typing import Any

import psycopg
from sqlalchemy import func, select
from sqlalchemy.exc import OperationalError
from sqlalchemy.ext.asyncio import AsyncConnection

from sync_server.api.call import Call
from sync_server.errors import TooExpensive
from sync_server.keys import QUESTIONS, SETTINGS

Limit = Callable[[AsyncConnection], Awaitable[None]]


@asynccontextmanager
async def limited(call: Call[Any, Any], advice: str) -> AsyncIterator[AsyncConnection]:
    """The call's connection, whose statements are given up after a time. Raises TooExpensive, TooMany."""
    async with giving_up(call, advice) as limit:
        await limit(call.connection)
        yield call.connection


@asynccontextmanager
async def giving_up(call: Call[Any, Any], advice: str) -> AsyncIterator[Limit]:
    """What limits the statements of a connection's transaction, where the call has more than its own.

    Raises TooExpensive, TooMany.
    """
    app = call.request.app
    seconds = app[SETTINGS].research_statement_seconds

    async def limit(connection: AsyncConnection) -> None:
        await connection.execute(select(func.set_config("statement_timeout", f"{seconds}s", True)))

    try:
        with app[QUESTIONS].at_work(call.caller.person.id):
            yield limit
    except OperationalError as error:
        if not isinstance(error.orig, psycopg.errors.QueryCanceled):
            raise
        raise TooExpensive(
            f"This takes longer than {seconds} s, and was given up. {advice}", details={"seconds": seconds}
        ) from error
