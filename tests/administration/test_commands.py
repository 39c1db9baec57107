"""`publish`, `audit verify`, `relay` and `work` as commands: what they print, and how they end."""

import asyncio
import json
from pathlib import Path

import psycopg
import pytest

from sync_server.settings import Settings
from tests.administration.office import Office
from tests.administration.test_publication import LIMA, furnish
from tests.embedded.supervised import SupervisedSystem
from tests.gateway.processes import Ended, environment, invoke, run


async def test_publish_tells_what_differs_writes_it_and_ends_with_1_while_something_does(
    office: Office, office_settings: Settings
) -> None:
    env = {
        "DATABASE_URL": office_settings.database_url,
        "REDIS_URL": office_settings.redis_url,
        "DATA_DIR": str(office_settings.data_dir),
        "PORT": str(office_settings.port),
    }

    async def publish(*options: str) -> Ended:
        return await asyncio.to_thread(run, "publish", *options, env=environment(**env))

    await office.gateway.open_site("lima")
    furnish(office)
    checked = await publish("--check", "--site", "lima")
    assert checked.code == 1
    assert checked.out.splitlines()[0] == "lima: 7 compared, 7 missing, 0 different, 0 surplus"
    assert await office.gateway.stored("site-lima") == []
    # quito has no database yet: what can be written is.
    partly = await publish()
    assert partly.code == 1
    assert partly.out.splitlines()[0] == checked.out.splitlines()[0]
    assert "quito: not compared: " in partly.out
    assert set(await office.gateway.stored("site-lima")) == LIMA
    await office.gateway.open_site("quito")
    assert (await publish("--site", "quito")).code == 0
    agreeing = await publish("--check", "--json")
    assert agreeing.code == 0, agreeing.out
    answer = json.loads(agreeing.out)
    assert (answer["agrees"], answer["not_compared"], answer["sites"].keys()) == (
        True,
        {},
        {"lima", "quito"},
    )


def test_publish_without_a_service_or_with_an_unknown_site_says_so(
    database_url: str, redis_url: str, tmp_path: Path
) -> None:
    env = {"DATABASE_URL": database_url, "REDIS_URL": redis_url, "DATA_DIR": str(tmp_path), "PORT": "1"}
    with psycopg.connect(database_url, autocommit=True) as connection:
        connection.execute("INSERT INTO sites (code) VALUES ('lima'), ('quito')")
    away = invoke("publish", "--check", "--json", env=env)
    answer = json.loads(away.out)
    assert (away.code, answer["agrees"], answer["not_compared"].keys()) == (1, False, {"lima", "quito"})
    invoke("publish", "--site", "lima", "--site", "cusco", env=env).failed_with("There is no site cusco.")


def test_audit_verify_prints_a_head_and_names_the_first_entry_that_was_changed(
    database_url: str, redis_url: str, tmp_path: Path, postgres_server: SupervisedSystem, fresh_database: str
) -> None:
    env = {"DATABASE_URL": database_url, "REDIS_URL": redis_url, "DATA_DIR": str(tmp_path)}
    superuser = psycopg.conninfo.make_conninfo(postgres_server.superuser_url, dbname=fresh_database)
    with psycopg.connect(superuser, autocommit=True) as intruder:
        for number in range(3):
            intruder.execute(
                "INSERT INTO audit_log (actor, actor_kind, action, entity, entity_id)"
                " VALUES ('ada@example.org', 'person', 'study.change', 'study', %s)",
                [str(number)],
            )
        whole = invoke("audit", "verify", env=env)
        assert whole.code == 0, whole.err
        printed = dict(line.split() for line in whole.out.splitlines())
        assert (printed["entries"], printed["erased"]) == ("3", "0")
        again = invoke("audit", "verify", "--json", "--expect", printed["head"].upper(), env=env)
        assert (again.code, json.loads(again.out)["first_break"]) == (0, None)
        invoke("audit", "verify", "--expect", "0" * 64, env=env).failed_with("unexpected: ")
        intruder.execute("SET session_replication_role = replica")
        intruder.execute("UPDATE audit_log SET actor = 'eve@example.org' WHERE entity_id = '1'")
        changed = invoke("audit", "verify", env=env)
        changed.failed_with("broken: ")
        assert f"head      {printed['head']}" in changed.out


@pytest.mark.parametrize(
    ("command", "settings", "sentence"),
    [
        (("relay",), {}, "DATABASE_URL"),
        (("work",), {}, "REDIS_URL"),
        (("relay",), {"REDIS_URL": "http://127.0.0.1/"}, "REDIS_URL"),
        (("work",), {"DATABASE_URL": "mysql://127.0.0.1/x"}, "DATABASE_URL"),
        (("relay",), {"OUTBOX_LEASE_SECONDS": "1"}, "OUTBOX_LEASE_SECONDS"),
        (("work",), {"SMTP_URL": "smtp://"}, "SMTP_URL"),
        (("work",), {"DATA_ENCRYPTION_KEYS": "short"}, "DATA_ENCRYPTION_KEYS"),
        (("work", "--queues", "nonsense"), {}, "There is no queue nonsense: the queues are "),
        (("work",), {"DATA_DIR": "/dev/null/data"}, "The worker cannot start: Not a directory."),
        (("relay",), {"REDIS_URL": "redis://127.0.0.1:notaport/0"}, "REDIS_URL"),
    ],
    ids=lambda value: " ".join(value) if isinstance(value, tuple) else str(value)[:30],
)
def test_relay_and_worker_refuse_wrong_settings_with_a_sentence(
    command: tuple[str, ...], settings: dict[str, str], sentence: str, tmp_path: Path
) -> None:
    right = {
        "DATABASE_URL": "postgresql://nobody@127.0.0.1:1/none",
        "REDIS_URL": "redis://127.0.0.1:1/0",
        "DATA_DIR": str(tmp_path),
    }
    env = {**right, **settings} if settings else {}
    invoke(*command, env=env).failed_with(sentence)
