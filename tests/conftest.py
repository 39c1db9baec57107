"""Real servers for all tests: one Postgres and one Valkey a run, a fresh migrated database a test."""

import contextlib
import queue
import shutil
import signal
import tempfile
import threading
import uuid
from collections.abc import Callable, Iterator
from pathlib import Path
from urllib.parse import urlsplit, urlunsplit

import psycopg
import pytest
from psycopg import sql
from psycopg.conninfo import conninfo_to_dict

from sync_server.embedded.postgres import DATABASE, OWNER
from tests.cheap_passwords import CHEAPEST, passwords_at
from tests.embedded.supervised import SupervisedSystem
from tests.run_files import let_children_keep_bytecode, make_run_directory

FIELD_SESSIONS = Path(__file__).parents[2] / "shared" / "data" / "field_sessions"


RUN_DIRECTORY = pytest.StashKey[Path]()


def pytest_configure(config: pytest.Config) -> None:
    """Put the run's files in place, and what it hands on to the processes that it starts."""
    # A run in the background of a shell ignores it, and so would they.
    if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:
        signal.signal(signal.SIGINT, signal.default_int_handler)
    let_children_keep_bytecode()
    if not hasattr(config, "workerinput"):
        config.stash[RUN_DIRECTORY] = make_run_directory()


@pytest.hookimpl(trylast=True)
def pytest_sessionfinish(session: pytest.Session, exitstatus: int) -> None:
    """Memory is given back, but for what failed tests left for a look at it."""
    directory = session.config.stash.get(RUN_DIRECTORY, None)
    if directory is not None and exitstatus == pytest.ExitCode.OK:
        shutil.rmtree(directory, ignore_errors=True)


@pytest.fixture(scope="session", autouse=True)
def cheap_passwords() -> Iterator[None]:
    """Hashing a password costs nothing worth measuring in this process."""
    with passwords_at(CHEAPEST):
        yield


@pytest.fixture(scope="session")
def postgres_server() -> Iterator[SupervisedSystem]:
    """Postgres (not durable, its database migrated, logins cheap) and Valkey, running for the whole test run.

    Leave its own database alone: it is the template of every test's database.
    """
    directory = Path(tempfile.mkdtemp(prefix="metricis-tests-"))
    try:
        with SupervisedSystem(directory) as system:
            _make_logins_cheap(system)
            yield system
    finally:
        shutil.rmtree(directory, ignore_errors=True)


@pytest.fixture(scope="session")
def superuser(postgres_server: SupervisedSystem) -> Iterator[psycopg.Connection]:
    """For making databases; a login a test would cost half as much as a database."""
    with psycopg.connect(postgres_server.superuser_url, autocommit=True) as connection:
        yield connection


@pytest.fixture(scope="session")
def dropping(postgres_server: SupervisedSystem) -> Iterator[Callable[[str], None]]:
    """Drops databases in the background: a connection that a test cut off while it logged in holds a DROP up
    for Postgres's `authentication_timeout`. What is left at the end goes with the server's directory.
    """
    names: queue.SimpleQueue[str] = queue.SimpleQueue()

    def drop() -> None:
        with psycopg.connect(postgres_server.superuser_url, autocommit=True) as connection:
            while name := names.get():
                with contextlib.suppress(psycopg.Error):
                    connection.execute(sql.SQL("DROP DATABASE {} WITH (FORCE)").format(sql.Identifier(name)))

    threading.Thread(target=drop, name="dropping databases", daemon=True).start()
    yield names.put
    names.put("")


@pytest.fixture
def fresh_database(superuser: psycopg.Connection, dropping: Callable[[str], None]) -> Iterator[str]:
    """The name of a fresh database with the newest schema, dropped some time after the test."""
    name = f"test_{uuid.uuid4().hex[:16]}"
    create = sql.SQL("CREATE DATABASE {} TEMPLATE {} OWNER {} STRATEGY file_copy").format(
        sql.Identifier(name), sql.Identifier(DATABASE), sql.Identifier(OWNER)
    )
    superuser.execute(create)
    yield name
    dropping(name)


@pytest.fixture
def database_url(postgres_server: SupervisedSystem, fresh_database: str) -> str:
    """The test's database as the application's role: `postgresql://…`."""
    return _in_database(postgres_server.database_url, fresh_database)


@pytest.fixture
def owner_database_url(postgres_server: SupervisedSystem, fresh_database: str) -> str:
    """The test's database as the role that owns its schema."""
    return _in_database(postgres_server.owner_url, fresh_database)


@pytest.fixture(scope="session")
def redis_url(postgres_server: SupervisedSystem) -> str:
    """Valkey: `unix://…`. All tests share it; a test that needs it empty flushes it."""
    return postgres_server.redis_url


@pytest.fixture(scope="session")
def shared_field_sessions() -> Path | None:
    """The directory of the field sessions beside the checkout; None where it is absent."""
    return FIELD_SESSIONS if FIELD_SESSIONS.is_dir() else None


def _make_logins_cheap(system: SupervisedSystem) -> None:
    """Keep the passwords, and SCRAM, but hash once, not 4,096 times: tests log in some ten thousand times."""
    with psycopg.connect(system.superuser_url, autocommit=True) as connection:
        connection.execute("SET scram_iterations = 1")
        for url in (system.database_url, system.owner_url, system.superuser_url):
            login = conninfo_to_dict(url)
            change = sql.SQL("ALTER ROLE {} PASSWORD {}").format(
                sql.Identifier(str(login["user"])), sql.Literal(login["password"])
            )
            connection.execute(change)


def _in_database(url: str, database: str) -> str:
    return urlunsplit(urlsplit(url)._replace(path=f"/{database}"))
