"""What the API asks of the site databases, on the application's own store."""

from collections.abc import AsyncIterator
from typing import Any, NamedTuple

import aiohttp
import pytest

from replication.client import NAMED_AT_ONCE, CouchClient
from sync_server.api.seams import StoreUnreachable
from sync_server.gateway.store import SiteStore
from tests.gateway.gateway import Gateway, session


class Asked(NamedTuple):
    """The store as the API sees it, and the requests that were made for it."""

    store: SiteStore
    requests: list[str]


@pytest.fixture
async def asked(gateway: Gateway) -> AsyncIterator[Asked]:
    requests: list[str] = []

    async def note(_: Any, __: Any, params: aiohttp.TraceRequestStartParams) -> None:
        requests.append(f"{params.method} {params.url.path.rpartition('/')[2]}")

    trace = aiohttp.TraceConfig()
    trace.on_request_start.append(note)
    headers = {"Authorization": f"Bearer {gateway.service}"}
    host, port = gateway.address
    async with aiohttp.ClientSession(trace_configs=[trace]) as http:
        client = CouchClient(http, f"http://{host}:{port}/db", headers=lambda: headers)
        yield Asked(SiteStore(client), requests)


def _revision(name: str, *ids: str, **members: Any) -> dict[str, Any]:
    """A revision with its ancestors, newest id first."""
    return session(name, f"{len(ids)}-{ids[0]}", _revisions={"start": len(ids), "ids": ids}, **members)


async def test_descendants_are_the_leaves_that_a_revision_is_or_became(
    gateway: Gateway, lima: str, asked: Asked
) -> None:
    history = [
        _revision("one", "b", "a"),
        _revision("two", "c", "b", "a"),
        _revision("two", "d", "b", "a"),
        _revision("two", "x"),
        _revision("gone", "b", "a", _deleted=True),
    ]
    assert await gateway.push(lima, *history, token=gateway.service) == []
    questions = {
        ("session:one", "2-b"): {"2-b"},
        ("session:one", "1-a"): {"2-b"},
        ("session:two", "1-a"): {"3-c", "3-d"},
        ("session:two", "2-b"): {"3-c", "3-d"},
        ("session:two", "1-x"): {"1-x"},
        ("session:gone", "1-a"): {"2-b"},
        ("session:gone", "2-b"): {"2-b"},
    }
    unknown = [("session:one", "9-z"), ("session:none", "1-a"), ("_design/x", "1-a"), ("", "1-a")]
    found = await asked.store.descendants(lima, [*questions, *unknown])
    assert {question: leaves for question, leaves in found.items() if leaves} == questions
    assert await asked.store.descendants("site-none", list(questions)) == {}


async def test_no_document_is_opened_for_revisions_that_are_leaves(
    gateway: Gateway, lima: str, asked: Asked
) -> None:
    documents = [session(f"s{n}") for n in range(2 * NAMED_AT_ONCE + 1)]
    await gateway.push(lima, *documents, token=gateway.service)
    found = await asked.store.descendants(lima, [(doc["_id"], doc["_rev"]) for doc in documents])
    assert found == {(doc["_id"], "1-aa"): {"1-aa"} for doc in documents}
    assert asked.requests == ["POST _revs_diff", *["POST _changes"] * 3]


async def test_pending_counts_what_comes_after_a_position(gateway: Gateway, lima: str, asked: Asked) -> None:
    await gateway.push(lima, *(session(f"s{n}") for n in range(5)), token=gateway.service)
    assert await asked.store.pending(lima, "0") == 5
    assert await asked.store.pending("site-none", "0") == 0
    await asked.store.ping()


async def test_a_store_that_does_not_answer_is_told_as_that() -> None:
    async with aiohttp.ClientSession() as http:
        store = SiteStore(CouchClient(http, "http://127.0.0.1:1/db"))
        with pytest.raises(StoreUnreachable):
            await store.ping()
        with pytest.raises(StoreUnreachable):
            await store.pending("site-lima", "0")
        with pytest.raises(StoreUnreachable):
            await store.descendants("site-lima", [("session:a", "1-a")])
