"""A caller with rights of its own: what it may not see or write is kept from it, document by document."""

import asyncio
from collections.abc import AsyncIterator, Sequence
from typing import Any

import pytest
from aiohttp import web

from replication.edits import Author
from replication.errors import Forbidden, Unauthorized
from replication.http.access import Access, FullAccess, Operation
from replication.store.registry import Registry
from replication.wire.decode import Incoming, Refusal
from tests.contract.couch import Db, embedded, fresh_database, replicated


class Tablet:
    """Reads published batteries and items, writes sessions, and has one checkpoint of its own."""

    author = Author("tablet")
    prefixes: tuple[str, ...] | None = ("battery:", "item:")
    most_local_bytes: int = 1024 * 1024

    def __init__(self, judged: list[tuple[str, str | None]]) -> None:
        self._judged = judged

    def may_read(self, doc_id: str) -> bool:
        return doc_id.startswith(("battery:", "item:"))

    def may_use_local(self, local_id: str) -> bool:
        return local_id == "mine"

    async def admit(self, database: str, docs: Sequence[Incoming]) -> list[Refusal | None]:  # noqa: ARG002
        self._judged += [(doc.id, doc.rev) for doc in docs]
        return [self._judge(doc) for doc in docs]

    async def refused(self, database: str, docs: Sequence[tuple[Incoming, Refusal]]) -> None:
        """Nobody is told."""

    def _judge(self, doc: Incoming) -> Refusal | None:
        if doc.refusal is not None:
            return Refusal("forbidden", doc.refusal.reason)
        if not doc.id.startswith("session:"):
            return Refusal("forbidden", "tablets write sessions")
        return None


CLOSED = {Operation.LIST_DOCUMENTS, Operation.CREATE_DATABASE, Operation.DELETE_DATABASE, Operation.EDIT}


class Door:
    """Lets its owner do everything, and tablets what tablets may do."""

    def __init__(self) -> None:
        self.judged: list[tuple[str, str | None]] = []

    async def authorize(
        self,
        request: web.Request,
        operation: Operation,
        database: str | None,  # noqa: ARG002
    ) -> Access:
        match request.headers.get("Authorization"):
            case "owner":
                return FullAccess()
            case "tablet":
                if operation in CLOSED:
                    raise Forbidden(f"a tablet may not {operation.value}")
                return Tablet(self.judged)
        raise Unauthorized("who is asking?")


@pytest.fixture
def door() -> Door:
    return Door()


@pytest.fixture
async def owned(registry: Registry, door: Door) -> AsyncIterator[Db]:
    """A database as its owner sees it."""
    async with embedded(registry, door.authorize) as couch:
        couch.session.headers["Authorization"] = "owner"
        async with fresh_database(couch) as db:
            yield db


class AsTablet(Db):
    """The same database as a tablet sees it."""

    async def call(self, method: str, path: str, **rest: Any) -> Any:
        rest["headers"] = {**(rest.get("headers") or {}), "Authorization": "tablet"}
        return await super().call(method, path, **rest)


@pytest.fixture
def tablet(owned: Db) -> AsTablet:
    return AsTablet(owned.base, owned.session, owned.name)


@pytest.fixture
async def published(owned: Db) -> Db:
    """Sessions and batteries in turn, the last of everything a session."""
    for number in range(5):
        await owned.push(replicated(f"session:{number}", "1-a"), replicated(f"battery:{number}", "1-a"))
    await owned.push(replicated("session:last", "1-a"))
    return owned


def ids(feed: Any) -> list[str]:
    return [row["id"] for row in feed["results"]]


async def test_a_page_is_full_of_what_its_reader_may_see_and_empty_only_at_the_end(
    published: Db, tablet: Db
) -> None:
    seen: list[str] = []
    since, pages = "0", []
    while True:
        page = await tablet.changes(since=since, limit="2")
        pages.append(len(page["results"]))
        assert page["pending"] == 5 - len(seen) - pages[-1]
        if not page["results"]:
            break
        seen += ids(page)
        since = page["last_seq"]
    assert seen == [f"battery:{number}" for number in range(5)]
    assert pages == [2, 2, 1, 0]


async def test_the_end_of_a_feed_lies_after_what_its_reader_may_not_see(published: Db, tablet: Db) -> None:
    everything = await published.changes()
    assert (await tablet.changes())["last_seq"] == everything["last_seq"]
    assert (await tablet.changes(since="now"))["last_seq"] == everything["last_seq"]


async def test_deletions_are_seen_by_who_saw_the_document(published: Db, tablet: Db) -> None:
    await published.remove("battery:1", "1-a")
    await published.remove("session:1", "1-a")
    rows = (await tablet.changes())["results"]
    assert [(row["id"], row["deleted"]) for row in rows if "deleted" in row] == [("battery:1", True)]
    assert len(rows) == 5


async def test_naming_a_document_does_not_make_it_visible(published: Db, tablet: Db) -> None:
    named = {"doc_ids": ["session:1", "battery:1"]}
    answer = await tablet.post("/_changes", named, filter="_doc_ids", include_docs="true")
    assert ids(answer.ok()) == ["battery:1"]
    newest = await tablet.changes(descending="true", limit="1")
    assert ids(newest) == ["battery:4"]


async def test_a_long_poll_sleeps_through_what_its_reader_may_not_see(published: Db, tablet: Db) -> None:
    since = (await tablet.changes())["last_seq"]
    waiting = asyncio.ensure_future(tablet.changes(feed="longpoll", since=since, timeout="60000"))
    for number in range(10, 15):
        await published.push(replicated(f"session:{number}", "1-a"))
    assert not waiting.done()
    await published.push(replicated("item:1", "1-a"))
    feed = await waiting
    assert ids(feed) == ["item:1"]
    assert feed["last_seq"] == (await published.changes())["last_seq"]


async def test_a_long_poll_that_saw_nothing_still_moves_on(published: Db, tablet: Db) -> None:
    since = (await tablet.changes())["last_seq"]
    await published.push(replicated("session:10", "1-a"))
    feed = await tablet.changes(feed="longpoll", since=since, timeout="30")
    assert (ids(feed), feed["last_seq"]) == ([], (await published.changes())["last_seq"])


async def test_a_bulk_read_is_judged_row_by_row(published: Db, tablet: Db) -> None:
    wanted = [{"id": doc_id, "rev": "1-a"} for doc_id in ("battery:1", "session:1", "item:9", "session:9")]
    rows = (await tablet.post("/_bulk_get", {"docs": wanted})).ok()["results"]
    assert [row["docs"][0].get("error", {}).get("error", "ok") for row in rows] == [
        "ok", "forbidden", "not_found", "forbidden",
    ]  # fmt: skip
    assert rows[1]["docs"][0]["error"]["id"] == "session:1"


@pytest.mark.parametrize(
    "path",
    [
        "/session:1",
        "/session:9",
        "/session%3A1",
        "/session:1/file",
        "/session:1?open_revs=all",
        "/session:1?rev=1-a",
    ],
)
async def test_a_document_that_may_not_be_read_is_forbidden_there_or_not(
    published: Db, tablet: Db, path: str
) -> None:
    assert (await tablet.get(path)).status == 403
    assert (await tablet.call("HEAD", path)).status == 403


async def test_a_refused_document_costs_the_others_nothing(owned: Db, tablet: Db, door: Door) -> None:
    docs = [
        replicated("session:1", "1-a"),
        replicated("battery:1", "1-a"),
        replicated("session:2", "2-b", "1-a", _unknown=1),
        {"_id": "session:3"},
        replicated("_local/mine", "1-a"),
        replicated("session:4", "1-a"),
    ]
    answer = await tablet.post("/_bulk_docs", {"docs": docs, "new_edits": False})
    assert answer.ok(201) == [
        {"id": "battery:1", "rev": "1-a", "error": "forbidden", "reason": "tablets write sessions"},
        {
            "id": "session:2",
            "rev": "2-b",
            "error": "forbidden",
            "reason": "Bad special document member: _unknown",
        },
        {
            "id": "session:3",
            "error": "forbidden",
            "reason": "When `new_edits: false`, the document needs `_rev` or `_revisions` specified",
        },
        {
            "id": "_local/mine",
            "rev": "1-a",
            "error": "forbidden",
            "reason": "a _local document has to be asked for by its own URL",
        },
    ]
    assert ids(await owned.changes()) == ["session:1", "session:4"]
    assert [doc_id for doc_id, _ in door.judged] == [doc["_id"] for doc in docs]


async def test_what_one_may_replicate_one_may_not_edit(owned: Db, tablet: Db) -> None:
    (await tablet.post("/_bulk_docs", {"docs": [{"_id": "session:1"}]})).refused(403, "forbidden")
    (await tablet.put("/battery:1", {})).refused(403, "forbidden")
    (await tablet.post("", {"_id": "session:1"})).refused(403, "forbidden")
    (await tablet.delete("/battery:1", rev="1-a")).refused(403, "forbidden")
    (await tablet.get("/_all_docs")).refused(403, "forbidden")
    (await tablet.delete("")).refused(403, "forbidden")
    assert ids(await owned.changes()) == []


async def test_only_its_own_checkpoint_is_open(owned: Db, tablet: Db) -> None:
    (await tablet.put("/_local/mine", {"seq": 1})).ok(201)
    (await owned.put("/_local/other", {"seq": 2})).ok(201)
    assert (await tablet.get("/_local/mine")).ok()["seq"] == 1
    for path in ("/_local/other", "/_local/unknown", "/_local%2Fother", "/_local/mine%2F..%2Fother"):
        for method in ("GET", "PUT", "DELETE"):
            answer = await tablet.call(method, path, body={} if method == "PUT" else None)
            assert answer.status in (403, 404), (method, path)
    assert (await owned.get("/_local/other")).ok()["seq"] == 2


async def test_who_says_nothing_is_asked_who_it_is(registry: Registry, door: Door) -> None:
    async with embedded(registry, door.authorize) as couch:
        answer = await couch.get("/")
        answer.refused(401, "unauthorized")
        assert answer.headers["WWW-Authenticate"].startswith("Basic ")


async def test_rights_are_asked_before_anything_is_looked_up(registry: Registry, door: Door) -> None:
    """Or a stranger could find out which databases there are."""
    await registry.create("site")
    async with embedded(registry, door.authorize) as couch:
        for name in ("site", "unknown", "ILLEGAL"):
            for path in ("", "/_changes", "/a", "/_local/a"):
                (await couch.get(f"/{name}{path}")).refused(401, "unauthorized")


class Recorder(FullAccess):
    """Refuses to let anything be stored that it could not put on record."""

    async def admit(self, database: str, docs: Sequence[Incoming]) -> list[Refusal | None]:  # noqa: ARG002
        raise Forbidden("nothing is on record")


async def test_nothing_is_stored_that_is_not_on_record(registry: Registry) -> None:
    async def authorize(request: web.Request, operation: Operation, database: str | None) -> Access:
        return Recorder()

    async with embedded(registry, authorize) as couch, fresh_database(couch) as db:
        (await db.post("/_bulk_docs", {"docs": [replicated("a", "1-a")], "new_edits": False})).refused(
            403, "forbidden"
        )
        (await db.put("/a", {})).refused(403, "forbidden")
        (await db.post("", {})).refused(403, "forbidden")
        answer = await db.call("PUT", "/a/f", data=b"x", headers={"Content-Type": "text/plain"})
        answer.refused(403, "forbidden")
        assert (await db.get("")).ok()["doc_count"] == 0
