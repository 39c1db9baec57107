"""Logins of researchers, which really log in, read what they may, and try to get at the rest."""

from collections.abc import Callable, Iterator
from datetime import UTC, datetime, timedelta

import msgspec
import psycopg
import pytest
from click.testing import CliRunner
from sqlalchemy import Connection

from reporting.engine import sync_engine
from reporting.research.datasets import DATASETS
from reporting.research.relations import OF_SESSIONS
from sync_server.cli import main
from sync_server.researchers.watchdog import Limits, watch_researchers
from tests.research.conftest import connect

pytestmark = pytest.mark.usefixtures("prepared")


@pytest.fixture
def command(owner_database_url: str) -> Callable[..., str]:
    """`sync-server researchers …` as the owner of the tables; answers what it printed."""

    def run(*arguments: str, code: int = 0) -> str:
        result = CliRunner().invoke(
            main, ["researchers", *arguments], env={"OWNER_DATABASE_URL": owner_database_url}
        )
        assert result.exit_code == code, result.output
        return result.output

    return run


@pytest.fixture
def log_in(command: Callable[..., str], database_url: str) -> Iterator[Callable[..., psycopg.Connection]]:
    """Gives a new login its first grant and logs in with it."""
    opened = []

    def grant_and_log_in(name: str, *options: str) -> psycopg.Connection:
        told = msgspec.json.decode(command("grant", "--name", name, *options, "--json"))
        opened.append(connect(database_url, told["login"], told["password"]))
        return opened[-1]

    yield grant_and_log_in
    for each in opened:
        each.close()


@pytest.fixture
def service(database_url: str) -> Iterator[Connection]:
    engine = sync_engine(database_url)
    with engine.connect() as connection:
        yield connection
    engine.dispose()


def places(login: psycopg.Connection, dataset: str) -> set[tuple[str, str]]:
    found = login.execute(f"SELECT DISTINCT study, site FROM {dataset}".encode())  # noqa: S608
    return {(study, site) for study, site in found}


def test_a_login_sees_in_every_dataset_what_it_has_a_grant_for_until_that_is_withdrawn(
    command: Callable[..., str], log_in: Callable[..., psycopg.Connection]
) -> None:
    anna = log_in("anna", "--study", "memory")
    ben = log_in("ben", "--study", "memory", "--site", "oslo")
    for dataset in OF_SESSIONS:
        assert places(anna, dataset) == {("memory", "lima"), ("memory", "oslo")}, dataset
        assert places(ben, dataset) == {("memory", "oslo")}, dataset
    for dataset in ("participants", "visits"):
        assert places(anna, dataset) == {("memory", "lima")}, dataset
        assert places(ben, dataset) == set(), dataset
    assert anna.execute("SELECT count(*) FROM trials").fetchone() == (6,)
    assert len(OF_SESSIONS) + 2 == len(DATASETS)

    command("grant", "--name", "ben", "--study", "sleep", "--site", "lima", "--until", "2020-01-01")
    assert places(ben, "trials") == {("memory", "oslo")}, "a grant that has run out counts for nothing"
    command("revoke", "--name", "anna")
    assert all(places(anna, dataset) == set() for dataset in DATASETS)
    assert "no such grant" in command("revoke", "--name", "anna", code=1)


def test_codes_and_dates_are_shown_to_identified_logins_only_and_intervals_stay(
    log_in: Callable[..., psycopg.Connection], prepared: psycopg.Connection
) -> None:
    query = (
        "SELECT DISTINCT s.participant, s.started_at, p.enrolled_on, p.participant, s.started_day"
        " FROM sessions_wide AS s JOIN participants AS p USING (study) WHERE study = 'memory'"
    )
    anna = log_in("anna", "--study", "memory")
    (row,) = anna.execute(query).fetchall()
    assert row[0] == row[3]
    assert row[0].startswith("P-")
    assert row[1].date() - row[2] == timedelta(days=10)
    assert row[4] == 10
    assert anna.execute("SELECT count(redcap_id) FROM participants").fetchone() == (0,)

    ida = log_in("ida", "--study", "memory", "--identified")
    (seen,) = ida.execute(query).fetchall()
    assert (seen[0], seen[1]) == ("p1", datetime(2026, 1, 15, 10, tzinfo=UTC))

    prepared.execute("UPDATE research_policies SET dates = 'days'")
    assert anna.execute(query).fetchall() == [(row[0], None, None, row[0], 10)]
    prepared.execute("DELETE FROM research_policies")
    assert anna.execute(query).fetchall() == [(None, None, None, None, None)]


NOT_PERMITTED = (
    *(f"SELECT count(*) FROM public.{table}" for table in ("sessions", "trials", "scores", "participants")),  # noqa: S608
    "SELECT secret FROM public.research_policies",
    "SELECT * FROM public.research_grants",
    "SELECT * FROM research_rows.sessions",
    "SELECT query_to_xml('SELECT * FROM public.sessions', true, false, '')",
    "SELECT rolpassword FROM pg_authid",
    "SELECT stavalues1 FROM pg_statistic",
    "SELECT pg_read_file('/etc/passwd')",
    "SELECT pg_ls_dir('.')",
    "COPY research.sessions_wide TO '/tmp/out'",
    "COPY (SELECT 1) TO PROGRAM 'id'",
    "SELECT lo_import('/etc/passwd')",
    "SELECT lo_create(0)",
    "SELECT lo_creat(-1)",
    "SELECT lo_from_bytea(0, 'x')",
    "SELECT pg_advisory_lock(1)",
    "SELECT pg_try_advisory_xact_lock(1, 2)",
    "SELECT pg_notify('outbox', '')",
    "CREATE TEMP TABLE t (n int)",
    "CREATE FUNCTION pg_temp.f() RETURNS int LANGUAGE sql AS 'SELECT 1'",
    "CREATE TABLE public.t (n int)",
    "CREATE VIEW research.v AS SELECT 1",
    "CREATE FUNCTION research.f() RETURNS int LANGUAGE sql AS 'SELECT 1'",
    "CREATE SCHEMA own",
    "CREATE ROLE researcher_other LOGIN",
    "INSERT INTO research.sessions_wide (study) VALUES ('x')",
    "DELETE FROM research.sessions_wide",
    "SET ROLE metricis_research",
    "SET ROLE metricis_researchers",
    "SET ROLE metricis_app",
    "SET SESSION AUTHORIZATION metricis_owner",
    "SELECT set_config('role', 'metricis_research_rows', false)",
    "ALTER ROLE researcher_anna CONNECTION LIMIT 100",
    "ALTER VIEW research.trials SET (security_barrier = false)",
    "GRANT metricis_researchers TO metricis_app",
    "SET session_replication_role = replica",
    "SET temp_file_limit = -1",
)


def test_a_login_gets_at_nothing_else(log_in: Callable[..., psycopg.Connection]) -> None:
    anna = log_in("anna", "--study", "memory")
    # What a login may undo for itself is undone: it keeps nobody out.
    anna.execute("SET default_transaction_read_only = off")
    permitted = []
    for statement in NOT_PERMITTED:
        try:
            anna.execute(statement.encode())
        except psycopg.errors.InsufficientPrivilege:
            continue
        except psycopg.errors.ObjectNotInPrerequisiteState:  # a view of joins takes no rows
            continue
        permitted.append(statement)
    assert permitted == []
    assert anna.execute("SELECT count(*) FROM pg_stats WHERE schemaname = 'public'").fetchone() == (0,)
    others = anna.execute(
        "SELECT count(*) FROM pg_stat_activity WHERE usename <> current_user AND query NOT LIKE '<insuff%'"
        " AND query <> ''"
    )
    assert others.fetchone() == (0,)


def test_what_a_condition_tells_of_rows_is_of_rows_that_the_login_may_see(
    log_in: Callable[..., psycopg.Connection],
) -> None:
    anna = log_in("anna", "--study", "memory")
    # An error that depends on a row would tell that the row is there; `1 / 0` is only tried on visible ones.
    leaks = "SELECT count(*) FROM {} WHERE 1 / (CASE WHEN study = 'sleep' THEN 0 ELSE 1 END) = 1"
    for dataset in DATASETS:
        anna.execute(leaks.format(dataset).encode())
    plan = anna.execute(
        "EXPLAIN SELECT * FROM trials WHERE study = 'memory' AND site = 'lima' AND session_id = 'memory'"
    )
    assert "Index Cond: (site = 'lima'::text)" in str(plan.fetchall())


def ask_until_ended(login: psycopg.Connection) -> None:
    """The signal takes a moment to arrive; a login that goes on for ever fails by the run's patience."""
    try:
        while True:
            login.execute("SELECT 1")
    except psycopg.OperationalError:
        pass


def test_statements_and_connections_that_go_on_for_too_long_are_ended(
    command: Callable[..., str],
    log_in: Callable[..., psycopg.Connection],
    service: Connection,
    database_url: str,
) -> None:
    anna = log_in("anna", "--study", "memory")
    anna.execute("SET statement_timeout = 0")
    anna.execute("SET idle_in_transaction_session_timeout = 0")
    anna.execute("BEGIN")
    now = datetime.now(UTC)
    watch_researchers(service, now)
    service.rollback()
    anna.execute("SELECT 1")
    watch_researchers(service, now, Limits(idle=timedelta(seconds=-60)))
    service.rollback()  # within a transaction, what goes on is what went on at its first look
    ask_until_ended(anna)

    ben = log_in("ben", "--study", "memory")
    command("revoke", "--name", "ben")
    watch_researchers(service, now)
    ask_until_ended(ben)
    with pytest.raises(psycopg.OperationalError, match="is not permitted to log in"):
        connect(database_url, "researcher_ben", ben.info.password)


def test_what_cannot_be_granted_is_refused_with_a_sentence(command: Callable[..., str]) -> None:
    assert "There is no study nowhere" in command("grant", "--name", "anna", "--study", "nowhere", code=1)
    assert "is no name of a login" in command("grant", "--name", "A b", "--study", "memory", code=1)
    assert "--site needs --study" in command("revoke", "--name", "anna", "--site", "lima", code=1)
    assert "no such grant" in command("revoke", "--name", "anna", code=1)


def test_views_made_anew_by_a_superuser_or_by_migrating_leave_logins_what_they_had(
    command: Callable[..., str],
    log_in: Callable[..., psycopg.Connection],
    prepared: psycopg.Connection,
    owner_database_url: str,
) -> None:
    anna = log_in("anna", "--study", "memory")
    seen = {("memory", "lima"), ("memory", "oslo")}
    prepared.execute(command("sql", "--database", prepared.info.dbname).encode())
    assert places(anna, "trials") == seen
    result = CliRunner().invoke(main, ["migrate", "--database-url", owner_database_url])
    assert result.exit_code == 0, result.output
    assert places(anna, "trials") == seen
    silent = anna.execute(
        "SELECT attrelid::regclass, attname FROM pg_attribute JOIN pg_class ON pg_class.oid = attrelid"
        " WHERE relnamespace = 'research'::regnamespace AND attnum > 0"
        " AND col_description(attrelid, attnum) IS NULL"
    )
    assert silent.fetchall() == []
    told = msgspec.json.decode(command("grant", "--name", "anna", "--study", "sleep", "--json"))
    assert told["password"] is None, "a login keeps its password"
    assert places(anna, "participants") == {("memory", "lima"), ("sleep", "lima")}
