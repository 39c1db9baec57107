"""What the server behind does wrong, and what its clients see of that; whose credentials go where."""

import asyncio
import base64
import json
from collections.abc import AsyncIterator

import aiohttp
import pytest
from structlog.testing import capture_logs

from replication.client import basic_login
from replication.http.access import allow_everything
from replication.upstream import exchange
from replication.upstream.exchange import Upstream
from tests.contract.behind import gateway_before
from tests.contract.couch import Couch
from tests.upstream.scripted import (
    Act,
    Scripted,
    Visits,
    answers,
    begins,
    is_silent,
    only,
    resets,
    scripted,
)

OWN = basic_login("service", "own-secret")


@pytest.fixture
async def script(monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[tuple[Scripted, str]]:
    monkeypatch.setattr(exchange, "LOOK_SECONDS", 0.02)
    async with scripted() as running:
        yield running


@pytest.fixture
async def couch(script: tuple[Scripted, str]) -> AsyncIterator[Couch]:
    """A gateway whose caller may do everything."""
    async with gateway_before(script[1], allow_everything, headers=OWN) as running:
        yield running


@pytest.mark.parametrize(
    "act", [resets, *(answers(status, {"error": "x", "reason": "y"}) for status in (429, 500, 502, 503, 504))]
)
async def test_a_failure_that_passes_is_a_503_with_retry_after_and_nothing_is_acknowledged(
    couch: Couch, script: tuple[Scripted, str], act: Act
) -> None:
    script[0].will(act)
    pushed = await couch.post("/a/_bulk_docs", {"new_edits": False, "docs": [{"_id": "x", "_rev": "1-a"}]})
    for answer in (pushed, await couch.get("/a/x"), await couch.get("/a/_changes"), await couch.get("/")):
        assert "send again" in answer.refused(503, "service_unavailable")
        assert answer.headers["Retry-After"]


async def test_what_came_of_a_replication_is_told_with_its_reason(
    couch: Couch, script: tuple[Scripted, str]
) -> None:
    script[0].will(answers(500, {"error": "db_not_found", "reason": "could not open it"}), resets)
    answer = await couch.post("/_replicate", {"source": "a", "target": "b"})
    assert answer.refused(500, "db_not_found") == "could not open it"
    answer = await couch.post("/_replicate", {"source": "a", "target": "b"})
    assert "send again" in answer.refused(503, "service_unavailable")


@pytest.mark.parametrize(
    ("asked", "times"),
    [
        ("PUT /a/x", 1),
        ("PUT /a/x/note.txt", 1),
        ("DELETE /a/x?rev=1-a", 1),
        ("DELETE /a/x/note.txt?rev=1-a", 1),
        ("POST /a", 1),
        ("POST /a/_bulk_docs", 1),
        ("PUT /a/x?new_edits=false", 2),
        ("PUT /a/_local/x", 2),
        ("GET /a/x", 2),
    ],
)
async def test_what_is_no_edit_is_sent_once_more_after_a_disconnect_and_an_edit_never(
    couch: Couch, script: tuple[Scripted, str], asked: str, times: int
) -> None:
    script[0].will(answers(200, {}), resets)
    (await couch.get("/a")).ok()  # a kept connection is the one that may have been closed meanwhile
    method, path = asked.split()
    body = {"_rev": "1-a", "docs": [{}]} if method in ("PUT", "POST") else None
    (await couch.call(method, path, body=body)).refused(503, "service_unavailable")
    assert [each.method for each in script[0].asked] == ["GET", *[method] * times]


async def test_a_server_that_is_not_there_and_one_that_says_nothing_are_503(
    script: tuple[Scripted, str], monkeypatch: pytest.MonkeyPatch
) -> None:
    async with gateway_before("http://127.0.0.1:1", allow_everything) as couch:
        (await couch.get("/a")).refused(503, "service_unavailable")
    script[0].will(is_silent)
    monkeypatch.setattr(exchange, "FIRST_BYTE_SECONDS", 0.05)
    async with gateway_before(script[1], allow_everything) as couch:
        (await couch.get("/a")).refused(503, "service_unavailable")


async def test_its_own_login_refused_is_no_401_for_the_client_and_an_error_in_the_log(
    couch: Couch, script: tuple[Scripted, str]
) -> None:
    for status in (401, 403):
        script[0].will(
            answers(status, {"error": "unauthorized", "reason": "you"}, **{"WWW-Authenticate": "x"})
        )
        for method, path in (("GET", "/a/x"), ("PUT", "/a/x"), ("POST", "/a/_bulk_docs"), ("DELETE", "/a/x")):
            with capture_logs() as lines:
                body = {"docs": [{"_id": "x"}]} if method != "GET" else None
                answer = await couch.call(method, path, body=body)
            answer.refused(503, "service_unavailable")
            assert "WWW-Authenticate" not in answer.headers
            assert "error" in [line["log_level"] for line in lines]


async def test_a_document_that_a_function_refuses_is_a_403_all_the_same(
    couch: Couch, script: tuple[Scripted, str]
) -> None:
    refused = answers(403, {"error": "forbidden", "reason": "no such"})
    for method, query in (("PUT", ""), ("DELETE", "?rev=1-a")):
        script[0].will(refused, answers(200, {}))
        body = {"a": 1} if method == "PUT" else None
        answer = await couch.call(method, f"/a/x{query}", body=body)
        assert answer.refused(403, "forbidden") == "no such"


async def test_half_an_answer_is_cut_and_never_looks_whole(
    couch: Couch, script: tuple[Scripted, str]
) -> None:
    whole = b'{"results":[' + b'{"seq":"1","id":"a","changes":[]},' * 20_000
    for length in (None, 10_000_000):
        script[0].will(begins(whole, then=resets, length=length))
        for path in ("/a/_changes", "/a/_all_docs", "/a/x/attachment"):
            with pytest.raises(aiohttp.ClientPayloadError):
                await couch.get(path)


@pytest.mark.parametrize("act", [is_silent, begins(b'{"results":[\n', then=is_silent)])
@pytest.mark.parametrize("path", ["/a/_changes?feed=longpoll", "/a/_changes?feed=continuous", "/a/x"])
async def test_a_client_that_goes_away_cancels_the_request_also_while_nothing_comes(
    couch: Couch, script: tuple[Scripted, str], act: Act, path: str
) -> None:
    script[0].will(act)
    asking = asyncio.create_task(couch.call("GET", path))
    await script[0].came.wait()
    asking.cancel()
    await asyncio.wait([asking])
    async with asyncio.timeout(5):
        await script[0].gone.wait()


async def test_no_credential_goes_through_in_either_direction(
    couch: Couch, script: tuple[Scripted, str]
) -> None:
    script[0].will(
        answers(
            200, {"ok": True}, **{"Set-Cookie": "AuthSession=own", "WWW-Authenticate": "Basic", "X-Own": "1"}
        )
    )
    theirs = {
        "Authorization": "Bearer tablet",
        "Cookie": "AuthSession=tablet",
        "X-Auth-CouchDB-UserName": "admin",
        "X-Auth-CouchDB-Roles": "_admin",
        "X-Auth-CouchDB-Token": "t",
        "Proxy-Authorization": "p",
        "X-Forwarded-For": "1.2.3.4",
        "If-None-Match": '"e"',
    }
    for method, path in (
        ("GET", "/a/x"),
        ("GET", "/a/_changes"),
        ("PUT", "/a/_local/x"),
        ("POST", "/a/_find"),
    ):
        body = {"a": 1} if method != "GET" else None
        answer = await couch.call(method, path, body=body, headers=theirs)
        assert {"Set-Cookie", "WWW-Authenticate", "X-Own"}.isdisjoint(answer.headers)
        sent = script[0].asked[-1].headers
        assert sent["Authorization"] == "Basic " + base64.b64encode(b"service:own-secret").decode()
        assert not {name for name in sent if name.lower().startswith(("cookie", "x-", "proxy"))}
        assert sent["If-None-Match"] == '"e"'


@pytest.mark.parametrize(
    ("path", "sent"),
    [
        ("/a/x%2Fy", "/a/x%2Fy"),
        ("/a/caf%C3%A9%20+%25?rev=1-a%2Bb", "/a/caf%C3%A9%20%2B%25?rev=1-a%2Bb"),
        ("/a/_design/d/b%2Fc", "/a/_design/d/b%2Fc"),
        ("/a/_design%2Fd", "/a/_design/d"),
        ("/a/x/one/two", "/a/x/one%2Ftwo"),
        ("/a%2Fb/x", "/a%2Fb/x"),
        ("/_node/_local/_stats/couchdb", "/_node/_local/_stats/couchdb"),
    ],
)
async def test_a_path_names_there_what_was_authorised_here(
    couch: Couch, script: tuple[Scripted, str], path: str, sent: str
) -> None:
    script[0].will(answers(200, {}))
    (await couch.call("GET", path)).ok()
    assert script[0].asked[-1].path == "/couch" + sent


@pytest.mark.parametrize("path", ["/a/%2e%2e", "/a/../b/c", "/%2e%2e/b/c", "/_node/_local/../../b"])
async def test_no_path_climbs_out_of_its_database(
    couch: Couch, script: tuple[Scripted, str], path: str
) -> None:
    script[0].will(answers(200, {}))
    answer = await couch.call("GET", path)
    assert answer.status in (400, 404), answer
    assert not script[0].asked


async def test_what_is_said_to_be_elsewhere_is_here(couch: Couch, script: tuple[Scripted, str]) -> None:
    script[0].will(answers(201, {"ok": True}, Location=script[1] + "/a/x%2Fy"))
    answer = await couch.put("/a/x%2Fy", {})
    assert answer.headers["Location"] == couch.base + "/a/x%2Fy"


ROW = b'{"seq":"7-x","id":"visit:1","changes":[]}'


@pytest.mark.parametrize(
    ("feed", "begun", "ending"),
    [
        ("continuous", ROW + b"\n", {"last_seq": "7-x"}),
        ("longpoll", b'{"results":[\n', {"results": [], "last_seq": "3-x"}),
        ("longpoll", b'{"results":[\n' + ROW + b",\n", None),
        ("normal", b'{"results":[\n' + (ROW + b",\n") * 10_000, None),
    ],
)
async def test_a_stop_ends_a_feed_that_waits_and_cuts_one_that_would_look_complete(
    script: tuple[Scripted, str], feed: str, begun: bytes, ending: object
) -> None:
    script[0].will(begins(begun, then=is_silent))
    upstream = Upstream()
    async with gateway_before(script[1], only(Visits()), upstream=upstream) as couch:
        url = couch.url("/a/_changes", {"feed": feed, "since": "3-x"})
        async with couch.session.get(url) as response:
            first = await response.content.readline()
            upstream.stop_feeds()
            if ending is None:
                with pytest.raises(aiohttp.ClientPayloadError):
                    await response.content.read()
            else:
                rest = await response.content.read()
                assert json.loads(rest if feed == "continuous" else first + rest) == ending
    await asyncio.wait_for(script[0].gone.wait(), 5)


async def test_who_is_not_allowed_any_more_gets_no_further_row(
    script: tuple[Scripted, str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(exchange, "ALLOWED_SECONDS", 0.02)
    visits = Visits()
    script[0].will(begins(b'{"seq":"1","id":"visit:1","changes":[]}\n', then=is_silent))
    async with gateway_before(script[1], only(visits)) as couch:
        async with couch.session.get(couch.url("/a/_changes", {"feed": "continuous"})) as response:
            await response.content.readline()
            visits.allowed = False
            with pytest.raises(aiohttp.ClientPayloadError):
                await response.content.read()
        await asyncio.wait_for(script[0].gone.wait(), 5)
