"""Mango held against itself: an index, whichever it is, changes how a query is answered and never what."""

import asyncio
import contextlib
import itertools
import sqlite3
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import msgspec
from hypothesis import given
from hypothesis import strategies as st

from replication.edits import Edit
from replication.mango.collation import column_key, key
from replication.mango.definition import Index, parse_new_index
from replication.mango.fields import Absent, lookup
from replication.mango.matching import matches, selector_json
from replication.mango.plan import choose
from replication.mango.query import Place, Query, decode_bookmark, encode_bookmark, parse_query
from replication.mango.refusal import QueryRefused
from replication.mango.selector import AnyOf, parse_selector
from replication.mango.text_order import prefix_key, text_key
from replication.store.database import Database, ReaderThreads
from replication.store.finding import Search, find
from replication.store.indexes import catch_up
from replication.store.registry import Registry
from replication.values import Rev
from tests.replication.json_texts import values

FIELDS = ("a", "b", "a.x", "_id", "c\\.d", "\\$e")
letters = st.text(st.sampled_from("aAáb\u0301é ß-1\x00\uffff"), max_size=3)
small = st.none() | st.booleans() | st.integers(-2, 2) | st.sampled_from([0.5, 1.0, 2**53 + 1]) | letters
nested = small | st.lists(small, max_size=2) | st.dictionaries(st.sampled_from("xy"), small, max_size=2)
bodies = st.dictionaries(st.sampled_from(["a", "a", "b", "b", "c.d", "$e"]), nested, max_size=4)
ids = st.text(st.sampled_from("aAé\x00z"), min_size=1, max_size=3)

comparisons = st.builds(
    lambda op, arg: {op: arg}, st.sampled_from(["$eq", "$ne", "$lt", "$lte", "$gt", "$gte"]), nested
)
others = st.one_of(
    st.builds(lambda arg: {"$exists": arg}, st.booleans()),
    st.builds(lambda arg: {"$beginsWith": arg}, letters),
    st.builds(
        lambda op, arg: {op: arg}, st.sampled_from(["$in", "$nin", "$all"]), st.lists(small, max_size=2)
    ),
    st.builds(lambda arg: {"$type": arg}, st.sampled_from(["string", "number", "null", "array"])),
    st.builds(lambda arg: {"$elemMatch": arg}, comparisons),
)
tests = st.one_of(
    comparisons, comparisons, others, st.builds(lambda arg: {"$not": arg}, comparisons | others)
)
conditions = st.builds(lambda field, test: {field: test}, st.sampled_from(FIELDS), tests)
selectors = st.recursive(
    conditions | st.dictionaries(st.sampled_from(FIELDS), tests, min_size=1, max_size=3),
    lambda inner: st.one_of(
        st.builds(
            lambda op, parts: {op: parts},
            st.sampled_from(["$and", "$or", "$nor"]),
            st.lists(inner, max_size=3),
        ),
        st.builds(lambda part: {"$not": part}, inner),
    ),
    max_leaves=4,
)
columns = st.lists(st.sampled_from(FIELDS), min_size=1, max_size=3, unique=True)


@given(st.lists(values, max_size=6))
def test_keys_are_equal_only_for_equal_values_and_survive_being_put_together(found: list[Any]) -> None:
    whole = b"".join(map(key, found))
    assert whole == key(found)[1:-1]
    for one, other in itertools.pairwise(found):
        if key(one) == key(other) and isinstance(one, (int, float)):
            assert one == other


@given(
    st.integers(-(2**70), 2**70) | st.floats(allow_nan=False),
    st.integers(-(2**70), 2**70) | st.floats(allow_nan=False),
)
def test_numbers_sort_exactly(one: float, other: float) -> None:
    assert (key(one) < key(other)) == (one < other)
    assert (key(one) == key(other)) == (one == other)


@given(st.text(), st.text())
def test_every_string_that_begins_so_lies_in_the_range_of_the_prefix(prefix: str, rest: str) -> None:
    assert text_key(prefix + rest).startswith(prefix_key(prefix))


@given(st.text(), st.text(), st.text(), st.text())
def test_what_follows_a_string_never_changes_its_order(one: str, other: str, behind: str, after: str) -> None:
    if text_key(one) < text_key(other):
        assert text_key(one) + key(behind) < text_key(other) + key(after)


@given(ids, ids)
def test_ids_sort_bytewise(one: str, other: str) -> None:
    assert (column_key(("_id",), one) < column_key(("_id",), other)) == (one.encode() < other.encode())


@given(selectors, bodies, ids)
def test_a_selector_that_is_spelled_out_means_the_same(selector: Any, body: Any, doc_id: str) -> None:
    node = parse_selector(selector)
    again = parse_selector(selector_json(node))
    document = {"_id": doc_id, **body}
    assert matches(again, document) == matches(node, document)
    assert selector_json(again) == selector_json(node)


@given(st.builds(Place, st.binary(), st.text()))
def test_a_bookmark_is_read_as_it_was_written(place: Place) -> None:
    assert decode_bookmark(encode_bookmark(place)) == place


def _expected(documents: dict[str, Any], query: Query, index: Index | None) -> list[str]:
    """The ids in the order of the index, by looking at every document."""
    paths = () if index is None else index.paths
    rows = []
    for doc_id, body in documents.items():
        document = {"_id": doc_id, "_rev": "1-a", **body}
        found = [(path, lookup(document, path)) for path in paths]
        if any(isinstance(value, Absent) for _, value in found) and query.sort:
            continue
        if matches(query.selector, document):
            rows.append(([column_key(path, value) for path, value in found], doc_id.encode(), doc_id))
    return [doc_id for _, _, doc_id in sorted(rows, reverse=query.descending)]


def _pages(connection: sqlite3.Connection, search: Search) -> Iterator[str]:
    after: Place | None = None
    while True:
        found = find(connection, search, after, 0, 2)
        yield from (msgspec.json.decode(document)["_id"] for _, document in found.documents)
        if found.last is None:
            return
        after = found.last


@st.composite
def sorts(draw: st.DrawFn, names: list[str]) -> list[dict[str, str]]:
    start = draw(st.integers(0, len(names)))
    end = draw(st.integers(start, len(names)))
    direction = draw(st.sampled_from(["asc", "desc"]))
    return [{name: direction} for name in names[start:end]]


@given(st.data(), columns)
def test_an_index_gives_what_looking_at_every_document_gives(data: st.DataObject, names: list[str]) -> None:
    documents = data.draw(st.dictionaries(ids, bodies, max_size=8))
    # Conditions on every column reach further into the index than chance does.
    columnwise = st.fixed_dictionaries(dict.fromkeys(names, tests))
    selector = data.draw(
        st.one_of(
            selectors, columnwise, st.builds(lambda *parts: {"$and": list(parts)}, columnwise, selectors)
        )
    )
    sort = data.draw(sorts(names))
    new = parse_new_index({"index": {"fields": names}, "ddoc": "x"})
    query = parse_query({"selector": selector, "sort": sort, "use_index": "x"})
    plan = None
    with contextlib.suppress(QueryRefused):  # a sort that no index serves
        plan = choose([new.index], query)
    assert plan is not None or sort
    if plan is not None:
        changed = data.draw(st.dictionaries(ids, bodies, max_size=3))
        asyncio.run(_compare(documents, changed, new.index, Search(query, plan, ())))


async def _compare(documents: dict[str, Any], changed: dict[str, Any], index: Index, search: Search) -> None:
    with tempfile.TemporaryDirectory() as directory:
        registry = Registry(Path(directory) / "store", threads=ReaderThreads(1, 1))
        try:
            database = await registry.create("site")
            for at, batch in enumerate((documents, changed)):
                path = tuple(Rev(pos, "a") for pos in range(at + 1, 0, -1))
                edits = [Edit(doc_id, path, msgspec.json.encode(body)) for doc_id, body in batch.items()]
                await database.write(edits, new_edits=False)
                await database.maintain(lambda connection: catch_up(connection, index))
            await _check(database, {**documents, **changed}, search)
        finally:
            await registry.close()


async def _check(database: Database, documents: dict[str, Any], search: Search) -> None:
    index = None if search.plan.index.ddoc is None else search.plan.index
    expected = _expected(documents, search.query, index)
    if search.plan.empty:
        assert expected == [] or search.query.selector == AnyOf(())
        return

    def read(connection: sqlite3.Connection) -> list[str]:
        return list(_pages(connection, search))

    assert await database.read(read) == expected
