"""Row-level security is there for researchers' logins, and hides nothing from who writes rows."""

from collections.abc import Iterator
from pathlib import Path

import psycopg
import pytest
from click.testing import CliRunner
from psycopg import sql
from sqlalchemy.exc import ProgrammingError

from reporting.engine import sync_engine
from sync_server.cli import main, services
from sync_server.embedded.postgres import APP, OWNER
from sync_server.researchers.installing import install
from tests.research.conftest import connect

ACTIVE = (
    "SELECT bool_or(row_security_active(t::regclass)) FROM unnest('{sessions,participants,visits}'::text[]) t"
)


@pytest.fixture
def other_role(prepared: psycopg.Connection) -> Iterator[str]:
    """A role of the site's own that reads and writes sessions."""
    role = sql.Identifier("of_the_site")
    prepared.execute(sql.SQL("CREATE ROLE {} LOGIN PASSWORD 'known'").format(role))
    yield "of_the_site"
    prepared.execute(sql.SQL("DROP OWNED BY {}; DROP ROLE {}").format(role, role))


def _prepare(admin: psycopg.Connection) -> list[str]:
    said: list[str] = []
    admin.add_notice_handler(lambda notice: said.append(f"{notice.severity}: {notice.message_primary}"))
    install(admin, database=admin.info.dbname, owner=OWNER, service=APP)
    return [each for each in said if each.startswith("WARNING")]


def test_service_and_owner_see_and_copy_as_before_and_preparing_again_locks_nothing(
    prepared: psycopg.Connection, database_url: str, owner_database_url: str
) -> None:
    enabled = "SELECT count(*) FROM pg_class WHERE relrowsecurity AND relnamespace = 'public'::regnamespace"
    assert prepared.execute(enabled).fetchone() == (3,)
    for url in (database_url, owner_database_url):
        with psycopg.connect(url) as connection:
            assert connection.execute(ACTIVE.encode()).fetchone() == (False,)
            assert connection.execute("SELECT count(*) FROM sessions").fetchone() == (4,)
            into = "COPY sessions (site, id, study, participant, status, started_at, rev) FROM STDIN"
            with connection.cursor().copy(into) as copy:
                copy.write_row(("lima", "x", "sleep", "p1", "completed", "2026-01-15", "1-a"))
            connection.rollback()
    with psycopg.connect(database_url) as reading:
        reading.execute("SELECT count(*) FROM sessions, participants, visits")
        prepared.execute("SET lock_timeout = '2s'")
        assert _prepare(prepared) == []
    prepared.execute("DROP POLICY research ON visits; ALTER TABLE visits DISABLE ROW LEVEL SECURITY")
    install(prepared, database=prepared.info.dbname, owner=OWNER, service=APP)
    assert prepared.execute(enabled).fetchone() == (3,)


def test_a_service_at_work_sees_its_rows_before_during_and_after_row_security_is_switched_on(
    prepared: psycopg.Connection, database_url: str
) -> None:
    for table in ("sessions", "participants", "visits"):
        prepared.execute(sql.SQL("ALTER TABLE {} DISABLE ROW LEVEL SECURITY").format(sql.Identifier(table)))
    prepared.execute(f"ALTER ROLE {APP} NOBYPASSRLS")
    try:
        with psycopg.connect(database_url, autocommit=True) as service:

            def seen() -> object:
                # Prepared: its plan is from before.
                return service.execute("SELECT count(*) FROM sessions", prepare=True).fetchone()

            assert seen() == (4,)
            with prepared.transaction():
                prepared.execute(f"ALTER ROLE {APP} BYPASSRLS")
                assert seen() == (4,)
            install(prepared, database=prepared.info.dbname, owner=OWNER, service=APP)
            assert seen() == (4,)
            assert service.execute(ACTIVE.encode()).fetchone() == (False,)
    finally:
        prepared.execute(f"ALTER ROLE {APP} BYPASSRLS")


def test_roles_that_would_be_bound_are_named_and_who_writes_stops_it(
    prepared: psycopg.Connection, other_role: str, owner_database_url: str
) -> None:
    for table in ("sessions", "participants", "visits"):
        prepared.execute(sql.SQL("ALTER TABLE {} DISABLE ROW LEVEL SECURITY").format(sql.Identifier(table)))
    prepared.execute(f"GRANT SELECT (id) ON sessions TO {other_role}")
    (warning,) = _prepare(prepared)
    assert f"hides the rows of sessions, participants and visits from {other_role}" in warning
    prepared.execute(f"CREATE POLICY own ON sessions TO {other_role} USING (true)")
    assert _prepare(prepared) == []

    prepared.execute("DROP POLICY own ON sessions; ALTER TABLE sessions DISABLE ROW LEVEL SECURITY")
    prepared.execute(f"GRANT INSERT ON sessions TO {other_role}")
    migrated = CliRunner().invoke(main, ["migrate", "--database-url", owner_database_url])
    assert migrated.exit_code == 1
    assert f"from {other_role}, who write them" in migrated.output
    hidden = prepared.execute("SELECT relrowsecurity FROM pg_class WHERE oid = 'sessions'::regclass")
    assert hidden.fetchone() == (False,)


def test_a_service_from_which_rows_are_hidden_does_not_start_and_says_what_to_run(
    prepared: psycopg.Connection,
    other_role: str,
    database_url: str,
    monkeypatch: pytest.MonkeyPatch,
    tmp_path: object,
) -> None:
    prepared.execute(f"GRANT CONNECT ON DATABASE {prepared.info.dbname} TO {other_role}")
    prepared.execute(f"GRANT SELECT ON sessions TO {other_role}")
    with connect(database_url, other_role, "known") as bound:
        assert bound.execute("SELECT count(*) FROM sessions").fetchone() == (0,)
        url = f"postgresql://{other_role}:known@127.0.0.1:{bound.info.port}/{bound.info.dbname}"
    monkeypatch.setattr(services, "configure_logging", lambda *_, **__: None)
    environment = {"DATABASE_URL": url, "REDIS_URL": "unix:///none", "DATA_DIR": str(tmp_path)}
    for process in ("serve", "project", "relay", "work"):
        refused = CliRunner().invoke(main, [process], env=environment)
        assert refused.exit_code == 1
        assert f'ALTER ROLE "{other_role}" BYPASSRLS' in refused.output


def test_a_command_or_a_service_at_work_from_which_rows_are_hidden_fails_and_reads_no_half_of_them(
    prepared: psycopg.Connection, database_url: str, tmp_path: Path
) -> None:
    environment = {"DATABASE_URL": database_url, "REDIS_URL": "unix:///none", "DATA_DIR": str(tmp_path)}
    export = ["export", "memory", "--dataset", "sessions_wide", "--dry-run"]
    engine = sync_engine(database_url)
    try:
        with engine.connect() as at_work:
            count = "SELECT count(*) FROM sessions"
            assert at_work.exec_driver_sql(count).scalar_one() == 4
            assert "2 rows" in CliRunner().invoke(main, export, env=environment).output
            prepared.execute(f"ALTER ROLE {APP} NOBYPASSRLS")
            refused = CliRunner().invoke(main, export, env=environment)
            assert (refused.exit_code, "researchers sql" in refused.output) == (1, True)
            with pytest.raises(ProgrammingError, match="row-level security"):
                at_work.exec_driver_sql(count)
    finally:
        prepared.execute(f"ALTER ROLE {APP} BYPASSRLS")
        engine.dispose()
