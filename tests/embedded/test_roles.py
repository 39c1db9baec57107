"""Who may do what in the embedded Postgres."""

from urllib.parse import quote

import psycopg
import pytest
from psycopg import sql

from sync_server.embedded.postgres import APP, OWNER
from tests.embedded.supervised import SupervisedSystem


def test_application_role_is_neither_superuser_nor_owner(database_url: str) -> None:
    with psycopg.connect(database_url) as connection:
        assert connection.execute("SELECT current_user").fetchone() == (APP,)
        role = connection.execute(
            "SELECT rolsuper, rolcreatedb, rolcreaterole, rolreplication, rolbypassrls"
            " FROM pg_roles WHERE rolname = current_user"
        ).fetchone()
        # Row-level security is for researchers' logins: it would hide rows from the projector.
        assert role == (False, False, False, False, True)
        owner = connection.execute(
            "SELECT pg_get_userbyid(datdba) FROM pg_database WHERE datname = current_database()"
        ).fetchone()
        assert owner == (OWNER,)
        owned = connection.execute(
            "SELECT count(*) FROM pg_class WHERE pg_get_userbyid(relowner) = current_user"
        ).fetchone()
        assert owned == (0,)


def test_application_role_uses_the_owners_tables_but_cannot_change_them(
    database_url: str, owner_database_url: str
) -> None:
    with psycopg.connect(owner_database_url) as owner:
        owner.execute("CREATE TABLE things (id bigserial PRIMARY KEY, name text)")
    with psycopg.connect(database_url, autocommit=True) as app:
        app.execute("INSERT INTO things (name) VALUES ('a'), ('b')")
        app.execute("UPDATE things SET name = 'c' WHERE name = 'a'")
        app.execute("DELETE FROM things WHERE name = 'b'")
        assert app.execute("SELECT id, name FROM things").fetchall() == [(1, "c")]
        for statement in ("DROP TABLE things", "ALTER TABLE things ADD x int", "CREATE TABLE mine (x int)"):
            with pytest.raises(psycopg.errors.InsufficientPrivilege):
                app.execute(statement)


def test_schema_version_is_not_the_application_roles_to_write(database_url: str) -> None:
    with psycopg.connect(database_url, autocommit=True) as app:
        app.execute("SELECT version_num FROM alembic_version")
        with pytest.raises(psycopg.errors.InsufficientPrivilege):
            app.execute("DELETE FROM alembic_version")


@pytest.mark.parametrize("through", ["tcp", "socket"])
@pytest.mark.parametrize("role", ["metricis_app", "metricis_owner", "postgres"])
def test_wrong_password_is_refused(postgres_server: SupervisedSystem, role: str, through: str) -> None:
    port = postgres_server.record["postgres_port"]
    host = "127.0.0.1" if through == "tcp" else str(postgres_server.data_directory / "run")
    url = f"postgresql://{role}:wrong@/metricis?host={quote(host, safe='')}&port={port}"
    expected = (
        r"pg_hba\.conf rejects"
        if (role, through) == ("postgres", "tcp")
        else "password authentication failed"
    )
    with pytest.raises(psycopg.OperationalError, match=expected):
        psycopg.connect(url)


def test_superuser_cannot_log_in_over_tcp_even_with_the_password(postgres_server: SupervisedSystem) -> None:
    with pytest.raises(psycopg.OperationalError, match=r"pg_hba\.conf rejects"):
        psycopg.connect(postgres_server.superuser_url, host="127.0.0.1")


def test_other_roles_reach_the_database_only_when_let_in(postgres_server: SupervisedSystem) -> None:
    with psycopg.connect(postgres_server.superuser_url, autocommit=True) as superuser:
        superuser.execute("CREATE ROLE a_researcher LOGIN PASSWORD 'known'")
        try:
            with pytest.raises(psycopg.OperationalError, match="permission denied for database"):
                psycopg.connect(postgres_server.database_url, user="a_researcher", password="known")
        finally:
            superuser.execute("DROP ROLE a_researcher")


def test_each_test_has_a_database_of_its_own(
    postgres_server: SupervisedSystem, fresh_database: str, owner_database_url: str
) -> None:
    with psycopg.connect(owner_database_url) as owner:
        owner.execute("CREATE TABLE only_here (x int)")
    with psycopg.connect(postgres_server.owner_url) as template:
        assert template.execute("SELECT to_regclass('only_here')").fetchone() == (None,)
    with psycopg.connect(postgres_server.superuser_url) as superuser:
        encoding = superuser.execute(
            sql.SQL(
                "SELECT pg_encoding_to_char(encoding), datlocprovider::text, datlocale, datcollate"
                " FROM pg_database WHERE datname = {}"
            ).format(sql.Literal(fresh_database))
        ).fetchone()
    assert encoding == ("UTF8", "b", "C.UTF-8", "C")
