"""Who is who in Postgres: three roles, one database, and the schema brought up to date.

| role | may | used by |
|---|---|---|
| `postgres` | everything; through the socket only | this module, backups |
| `metricis_owner` | owns database and tables; makes researchers' logins | migrations, `researchers grant` |
| `metricis_app` | SELECT, INSERT, UPDATE, DELETE on the owner's tables | the service; `sync-server dsn` |

The application's role owns nothing and is no superuser: grants bind it. Row-level security does not, it is
there for researchers' logins (`sync_server.researchers`).
"""

import psycopg
from alembic.util.exc import CommandError
from psycopg import sql
from sqlalchemy import create_engine
from sqlalchemy.engine import make_url
from sqlalchemy.exc import SQLAlchemyError
from sqlalchemy.pool import NullPool

from migrations.upgrade import upgrade
from sync_server.embedded.errors import MigrationFailed, StartFailed
from sync_server.embedded.postgres import APP, DATABASE, OWNER, Postgres
from sync_server.researchers.installing import REMOVE_VIEWS, install

_ROLE = sql.SQL(
    "{verb} ROLE {name} LOGIN NOSUPERUSER NOCREATEDB {createrole} NOREPLICATION PASSWORD {verifier}"
)

_DEFAULT_PRIVILEGES = (
    sql.SQL("ALTER DEFAULT PRIVILEGES GRANT SELECT, INSERT, UPDATE, DELETE ON TABLES TO {app}"),
    sql.SQL("ALTER DEFAULT PRIVILEGES GRANT USAGE, SELECT ON SEQUENCES TO {app}"),
)


def prepare_database(postgres: Postgres) -> None:
    """Bring about roles, database, privileges and the newest schema; repeatable, whatever was there before.

    Blocking. Raises StartFailed, MigrationFailed.
    """
    try:
        with psycopg.connect(postgres.superuser_url, autocommit=True) as connection:
            _ensure_roles(connection, postgres)
            _ensure_database(connection)
        with psycopg.connect(postgres.owner_url) as connection:
            for statement in _DEFAULT_PRIVILEGES:
                connection.execute(statement.format(app=sql.Identifier(APP)))
    except psycopg.Error as error:
        raise StartFailed("postgres", f"its roles and database could not be prepared ({error})") from error
    _remove_views(postgres)
    _migrate(postgres.owner_url)
    try:
        with psycopg.connect(postgres.superuser_url, dbname=DATABASE, autocommit=True) as connection:
            install(connection, database=DATABASE, owner=OWNER, service=APP)
    except psycopg.Error as error:
        raise StartFailed("postgres", f"research access could not be prepared ({error})") from error


def _remove_views(postgres: Postgres) -> None:
    try:
        with psycopg.connect(postgres.superuser_url, dbname=DATABASE, autocommit=True) as connection:
            connection.execute(REMOVE_VIEWS)
    except psycopg.Error as error:
        raise StartFailed("postgres", f"research access could not be prepared ({error})") from error


def _ensure_roles(connection: psycopg.Connection, postgres: Postgres) -> None:
    passwords = {OWNER: postgres.secrets.owner_password, APP: postgres.secrets.app_password}
    with connection.transaction():
        for name, password in passwords.items():
            found = connection.execute("SELECT 1 FROM pg_roles WHERE rolname = %s", (name,)).fetchone()
            # The verifier is computed here: the password itself never reaches the server or its log.
            verifier = connection.pgconn.encrypt_password(password.encode(), name.encode(), b"scram-sha-256")
            connection.execute(
                _ROLE.format(
                    verb=sql.SQL("CREATE" if found is None else "ALTER"),
                    name=sql.Identifier(name),
                    # Over roles that it has made, and no others.
                    createrole=sql.SQL("CREATEROLE" if name == OWNER else "NOCREATEROLE"),
                    verifier=sql.Literal(verifier.decode()),
                )
            )


def _ensure_database(connection: psycopg.Connection) -> None:
    database, owner, app = sql.Identifier(DATABASE), sql.Identifier(OWNER), sql.Identifier(APP)
    found = connection.execute("SELECT 1 FROM pg_database WHERE datname = %s", (DATABASE,)).fetchone()
    if found is None:
        create = sql.SQL("CREATE DATABASE {} OWNER {} TEMPLATE template0")
        connection.execute(create.format(database, owner))
    with connection.transaction():
        # The others hold nothing, and are open to everybody who may log in.
        for name in (DATABASE, "postgres", "template1"):
            connection.execute(sql.SQL("REVOKE ALL ON DATABASE {} FROM PUBLIC").format(sql.Identifier(name)))
        connection.execute(sql.SQL("GRANT CONNECT, TEMPORARY ON DATABASE {} TO {}").format(database, app))


def _migrate(owner_url: str) -> None:
    engine = create_engine(make_url(owner_url).set(drivername="postgresql+psycopg"), poolclass=NullPool)
    try:
        with engine.begin() as connection:
            upgrade(connection)
            if connection.dialect.has_table(connection, "alembic_version"):
                # Which schema this is, is for migrations alone to say.
                connection.exec_driver_sql(f"REVOKE INSERT, UPDATE, DELETE ON alembic_version FROM {APP}")
    except (SQLAlchemyError, CommandError) as error:
        raise MigrationFailed(str(error)) from error
