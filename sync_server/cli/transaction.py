"""One Postgres transaction of a command."""

from collections.abc import Iterator
from contextlib import contextmanager

import sqlalchemy.exc
from sqlalchemy import Connection

from reporting.engine import sync_engine
from sync_server.cli.target import fail


@contextmanager
def transaction(database_url: str) -> Iterator[Connection]:
    """Commits at the end; ends the command with a sentence when Postgres is away."""
    engine = sync_engine(database_url)
    try:
        with engine.begin() as connection:
            yield connection
    except sqlalchemy.exc.OperationalError as error:
        fail(f"Postgres cannot be reached: {error.orig}")
    finally:
        engine.dispose()
