"""The pusher over a bad network: nothing lost, nothing twice, and an end to every retry."""

import asyncio
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any, NamedTuple

import aiohttp
import msgspec
import pytest
from aiohttp import web
from pytest_aiohttp.plugin import AiohttpServer

from replication.client import CouchClient, UnexpectedAnswer, Unreachable
from replication.errors import BadRequest, NotFound, Unavailable
from replication.http.access import allow_everything
from replication.http.server import couch_routes
from replication.push import ATTEMPTS, Outgoing, Pushed, batches, outgoing, push_batch
from replication.store.registry import Registry
from tests.gateway.flaky import Fate, Flaky, flaky_proxy

DATABASE = "site-lima"
MAX_REQUEST = 100_000


class Line(NamedTuple):
    """A client whose every request goes through the proxy, and the waits of its retries."""

    client: CouchClient
    proxy: Flaky
    waits: list[float]

    async def push(self, *documents: Outgoing) -> Pushed:
        """Push one batch; waits are noted and not waited."""

        async def note(seconds: float) -> None:
            self.waits.append(seconds)

        return await push_batch(self.client, DATABASE, documents, sleep=note)

    async def stored(self) -> dict[str, tuple[str, ...]]:
        """What the server has: leaves by id."""
        page = await self.client.changes(DATABASE, "0", limit=10_000)
        return {change.id: change.revs for change in page.changes}


@pytest.fixture
async def line(aiohttp_server: AiohttpServer, tmp_path: Path) -> AsyncIterator[Line]:
    """An empty database on the embedded store, which takes requests of MAX_REQUEST bytes."""
    registry = Registry(tmp_path)
    app = web.Application(client_max_size=MAX_REQUEST)
    app.add_routes(couch_routes(registry, allow_everything))
    server = await aiohttp_server(app)
    await registry.create(DATABASE)
    async with flaky_proxy(server.port or 0) as (proxy, port), aiohttp.ClientSession() as session:
        yield Line(CouchClient(session, f"http://127.0.0.1:{port}"), proxy, [])
    await registry.close()


def _documents(count: int, **members: Any) -> list[Outgoing]:
    return [outgoing(msgspec.json.encode({"_id": f"session:{n}", **members})) for n in range(count)]


async def test_what_is_missing_is_pushed_and_what_is_known_is_not(line: Line) -> None:
    documents = _documents(5)
    assert (await line.push(*documents[:3])).stored == tuple(documents[:3])
    pushed = await line.push(*documents)
    assert pushed == Pushed(stored=tuple(documents[3:]), known=tuple(documents[:3]))
    assert (await line.push(*documents)).known == tuple(documents)
    assert line.proxy.count("POST _bulk_docs") == 2
    assert await line.stored() == {doc.id: (doc.rev,) for doc in documents}


@pytest.mark.parametrize("loss", [Fate.LOSE_ANSWER, Fate.CUT_ANSWER])
async def test_a_lost_answer_is_asked_for_again_and_nothing_is_sent_twice(line: Line, loss: Fate) -> None:
    documents = _documents(3)
    line.proxy.will(Fate.PASS, loss)
    assert await line.push(*documents) == Pushed(known=tuple(documents))
    assert line.proxy.requests == ["POST _revs_diff", "POST _bulk_docs", "POST _revs_diff"]
    assert await line.stored() == {doc.id: (doc.rev,) for doc in documents}


@pytest.mark.parametrize("loss", [Fate.LOSE_REQUEST, Fate.BAD_GATEWAY, Fate.GATEWAY_TIMEOUT])
async def test_a_lost_request_is_sent_again(line: Line, loss: Fate) -> None:
    documents = _documents(3)
    line.proxy.will(loss, Fate.PASS, loss)
    assert (await line.push(*documents)).stored == tuple(documents)
    assert line.waits == [0.5, 1.0]


@pytest.mark.parametrize(
    ("fate", "failure"), [(Fate.LOSE_REQUEST, Unreachable), (Fate.BAD_GATEWAY, Unavailable)]
)
async def test_retries_end(line: Line, fate: Fate, failure: type[Exception]) -> None:
    line.proxy.always = fate
    with pytest.raises(failure):
        await line.push(*_documents(2))
    assert line.proxy.requests == ["POST _revs_diff"] * ATTEMPTS
    assert line.waits == [0.5, 1.0, 2.0, 4.0, 8.0]


async def test_an_answer_of_something_else_is_told_as_what_it_is(line: Line) -> None:
    line.proxy.will(Fate.NO_JSON)
    with pytest.raises(UnexpectedAnswer, match="_revs_diff"):
        await line.push(*_documents(2))


async def test_a_failure_that_will_not_pass_is_not_tried_again(line: Line) -> None:
    with pytest.raises(NotFound):
        await push_batch(line.client, "site-nowhere", _documents(2))
    assert line.proxy.requests == ["POST _revs_diff"]


async def test_a_batch_that_is_too_large_for_the_server_goes_in_parts(line: Line) -> None:
    small = _documents(8, filler="x" * (MAX_REQUEST // 4))
    assert (await line.push(*small)).stored == tuple(small)
    monster = outgoing(msgspec.json.encode({"_id": "session:monster", "filler": "x" * 2 * MAX_REQUEST}))
    others = _documents(4, other=True)
    pushed = await line.push(*others[:2], monster, *others[2:])
    assert pushed.stored == tuple(others)
    assert [(row.id, row.rev, row.error) for row in pushed.refused] == [
        (monster.id, monster.rev, "too_large")
    ]
    assert line.waits == []


async def test_a_document_that_spoils_its_request_is_refused_by_itself(line: Line) -> None:
    good = _documents(5)
    spoiled = outgoing(b'{"_id":"session:x","_rev":"no revision"}')
    pushed = await line.push(*good[:3], spoiled, *good[3:])
    assert pushed.stored == tuple(good)
    assert [(row.id, row.error) for row in pushed.refused] == [("session:x", "bad_request")]


async def test_refused_and_stored_revisions_of_one_document_are_told_apart(line: Line) -> None:
    good = outgoing(b'{"_id":"session:x","_rev":"1-aa"}')
    bad = outgoing(b'{"_id":"session:x","_rev":"1-bb","_wrong":1}')
    pushed = await line.push(good, bad)
    assert pushed.stored == (good,)
    assert [(row.id, row.rev, row.error) for row in pushed.refused] == [
        ("session:x", "1-bb", "doc_validation")
    ]


async def test_two_pushers_of_the_same_documents_at_once_store_them_once(line: Line) -> None:
    documents = _documents(20)
    both = await asyncio.gather(line.push(*documents), line.push(*documents))
    assert all(set(pushed.stored) | set(pushed.known) == set(documents) for pushed in both)
    assert await line.stored() == {doc.id: (doc.rev,) for doc in documents}


def test_a_document_without_a_revision_is_named_by_its_content() -> None:
    one, same, other = (
        outgoing(b' {"_id":"session:a","n":1} '),
        outgoing(b'{"_id":"session:a","n":1}\n'),
        outgoing(b'{"_id":"session:a","n":2}'),
    )
    assert one == same
    assert one.rev != other.rev
    sent = msgspec.json.decode(one.json)
    assert sent == {
        "_id": "session:a",
        "_rev": one.rev,
        "_revisions": {"start": 1, "ids": [one.rev.removeprefix("1-")]},
        "n": 1,
    }


def test_a_document_with_a_revision_is_sent_as_it_is() -> None:
    text = b'{"n":1e999,"_rev":"3-c","_id":"session:a","_revisions":{"start":3,"ids":["c","b"]}}'
    assert outgoing(text) == Outgoing("session:a", "3-c", text)


@pytest.mark.parametrize(
    "text",
    [
        *(b"", b"x", b"{", b"[]", b"null", b"{}", b'{"_id":7}', b'{"_id":"a"}{}', b'{"_id":"a","_rev":7}'),
        *(b'{"_id":"a","x":"\xff"}', b'{"_id":"a","x":' + b"[" * 100_000, b'\xef\xbb\xbf{"_id":"a"}'),
    ],
    ids=lambda text: repr(text[:24]),
)
def test_what_is_no_document_is_told(text: bytes) -> None:
    with pytest.raises(BadRequest) as told:
        outgoing(text)
    assert told.value.reason


def test_batches_are_limited_by_number_and_size() -> None:
    documents = _documents(10, filler="x" * 1000)
    assert [len(batch) for batch in batches(documents, count=4)] == [4, 4, 2]
    assert [len(batch) for batch in batches(documents, size=2500)] == [2] * 5
    assert [len(batch) for batch in batches(documents, size=10)] == [1] * 10
    assert list(batches([])) == []
    assert [doc for batch in batches(iter(documents), count=3) for doc in batch] == documents


async def test_a_checkpoint_that_is_absent_is_none_and_a_database_that_is_absent_is_a_failure(
    line: Line,
) -> None:
    assert await line.client.local(DATABASE, "projector") is None
    rev = await line.client.put_local(DATABASE, "projector", {"epoch": "e", "batch": 1})
    assert await line.client.local(DATABASE, "projector") == {
        "_id": "_local/projector",
        "_rev": rev,
        "epoch": "e",
        "batch": 1,
    }
    with pytest.raises(NotFound):
        await line.client.local("site-nowhere", "projector")
