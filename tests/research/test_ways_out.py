"""A researcher's login tries to get at what it has no grant for."""

from collections.abc import Callable

import psycopg
import pytest
from psycopg import sql
from sqlalchemy import Connection

from reporting.research.datasets import DATASETS
from sync_server.embedded.postgres import APP
from tests.research.conftest import connect

pytestmark = pytest.mark.usefixtures("prepared")

ROWS = (
    *(f"SELECT count(*) FROM public.{table}" for table in ("sessions", "trials", "scores", "participants")),  # noqa: S608
    "SELECT contact FROM public.participants",
    "SELECT secret FROM public.research_policies",
    "SELECT * FROM public.research_grants",
    "SELECT * FROM research_rows.sessions",
    "TABLE research_rows.participants",
    "COPY public.sessions TO STDOUT",
    "SELECT query_to_xml('SELECT * FROM public.sessions', true, false, '')",
    "DO $$ BEGIN PERFORM count(*) FROM public.sessions; END $$",
    "DO $$ BEGIN EXECUTE 'SELECT count(*) FROM public.sessions'; END $$",
    "SELECT * FROM research.participants FOR UPDATE",
    "DO $$ BEGIN LOCK TABLE public.sessions IN ACCESS SHARE MODE; END $$",
    "DO $$ BEGIN LOCK TABLE research.trials IN ACCESS EXCLUSIVE MODE; END $$",
    "INSERT INTO research.sessions_wide (study) VALUES ('x')",
    "DELETE FROM research.sessions_wide",
    "TRUNCATE research.trials",
)
CATALOGS = (
    "SELECT rolpassword FROM pg_authid",
    "SELECT passwd FROM pg_shadow",
    "SELECT stavalues1 FROM pg_statistic",
    "SELECT stxdmcv FROM pg_statistic_ext_data",
    "SELECT * FROM pg_user_mapping",
    "SELECT subconninfo FROM pg_subscription",
    "SELECT * FROM pg_hba_file_rules",
    "SELECT * FROM pg_file_settings",
    "SELECT current_setting('data_directory')",
    "SELECT * FROM pg_largeobject",
)
FILES = (
    "SELECT pg_read_file('/etc/passwd')",
    "SELECT pg_ls_dir('.')",
    "SELECT pg_current_logfile()",
    "COPY research.sessions_wide TO '/tmp/out'",
    "COPY (SELECT 1) TO PROGRAM 'id'",
    "SELECT lo_import('/etc/passwd')",
    "LOAD 'plpgsql'",
)
SHARED = (
    "SELECT lo_create(0)",
    "SELECT lo_creat(-1)",
    "SELECT lo_from_bytea(0, 'x')",
    "SELECT pg_advisory_lock(1)",
    "SELECT pg_advisory_lock_shared(1)",
    "SELECT pg_try_advisory_xact_lock(1, 2)",
    "SELECT pg_notify('outbox', '')",
    "SELECT pg_logical_emit_message(false, '', '')",
    "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE usename <> current_user",
    "SELECT pg_cancel_backend(pid) FROM pg_stat_activity WHERE usename <> current_user",
    "SELECT pg_create_logical_replication_slot('s', 'pgoutput')",
    "SELECT pg_create_physical_replication_slot('s')",
    "SELECT pg_switch_wal()",
    "SELECT pg_reload_conf()",
    "SELECT pg_stat_reset()",
    "CHECKPOINT",
)
THINGS_OF_ONES_OWN = (
    "CREATE TEMP TABLE t (n int)",
    "CREATE TEMP VIEW v AS SELECT 1",
    "CREATE TEMP SEQUENCE s",
    "CREATE FUNCTION pg_temp.f() RETURNS int LANGUAGE sql AS 'SELECT 1'",
    "CREATE TABLE public.t (n int)",
    "CREATE VIEW research.v AS SELECT 1",
    "CREATE VIEW public.v AS SELECT * FROM research.trials",
    "CREATE FUNCTION research.f() RETURNS int LANGUAGE sql AS 'SELECT 1'",
    "CREATE OPERATOR research.### (FUNCTION = texteq, LEFTARG = text, RIGHTARG = text)",
    "CREATE TYPE public.y AS ENUM ('a')",
    "CREATE SCHEMA own",
    "CREATE DATABASE own",
    "CREATE PUBLICATION p FOR ALL TABLES",
    "CREATE SERVER s FOREIGN DATA WRAPPER w",
    "CREATE EVENT TRIGGER e ON ddl_command_start EXECUTE FUNCTION f()",
    "CREATE RULE r AS ON SELECT TO research.trials DO INSTEAD SELECT 1",
)
RIGHTS = (
    "CREATE ROLE researcher_other LOGIN",
    "SET ROLE metricis_research",
    "SET ROLE metricis_research_rows",
    "SET ROLE metricis_researchers",
    f"SET ROLE {APP}",
    "SET SESSION AUTHORIZATION metricis_owner",
    "SELECT set_config('role', 'metricis_research_rows', false)",
    "ALTER ROLE researcher_anna CONNECTION LIMIT 100",
    "ALTER ROLE researcher_anna BYPASSRLS",
    "ALTER ROLE researcher_anna SET temp_file_limit = -1",
    "GRANT metricis_research_rows TO researcher_anna",
    f"GRANT metricis_researchers TO {APP}",
    "ALTER VIEW research.trials SET (security_barrier = false)",
    "ALTER VIEW research.trials OWNER TO researcher_anna",
    "ALTER TABLE public.sessions DISABLE ROW LEVEL SECURITY",
    "DROP POLICY research ON public.sessions",
    "CREATE POLICY own ON public.sessions USING (true)",
    "ALTER DEFAULT PRIVILEGES FOR ROLE metricis_owner GRANT SELECT ON TABLES TO researcher_anna",
    "COMMENT ON VIEW research.trials IS 'x'",
    "ALTER SYSTEM SET log_statement = 'all'",
    "SET session_replication_role = replica",
    "SET temp_file_limit = -1",
    "SET log_min_messages = debug5",
)
NOT_PERMITTED = (*ROWS, *CATALOGS, *FILES, *SHARED, *THINGS_OF_ONES_OWN, *RIGHTS)

REFUSED = (
    psycopg.errors.InsufficientPrivilege,
    psycopg.errors.ObjectNotInPrerequisiteState,  # a view of joins takes no rows
    psycopg.errors.UndefinedObject,  # what is not installed
    psycopg.errors.WrongObjectType,
)


def test_a_login_gets_at_nothing_else(
    log_in: Callable[..., psycopg.Connection], service_connection: Connection
) -> None:
    service_connection.exec_driver_sql("SELECT 'said by the service'")
    anna = log_in("anna", "--study", "memory")
    # What a login may undo for itself is undone: it keeps nobody out.
    anna.execute("SET default_transaction_read_only = off")
    permitted = []
    for statement in NOT_PERMITTED:
        try:
            anna.execute(statement.encode())
        except REFUSED:
            continue
        permitted.append(statement)
    assert permitted == []
    nothing = (
        "SELECT FROM pg_stats WHERE schemaname NOT IN ('pg_catalog', 'information_schema')",
        "SELECT FROM pg_stat_activity WHERE query LIKE '%said by%' AND usename <> current_user",
        "SELECT FROM information_schema.tables WHERE table_schema NOT IN"
        " ('research', 'pg_catalog', 'information_schema')",
        "SELECT FROM information_schema.columns WHERE column_name ~ 'contact|secret|redcap_token|password'"
        " AND table_schema NOT IN ('pg_catalog', 'information_schema')",
        "SELECT FROM information_schema.views WHERE view_definition <> '' AND table_schema = 'research'",
        "SELECT FROM pg_roles WHERE rolpassword <> '********'",
        "SELECT FROM pg_prepared_xacts",
    )
    for query in nothing:
        assert anna.execute(query.encode()).fetchall() == [], query


def test_no_dataset_has_a_column_by_which_somebody_is_reached(
    log_in: Callable[..., psycopg.Connection], prepared: psycopg.Connection
) -> None:
    prepared.execute("UPDATE participants SET redcap_id = 'r-1'")
    anna = log_in("anna", "--study", "memory")
    for name, dataset in DATASETS.items():
        cursor = anna.execute(f"SELECT * FROM {name}".encode())  # noqa: S608 (our own names)
        assert [column.name for column in cursor.description or ()] == list(dataset.by_name)
        assert not {"contact", "email", "phone"} & dataset.by_name.keys()
        shown = repr(cursor.fetchall())
        assert cursor.rowcount > 0, name
        assert all(text not in shown for text in ("'p1'", "'r-1'", "2026, 1, 15")), name


def test_a_login_gets_into_no_other_database_and_no_replication(
    log_in: Callable[..., psycopg.Connection], postgres_server: object, fresh_database: str, database_url: str
) -> None:
    anna = log_in("anna", "--study", "memory")
    login, password = anna.info.user, anna.info.password
    for database in ("postgres", "template1", "metricis"):
        url = database_url.replace(fresh_database, database)
        with pytest.raises(psycopg.OperationalError, match="permission denied for database"):
            connect(url, login, password)
    with pytest.raises(psycopg.OperationalError, match="permission denied to start WAL sender"):
        connect(f"{database_url}?replication=database", login, password).execute("IDENTIFY_SYSTEM")


def test_what_a_condition_tells_of_rows_is_of_rows_that_the_login_may_see(
    log_in: Callable[..., psycopg.Connection],
) -> None:
    anna = log_in("anna", "--study", "memory", "--site", "lima")
    # An error that depends on a row would tell that the row is there; `1 / 0` is only tried on visible ones.
    fails = "1 / (CASE WHEN study = 'sleep' OR site = 'oslo' THEN 0 ELSE 1 END) = 1"
    for dataset in DATASETS:
        anna.execute(f"SELECT count(*) FROM {dataset} WHERE {fails}".encode())  # noqa: S608 (our own names)
        anna.execute(f"EXPLAIN ANALYZE SELECT FROM {dataset} WHERE {fails}".encode())
        with pytest.raises(psycopg.errors.InvalidTextRepresentation, match="memory"):
            anna.execute(f"SELECT FROM {dataset} WHERE study::int = 1".encode())
    said: list[str] = []
    anna.add_notice_handler(lambda notice: said.append(notice.message_primary or ""))
    anna.execute(
        "DO $$ DECLARE r record; BEGIN FOR r IN SELECT study, site FROM trials LOOP"
        " RAISE NOTICE '% %', r.study, r.site; END LOOP; END $$"
    )
    assert set(said) == {"memory lima"}
    plan = anna.execute(
        "EXPLAIN SELECT * FROM trials WHERE study = 'memory' AND site = 'lima' AND session_id = 'memory'"
    )
    assert "Index Cond: (site = 'lima'::text)" in str(plan.fetchall())


def test_row_security_fences_a_view_that_forgets_to_and_nobody_switches_it_off(
    log_in: Callable[..., psycopg.Connection], prepared: psycopg.Connection, service_connection: Connection
) -> None:
    anna = log_in("anna", "--study", "memory", "--site", "oslo")
    expected = {"sessions": {("memory", "oslo")}, "participants": {("memory", "lima")}, "visits": set()}
    with prepared.transaction():
        prepared.execute("SET LOCAL ROLE metricis_research_rows")
        prepared.execute("GRANT USAGE ON SCHEMA research_rows TO metricis_researchers")
        for table in expected:
            made = f"CREATE VIEW research_rows.careless_{table} AS SELECT study, site FROM public.{table}"  # noqa: S608
            prepared.execute(made.encode())
        prepared.execute("GRANT SELECT ON ALL TABLES IN SCHEMA research_rows TO metricis_researchers")
    for table, seen in expected.items():
        found = anna.execute(f"SELECT DISTINCT study, site FROM research_rows.careless_{table}".encode())  # noqa: S608
        # Of participants, who came to a granted site is seen, wherever they are on the roster.
        assert set(found) == seen, table
        assert service_connection.exec_driver_sql(f"SELECT count(*) FROM {table}").scalar_one() >= 2  # noqa: S608
    prepared.execute("UPDATE research_grants SET expires_at = now()")
    assert anna.execute("SELECT FROM research_rows.careless_sessions").fetchall() == []
    anna.execute("SET row_security = off")
    for name in ("trials", "research_rows.careless_sessions"):
        with pytest.raises(psycopg.errors.InsufficientPrivilege, match="row-level security"):
            anna.execute(sql.SQL("SELECT FROM {}").format(sql.Identifier(*name.split("."))))
