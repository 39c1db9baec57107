"""Roles, schemas and views of research access: the statements, for a superuser, repeatable.

Needs a superuser once, because it takes rights from PUBLIC that Postgres gives to everybody: large
objects and logical messages (a login without any rights can fill the disk with them), advisory locks (it can
hold the locks that migrations and the relay's duties wait for) and temporary tables.

| what happens | what follows |
|---|---|
| it dies in the middle | nothing has changed: one transaction |
| it runs again, or after a release | views are made anew; logins and grants stay |
| a researcher's query is running | it waits for the query's end; the next one waits for it |
"""

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from typing import Final

from psycopg import Connection, sql

from reporting.research import views
from reporting.research.roles import OWNER, READERS, ROWS_OWNER
from sync_server.researchers.row_security import fence_statements

_OWNERS: Final = (ROWS_OWNER, OWNER)
_ROLES: Final = (*_OWNERS, READERS)

_MAKE_ROLE: Final = """
DO $$ BEGIN
    IF NOT EXISTS (SELECT FROM pg_roles WHERE rolname = {literal}) THEN
        CREATE ROLE {name} NOLOGIN;
    END IF;
END $$
"""

# By name: their arguments differ between releases of Postgres.
_TAKE_FROM_EVERYBODY: Final = """
DO $$
DECLARE f regprocedure;
BEGIN
    FOR f IN
        SELECT oid FROM pg_proc
        WHERE pronamespace = 'pg_catalog'::regnamespace AND (
            proname ~ '^pg_(try_)?advisory_' OR proname IN (
                'lo_creat', 'lo_create', 'lo_from_bytea', 'lo_put', 'lo_open', 'lowrite', 'pg_notify',
                'pg_logical_emit_message'
            )
        )
    LOOP
        EXECUTE format('REVOKE EXECUTE ON FUNCTION %s FROM PUBLIC', f);
        EXECUTE format('GRANT EXECUTE ON FUNCTION %s TO {owner}, {service}', f);
    END LOOP;
END $$
"""


REMOVE_VIEWS: Final = sql.SQL("DROP SCHEMA IF EXISTS research, research_rows CASCADE")
"""Before migrations: Postgres changes no column on which a view hangs."""


def statements(*, database: str, owner: str, service: str) -> Iterator[sql.Composed]:
    """All of them, in order, for one transaction in `database`. `owner` owns its tables, `service` is the
    service's role.
    """
    names = {
        "database": sql.Identifier(database),
        "owner": sql.Identifier(owner),
        "service": sql.Identifier(service),
        "rows_owner": sql.Identifier(ROWS_OWNER),
        "views_owner": sql.Identifier(OWNER),
        "readers": sql.Identifier(READERS),
    }

    def composed(statement: str) -> sql.Composed:
        return sql.SQL(statement).format(**names)

    # Before row security is switched on, and with it: there is no moment in which the service sees no row.
    yield composed("ALTER ROLE {service} BYPASSRLS")
    for role in _ROLES:
        yield sql.SQL(_MAKE_ROLE).format(name=sql.Identifier(role), literal=sql.Literal(role))
    # Who migrates has to remove what hangs on the tables, and make it anew.
    yield composed("GRANT {rows_owner}, {views_owner} TO {owner} WITH INHERIT TRUE, SET TRUE")
    yield composed("GRANT SET ON PARAMETER temp_file_limit TO {owner}")
    # Whoever grants a login has to be able to give away the membership.
    yield composed("GRANT {readers} TO {owner} WITH ADMIN TRUE, INHERIT FALSE, SET FALSE")
    yield composed("GRANT CONNECT, TEMPORARY ON DATABASE {database} TO {owner}, {service}")
    yield composed("REVOKE ALL ON DATABASE {database} FROM PUBLIC")
    yield composed("REVOKE CREATE ON SCHEMA public FROM PUBLIC")
    yield composed("GRANT USAGE ON SCHEMA public TO {rows_owner}, {views_owner}")
    yield composed(_TAKE_FROM_EVERYBODY)
    yield from view_statements()


def view_statements() -> Iterator[sql.Composed]:
    """Those that make schemas and views anew, and see to row security: also for the tables' owner, once the
    others have run.
    """
    names = {
        "rows_owner": sql.Identifier(ROWS_OWNER),
        "views_owner": sql.Identifier(OWNER),
        "readers": sql.Identifier(READERS),
    }

    def composed(statement: str) -> sql.Composed:
        return sql.SQL(statement).format(**names)

    inner, datasets = views.inner_views(), views.dataset_views()
    yield sql.Composed([REMOVE_VIEWS])
    # Tables are named without their schema; nobody's temporary table is taken for one.
    yield composed("SET LOCAL search_path = public, pg_temp")
    yield from _grants(ROWS_OWNER, views.read_by(inner))
    yield from _grants(OWNER, views.read_by(datasets))
    yield from fence_statements()
    yield composed("CREATE SCHEMA research_rows AUTHORIZATION {rows_owner}")
    yield composed("GRANT USAGE ON SCHEMA research_rows TO {views_owner}")
    yield composed("CREATE SCHEMA research AUTHORIZATION {views_owner}")
    yield composed("SET LOCAL ROLE {rows_owner}")
    yield from _views(inner)
    yield composed("GRANT SELECT ON ALL TABLES IN SCHEMA research_rows TO {views_owner}")
    yield composed("SET LOCAL ROLE {views_owner}")
    yield from _views(datasets)
    yield composed("GRANT USAGE ON SCHEMA research TO {readers}")
    yield composed("GRANT SELECT ON ALL TABLES IN SCHEMA research TO {readers}")
    yield composed("RESET ROLE")
    yield composed("SET LOCAL search_path = DEFAULT")


def around_migrations(connection: Connection, migrate: Callable[[], None]) -> bool:
    """Take the views away, `migrate` and make them anew, as the tables' owner, in the caller's transaction;
    whether there are views: not where no superuser has prepared the database.
    """
    asked = "SELECT count(*) = 2 FROM pg_roles WHERE rolname = ANY(%s) AND pg_has_role(oid, 'SET')"
    row = connection.execute(asked, (list(_OWNERS),)).fetchone()
    is_prepared = row is not None and bool(row[0])
    if is_prepared:
        connection.execute(REMOVE_VIEWS)
    migrate()
    if is_prepared:
        connection.execute(
            sql.SQL("GRANT USAGE ON SCHEMA public TO {}, {}").format(*map(sql.Identifier, _OWNERS))
        )
        for statement in view_statements():
            connection.execute(statement)
    return is_prepared


def install(connection: Connection, *, database: str, owner: str, service: str) -> None:
    """Run them in one transaction, as a superuser. Raises what the driver raises."""
    with connection.transaction():
        for statement in statements(database=database, owner=owner, service=service):
            connection.execute(statement)


def _grants(role: str, read: Mapping[str, Sequence[str]]) -> Iterator[sql.Composed]:
    for table, columns in read.items():
        yield sql.SQL("REVOKE ALL ON {} FROM {}").format(
            sql.Identifier("public", table), sql.Identifier(role)
        )
        yield sql.SQL("GRANT SELECT ({}) ON {} TO {}").format(
            sql.SQL(", ").join(map(sql.Identifier, columns)),
            sql.Identifier("public", table),
            sql.Identifier(role),
        )


def _views(made: Iterable[views.View]) -> Iterator[sql.Composed]:
    for view in made:
        for statement in views.create(view):
            yield sql.Composed([sql.SQL(statement)])  # names and texts of ours
