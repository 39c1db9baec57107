"""The projector's view of the site databases: every failure is one that its site can wait out."""

from collections.abc import AsyncIterator

import aiohttp
import pytest
from aiohttp import web
from aiohttp.test_utils import TestServer

from replication.client import CouchClient, Updates
from replication.errors import CouchError
from replication.values import Change
from reporting.errors import BodiesTooLarge, FeedRefused, FeedUnavailable
from reporting.projection.feed import START, Mark, SiteDatabase
from sync_server import feed as couch_feed
from sync_server.feed import CouchFeed
from tests.couchdb.behind import APACHE
from tests.gateway.gateway import Gateway, session


@pytest.fixture
async def feed(gateway: Gateway) -> AsyncIterator[CouchFeed]:
    headers = {"Authorization": f"Bearer {gateway.service}"}
    host, port = gateway.address
    async with aiohttp.ClientSession() as http:
        yield CouchFeed(CouchClient(http, f"http://{host}:{port}/db", headers=lambda: headers))


async def test_it_reads_what_a_tablet_pushed_with_all_leaves(
    gateway: Gateway, lima: str, tablet: str, feed: CouchFeed
) -> None:
    await gateway.push(lima, session("a"), session("a", "1-bb"), session("b"), token=tablet)
    assert await feed.databases() == [SiteDatabase("lima", lima)]
    page = await feed.read(lima, START, 10)
    assert [(change.id, change.revs) for change in page.changes] == [
        ("session:a", ("1-bb", "1-aa")),
        ("session:b", ("1-aa",)),
    ]
    leaves = await feed.leaves(lima, page.changes)
    assert {doc_id: [leaf.rev for leaf in found] for doc_id, found in leaves.items()} == {
        "session:a": ["1-bb", "1-aa"],
        "session:b": ["1-aa"],
    }
    assert (await feed.read(lima, page.last_seq, 10)).changes == ()


async def test_several_documents_beyond_the_limit_are_given_up_and_one_is_not(
    gateway: Gateway, lima: str, tablet: str, feed: CouchFeed, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(couch_feed, "MOST_BYTES_AT_ONCE", 300)
    await gateway.push(lima, *(session(name) for name in "abcdef"), token=tablet)
    changes = (await feed.read(lima, START, 10)).changes
    with pytest.raises(BodiesTooLarge):
        await feed.leaves(lima, changes)
    assert list(await feed.leaves(lima, changes[:1])) == ["session:a"]


@pytest.mark.parametrize("error", ["not_found", "timeout", "internal_server_error"])
async def test_body_that_could_not_be_read_just_now_is_not_taken_for_gone(error: str) -> None:
    async def half_answered(_: web.Request) -> web.Response:
        failed = {"id": "session:a", "rev": "1-a", "error": error, "reason": "a shard"}
        there = {"_id": "session:b", "_rev": "1-b"}
        rows = [
            {"id": "session:a", "docs": [{"error": failed}]},
            {"id": "session:b", "docs": [{"ok": there}]},
        ]
        return web.json_response({"results": rows})

    app = web.Application()
    app.router.add_post("/site-lima/_bulk_get", half_answered)
    wanted = [Change("session:a", "1", ("1-a",)), Change("session:b", "2", ("1-b",))]
    async with TestServer(app) as server, aiohttp.ClientSession() as http:
        feed = CouchFeed(CouchClient(http, str(server.make_url(""))))
        if error == "not_found":
            assert list(await feed.leaves("site-lima", wanted)) == ["session:b"]
        else:
            with pytest.raises(FeedUnavailable, match="session:a"):
                await feed.leaves("site-lima", wanted)


async def test_a_mark_is_kept_and_what_is_no_mark_is_none(
    gateway: Gateway, lima: str, feed: CouchFeed
) -> None:
    assert await feed.read_mark(lima) is None
    for number in (1, 2):
        await feed.write_mark(lima, Mark("epoch", number))
        assert await feed.read_mark(lima) == Mark("epoch", number)
    for foreign in ({}, {"epoch": "e"}, {"epoch": "e", "batch": "many"}, {"epoch": "e", "batch": None}):
        await gateway.call("PUT", f"/{lima}/_local/projector", token=gateway.service, body=foreign)
        assert await feed.read_mark(lima) is None


async def test_a_change_ends_the_wait_and_is_told_by_name(
    gateway: Gateway, lima: str, tablet: str, feed: CouchFeed
) -> None:
    told: frozenset[str] = frozenset()
    while lima not in told:
        told |= await feed.wait(60.0) or frozenset()
    assert await no_more(feed, lima)
    await gateway.push(lima, session("a"), token=tablet)
    assert await feed.wait(60.0) == frozenset({lima})
    assert await no_more(feed, lima)


async def no_more(feed: CouchFeed, database: str) -> bool:
    """Whether nothing more is told. A CouchDB may tell of one change again, a moment later."""
    more = await feed.wait(0.01)
    while APACHE is not None and more == frozenset({database}):
        more = await feed.wait(1.0)
    return more == frozenset()


async def test_databases_that_are_no_sites_are_not_told_of(gateway: Gateway, feed: CouchFeed) -> None:
    await feed.wait(0.01)
    await gateway.call("PUT", "/_replicator", token=gateway.service)
    await gateway.call("PUT", "/site-cusco", token=gateway.service)
    told: frozenset[str] = frozenset()
    while "site-cusco" not in told:
        told |= await feed.wait(60.0) or frozenset()
    assert "_replicator" not in told


async def test_updates_that_do_not_move_on_are_no_hints(
    feed: CouchFeed, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def the_same(*_: object, **__: object) -> Updates:
        return Updates(frozenset({"site-lima"}), "1-x")

    monkeypatch.setattr(CouchClient, "wait_for_updates", the_same)
    assert await feed.wait(1.0) == frozenset({"site-lima"})
    with pytest.raises(FeedUnavailable):
        await feed.wait(1.0)


async def test_position_that_the_server_refuses_is_forgotten(
    lima: str, feed: CouchFeed, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked: list[str | None] = []

    async def refuse_positions(_: object, since: str | None, *, timeout_ms: int) -> Updates:
        asked.append(since)
        if since is not None:
            raise CouchError("no such position")
        return Updates(frozenset({lima}), "1-x")

    monkeypatch.setattr(CouchClient, "wait_for_updates", refuse_positions)
    await feed.wait(1.0)
    with pytest.raises(FeedUnavailable):
        await feed.wait(1.0)
    assert await feed.wait(1.0) == frozenset({lima})
    assert asked == [None, "1-x", None]


async def test_a_credential_that_opens_nothing_is_a_refusal(gateway: Gateway, tablet: str) -> None:
    host, port = gateway.address
    for token in (tablet, "none"):
        headers = {"Authorization": f"Bearer {token}"}
        async with aiohttp.ClientSession() as http:
            other = CouchFeed(
                CouchClient(http, f"http://{host}:{port}/db", headers=lambda headers=headers: headers)  # type: ignore[misc]
            )
            with pytest.raises(FeedRefused):
                await other.databases()


async def test_a_site_that_is_gone_or_a_store_that_is_away_is_unavailable(feed: CouchFeed) -> None:
    with pytest.raises(FeedUnavailable):
        await feed.read("site-none", START, 10)
    async with aiohttp.ClientSession() as http:
        away = CouchFeed(CouchClient(http, "http://127.0.0.1:1/db"))
        for call in (away.databases(), away.read_mark("site-lima"), away.wait(0.1)):
            with pytest.raises(FeedUnavailable):
                await call
