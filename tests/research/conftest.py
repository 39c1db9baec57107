"""A database with research access, as each role sees it."""

from collections.abc import Callable, Iterator

import msgspec
import psycopg
import pytest
from click.testing import CliRunner
from psycopg import sql
from psycopg.conninfo import conninfo_to_dict, make_conninfo
from sqlalchemy import Connection

from reporting.engine import sync_engine
from sync_server.cli import main
from sync_server.embedded.postgres import APP, OWNER
from sync_server.researchers.installing import install
from tests.embedded.supervised import SupervisedSystem
from tests.research.projected import projected, service

__all__ = ["projected", "service"]

TWO_STUDIES = """
INSERT INTO studies (code) VALUES ('memory'), ('sleep');
INSERT INTO sites (code) VALUES ('lima'), ('oslo');
INSERT INTO participants (study, code, site, enrolled_on)
SELECT study, 'p1', 'lima', '2026-01-05' FROM unnest('{memory,sleep}'::text[]) AS study;
INSERT INTO visits (study, participant, code, site, due_on)
SELECT study, 'p1', 'first', 'lima', '2026-02-01' FROM unnest('{memory,sleep}'::text[]) AS study;
INSERT INTO sessions (site, id, study, participant, status, started_at, rev)
SELECT site, study, study, 'p1', 'completed', '2026-01-15 10:00+00', '1-a'
FROM unnest('{memory,sleep}'::text[]) AS study, unnest('{lima,oslo}'::text[]) AS site;
INSERT INTO trial_rows (site, session_id, task, run, trial_index, stage, rt_ms)
SELECT site, id, 'simon', 1, n, 'test', 400 FROM sessions, generate_series(1, 3) AS n;
INSERT INTO scores (site, session_id, task, run, name, value, scoring_version)
SELECT site, id, 'simon', 1, 'effect', 30, 1 FROM sessions;
INSERT INTO quality_flags (site, session_id, code, detail) SELECT site, id, 'late', '{}' FROM sessions;
"""


@pytest.fixture
def prepared(postgres_server: SupervisedSystem, fresh_database: str) -> Iterator[psycopg.Connection]:
    """The superuser in a database with two studies at two sites; logins made there are dropped afterwards."""
    url = make_conninfo(postgres_server.superuser_url, dbname=fresh_database)
    with psycopg.connect(url, autocommit=True) as admin:
        install(admin, database=fresh_database, owner=OWNER, service=APP)
        admin.execute(TWO_STUDIES)
        before = _logins(admin)
        yield admin
        for name in _logins(admin) - before:
            login = sql.Identifier(name)
            admin.execute(sql.SQL("DROP OWNED BY {} CASCADE").format(login))
            admin.execute(sql.SQL("DROP ROLE {}").format(login))


def _logins(admin: psycopg.Connection) -> set[str]:
    found = admin.execute(r"SELECT rolname FROM pg_roles WHERE rolname LIKE 'researcher\_%'")
    return {name for (name,) in found}


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
def service_connection(database_url: str) -> Iterator[Connection]:
    engine = sync_engine(database_url)
    with engine.connect() as connection:
        yield connection
    engine.dispose()


def connect(database_url: str, login: str, password: str) -> psycopg.Connection:
    """As a researcher's client does."""
    where = conninfo_to_dict(database_url)
    where |= {"user": login, "password": password}
    return psycopg.connect(make_conninfo("", **where), autocommit=True)
