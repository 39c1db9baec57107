"""The field study as those see it who read docs/RESEARCHERS.md."""

import asyncio
import uuid
from collections.abc import Callable, Iterator
from pathlib import Path
from urllib.parse import urlsplit, urlunsplit

import msgspec
import psycopg
import pytest
from click.testing import CliRunner
from psycopg import sql
from sqlalchemy import Engine

from sync_server.cli import main
from sync_server.embedded.postgres import APP, DATABASE, OWNER
from sync_server.identity.users import insert_user
from sync_server.researchers.installing import install
from tests.api.calls import PASSWORD
from tests.api.guide.field_study import FieldStudy, plan, project
from tests.embedded.supervised import SupervisedSystem


@pytest.fixture(scope="session")
def field_study(
    postgres_server: SupervisedSystem,
    superuser: psycopg.Connection,
    dropping: Callable[[str], None],
    shared_field_sessions: Path | None,
) -> Iterator[FieldStudy]:
    """A database with the field study, for tests that only read; its researcher sees it de-identified."""
    if shared_field_sessions is None:
        pytest.skip("the field sessions are not beside the checkout")
    name = f"test_{uuid.uuid4().hex[:16]}"
    create = sql.SQL("CREATE DATABASE {} TEMPLATE {} OWNER {} STRATEGY file_copy")
    superuser.execute(create.format(*map(sql.Identifier, (name, DATABASE, OWNER))))
    in_it = [
        urlunsplit(urlsplit(url)._replace(path=f"/{name}"))
        for url in (postgres_server.database_url, postgres_server.owner_url, postgres_server.superuser_url)
    ]
    database_url, owner_url, superuser_url = in_it
    asyncio.run(project(shared_field_sessions, database_url))
    with psycopg.connect(superuser_url, autocommit=True) as admin:
        install(admin, database=name, owner=OWNER, service=APP)
        plan(admin)
        told = CliRunner().invoke(
            main,
            ["researchers", "grant", "--name", name, "--study", "SRO", "--json"],
            env={"OWNER_DATABASE_URL": owner_url},
        )
        assert told.exit_code == 0, told.output
        given = msgspec.json.decode(told.output)
        yield FieldStudy(database_url, owner_url, _as_login(database_url, given["login"], given["password"]))
        login = sql.Identifier(given["login"])
        admin.execute(sql.SQL("DROP OWNED BY {} CASCADE").format(login))
        admin.execute(sql.SQL("DROP ROLE {}").format(login))
    dropping(name)


def _as_login(url: str, login: str, password: str) -> str:
    parts = urlsplit(url)
    return urlunsplit(parts._replace(netloc=f"{login}:{password}@{parts.hostname}:{parts.port}"))


@pytest.fixture
def database_url(field_study: FieldStudy) -> str:
    """What the service of these tests runs on."""
    return field_study.database_url


@pytest.fixture
def environment(
    engine: Engine, password_hash: str, field_study: FieldStudy, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A researcher's: they have an account and a login."""
    email = f"{uuid.uuid4().hex}@example.org"
    with engine.begin() as connection:
        connection.execute(insert_user(email, password_hash, "researcher"))
    monkeypatch.setenv("METRICIS_DSN", field_study.researcher_url)
    monkeypatch.setenv("METRICIS_EMAIL", email)
    monkeypatch.setenv("METRICIS_PASSWORD", PASSWORD)
