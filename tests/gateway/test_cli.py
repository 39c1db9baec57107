"""Accounts, devices and addresses from the command line, for people and for scripts."""

import asyncio
import json
import re
from collections.abc import Iterator
from pathlib import Path

import aiohttp
import click
import psycopg
import pytest

from reporting.engine import async_engine
from sync_server.cli import main
from sync_server.identity.users import check_password
from tests.embedded.supervised import SupervisedSystem
from tests.gateway.processes import Service, invoke

PASSWORD = "correct horse battery"
ENROL = ("devices", "enrol", "--device", "tab-1", "--site")
REVOKE = ("devices", "revoke", "--device", "tab-1", "--site")


@pytest.fixture
def env(database_url: str, redis_url: str, tmp_path: Path) -> dict[str, str]:
    """Settings of a system whose service does not run."""
    return {"DATABASE_URL": database_url, "REDIS_URL": redis_url, "DATA_DIR": str(tmp_path), "PORT": "1"}


def _commands(command: click.Command, name: tuple[str, ...] = ()) -> Iterator[tuple[str, ...]]:
    yield name
    if isinstance(command, click.Group):
        context = click.Context(command)
        for child in command.list_commands(context):
            found = command.get_command(context, child)
            assert found is not None
            yield from _commands(found, (*name, child))


@pytest.mark.parametrize("command", list(_commands(main)), ids=" ".join)
def test_every_command_has_help_and_refuses_unknown_options(command: tuple[str, ...]) -> None:
    for option in ("-h", "--help"):
        shown = invoke(*command, option)
        assert shown.code == 0
        assert "Usage: " in shown.out
    invoke(*command, "--no-such-option").failed_with("No such option")


async def _authenticated(database_url: str, email: str, password: str) -> str | None:
    engine = async_engine(database_url)
    try:
        account = await check_password(engine, email=email, password=password)
        return None if account is None else account.person.role
    finally:
        await engine.dispose()


def test_users_are_created_for_people_and_for_scripts(env: dict[str, str]) -> None:
    told = invoke("users", "create", "--email", "Ada@Clinic.example", "--password", PASSWORD, env=env)
    assert (told.code, told.out) == (0, "ada@clinic.example may log in as admin.\n")
    options = ("--email", "b@clinic.example", "--role", "read-only", "--json")
    asked = invoke("users", "create", *options, env=env, stdin=f"{PASSWORD}\n{PASSWORD}\n")
    assert json.loads(asked.out.splitlines()[-1])["role"] == "read-only"
    assert PASSWORD not in asked.out + asked.err
    for email, role in (("ada@clinic.example", "admin"), ("b@clinic.example", "read-only")):
        assert asyncio.run(_authenticated(env["DATABASE_URL"], email, PASSWORD)) == role


def test_what_is_wrong_with_an_account_is_told_in_a_sentence(env: dict[str, str]) -> None:
    create = ("users", "create", "--password", PASSWORD, "--email")
    assert invoke(*create, "a@b.example", env=env).code == 0
    invoke(*create, "A@B.example", env=env).failed_with("a@b.example", "already")
    invoke(*create, "nobody", env=env).failed_with("no email address")
    invoke(*create, "c@d.example", "--password", "short", env=env).failed_with("12 to 1024")
    invoke(*create, "c@d.example", "--role", "king", env=env).failed_with("king")
    away = {**env, "DATABASE_URL": "postgresql://x@127.0.0.1:1/none"}
    invoke(*create, "c@d.example", env=away).failed_with("Postgres cannot be reached")
    invoke(*create, "c@d.example", env={}).failed_with("DATABASE_URL is not set", "DATA_DIR is not set")


def test_a_database_without_the_schema_is_told_in_a_sentence(
    env: dict[str, str], owner_database_url: str
) -> None:
    with psycopg.connect(owner_database_url) as owner:
        owner.execute("DROP TABLE users, devices CASCADE")
    create = ("users", "create", "--password", PASSWORD, "--email", "a@b.example")
    invoke(*create, env=env).failed_with("sync-server migrate")
    invoke(*ENROL, "lima", env=env).failed_with("sync-server migrate")


async def _status(url: str, token: str) -> int:
    headers = {"Authorization": f"Bearer {token}"}
    async with aiohttp.ClientSession(headers=headers) as http, http.get(url) as answer:
        return answer.status


def test_a_device_is_enrolled_enrolled_again_and_revoked(shared_service: Service, own_site: str) -> None:
    env, enrol = shared_service.settings, (*ENROL, own_site)
    first = json.loads(invoke(*enrol, "--json", "--url", "https://sync.example/", env=env).out)
    members = {"device", "site", "database", "url", "username", "password", "token", "hubs"}
    assert first.keys() == members
    assert first["url"] == f"https://sync.example/db/site-{own_site}"
    assert (first["username"], first["password"]) == ("tab-1", first["token"])
    url = f"{shared_service.base_url}/db/site-{own_site}"
    assert asyncio.run(_status(url, first["token"])) == 200
    told = invoke(*enrol, "--keep", env=env)
    (kept,) = re.findall(r"^token +(\S+)$", told.out, re.MULTILINE)
    assert f"new PouchDB('{url.replace('://', f'://tab-1:{kept}@')}')" in told.out
    assert [asyncio.run(_status(url, token)) for token in (first["token"], kept)] == [200, 200]
    hub = json.loads(invoke(*enrol, "--role", "hub", "--json", env=env).out)["token"]
    _wait_for_status(url, kept, 401)
    assert [asyncio.run(_status(url, token)) for token in (first["token"], hub)] == [401, 200]
    revoked = invoke(*REVOKE, own_site, env=env)
    sentence = f"tab-1 of {own_site} may not sync any more (credentials revoked: 1).\n"
    assert (revoked.code, revoked.out) == (0, sentence)
    _wait_for_status(url, hub, 401)
    invoke(*REVOKE, own_site, env=env).failed_with("no credential in force")


def _wait_for_status(url: str, token: str, status: int) -> None:
    for _ in range(500):
        if asyncio.run(_status(url, token)) == status:
            return
    raise AssertionError(f"never answered with {status}")


def test_what_is_wrong_with_an_enrolment_is_told_and_leaves_nothing(
    shared_service: Service, own_site: str, tmp_path: Path
) -> None:
    env, enrol = shared_service.settings, (*ENROL, own_site)
    invoke(*ENROL, "Lima!", env=env).failed_with("'Lima!' is no site name")
    invoke(*enrol, "--device", "a b", env=env).failed_with("'a b' is no device name")
    invoke(*enrol, env={**env, "PORT": "1"}).failed_with("cannot be made", "no answer")
    away = {**env, "DATABASE_URL": "postgresql://x@127.0.0.1:1/none"}
    invoke(*enrol, env=away).failed_with("Postgres cannot be reached")
    other_key = {**env, "DATA_DIR": str(tmp_path)}
    invoke(*enrol, env=other_key).failed_with("another server's key")
    databases = shared_service.data_dir / "store"
    assert not list(databases.glob(f"{f'site-{own_site}'.encode().hex()}*"))
    with psycopg.connect(env["DATABASE_URL"]) as connection:
        enrolled = "SELECT count(*) FROM devices WHERE site = %s"
        assert connection.execute(enrolled, [own_site]).fetchone() == (0,)


def test_dsn_is_that_of_the_settings_or_of_the_running_system(
    env: dict[str, str], postgres_server: SupervisedSystem, tmp_path: Path
) -> None:
    assert invoke("dsn", env=env).out == env["DATABASE_URL"] + "\n"
    running = invoke("dsn", "--data-dir", str(postgres_server.data_directory))
    assert running.out == postgres_server.database_url + "\n"


def test_without_a_system_commands_say_how_to_start_one(
    postgres_server: SupervisedSystem, tmp_path: Path
) -> None:
    account = ("users", "create", "--email", "a@b.example", "--password", PASSWORD)
    for command in (("dsn",), account, (*ENROL, "lima"), (*REVOKE, "lima")):
        ended = invoke(*command, "--data-dir", str(tmp_path / "nothing"))
        ended.failed_with("is not running", "sync-server up")
        assert not (tmp_path / "nothing").exists()
    servers_only = str(postgres_server.data_directory)
    invoke(*ENROL, "lima", "--data-dir", servers_only).failed_with("has not started yet")
