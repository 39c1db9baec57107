"""Mango: finding documents by selectors, with and without indexes."""

from typing import Any

import pytest

from tests.contract.couch import Couch, Db, replicated

PEOPLE: tuple[dict[str, Any], ...] = (
    {"_id": "ann", "age": 30, "name": "Ann", "tags": ["a", "b"], "home": {"town": "Lima", "zip.code": 1}},
    {"_id": "bob", "age": 25, "name": "bob", "tags": ["b"], "home": {"town": "Oslo"}},
    {"_id": "cyd", "age": 41, "name": "Cyd", "tags": [], "home": {"town": "Lima"}, "trials": [{"rt": 5}]},
    {"_id": "dee", "age": "old", "name": "dee", "home": None, "trials": [{"rt": 1}, {"rt": 9}]},
    {"_id": "eve", "name": "Ève", "n": 7, "flag": True},
)


@pytest.fixture
async def people(db: Db) -> Db:
    """A few documents and one that is deleted."""
    (await db.post("/_bulk_docs", {"docs": [*PEOPLE, {"_id": "gone", "age": 30}]})).ok(201)
    await db.remove("gone", (await db.get("/gone")).ok()["_rev"])
    return db


async def find(db: Db, selector: Any, **options: Any) -> Any:
    return (await db.post("/_find", {"selector": selector, **options})).ok()


async def ids(db: Db, selector: Any, **options: Any) -> list[str]:
    return [doc["_id"] for doc in (await find(db, selector, **options))["docs"]]


async def make_index(db: Db, *fields: Any, **more: Any) -> Any:
    partial = {"partial_filter_selector": more.pop("partial")} if "partial" in more else {}
    return (await db.post("/_index", {"index": {"fields": list(fields), **partial}, **more})).ok()


async def test_a_found_document_is_the_document(people: Db) -> None:
    (ann,) = (await find(people, {"_id": "ann"}))["docs"]
    assert ann == (await people.get("/ann")).ok()


@pytest.mark.parametrize(
    ("selector", "found"),
    [
        ({}, "ann bob cyd dee eve"),
        ({"age": 30}, "ann"),
        ({"age": 30.0}, "ann"),
        ({"age": {"$eq": 30}}, "ann"),
        ({"age": {"$ne": 30}}, "bob cyd dee"),
        ({"age": {"$lt": 30}}, "bob"),
        ({"age": {"$lte": 30}}, "ann bob"),
        ({"age": {"$gt": 30}}, "cyd dee"),
        ({"age": {"$gte": 25, "$lt": 41}}, "ann bob"),
        ({"age": {"$exists": False}}, "eve"),
        ({"age": {"$exists": True}}, "ann bob cyd dee"),
        ({"age": {"$type": "number"}}, "ann bob cyd"),
        ({"home": {"$type": "null"}}, "dee"),
        ({"flag": {"$type": "boolean"}}, "eve"),
        ({"home": {"$type": "object"}}, "ann bob cyd"),
        ({"tags": {"$type": "array"}}, "ann bob cyd"),
        ({"age": {"$in": [25, "old"]}}, "bob dee"),
        ({"tags": {"$in": ["a"]}}, "ann"),
        ({"age": {"$nin": [25, "old"]}}, "ann cyd"),
        ({"age": {"$in": []}}, ""),
        ({"tags": {"$size": 0}}, "cyd"),
        ({"age": {"$mod": [5, 0]}}, "ann bob"),
        ({"name": {"$regex": "^[A-C]"}}, "ann cyd"),
        ({"name": {"$beginsWith": "C"}}, "cyd"),
        ({"$and": [{"age": {"$gt": 20}}, {"home.town": "Lima"}]}, "ann cyd"),
        ({"$or": [{"age": 25}, {"n": 7}]}, "bob eve"),
        ({"$nor": [{"age": 25}, {"age": 30}]}, "cyd dee"),
        ({"$not": {"age": 25}}, "ann cyd dee"),
        ({"age": {"$not": {"$gt": 25}}}, "bob"),
        ({"tags": {"$all": ["a", "b"]}}, "ann"),
        ({"tags": {"$all": []}}, ""),
        ({"trials": {"$elemMatch": {"rt": {"$gt": 4}}}}, "cyd dee"),
        ({"trials": {"$allMatch": {"rt": {"$gt": 4}}}}, "cyd"),
        ({"tags": {"$elemMatch": {"$eq": "b"}}}, "ann bob"),
        ({"home": {"$keyMapMatch": {"$eq": "zip.code"}}}, "ann"),
        ({"home": {"town": "Lima"}}, "ann cyd"),
        ({"home": {"town": {"$lt": "M"}}}, "ann cyd"),
        ({"home.zip\\.code": 1}, "ann"),
        ({"trials.1.rt": 9}, "dee"),
        ({"trials": {"$eq": [{"rt": 5}]}}, "cyd"),
        ({"_id": {"$gt": "bob"}}, "cyd dee eve"),
        ({"_id": {"$gte": "bob", "$lt": "dee"}}, "bob cyd"),
        ({"_id": {"$beginsWith": "b"}}, "bob"),
        ({"_id": {"$gt": None}, "flag": True}, "eve"),
    ],
)
async def test_a_selector_finds_what_it_describes(people: Db, selector: Any, found: str) -> None:
    assert await ids(people, selector) == found.split()


@pytest.mark.parametrize("descending", [False, True])
async def test_an_index_sorts_by_type_then_as_people_do(db: Db, descending: bool) -> None:
    values = [None, False, True, -1, 0, 1.5, 2, "a", "A", "aa", "b", "B", "ba", ["a"], ["b", "c"], {"a": 1}]
    docs = [{"_id": f"{99 - at}", "v": value} for at, value in enumerate(values)]
    (await db.post("/_bulk_docs", {"docs": docs})).ok(201)
    await make_index(db, "v")
    way = "desc" if descending else "asc"
    answer = await find(db, {"v": {"$gte": None}}, sort=[{"v": way}], fields=["v"])
    assert [doc["v"] for doc in answer["docs"]] == (values[::-1] if descending else values)
    assert "warning" not in answer


async def test_an_index_gives_what_a_scan_gives(people: Db) -> None:
    selectors: list[Any] = [
        {"age": {"$gt": 25}},
        {"age": 30},
        {"age": {"$gte": 25, "$lte": 30}, "name": {"$exists": True}},
        {"age": {"$ne": 30}},
        {"age": {"$beginsWith": "o"}},
        {"age": {"$lt": 0}},
        {"name": {"$beginsWith": "C"}, "age": 41},
        {"name": {"$gte": "A", "$lte": "A"}, "age": {"$gt": 3}},
        {"name": "Ann", "age": {"$lte": 30}},
    ]
    scanned = [set(await ids(people, selector)) for selector in selectors]
    await make_index(people, "age")
    await make_index(people, "age", "name")
    assert [set(await ids(people, selector)) for selector in selectors] == scanned


async def test_a_range_on_the_first_column_leaves_the_second_to_be_looked_at(people: Db) -> None:
    await make_index(people, "name", "age")
    assert await ids(people, {"name": {"$beginsWith": "C"}, "age": 41}) == ["cyd"]
    assert await ids(people, {"name": {"$gte": "Ann", "$lte": "Ann"}, "age": {"$lt": 31}}) == ["ann"]
    assert await ids(people, {"name": {"$lt": "D"}, "age": {"$gt": 28}}) == ["ann", "cyd"]


async def test_an_index_follows_its_documents(people: Db) -> None:
    await make_index(people, "age")
    assert await ids(people, {"age": {"$gt": 28}}) == ["ann", "cyd", "dee"]
    rev = (await people.get("/ann")).ok()["_rev"]
    rev = await people.save("ann", _rev=rev, age=50)
    await people.save("new", age=35)
    assert await ids(people, {"age": {"$gt": 28}}) == ["new", "cyd", "ann", "dee"]
    await people.remove("ann", rev)
    assert await ids(people, {"age": {"$gt": 28}}) == ["new", "cyd", "dee"]


async def test_the_winner_of_a_conflict_is_found(db: Db) -> None:
    await make_index(db, "x")
    await db.push(replicated("a", "2-a", "1-a", x=1))
    assert await ids(db, {"x": {"$gt": 0}}) == ["a"]
    await db.push(replicated("a", "2-b", "1-a", x=2))
    (doc,) = (await find(db, {"x": {"$gt": 0}}, conflicts=True))["docs"]
    assert doc == {"_id": "a", "_rev": "2-b", "x": 2, "_conflicts": ["2-a"]}


async def test_fields_limit_and_skip(people: Db) -> None:
    answer = await find(people, {"age": {"$exists": True}}, fields=["_id", "home.town"], limit=2, skip=1)
    assert answer["docs"] == [
        {"_id": "bob", "home": {"town": "Oslo"}},
        {"_id": "cyd", "home": {"town": "Lima"}},
    ]
    assert (await find(people, {}, limit=0))["docs"] == []
    assert len((await find(people, {}))["docs"]) == 5


@pytest.mark.parametrize("sort", [[], [{"age": "asc"}], [{"age": "desc"}]])
async def test_bookmarks_lead_through_all_pages(db: Db, sort: list[Any]) -> None:
    await make_index(db, "age")
    docs = [{"_id": f"d{number:02}", "age": number // 4} for number in range(30)]
    (await db.post("/_bulk_docs", {"docs": docs})).ok(201)
    selector = {"age": {"$gte": 1}}
    whole = await ids(db, selector, sort=sort, limit=100)
    paged: list[str] = []
    bookmark = None
    while True:
        answer = await find(db, selector, sort=sort, limit=7, bookmark=bookmark)
        if not answer["docs"]:
            break
        paged += [doc["_id"] for doc in answer["docs"]]
        bookmark = answer["bookmark"]
    assert paged == whole
    assert len(paged) == 26


async def test_a_query_without_an_index_says_so(people: Db) -> None:
    assert "No matching index found" in (await find(people, {"age": 30}))["warning"]
    await make_index(people, "age")
    assert "warning" not in await find(people, {"age": 30})


async def test_a_sort_needs_an_index(people: Db) -> None:
    asked = {"selector": {"age": {"$gt": 0}}, "sort": ["age"]}
    (await people.post("/_find", asked)).refused(400, "no_usable_index")
    await make_index(people, "age")
    assert len((await people.post("/_find", asked)).ok()["docs"]) == 4
    await make_index(people, "home.town", "name")
    selector = {"home.town": "Lima", "name": {"$exists": True}}
    assert await ids(people, selector, sort=["name"]) == ["ann", "cyd"]
    assert await ids(people, {"_id": {"$gt": None}}, sort=[{"_id": "desc"}], limit=2) == ["eve", "dee"]


async def test_an_index_that_is_asked_for_and_does_not_fit_is_passed_over_with_a_warning(people: Db) -> None:
    await make_index(people, "age", ddoc="by-age", name="age")
    assert "warning" not in await find(people, {"age": 30}, use_index="by-age")
    assert "warning" not in await find(people, {"age": 30}, use_index=["_design/by-age", "age"])
    told = (await find(people, {"n": 7}, use_index="by-age"))["warning"]
    assert "_design/by-age was not used because it does not contain a valid index" in told
    body = {"selector": {"n": 7}, "use_index": "by-age", "allow_fallback": False}
    (await people.post("/_find", body)).refused(400, "invalid_index")
    body = {"selector": {"n": 7}, "allow_fallback": False}
    (await people.post("/_find", body)).refused(400, "invalid_index")


async def test_execution_statistics_are_told(people: Db) -> None:
    stats = (await find(people, {"age": 30}, execution_stats=True))["execution_stats"]
    assert (stats["total_docs_examined"], stats["results_returned"]) == (5, 1)
    assert stats["execution_time_ms"] >= 0
    await make_index(people, "age")
    stats = (await find(people, {"age": 30}, execution_stats=True))["execution_stats"]
    assert (stats["total_docs_examined"], stats["results_returned"]) == (1, 1)


async def test_a_partial_index_serves_those_who_name_it(people: Db) -> None:
    await make_index(people, "age", ddoc="few", partial={"home.town": "Lima"})
    assert await ids(people, {"age": {"$gt": 0}}) == ["ann", "bob", "cyd", "dee"]
    assert await ids(people, {"age": {"$gt": 0}}, use_index="few") == ["ann", "cyd"]


async def test_an_index_is_a_design_document_that_is_listed_and_deleted(people: Db) -> None:
    made = await make_index(people, "age", {"name": "asc"}, ddoc="by-age", name="age")
    assert made == {"result": "created", "id": "_design/by-age", "name": "age"}
    again = await make_index(people, "age", {"name": "asc"}, ddoc="by-age", name="age")
    assert again["result"] == "exists"
    listed = (await people.get("/_index")).ok()
    assert listed["total_rows"] == 2
    special, age = listed["indexes"]
    assert (special["ddoc"], special["name"], special["type"]) == (None, "_all_docs", "special")
    assert age["def"] == {"fields": [{"age": "asc"}, {"name": "asc"}]}
    assert (age["ddoc"], age["name"], age["type"]) == ("_design/by-age", "age", "json")
    document = (await people.get("/_design/by-age")).ok()
    assert document["language"] == "query"
    assert document["views"]["age"]["map"]["fields"] == {"age": "asc", "name": "asc"}
    assert "_design/by-age" not in await ids(people, {})
    await make_index(people, "n", ddoc="by-age", name="n")
    (await people.delete("/_index/by-age/json/age")).ok()
    assert [index["name"] for index in (await people.get("/_index")).ok()["indexes"]] == ["_all_docs", "n"]
    (await people.delete("/_index/_design/by-age/json/n")).ok()
    (await people.get("/_design/by-age")).refused(404, "not_found")
    (await people.delete("/_index/by-age/json/n")).refused(404, "not_found")
    assert (await make_index(people, "n", ddoc="by-age", name="n"))["result"] == "created"
    assert await ids(people, {"n": 7}) == ["eve"]


async def test_indexes_are_deleted_in_bulk(people: Db) -> None:
    for name in ("a", "b"):
        await make_index(people, name, ddoc=name)
    answer = (await people.post("/_index/_bulk_delete", {"docids": ["a", "_design/b", "c"]})).ok()
    assert {row["id"] for row in answer["success"]} == {"_design/a", "_design/b"}
    assert [row["id"] for row in answer["fail"]] == ["_design/c"]
    assert (await people.get("/_index")).ok()["total_rows"] == 1


async def test_a_replicated_definition_is_an_index(people: Db, other_db: Db) -> None:
    await make_index(people, "age", ddoc="by-age", name="age")
    definition = (await people.get("/_design/by-age", revs="true")).ok()
    await other_db.push(definition, replicated("x", "1-a", age=3))
    answer = await find(other_db, {"age": 3}, use_index="by-age")
    assert ([doc["_id"] for doc in answer["docs"]], "warning" in answer) == (["x"], False)


async def test_a_plan_is_explained(people: Db) -> None:
    await make_index(people, "age", ddoc="by-age", name="age")
    await make_index(people, "age", "name", ddoc="z", name="both")
    selector = {"age": {"$gt": 3}, "name": {"$exists": True}}
    plan = (await people.post("/_explain", {"selector": selector, "limit": 3, "fields": ["age"]})).ok()
    assert plan["dbname"].endswith(people.name)
    assert (plan["index"]["name"], plan["limit"], plan["skip"], plan["fields"]) == ("both", 3, 0, ["age"])
    assert plan["selector"] == {"$and": [{"age": {"$gt": 3}}, {"name": {"$exists": True}}]}
    assert plan["opts"]["use_index"] == []
    assert plan["mrargs"]["direction"] == "fwd"


async def test_a_sort_without_an_index_is_explained_as_it_would_be_refused(people: Db) -> None:
    asked = {"selector": {"age": {"$gt": 3}}, "sort": ["n"]}
    (await people.post("/_explain", asked)).refused(400, "no_usable_index")


@pytest.mark.parametrize(
    ("body", "error"),
    [
        ({}, "missing_required_key"),
        ({"selector": []}, "invalid_selector_json"),
        ({"selector": {"a": {"$what": 1}}}, "invalid_operator"),
        ({"selector": {"$gt": 1}}, "invalid_selector"),
        ({"selector": {"a": {"$in": 1}}}, "bad_arg"),
        ({"selector": {"a": {"$regex": "("}}}, "bad_arg"),
        ({"selector": {"a": {"$exists": 1}}}, "bad_arg"),
        ({"selector": {"a": {"$size": -1}}}, "bad_arg"),
        ({"selector": {"a": {"$mod": [2]}}}, "bad_arg"),
        ({"selector": {"$and": {}}}, "bad_arg"),
        ({"selector": {"a": {"$where": "x"}}}, "not_supported"),
        ({"selector": {"a..b": 1}}, "invalid_field_name"),
        ({"selector": {}, "limit": -1}, "invalid_non_neg_integer"),
        ({"selector": {}, "skip": "1"}, "invalid_non_neg_integer"),
        ({"selector": {}, "r": 0}, "invalid_pos_integer"),
        ({"selector": {}, "update": 1}, "invalid_boolean"),
        ({"selector": {}, "sort": "a"}, "invalid_sort_json"),
        ({"selector": {}, "sort": [{"a": "asc"}, {"b": "desc"}]}, "unsupported_mixed_sort"),
        ({"selector": {}, "fields": "a"}, "invalid_fields"),
        ({"selector": {}, "fields": [1]}, "invalid_field"),
        ({"selector": {}, "bookmark": "nonsense"}, "invalid_bookmark"),
        ({"selector": {}, "use_index": 1}, "invalid_index_name"),
        ({"selector": {}, "stale": "maybe"}, "invalid_ok_or_false_value"),
        ({"selector": {}, "surprise": 1}, "invalid_key"),
    ],
)
async def test_a_query_that_cannot_be_understood_is_refused(db: Db, body: Any, error: str) -> None:
    (await db.post("/_find", body)).refused(400, error)


@pytest.mark.parametrize(
    ("body", "error"),
    [
        ({}, "missing_required_key"),
        ({"index": {}}, "missing_required_key"),
        ({"index": {"fields": "a"}}, "invalid_sort_json"),
        ({"index": {"fields": [{"a": "asc"}, {"b": "desc"}]}}, "unsupported_mixed_sort"),
        ({"index": {"fields": ["a"]}, "name": ""}, "invalid_empty_string"),
        ({"index": {"fields": ["a"]}, "type": "odd"}, "invalid_index"),
        ({"index": {"fields": ["a"]}, "surprise": 1}, "invalid_key"),
    ],
)
async def test_a_definition_that_cannot_be_understood_is_refused(db: Db, body: Any, error: str) -> None:
    (await db.post("/_index", body)).refused(400, error)


async def test_a_database_that_is_not_there_has_nothing_to_find(couch: Couch) -> None:
    (await couch.post("/contract-none/_find", {"selector": {}})).refused(404, "not_found")


async def test_a_feed_of_what_a_selector_describes(people: Db) -> None:
    async def changed(selector: Any, **query: str) -> list[str]:
        answer = await people.post("/_changes", {"selector": selector}, filter="_selector", **query)
        return [row["id"] for row in answer.ok()["results"]]

    assert sorted(await changed({"home.town": "Lima"})) == ["ann", "cyd"]
    assert await changed({"home.town": "Lima"}, limit="1") == ["ann"]
    assert await changed({"home.town": "Lima"}, descending="true") == ["cyd", "ann"]
    assert await changed({"_deleted": True}) == ["gone"]
    assert await changed({"_id": "eve"}, feed="longpoll") == ["eve"]
    (await people.post("/_changes", {"selector": 1}, filter="_selector")).refused(400, "bad_request")
    (await people.get("/_changes", filter="_selector")).refused(400, "bad_request")


async def test_a_feed_of_all_leaves_shows_those_that_a_selector_describes(db: Db) -> None:
    await db.push(replicated("a", "2-a", "1-a", x=1), replicated("a", "2-b", "1-a", x=2))
    asked: dict[str, str] = {"filter": "_selector", "style": "all_docs"}
    for x, rev in ((1, "2-a"), (2, "2-b")):
        (row,) = (await db.post("/_changes", {"selector": {"x": x}}, **asked)).ok()["results"]
        assert row["changes"] == [{"rev": rev}]
    assert (await db.post("/_changes", {"selector": {"x": 1}}, filter="_selector")).ok()["results"] == []
