"""The projector's view of the site databases: every failure is one that its site can wait out."""

from collections.abc import AsyncIterator

import aiohttp
import pytest

from replication.client import CouchClient
from reporting.errors import BodiesTooLarge, FeedUnavailable
from reporting.projection.feed import START, Mark, SiteDatabase
from sync_server import feed as couch_feed
from sync_server.feed import CouchFeed
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


async def test_a_change_ends_the_wait(gateway: Gateway, lima: str, tablet: str, feed: CouchFeed) -> None:
    await feed.wait(0.01)
    await gateway.push(lima, session("a"), token=tablet)
    await feed.wait(60.0)


async def test_a_site_that_is_gone_or_a_store_that_is_away_is_unavailable(feed: CouchFeed) -> None:
    with pytest.raises(FeedUnavailable):
        await feed.read("site-none", START, 10)
    async with aiohttp.ClientSession() as http:
        away = CouchFeed(CouchClient(http, "http://127.0.0.1:1/db"))
        for call in (away.databases(), away.read_mark("site-lima"), away.wait(0.1)):
            with pytest.raises(FeedUnavailable):
                await call
