"""One Postgres transaction of a command."""

from collections.abc import Iterator
from contextlib import contextmanager

import psycopg
import sqlalchemy.exc
from sqlalchemy import Connection

from reporting.engine import sync_engine
from sync_server.cli.target import fail


@contextmanager
def transaction(database_url: str) -> Iterator[Connection]:
    """Commits at the end; ends the command with a sentence when Postgres is away or has not the schema."""
    engine = sync_engine(database_url)
    try:
        with engine.begin() as connection:
            yield connection
    except sqlalchemy.exc.DBAPIError as error:
        reason = why_unusable(error)
        if reason is None:
            raise
        fail(reason)
    finally:
        engine.dispose()


def why_unusable(error: sqlalchemy.exc.DBAPIError) -> str | None:
    """A sentence for a Postgres that is away, has no schema or hides rows; None for every other failure."""
    if isinstance(error, sqlalchemy.exc.OperationalError):
        return f"Postgres cannot be reached: {error.orig}"
    if isinstance(error.orig, psycopg.errors.InsufficientPrivilege) and "row-level" in str(error.orig):
        return (
            "Row-level security would hide rows from the service's role in Postgres: as a superuser, run what"
            " `sync-server researchers sql` prints."
        )
    if isinstance(error.orig, psycopg.errors.UndefinedTable):
        return "The database has not this release's schema: `sync-server migrate` brings it there."
    return None
