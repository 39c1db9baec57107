"""A tablet reads what is published, and by no way on earth a session: a lost tablet opens no site's data."""

import itertools
import json
from typing import Any

import pytest

from tests.gateway.conftest import SITE
from tests.gateway.gateway import Answer, Gateway, session

SECRET = "the participant's answers"
PUBLISHED = (
    "study:SRO",
    "battery:memory@1",
    "participant:s1",
    "visit:v1",
    "consent_form:f@1",
    "item_bank:i@1",
)


@pytest.fixture
async def full_lima(gateway: Gateway, lima: str, tablet: str, hub: str) -> str:
    """The site's database with published, collected and the server's own documents, deletions included."""
    drawing = {"drawing.png": {"content_type": "image/png", "data": "c2VjcmV0"}}
    rows = await gateway.push(
        lima,
        session("one", answers=SECRET, _attachments=drawing),
        {"_id": "consent:c1", "_rev": "1-aa", "type": "consent", "answers": SECRET},
        {"_id": "device:tab-1", "_rev": "1-aa", "type": "device", "answers": SECRET},
        token=tablet,
    )
    served: list[dict[str, Any]] = [
        *({"_id": doc_id, "_rev": "1-aa", "type": doc_id.partition(":")[0]} for doc_id in PUBLISHED),
        {"_id": "visit:gone", "_rev": "2-bb", "_deleted": True},
        {"_id": "session:gone", "_rev": "2-bb", "_deleted": True, "answers": SECRET},
        {"_id": "correction:one:1", "_rev": "1-aa", "answers": SECRET},
        {"_id": "_design/views", "_rev": "1-aa", "answers": SECRET},
        {"_id": "sessions", "_rev": "1-aa", "answers": SECRET},
        {"_id": "study", "_rev": "1-aa", "answers": SECRET},
        {"_id": "studyx:1", "_rev": "1-aa", "answers": SECRET},
    ]
    rows += await gateway.push(lima, *served, token=gateway.service)
    assert rows == []
    await gateway.call("PUT", f"/{lima}/_local/projector", token=gateway.service, body={"answers": SECRET})
    return lima


BY_ID = [
    "session:one",
    "session%3Aone",
    "%73ession:one",
    "session:one?rev=1-aa",
    "session:one?revs=true&open_revs=all",
    'session:one?open_revs=["1-aa"]',
    "session:one?attachments=true",
    "session:one?meta=true",
    "session:one/drawing.png",
    "session%3Aone/drawing.png",
    "session:one/drawing.png?rev=1-aa",
    "session:one%2Fdrawing.png",
    "session:gone?rev=2-bb",
    "session:nowhere",
    "consent:c1",
    "device:tab-1",
    "correction:one:1",
    "sessions",
    "study",
    "studyx:1",
    "_design/views",
    "_design%2Fviews",
    "_local/projector",
    "_local/%70rojector",
    "_local%2Fprojector",
    "_local%2Fprojector/x",
    "_local/projector/x",
    "_all_docs",
    "_all_docs?include_docs=true",
    "study:SRO/../session:one",
    "study:SRO%2F..%2Fsession:one",
    "./session:one",
]


async def test_what_is_not_published_is_not_read_by_any_spelling_of_its_url(
    gateway: Gateway, full_lima: str, tablet: str, hub: str
) -> None:
    for method, path, token in itertools.product(("GET", "HEAD"), BY_ID, (tablet, hub)):
        answer = await gateway.call(method, f"/{full_lima}/{path}", token=token)
        assert answer.status in (403, 404), path
        assert method == "HEAD" or answer.error[0] == answer.status
        _tells_nothing(answer)
        assert "ETag" not in answer.headers


def _tells_nothing(answer: Answer) -> None:
    assert SECRET.encode() not in answer.body
    assert b"c2VjcmV0" not in answer.body
    assert b"secret" not in answer.body


async def test_whether_a_session_exists_is_not_told_by_its_id(
    gateway: Gateway, full_lima: str, tablet: str
) -> None:
    there, absent = [
        await gateway.call("GET", f"/{full_lima}/{doc_id}", token=tablet)
        for doc_id in ("session:one", "session:nowhere")
    ]
    assert there.error == absent.error == (403, "forbidden")
    assert there.json == absent.json


async def test_what_is_published_is_read_by_id(gateway: Gateway, full_lima: str, tablet: str) -> None:
    for doc_id in PUBLISHED:
        for path in (doc_id, doc_id.replace(":", "%3A")):
            answer = await gateway.call("GET", f"/{full_lima}/{path}", token=tablet)
            assert (answer.status, answer.json["_id"]) == (200, doc_id)


async def test_bulk_get_answers_row_by_row(gateway: Gateway, full_lima: str, tablet: str) -> None:
    hidden = ("session:one", "consent:c1", "device:tab-1", "correction:one:1", "_design/views", "study")
    asked: list[dict[str, Any]] = [{"id": doc_id} for doc_id in (*hidden, "_local/projector", *PUBLISHED)]
    asked += [{"id": "session:one", "rev": "1-aa"}, {"id": "session:one", "rev": "1-aa", "atts_since": []}]
    for query in ({}, {"revs": "true", "latest": "true", "attachments": "true"}):
        path = f"/{full_lima}/_bulk_get"
        answer = await gateway.call("POST", path, token=tablet, query=query, body={"docs": asked})
        assert answer.status == 200
        _tells_nothing(answer)
        shown = [row["id"] for row in answer.json["results"] for doc in row["docs"] if "ok" in doc]
        assert shown == list(PUBLISHED)
        refused = [doc["error"] for row in answer.json["results"] for doc in row["docs"] if "error" in doc]
        assert {row["error"] for row in refused} == {"forbidden"}
        assert len(refused) == len(asked) - len(PUBLISHED)


FEEDS: list[tuple[str, dict[str, str], Any]] = [
    ("GET", {}, None),
    ("GET", {"include_docs": "true", "attachments": "true", "conflicts": "true", "style": "all_docs"}, None),
    ("GET", {"descending": "true", "include_docs": "true"}, None),
    ("GET", {"feed": "longpoll", "timeout": "1", "include_docs": "true"}, None),
    ("POST", {"include_docs": "true"}, {}),
]


async def test_the_feed_shows_what_is_published_deletions_included(
    gateway: Gateway, full_lima: str, tablet: str
) -> None:
    for method, query, body in FEEDS:
        answer = await gateway.call(method, f"/{full_lima}/_changes", token=tablet, query=query, body=body)
        assert answer.status == 200
        _tells_nothing(answer)
        rows = answer.json["results"]
        assert sorted(row["id"] for row in rows) == sorted([*PUBLISHED, "visit:gone"])
        assert [row["id"] for row in rows if row.get("deleted")] == ["visit:gone"]
        assert answer.json["pending"] == 0


async def test_asking_for_named_documents_shows_the_published_ones_among_them(
    gateway: Gateway, full_lima: str, tablet: str
) -> None:
    names = ["session:one", "visit:v1", "_design/views", "_local/projector", "correction:one:1", "visit:gone"]
    query = {"filter": "_doc_ids", "include_docs": "true"}
    path = f"/{full_lima}/_changes"
    answers = [
        await gateway.call("POST", path, token=tablet, query=query, body={"doc_ids": names}),
        await gateway.call("GET", path, token=tablet, query={**query, "doc_ids": json.dumps(names)}),
    ]
    for answer in answers:
        _tells_nothing(answer)
        assert [row["id"] for row in answer.json["results"]] == ["visit:v1", "visit:gone"]


async def test_limit_counts_the_rows_that_are_shown(gateway: Gateway, lima: str, tablet: str) -> None:
    docs = itertools.chain.from_iterable(
        (session(f"s{n}"), session(f"t{n}"), {"_id": f"visit:v{n}", "_rev": "1-aa"}) for n in range(5)
    )
    await gateway.push(lima, *docs, token=gateway.service)
    seen: list[str] = []
    since, pages = "0", 0
    while True:
        query = {"since": since, "limit": "2"}
        page = (await gateway.call("GET", f"/{lima}/_changes", token=tablet, query=query)).json
        since = page["last_seq"]
        if not page["results"]:
            break
        pages += 1
        seen += [row["id"] for row in page["results"]]
        assert page["pending"] == 5 - len(seen)
    assert (pages, seen) == (3, [f"visit:v{n}" for n in range(5)])


async def test_a_waiting_tablet_is_not_woken_by_sessions(gateway: Gateway, lima: str, tablet: str) -> None:
    await gateway.push(lima, session("one"), token=tablet)
    query = {"feed": "longpoll", "since": "0", "timeout": "50"}
    nothing = await gateway.call("GET", f"/{lima}/_changes", token=tablet, query=query)
    assert nothing.json["results"] == []
    await gateway.push(lima, {"_id": "visit:1", "_rev": "1-aa"}, token=gateway.service)
    query = {"feed": "longpoll", "since": nothing.json["last_seq"], "timeout": "30000"}
    woken = await gateway.call("GET", f"/{lima}/_changes", token=tablet, query=query)
    assert [row["id"] for row in woken.json["results"]] == ["visit:1"]


async def test_checkpoints_of_its_own_are_open_and_the_projectors_is_not(
    gateway: Gateway, full_lima: str, tablet: str
) -> None:
    path = f"/{full_lima}/_local/replication%2Fid%3D"
    saved = await gateway.call("PUT", path, token=tablet, body={"last_seq": 3})
    assert saved.status == 201
    read = await gateway.call("GET", path, token=tablet)
    assert (read.json["_id"], read.json["last_seq"]) == ("_local/replication/id=", 3)
    assert (await gateway.call("DELETE", path, token=tablet)).status == 200
    for spelling in ("projector", "%70rojector", "pr%6Fjector"):
        path = f"/{full_lima}/_local/{spelling}"
        for method, body in (("GET", None), ("PUT", {"epoch": "x"}), ("DELETE", None)):
            answer = await gateway.call(method, path, token=tablet, body=body)
            assert answer.error == (403, "forbidden")
    kept = await gateway.call("GET", f"/{full_lima}/_local/projector", token=gateway.service)
    assert kept.json["answers"] == SECRET


async def test_another_site_is_closed_whether_it_exists_or_not(gateway: Gateway, tablet: str) -> None:
    await gateway.open_site("cusco")
    for database in ("site-cusco", "site-nowhere", f"site-{SITE}-2", "SITE-lima", "site-lima%20", "_users"):
        answer = await gateway.call("GET", f"/{database}/visit:1", token=tablet)
        assert answer.error == (403, "forbidden")
