"""Corrections in a site database: which there are, and a write whose answer is lost."""

from collections.abc import AsyncIterator, Mapping
from typing import Any

import aiohttp
import pytest

from replication.client import CouchClient, Unreachable
from sync_server.api.seams import StoreUnreachable
from sync_server.gateway.corrections import SiteCorrections
from tests.desk.desk import DATABASE, Desk
from tests.documents.examples import a_patch

PATCH = a_patch("s1", 1, {"visit": "a"}, {"visit": "b"})


class LosingAnswers(CouchClient):
    """A client whose writes may be done, and whose answer to them never arrives."""

    is_done = True

    async def put(self, database: str, document: Mapping[str, Any]) -> str:
        if self.is_done:
            await super().put(database, document)
        raise Unreachable("the connection was cut")


@pytest.fixture
async def client(desk: Desk) -> AsyncIterator[LosingAnswers]:
    login = desk.gateway.store_login
    async with aiohttp.ClientSession() as http:
        yield LosingAnswers(http, login.base, headers=login.headers)


async def test_write_whose_answer_was_lost_is_looked_up(desk: Desk, client: LosingAnswers) -> None:
    site = SiteCorrections(client)
    rev = await site.write(DATABASE, PATCH)
    assert await site.corrections(DATABASE, "s1") == {"correction:s1:1": rev}
    assert await site.write(DATABASE, {**PATCH, "reason": "another person's"}) is None


async def test_write_that_may_not_have_been_done_is_unreachable(desk: Desk, client: LosingAnswers) -> None:
    client.is_done = False
    site = SiteCorrections(client)
    with pytest.raises(StoreUnreachable):
        await site.write(DATABASE, PATCH)
    assert await site.corrections(DATABASE, "s1") == {}


async def test_only_the_sessions_own_corrections_are_told(desk: Desk, client: LosingAnswers) -> None:
    service = desk.gateway.service
    others = ["s1:x", "s1:01", "s10:1", "S1:1", "s1:1:4", "s:1"]
    for name in [*others, "s1:1", "s1:10", "s1:2"]:
        await desk.gateway.call("PUT", f"/{DATABASE}/correction:{name}", token=service, body={})
    site = SiteCorrections(client)
    found = await site.corrections(DATABASE, "s1")
    assert set(found) == {"correction:s1:1", "correction:s1:10", "correction:s1:2"}
    assert await site.corrections("site-none", "s1") == {}
    assert await site.leaf("site-none", "session:s1", "1-a") is None
    assert await site.leaf(DATABASE, "correction:s1:1", "9-aa") is None
