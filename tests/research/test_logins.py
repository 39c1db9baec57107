"""Logins of researchers, which really log in, read what they may, and try to get at the rest."""

from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from pathlib import Path

import msgspec
import psycopg
import pytest
from click.testing import CliRunner
from sqlalchemy import Connection

from reporting.research.datasets import DATASETS
from reporting.research.relations import OF_SESSIONS
from sync_server.cli import main
from sync_server.researchers.watchdog import Limits, watch_researchers
from tests.research.conftest import connect

pytestmark = pytest.mark.usefixtures("prepared")


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

    ben = log_in("ben", "--study", "memory", "--site", "oslo")
    days = ben.execute("SELECT DISTINCT site, participant, started_day FROM sessions_wide").fetchall()
    assert days == [("oslo", row[0], 10)], "enrolled at another site"

    ida = log_in("ida", "--study", "memory", "--identified")
    (seen,) = ida.execute(query).fetchall()
    assert (seen[0], seen[1]) == ("p1", datetime(2026, 1, 15, 10, tzinfo=UTC))

    prepared.execute("UPDATE research_policies SET dates = 'days'")
    assert anna.execute(query).fetchall() == [(row[0], None, None, row[0], 10)]
    prepared.execute("DELETE FROM research_policies")
    assert anna.execute(query).fetchall() == [(None, None, None, None, None)]


def test_people_do_not_come_in_the_order_in_which_they_were_enrolled(
    log_in: Callable[..., psycopg.Connection], prepared: psycopg.Connection
) -> None:
    prepared.execute(
        "UPDATE research_policies SET secret = sha256('of this test');"
        "INSERT INTO participants (study, code, site) SELECT 'memory', 'p' || n, 'lima'"
        " FROM generate_series(2, 20) AS n;"
        "INSERT INTO visits (study, participant, code, site) SELECT study, code, 'second', site"
        " FROM participants"
    )
    seen = {}
    for name, options in (("anna", ()), ("ida", ("--identified",))):
        login = log_in(name, "--study", "memory", *options)
        for people in ("participants", "visits"):
            found = [shown for (shown,) in login.execute(f"SELECT participant FROM {people}".encode())]  # noqa: S608 (our own names)
            assert found == sorted(found)
            seen[name, people] = len(found)
    assert seen["anna", "participants"] == seen["ida", "participants"] == 20
    assert seen["anna", "visits"] == 21


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
    service_connection: Connection,
    database_url: str,
) -> None:
    anna = log_in("anna", "--study", "memory")
    anna.execute("SET statement_timeout = 0")
    anna.execute("SET idle_in_transaction_session_timeout = 0")
    anna.execute("BEGIN")
    now = datetime.now(UTC)
    watch_researchers(service_connection, now)
    service_connection.rollback()
    anna.execute("SELECT 1")
    watch_researchers(service_connection, now, Limits(idle=timedelta(seconds=-60)))
    service_connection.rollback()  # within a transaction, what goes on is what went on at its first look
    ask_until_ended(anna)

    ben = log_in("ben", "--study", "memory")
    command("revoke", "--name", "ben")
    watch_researchers(service_connection, now)
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


def test_a_list_says_which_logins_are_open_and_a_new_password_takes_the_place_of_the_old_one(
    command: Callable[..., str],
    log_in: Callable[..., psycopg.Connection],
    database_url: str,
    prepared: psycopg.Connection,
    tmp_path: Path,
) -> None:
    anna = log_in("anna", "--study", "memory", "--identified")
    command("grant", "--name", "ben", "--study", "memory", "--until", "2020-01-01")
    command("grant", "--name", "cleo", "--study", "sleep", "--site", "lima")
    assert msgspec.json.decode(command("revoke", "--name", "cleo", "--json"))["withdrawn"] == 1
    prepared.execute(
        "INSERT INTO research_grants (login, study, granted_by) VALUES ('researcher_lost', 'sleep', 'x')"
    )
    environment = {"DATABASE_URL": database_url, "REDIS_URL": "unix:///none", "DATA_DIR": str(tmp_path)}
    listed = CliRunner().invoke(main, ["researchers", "list", "--json"], env=environment)
    found = {each["login"]: each for each in msgspec.json.decode(listed.output)}
    assert {
        login: (each["state"], each["connections"], len(each["grants"])) for login, each in found.items()
    } == {
        "researcher_anna": ("open", 1, 1),
        "researcher_ben": ("ended", 0, 1),
        "researcher_cleo": ("shut", 0, 0),
        "researcher_lost": ("missing", 0, 1),
    }
    shown = CliRunner().invoke(main, ["researchers", "list"], env=environment).output
    assert "researcher_anna  open  1 of 5 connections\n  memory  every site  identified\n" in shown

    told = msgspec.json.decode(command("password", "--name", "anna", "--json"))
    connect(database_url, told["login"], told["password"]).close()
    with pytest.raises(psycopg.OperationalError, match="password authentication failed"):
        connect(database_url, told["login"], anna.info.password)
    assert "no login researcher_nobody" in command("password", "--name", "nobody", code=1)
    kinds = prepared.execute(
        "SELECT action FROM audit_log WHERE entity = 'researcher' ORDER BY id DESC LIMIT 1"
    )
    assert kinds.fetchone() == ("researcher.password",)
