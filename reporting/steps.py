"""Steps that read and write: a generator of statements that is sent their rows.

So the API (asyncio), the relay (SQLAlchemy) and the projector (psycopg) take the very same ones, each in its
own transaction.
"""

from collections.abc import Generator, Sequence
from typing import Any, TypeVar

import psycopg
from sqlalchemy import ClauseElement, Connection
from sqlalchemy.ext.asyncio import AsyncConnection

from reporting.compiled import execute_in

T = TypeVar("T")
Steps = Generator[ClauseElement, Sequence[Any], T]


def perform(connection: Connection, steps: Steps[T]) -> T:
    """Take the steps on this connection."""
    try:
        statement = next(steps)
        while True:
            # Any statement: SQLAlchemy's overloads have no name for what has rows or none.
            result = connection.execute(statement)  # type: ignore[call-overload]
            statement = steps.send(result.all() if result.returns_rows else ())
    except StopIteration as end:
        value: T = end.value
        return value


def perform_in(connection: psycopg.Connection, steps: Steps[T]) -> T:
    """Take the steps in the projector's own transaction."""
    try:
        statement = next(steps)
        while True:
            cursor = execute_in(connection, statement)
            statement = steps.send(cursor.fetchall() if cursor.description else ())
    except StopIteration as end:
        value: T = end.value
        return value


async def perform_on(connection: AsyncConnection, steps: Steps[T]) -> T:
    """Take the steps on this connection of the service."""
    try:
        statement = next(steps)
        while True:
            # As in `perform`.
            result = await connection.execute(statement)  # type: ignore[call-overload]
            statement = steps.send(result.all() if result.returns_rows else ())
    except StopIteration as end:
        value: T = end.value
        return value
