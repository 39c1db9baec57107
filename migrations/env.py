"""Alembic's environment: runs the migrations on a connection handed in, or on DATABASE_URL from the shell."""

import os

from alembic import context
from sqlalchemy import Connection, create_engine
from sqlalchemy.engine import make_url

from reporting.tables import metadata


def migrate(connection: Connection) -> None:
    """Run all pending migrations in one transaction."""
    context.configure(connection=connection, target_metadata=metadata, compare_server_default=True)
    with context.begin_transaction():
        context.run_migrations()


handed_in = context.config.attributes.get("connection")
if handed_in is not None:
    migrate(handed_in)
elif "DATABASE_URL" in os.environ:
    url = make_url(os.environ["DATABASE_URL"]).set(drivername="postgresql+psycopg")
    with create_engine(url).connect() as own_connection:
        migrate(own_connection)
        own_connection.commit()
else:
    raise SystemExit("Set DATABASE_URL to the Postgres database that is to be migrated.")
