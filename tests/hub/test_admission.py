"""Whom a hub lets in without asking the centre, and what they may do."""

import asyncio
import sqlite3
from pathlib import Path

import aiohttp
import pytest

from reporting.erasure.names import REASON
from sync_server.hub import site_list
from sync_server.hub.parts import now
from sync_server.identity.device_credentials import SigningKey, mint_service_token
from tests.hub.rig import DATABASE, KEY, RunningHub, fetched_list, running_hub, session, token

TABLET = token("tab-1")


@pytest.mark.parametrize(
    ("shown", "status"),
    [
        (TABLET, 200),
        (token("enrolled-an-hour-ago"), 200),
        (None, 401),
        ("no.token.at-all", 401),
        (token("tab-1", key=SigningKey.generate()), 401),
        (token("stolen"), 401),
        (token("tab-1", site="quito"), 403),
        (token("hub-1", role="hub"), 403),
    ],
)
async def test_a_credential_is_judged_offline(hub: RunningHub, shown: str | None, status: int) -> None:
    hub.hub.site_list.replace(fetched_list("stolen"))
    assert (await hub.call("GET", f"/db/{DATABASE}", by=shown))[0] == status


async def test_a_service_of_the_centre_has_no_business_at_a_hub(hub: RunningHub) -> None:
    # Made here: it is good for ten minutes, and the tests run for longer.
    service = mint_service_token(KEY, service="x", now=now(), credential_id="x")
    assert (await hub.call("GET", f"/db/{DATABASE}", by=service))[0] == 403


async def test_a_hub_that_was_never_told_who_may_sync_asks_tablets_to_come_again(tmp_path: Path) -> None:
    async with running_hub(tmp_path) as hub:
        assert (await hub.call("GET", f"/db/{DATABASE}", by=TABLET))[0] == 503
        await hub.hub.records.do(lambda c: site_list.save(c, fetched_list("stolen")))
    async with running_hub(tmp_path) as again:
        assert (await again.call("GET", f"/db/{DATABASE}", by=TABLET))[0] == 200
        assert (await again.call("GET", f"/db/{DATABASE}", by=token("stolen")))[0] == 401


async def test_a_tablet_may_here_what_it_may_at_the_centre(hub: RunningHub) -> None:
    await hub.hub.registry.create("site-quito")
    for method, path in (
        ("GET", "/db/site-quito"),
        ("GET", f"/db/{DATABASE}/_all_docs"),
        ("DELETE", f"/db/{DATABASE}"),
        ("GET", f"/db/{DATABASE}/_local/projector"),
    ):
        assert (await hub.call(method, path, by=TABLET))[0] == 403, path
    rows = await hub.push(TABLET, session("a"), {"_id": "participant:x", "_rev": "1-a"}, session("b", "2-b"))
    assert [(row["id"], row["error"]) for row in rows] == [("participant:x", "forbidden")]
    assert await hub.ids() == ["session:a", "session:b"]
    assert (await hub.call("GET", f"/db/{DATABASE}/session:a", by=TABLET))[0] == 403
    status, feed = await hub.call("GET", f"/db/{DATABASE}/_changes", by=TABLET)
    assert (status, feed["results"]) == (200, [])
    assert await hub.journal() == [
        ("session:a", "1-aa", "received", "tab-1", 0),
        ("participant:x", "1-a", "refused", "tab-1", 0),
        ("session:b", "2-b", "received", "tab-1", 0),
    ]


async def test_the_first_tablet_stands_on_the_journal_and_a_repetition_adds_nothing(hub: RunningHub) -> None:
    for by in (TABLET, TABLET, token("tab-2")):
        await hub.push(by, session("a"))
    assert await hub.journal() == [("session:a", "1-aa", "received", "tab-1", 0)]


async def test_nothing_is_stored_that_the_journal_does_not_have(
    hub: RunningHub, monkeypatch: pytest.MonkeyPatch
) -> None:
    def full(*_: object) -> None:
        raise sqlite3.OperationalError("database or disk is full")

    with monkeypatch.context() as broken:
        broken.setattr("sync_server.hub.journal.write", full)
        body = {"new_edits": False, "docs": [session("a")]}
        status, _ = await hub.call("POST", f"/db/{DATABASE}/_bulk_docs", by=TABLET, body=body)
    assert (status, await hub.ids(), await hub.journal()) == (503, [], [])
    assert await hub.push(TABLET, session("a")) == []


async def test_an_open_feed_of_a_credential_is_cut_when_it_is_on_the_list(hub: RunningHub) -> None:
    path = f"/db/{DATABASE}/_changes?feed=longpoll&timeout=60000"
    waiting = [asyncio.create_task(hub.call("GET", path, by=each)) for each in (TABLET, token("tab-2"))]
    database = await hub.hub.registry.open(DATABASE)
    while database.changed.waiting < 2:  # noqa: ASYNC110 (nobody tells who waits)
        await asyncio.sleep(0.01)
    hub.hub.site_list.replace(fetched_list("tab-1", version="2"))
    hub.hub.open_requests.cut_unless(hub.hub.site_list.in_force)
    with pytest.raises(aiohttp.ClientError):
        await waiting[0]
    assert not waiting[1].done()
    waiting[1].cancel()


async def test_what_was_erased_is_refused_and_leaves_no_trace(hub: RunningHub) -> None:
    hub.hub.erased.block({"session:gone": []})
    rows = await hub.push(TABLET, session("gone"), session("a"))
    assert [(row["id"], row["reason"]) for row in rows] == [("session:gone", REASON)]
    assert [entry[0] for entry in await hub.journal()] == ["session:a"]
    assert await hub.receipts(TABLET, ("session:gone", "1-aa")) == [("refused", REASON)]


async def test_a_session_cookie_is_for_the_tablet_that_the_credential_names(hub: RunningHub) -> None:
    wrong = {"name": "tab-2", "password": TABLET}
    assert (await hub.call("POST", "/db/_session", body=wrong))[0] == 401
    status, told = await hub.call("POST", "/db/_session", body={"name": "tab-1", "password": TABLET})
    assert (status, told["name"], told["roles"]) == (200, "tab-1", ["tablet"])
