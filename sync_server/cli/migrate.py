"""`sync-server migrate`: the schema of a Postgres that is not the embedded one."""

import click
import psycopg
from alembic.util.exc import CommandError
from sqlalchemy import Connection
from sqlalchemy.exc import SQLAlchemyError
from sqlalchemy.sql import text
from sqlalchemy.sql.elements import quoted_name

from migrations.upgrade import upgrade
from sync_server.cli.target import fail
from sync_server.cli.transaction import transaction
from sync_server.researchers.installing import around_migrations
from sync_server.researchers.logins import driver_of

PRIVILEGES = (
    "GRANT USAGE ON SCHEMA public TO {role}",
    "GRANT SELECT, INSERT, UPDATE, DELETE ON ALL TABLES IN SCHEMA public TO {role}",
    "GRANT USAGE, SELECT ON ALL SEQUENCES IN SCHEMA public TO {role}",
    "REVOKE INSERT, UPDATE, DELETE ON alembic_version FROM {role}",
)


@click.command()
@click.option(
    "--database-url",
    envvar="DATABASE_URL",
    show_envvar=True,
    required=True,
    help="Postgres, as the role that owns the tables.",
)
@click.option("--grant-to", metavar="ROLE", help="The service's own role: gets what the service needs.")
def migrate(database_url: str, grant_to: str | None) -> None:
    """Bring a Postgres of your own to the newest schema. `up` does this by itself for its own."""
    try:
        with transaction(database_url) as connection:

            def bring() -> None:
                upgrade(connection)
                if grant_to is not None:
                    grant(connection, grant_to)

            around_migrations(driver_of(connection), bring)
    except (SQLAlchemyError, psycopg.Error, CommandError) as error:
        fail(f"The migration failed, nothing was changed: {error}")
    click.echo("The schema is the newest.")


def grant(connection: Connection, role: str) -> None:
    """Give a role what the service needs. Raises SQLAlchemy's errors."""
    quoted = connection.dialect.identifier_preparer.quote(quoted_name(role, quote=True))
    for statement in PRIVILEGES:
        connection.execute(text(statement.format(role=quoted)))
