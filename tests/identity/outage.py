"""A database that goes away in the middle of a test, and comes back."""

from collections.abc import Iterator
from contextlib import contextmanager
from urllib.parse import urlsplit

import psycopg
from psycopg import sql


@contextmanager
def postgres_away(superuser_url: str, database_url: str) -> Iterator[None]:
    """Meanwhile nobody can connect to the database, and who was connected no longer is."""
    database = urlsplit(database_url).path.removeprefix("/")
    allow = sql.SQL("ALTER DATABASE {} WITH ALLOW_CONNECTIONS {}")
    with psycopg.connect(superuser_url, autocommit=True) as superuser:
        superuser.execute(allow.format(sql.Identifier(database), sql.Literal(False)))
        superuser.execute(
            "SELECT pg_terminate_backend(pid, 30000) FROM pg_stat_activity WHERE datname = %s", (database,)
        )
        try:
            yield
        finally:
            superuser.execute(allow.format(sql.Identifier(database), sql.Literal(True)))
