"""A POST that is sent again is done once."""

import asyncio
from collections.abc import AsyncIterator
from typing import Any

import msgspec
import psycopg
import pytest
from aiohttp.test_utils import TestClient, TestServer

from sync_server.api.call import Call, Nothing
from sync_server.api.route import mounted, post
from sync_server.app import build_app
from sync_server.errors import NotPossible
from sync_server.settings import Settings
from tests.administration.office import Member, Office
from tests.api.calls import Api
from tests.gateway.gateway import Gateway


class Wanted(msgspec.Struct, frozen=True):
    """What is made, and whether it is refused in the end."""

    name: str
    refuse: bool = False


class Made(msgspec.Struct, frozen=True):
    """What was made."""

    name: str
    row_version: int = 7


class Hold:
    """Stops the handler in the middle of its work."""

    def __init__(self) -> None:
        self.entered = asyncio.Event()
        self.released = asyncio.Event()
        self.released.set()


HOLD: dict[str, Hold] = {}


async def make(call: Call[Nothing, Wanted]) -> Made:
    """Make something."""
    await call.record("thing.make", "thing", call.body.name)
    HOLD["it"].entered.set()
    await HOLD["it"].released.wait()
    if call.body.refuse:
        raise NotPossible("No.")
    return Made(call.body.name)


@pytest.fixture
async def office(office_settings: Settings) -> AsyncIterator[Office]:
    HOLD["it"] = Hold()
    app = build_app(office_settings)
    app.add_routes(
        mounted(
            [
                post("/api/things", make, right="own account", status=201),
                post("/api/secrets", make, right="own account", status=201, secret=True),
            ]
        )
    )
    async with TestClient(TestServer(app, port=office_settings.port)) as client:
        with psycopg.connect(office_settings.database_url, autocommit=True) as connection:
            feed: Any = None
            yield Office(Gateway(app, client), Api(client, {}), feed, connection)


@pytest.fixture
def member(office: Office) -> Member:
    return office.as_("read-only")


def made(office: Office) -> int:
    return int(office.rows("SELECT count(*) FROM audit_log WHERE action = 'thing.make'")[0][0])


async def test_same_key_and_body_is_done_once_and_answered_the_same(office: Office, member: Member) -> None:
    first = await member.post("/api/things", {"name": "a"}, Idempotency_Key="k 1")
    again = await member.post("/api/things", {"name": "a"}, Idempotency_Key="k 1")
    assert (first.status, again.status, first.body) == (201, 201, again.body)
    assert "Idempotent-Replayed" not in first.headers
    assert (again.headers["Idempotent-Replayed"], again.headers["ETag"]) == ("true", '"7"')
    assert made(office) == 1
    # What is kept is sealed.
    assert b"name" not in bytes(office.rows("SELECT answer FROM idempotency_keys")[0][0])
    # Another body, another route, another person.
    other = await member.post("/api/things", {"name": "b"}, Idempotency_Key="k 1")
    assert other.error == (422, "invalid_request")
    assert (await member.post("/api/secrets", {"name": "a"}, Idempotency_Key="k 1")).status == 422
    stranger = office.as_("admin")
    assert (await stranger.post("/api/things", {"name": "b"}, Idempotency_Key="k 1")).status == 201
    assert made(office) == 2


async def test_answer_is_not_told_again_to_who_may_do_less_by_now(office: Office) -> None:
    office.study("SRO", "lima")
    member = office.as_("coordinator", study="SRO")
    sent = ("/api/things", {"name": "a"})
    assert (await member.post(*sent, Idempotency_Key="k")).status == 201
    office.rows("UPDATE memberships SET site = 'lima'")
    assert (await member.post(*sent, Idempotency_Key="k")).error == (422, "invalid_request")
    office.rows("UPDATE memberships SET site = NULL")
    assert (await member.post(*sent, Idempotency_Key="k")).headers["Idempotent-Replayed"] == "true"
    assert made(office) == 1


async def test_refused_request_keeps_nothing_and_an_odd_key_is_refused(
    office: Office, member: Member
) -> None:
    refused = await member.post("/api/things", {"name": "a", "refuse": True}, Idempotency_Key="k")
    assert (refused.status, made(office)) == (409, 0)
    assert (await member.post("/api/things", {"name": "a"}, Idempotency_Key="k")).status == 201
    for key in ("", "é", "k" * 256):
        assert (await member.post("/api/things", {"name": "a"}, Idempotency_Key=key)).status == 422
    assert made(office) == 1


async def test_second_of_two_at_once_waits_for_the_first(office: Office, member: Member) -> None:
    for refuse, statuses in ((False, [201, 201]), (True, [409, 409])):
        hold = HOLD["it"] = Hold()
        hold.released.clear()
        body = {"name": "a", "refuse": refuse}
        first = asyncio.create_task(member.post("/api/things", body, Idempotency_Key=f"k{refuse}"))
        await hold.entered.wait()
        second = asyncio.create_task(member.post("/api/things", body, Idempotency_Key=f"k{refuse}"))
        waiting = "SELECT count(*) FROM pg_stat_activity WHERE wait_event = 'transactionid'"
        while office.rows(waiting) == [(0,)]:  # noqa: ASYNC110 (Postgres tells nobody)
            await asyncio.sleep(0.01)
        hold.released.set()
        assert [(await each).status for each in (first, second)] == statuses
    assert made(office) == 1


async def test_answer_with_a_secret_is_told_once(office: Office, member: Member) -> None:
    assert (await member.post("/api/secrets", {"name": "a"}, Idempotency_Key="k")).status == 201
    again = await member.post("/api/secrets", {"name": "a"}, Idempotency_Key="k")
    assert again.error == (409, "not_possible")
    assert (made(office), office.rows("SELECT answer FROM idempotency_keys")) == (1, [(None,)])


async def test_keys_are_kept_for_a_day(office: Office, member: Member) -> None:
    for key in ("k1", "k2"):
        await member.post("/api/things", {"name": "a"}, Idempotency_Key=key)
    office.rows("UPDATE idempotency_keys SET created_at = now() - interval '25 hours'")
    assert (await member.post("/api/things", {"name": "b"}, Idempotency_Key="k1")).status == 201
    assert (made(office), office.rows("SELECT key FROM idempotency_keys")) == (3, [("k1",)])
