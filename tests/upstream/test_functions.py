"""What the server behind would do for this service's login, and is never asked to."""

from collections.abc import AsyncIterator

import pytest

from replication.http.access import allow_everything
from tests.contract.behind import gateway_before
from tests.contract.couch import Couch
from tests.upstream.scripted import Scripted, Visits, answers, only, scripted


@pytest.fixture
async def script() -> AsyncIterator[tuple[Scripted, str]]:
    async with scripted() as running:
        running[0].will(answers(200, {"told": "everything"}))
        yield running


@pytest.fixture
async def owner(script: tuple[Scripted, str]) -> AsyncIterator[Couch]:
    """A gateway whose caller may do everything."""
    async with gateway_before(script[1], allow_everything) as running:
        yield running


@pytest.mark.parametrize(
    ("asked", "status"),
    [
        ("POST /a/_design/d/_update/u", 501),
        ("PUT /a/_design/d/_update/u/x", 501),
        ("GET /a/_design/d/_show/s/x", 501),
        ("GET /a/_design/d/_list/l/v", 501),
        ("GET /a/_design/d/_rewrite", 501),
        ("POST /a/_design/d/_rewrite/x", 501),
        ("GET /a/_design%2Fd/_rewrite", 404),
        ("GET /a/_design%2Fd/_info", 404),
        ("GET /a/x/_y", 404),
        ("PUT /a/_design%2Fd/_rewrite", 400),
        ("DELETE /a/_design%2Fd/_rewrite", 400),
        ("GET /_node/_local/_config", 404),
        ("GET /_node/_local/_config/admins", 404),
        ("GET /_node/_local/%5Fconfig%2Fadmins", 404),
        ("GET /_node/_local//_config/admins", 404),
        ("PUT /_node/_local/_config/admins/x", 404),
        ("DELETE /_node/_local/_config/admins/x", 404),
        ("PUT /_node/_local/_stats", 404),
        ("GET /_node/_local/_other", 404),
        ("GET /_users", 404),
        ("GET /_users/_all_docs", 404),
        ("PUT /_users/org.couchdb.user%3Ax", 404),
        ("GET /%5Fusers/x", 404),
        ("GET /_membership", 404),
        ("POST /_cluster_setup", 404),
        ("DELETE /_reshard/jobs/x", 404),
    ],
)
async def test_nobody_makes_the_server_behind_do_what_nothing_here_has_judged(
    owner: Couch, script: tuple[Scripted, str], asked: str, status: int
) -> None:
    method, path = asked.split()
    answer = await owner.call(method, path, body=None if method in ("GET", "DELETE") else {})
    assert (answer.status, script[0].asked) == (status, []), answer


@pytest.mark.parametrize(
    "path",
    [
        "/a/_design/d/_view/v?key=1",
        "/a/_design/d/_info",
        "/_node/_local/_stats/couchdb",
        "/_node/_local/_system",
        "/_replicator/x",
        "/a/x/y_",
    ],
)
async def test_what_the_server_behind_computes_or_shows_is_passed_on(
    owner: Couch, script: tuple[Scripted, str], path: str
) -> None:
    (await owner.call("GET", path)).ok()
    assert script[0].asked[-1].path == f"/couch{path}"


async def test_an_attachment_runs_no_scripts_whatever_the_server_behind_says(
    owner: Couch, script: tuple[Scripted, str]
) -> None:
    for method in ("GET", "HEAD"):
        answer = await owner.call(method, "/a/x/page.html")
        assert answer.headers["Content-Security-Policy"] == "sandbox"
        assert answer.headers["X-Content-Type-Options"] == "nosniff"


async def test_a_head_of_a_feed_runs_no_filter_and_waits_for_nothing(script: tuple[Scripted, str]) -> None:
    async with gateway_before(script[1], only(Visits())) as tablet:
        for query, status in (
            ({"filter": "d/f"}, 403),
            ({"filter": "_view", "view": "d/v"}, 403),
            ({"feed": "other"}, 400),
            ({"filter": "_other"}, 400),
        ):
            assert (await tablet.call("HEAD", "/a/_changes", query=query)).status == status, query
        assert script[0].asked == []
        named = {"feed": "longpoll", "since": "now", "filter": "_doc_ids", "doc_ids": '["session:1"]'}
        assert (await tablet.call("HEAD", "/a/_changes", query=named)).status == 200
        assert [(asked.method, asked.path) for asked in script[0].asked] == [("HEAD", "/couch/a/_changes")]


async def test_a_selector_that_is_no_object_is_refused_and_not_sent(script: tuple[Scripted, str]) -> None:
    async with gateway_before(script[1], only(Visits())) as tablet:
        bodies: tuple[dict[str, object], ...] = ({}, {"selector": None}, {"selector": "x"}, {"selector": []})
        for body in bodies:
            answer = await tablet.post("/a/_changes", body, filter="_selector")
            answer.refused(400, "bad_request")
        assert script[0].asked == []
