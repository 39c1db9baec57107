"""Indexes in the file, and queries that mean harm."""

import sqlite3
from collections.abc import Sequence
from typing import Any

import pytest
from aiohttp import web

from replication.edits import Edit
from replication.http.access import Access, FullAccess, Operation, allow_everything
from replication.mango.refusal import QueryRefused
from replication.mango.selector import MAX_CONDITIONS, MAX_DEPTH, parse_selector
from replication.store import finding, indexes
from replication.store.database import Database
from replication.store.registry import Registry
from replication.values import Rev
from replication.wire.decode import Incoming, Refusal
from tests.contract.couch import Db, embedded, fresh_database
from tests.replication.json_texts import nested
from tests.replication.stored import push


def edit(doc_id: str, body: bytes) -> Edit:
    return Edit(doc_id, (Rev(1, "a"),), body)


async def tables(database: Database) -> set[str]:
    def read(connection: sqlite3.Connection) -> set[str]:
        rows = connection.execute("SELECT name FROM sqlite_master WHERE name GLOB 'mango_[0-9]*'")
        return {name for (name,) in rows}

    return await database.read(read)


async def make_index(db: Db, *fields: str, ddoc: str) -> None:
    (await db.post("/_index", {"index": {"fields": list(fields)}, "ddoc": ddoc})).ok()


async def found(db: Db, selector: Any, **options: Any) -> list[str]:
    answer = (await db.post("/_find", {"selector": selector, "limit": 10_000, **options})).ok()
    return [doc["_id"] for doc in answer["docs"]]


async def test_an_index_is_made_at_its_first_query_and_goes_with_its_definition(registry: Registry) -> None:
    async with embedded(registry, allow_everything) as couch, fresh_database(couch) as db:
        database = await registry.open(db.name)
        await db.save("x", a=1)
        await make_index(db, "a", ddoc="one")
        await make_index(db, "a", ddoc="same")
        assert await tables(database) == set()
        assert await found(db, {"a": 1}) == ["x"]
        (table,) = {name for name in await tables(database) if not name.endswith("_doc")}
        assert await found(db, {"a": 1}, use_index="same") == ["x"]
        (await db.delete("/_index/one/json/" + (await db.get("/_index")).ok()["indexes"][1]["name"])).ok()
        assert table in await tables(database)
        await db.remove("_design/same", (await db.get("/_design/same")).ok()["_rev"])
        await found(db, {"b": 1})
        assert await tables(database) == set()
        assert await found(db, {"a": 1}) == ["x"]


async def test_many_documents_are_indexed_in_batches_and_found_in_slices(registry: Registry) -> None:
    async with embedded(registry, allow_everything) as couch, fresh_database(couch) as db:
        database = await registry.open(db.name)
        total = 2 * indexes.BATCH_DOCUMENTS + finding.SLICE_DOCUMENTS + 1
        await push(database, *(edit(f"d{n:05}", b'{"a":%d}' % (n % 10)) for n in range(total)))
        names = [f"d{n:05}" for n in range(total)]
        assert await found(db, {}) == names
        assert await found(db, {"a": {"$regex": "never"}}) == []
        await make_index(db, "a", ddoc="a")
        assert await found(db, {"a": {"$gte": 0}}) == sorted(names, key=lambda name: (name[-1], name))
        assert await found(db, {"a": 3}, skip=7, sort=[{"a": "desc"}]) == names[3::10][::-1][7:]
        # Not brought up to date, and so without what came since.
        await push(database, edit("new", b'{"a":3}'))
        assert "new" not in await found(db, {"a": 3}, update=False)
        assert "new" in await found(db, {"a": 3})


async def test_the_deepest_document_is_indexed_and_compared(registry: Registry) -> None:
    async with embedded(registry, allow_everything) as couch, fresh_database(couch) as db:
        database = await registry.open(db.name)
        await push(database, edit("deep", b'{"a":' + nested(499) + b"}"), edit("flat", b'{"a":1}'))
        await make_index(db, "a", ddoc="a")
        assert await found(db, {"a": {"$gt": 1}}) == ["deep"]
        selector = b'{"selector":{"a":' + nested(90) + b"}}"
        answer = await db.call("POST", "/_find", data=selector, headers={"Content-Type": "application/json"})
        assert answer.ok()["docs"] == []


async def test_no_pattern_holds_the_server_up(registry: Registry) -> None:
    async with embedded(registry, allow_everything) as couch, fresh_database(couch) as db:
        database = await registry.open(db.name)
        await push(database, edit("long", b'{"a":"' + b"a" * 200_000 + b'!"}'))
        for pattern in ("(a+)+$", "(a|aa)+$", "(.*)*b", "(a?){30}a{30}$"):
            assert await found(db, {"a": {"$regex": pattern}}) == []
        for pattern in ("(?=a)b", r"(a)\1", "a" * 10_001, "((a{1000}){1000}){1000}"):
            (await db.post("/_find", {"selector": {"a": {"$regex": pattern}}})).refused(400, "bad_arg")


def test_selectors_are_bounded_in_depth_and_size() -> None:
    deep: Any = 1
    for _ in range(MAX_DEPTH + 1):
        deep = {"$not": {"a": deep}}
    many = {"$or": [{"a": at} for at in range(MAX_CONDITIONS + 1)]}
    inner: Any = {"$eq": 1}
    for _ in range(MAX_DEPTH + 1):
        inner = {"$elemMatch": inner}
    for selector in (deep, many, {"a": inner}):
        with pytest.raises(QueryRefused) as refused:
            parse_selector(selector)
        assert refused.value.error == "invalid_selector"
    # Arguments are looked up, not walked through.
    parse_selector({"a": {"$in": list(range(10 * MAX_CONDITIONS))}})


async def test_a_design_document_that_is_no_definition_is_left_alone(registry: Registry) -> None:
    async with embedded(registry, allow_everything) as couch, fresh_database(couch) as db:
        for at, content in enumerate(
            [
                {"language": "javascript", "views": {"v": {"map": "function () {}"}}},
                {"language": "query"},
                {"language": "query", "views": []},
                {
                    "language": "query",
                    "views": {"v": 1, "w": {"map": 1}, "x": {"map": {"fields": {"a": "up"}}}},
                },
                {"language": "query", "views": {"v": {"map": {"fields": {}}}}},
                {
                    "language": "query",
                    "views": {"v": {"map": {"fields": {"a": "asc"}, "partial_filter_selector": {"$x": 1}}}},
                },
            ]
        ):
            (await db.put(f"/_design/d{at}", content)).ok(201)
        assert (await db.get("/_index")).ok()["total_rows"] == 1
        body = {"index": {"fields": ["a"]}, "ddoc": "d0"}
        (await db.post("/_index", body)).refused(400, "invalid_ddoc_lang")


class Limited(FullAccess):
    """Sees batteries only, and may write nothing."""

    prefixes = ("battery:",)

    async def admit(self, database: str, docs: Sequence[Incoming]) -> list[Refusal | None]:  # noqa: ARG002
        return [Refusal("forbidden", "not you") for _ in docs]


async def test_a_query_shows_and_changes_only_what_its_caller_may(registry: Registry) -> None:
    async def authorize(request: web.Request, operation: Operation, database: str | None) -> Access:
        return Limited()

    database = await registry.create("site")
    await push(database, edit("battery:1", b'{"a":1}'), edit("session:1", b'{"a":1}'))
    async with embedded(registry, authorize) as couch:
        db = Db(f"{couch.base}/site", couch.session, "site")
        assert await found(db, {"a": 1}) == ["battery:1"]
        answer = await db.post("/_changes", {"selector": {"a": 1}}, filter="_selector")
        assert [row["id"] for row in answer.ok()["results"]] == ["battery:1"]
        (await db.post("/_index", {"index": {"fields": ["a"]}})).refused(403, "forbidden")
        assert (await db.get("/_index")).ok()["total_rows"] == 1


async def test_a_purged_document_leaves_the_indexes_and_may_come_back(registry: Registry) -> None:
    async with embedded(registry, allow_everything) as couch, fresh_database(couch) as db:
        database = await registry.open(db.name)
        await make_index(db, "a", ddoc="one")
        rev = await db.save("x", a=1)
        assert await found(db, {"a": 1}) == ["x"]
        (table,) = {name for name in await tables(database) if not name.endswith("_doc")}
        (await db.post("/_purge", {"x": [rev]})).ok(201)
        rows = await database.read(lambda c: c.execute(f"SELECT * FROM {table}").fetchall())  # noqa: S608
        assert rows == []
        await db.save("other", a=2)
        await db.save("x", a=1)
        assert await found(db, {"a": 1}) == ["x"]


async def test_a_live_feed_may_have_a_selector(registry: Registry) -> None:
    async with embedded(registry, allow_everything) as couch, fresh_database(couch) as db:
        for number in range(6):
            await db.save(f"d{number}", a=number)
        asked = {"filter": "_selector", "limit": "2", "include_docs": "true", "feed": "longpoll"}
        answer = await db.call(
            "POST", "/_changes", query=asked, body={"selector": {"$or": [{"a": {"$in": [2, 4, 5]}}]}}
        )
        assert [row["doc"]["a"] for row in answer.ok()["results"]] == [2, 4]
