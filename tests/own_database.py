"""A database that several tests share, and no others: made from the template, dropped when it is left."""

import uuid
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from urllib.parse import urlsplit

import psycopg
from psycopg import sql

from sync_server.embedded.postgres import DATABASE, OWNER
from tests.embedded.supervised import SupervisedSystem


@contextmanager
def own_database(postgres: SupervisedSystem, dropping: Callable[[str], None] | None = None) -> Iterator[str]:
    """Its URL, as the application's role; `dropping` drops it some time afterwards; otherwise at once."""
    name = f"test_{uuid.uuid4().hex[:16]}"
    made, owner = sql.Identifier(name), sql.Identifier(OWNER)
    with psycopg.connect(postgres.superuser_url, autocommit=True) as superuser:
        superuser.execute(
            sql.SQL("CREATE DATABASE {} TEMPLATE {} OWNER {}").format(made, sql.Identifier(DATABASE), owner)
        )
        try:
            yield urlsplit(postgres.database_url)._replace(path=f"/{name}").geturl()
        finally:
            if dropping is not None:
                dropping(name)
            else:
                superuser.execute(sql.SQL("DROP DATABASE {} WITH (FORCE)").format(made))
