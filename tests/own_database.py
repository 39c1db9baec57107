"""A database that several tests share, and no others: made from the template, dropped when it is left."""

import uuid
from collections.abc import Iterator
from contextlib import contextmanager
from urllib.parse import urlsplit

import psycopg
from psycopg import sql

from sync_server.embedded.postgres import DATABASE, OWNER
from tests.embedded.supervised import SupervisedSystem


@contextmanager
def own_database(postgres: SupervisedSystem) -> Iterator[str]:
    """Its URL, as the application's role."""
    name = f"test_{uuid.uuid4().hex[:16]}"
    made, owner = sql.Identifier(name), sql.Identifier(OWNER)
    with psycopg.connect(postgres.superuser_url, autocommit=True) as superuser:
        superuser.execute(
            sql.SQL("CREATE DATABASE {} TEMPLATE {} OWNER {}").format(made, sql.Identifier(DATABASE), owner)
        )
        try:
            yield urlsplit(postgres.database_url)._replace(path=f"/{name}").geturl()
        finally:
            superuser.execute(sql.SQL("DROP DATABASE {} WITH (FORCE)").format(made))
