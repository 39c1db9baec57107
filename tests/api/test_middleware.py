"""Request ids, access lines, cross-origin answers, and the shape of every failure."""

import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import msgspec
import psycopg
import pytest
import structlog
from aiohttp import web
from pytest_aiohttp.plugin import AiohttpClient
from sqlalchemy import Engine
from structlog.testing import capture_logs

from sync_server.api.route import mounted
from sync_server.api.routes import API_ROUTES
from sync_server.errors import NotAllowed
from sync_server.keys import SETTINGS
from sync_server.middleware import install_middleware
from sync_server.request_ids import REQUEST_ID
from sync_server.settings import Settings
from tests.api.calls import Api
from tests.api.conftest import ORIGIN
from tests.embedded.supervised import SupervisedSystem
from tests.identity.outage import postgres_away

FAILURES: dict[str, Exception] = {
    "defect": RuntimeError("the secret is 42"),
    "forbidden": NotAllowed("No.", details={"why": 1}),
    "driver": psycopg.OperationalError("no route to 10.0.0.1"),
    "shape": msgspec.ValidationError("Expected `int`, got `str` - at `$.docs[0].id`"),
    "redirect": web.HTTPFound("/api/health"),
    "gone": web.HTTPGone(),
    "large": web.HTTPRequestEntityTooLarge(max_size=10, actual_size=20),
}
SETTINGS_ALONE = Settings(
    database_url="postgresql://nobody@127.0.0.1/none",
    redis_url="redis://127.0.0.1/0",
    data_dir=Path(),
    environment="test",
    allowed_origins=(ORIGIN,),
)


async def fail(request: web.Request) -> web.Response:
    raise FAILURES[request.match_info["name"]]


async def broken(request: web.Request) -> web.Response:
    raise web.HTTPNotFound(text='{"error":"not_found"}', content_type="application/json")


async def feed(request: web.Request) -> web.StreamResponse:
    response = web.StreamResponse(headers={"ETag": '"1"'})
    await response.prepare(request)
    await response.write(b"{}\n")
    return response


async def tell_request_id(request: web.Request) -> web.Response:
    return web.Response(text=request[REQUEST_ID])


def bare_app(**changes: Any) -> web.Application:
    """The middleware over handlers that need no dependency; `/db` as the gateway might answer."""
    app = web.Application()
    app[SETTINGS] = msgspec.structs.replace(SETTINGS_ALONE, **changes)
    install_middleware(app)
    app.add_routes(mounted(API_ROUTES))
    app.add_routes(
        [
            web.get("/api/failures/{name}", fail),
            web.get("/db/feed", feed),
            web.get("/db/broken", broken),
            web.get("/db/id", tell_request_id),
        ]
    )
    return app


@pytest.fixture
async def bare(aiohttp_client: AiohttpClient) -> Api:
    """A client without a login."""
    return Api(await aiohttp_client(bare_app()), {})


@pytest.fixture
def log_lines() -> Iterator[list[structlog.typing.EventDict]]:
    """What is logged meanwhile, with the log context of each line."""
    with capture_logs(processors=[structlog.contextvars.merge_contextvars]) as lines:
        yield lines


@pytest.mark.parametrize("request_id", ["r1", "0af7651916cd43dd8448eb211c80319c", "a.b:c_d-E", "x" * 128])
async def test_sane_request_id_is_kept_and_echoed(bare: Api, request_id: str) -> None:
    answer = await bare.sending(X_Request_ID=request_id).get("/api/health")
    assert answer.headers["X-Request-ID"] == request_id


@pytest.mark.parametrize("request_id", ["", "x" * 129, "a b", "a\tb", "<script>", "é"])
async def test_other_request_id_is_replaced(bare: Api, request_id: str) -> None:
    answer = await bare.sending(X_Request_ID=request_id).get("/api/health")
    assert re.fullmatch(r"[0-9a-f]{32}", answer.headers["X-Request-ID"])


async def test_requests_without_an_id_get_different_ones(bare: Api) -> None:
    answers = [await bare.get("/api/health") for _ in range(2)]
    assert len({answer.headers["X-Request-ID"] for answer in answers}) == 2


async def test_every_answer_has_the_id_and_nosniff_failures_and_streams_included(bare: Api) -> None:
    for path in ("/api/health", "/api/none", "/api/sessions/none", "/db/feed", "/db/broken", "/none"):
        answer = await bare.sending(X_Request_ID="r1").get(path)
        assert answer.headers["X-Request-ID"] == "r1"
        assert answer.headers["X-Content-Type-Options"] == "nosniff"


async def test_access_line_tells_the_request(api: Api, log_lines: list[structlog.typing.EventDict]) -> None:
    answer = await api.sending(X_Request_ID="r1", **api.headers).get("/api/sessions", site="lima")
    (line,) = log_lines
    assert line.pop("ms") >= 0
    assert line.pop("person") > 0
    assert line == {
        "event": "request",
        "log_level": "info",
        "request_id": "r1",
        "method": "GET",
        "path": "/api/sessions",
        "status": 200,
        "bytes": int(answer.headers["Content-Length"]),
        "address": "127.0.0.1",
    }


async def test_access_line_of_failures_and_streams_has_their_status_and_size(
    bare: Api, log_lines: list[structlog.typing.EventDict]
) -> None:
    for path in ("/api/none", "/api/sessions", "/db/broken", "/db/feed", "/none"):
        await bare.sending().get(path)
    assert [(line["path"], line["status"]) for line in log_lines] == [
        ("/api/none", 404),
        ("/api/sessions", 401),
        ("/db/broken", 404),
        ("/db/feed", 200),
        ("/none", 404),
    ]
    assert log_lines[3]["bytes"] > 0


async def test_next_request_on_the_connection_does_not_inherit_the_caller(
    api: Api, log_lines: list[structlog.typing.EventDict]
) -> None:
    await api.get("/api/auth/me")
    await api.sending().get("/api/none")
    assert "person" in log_lines[0]
    assert "person" not in log_lines[1]
    assert log_lines[0]["request_id"] != log_lines[1]["request_id"]


async def test_health_checks_do_not_fill_the_log(
    bare: Api, log_lines: list[structlog.typing.EventDict]
) -> None:
    await bare.get("/api/health")
    assert all(line["log_level"] == "debug" for line in log_lines)


async def test_unknown_route_and_method_have_the_error_shape(bare: Api) -> None:
    for path in ("/api", "/api/none", "/api/sessions/"):
        assert (await bare.get(path)).error == (404, "not_found")
    answer = await bare.call("DELETE", "/api/sessions")
    assert answer.error == (405, "method_not_allowed")
    assert answer.headers["Allow"] == "GET, HEAD"
    assert answer.details == {"allowed": ["GET", "HEAD"]}


async def test_paths_outside_the_api_keep_their_own_errors(bare: Api) -> None:
    assert (await bare.get("/db/broken")).body == {"error": "not_found"}
    assert "error" not in (await bare.get("/apix")).body


async def test_postgres_away_is_unavailable_and_says_nothing_of_it(
    api: Api, engine: Engine, postgres_server: SupervisedSystem, database_url: str
) -> None:
    with postgres_away(postgres_server.superuser_url, database_url):
        for path in ("/api/sessions", "/api/quarantine", "/api/auth/me"):
            answer = await api.get(path)
            assert answer.error == (503, "unavailable")
            assert answer.headers["Retry-After"] == "2"
            assert "metricis" not in str(answer.body)
        form = {"username": "ada@example.org", "password": "x"}
        login = await api.sending().call("POST", "/api/auth/login", data=form)
        assert login.error == (503, "unavailable")
    assert (await api.get("/api/sessions")).status == 200


async def test_defect_is_logged_with_its_traceback_and_answered_without(
    bare: Api, log_lines: list[structlog.typing.EventDict]
) -> None:
    answer = await bare.sending(X_Request_ID="r1").get("/api/failures/defect")
    assert answer.error == (500, "internal_error")
    assert answer.details == {"request_id": "r1"}
    assert "42" not in str(answer.body)
    failed, access = log_lines
    assert (failed["event"], failed["request_id"]) == ("request failed", "r1")
    assert str(failed["exc_info"]) == "the secret is 42"
    assert failed["exc_info"].__traceback__ is not None
    assert access["status"] == 500


async def test_defect_is_answered_with_its_traceback_when_debugging(aiohttp_client: AiohttpClient) -> None:
    bare = Api(await aiohttp_client(bare_app(debug=True)), {})
    answer = await bare.get("/api/failures/defect")
    assert answer.error == (500, "internal_error")
    assert "the secret is 42" in "".join(answer.details["traceback"])


@pytest.mark.parametrize(
    ("name", "error", "details"),
    [
        ("forbidden", (403, "not_allowed"), {"why": 1}),
        ("driver", (503, "unavailable"), None),
        ("shape", (422, "invalid_request"), {"path": "$.docs[0].id"}),
        ("large", (413, "too_large"), None),
        ("gone", (410, "gone"), None),
    ],
)
async def test_failure_has_its_status_code_and_shape(
    bare: Api, name: str, error: tuple[int, str], details: object
) -> None:
    answer = await bare.get(f"/api/failures/{name}")
    assert answer.error == error
    assert answer.details == details
    assert "10.0.0.1" not in str(answer.body)


async def test_redirect_is_no_failure(bare: Api) -> None:
    answer = await bare.call("GET", "/api/failures/redirect", allow_redirects=False)
    assert (answer.status, answer.headers["Location"]) == (302, "/api/health")


@pytest.mark.parametrize("path", ["/api/sessions", "/api/none", "/db/feed", "/db/site-lima/_bulk_docs"])
async def test_preflight_of_an_allowed_origin_is_answered_without_a_credential(bare: Api, path: str) -> None:
    caller = bare.sending(
        Origin=ORIGIN,
        Access_Control_Request_Method="PUT",
        Access_Control_Request_Headers="authorization,content-type",
    )
    answer = await caller.call("OPTIONS", path)
    assert answer.status == 204
    assert answer.headers["Access-Control-Allow-Origin"] == ORIGIN
    assert answer.headers["Access-Control-Allow-Credentials"] == "true"
    assert "PUT" in answer.headers["Access-Control-Allow-Methods"]
    allowed = answer.headers["Access-Control-Allow-Headers"].lower()
    assert "authorization" in allowed
    assert "content-type" in allowed
    assert "Origin" in answer.headers["Vary"]


@pytest.mark.parametrize("origin", ["https://evil.example.org", ORIGIN + ".evil.org", "null", ORIGIN.upper()])
async def test_other_origins_are_not_allowed(bare: Api, origin: str) -> None:
    caller = bare.sending(Origin=origin, Access_Control_Request_Method="PUT")
    preflight = await caller.call("OPTIONS", "/api/sessions")
    assert preflight.error == (405, "method_not_allowed")
    plain = await bare.sending(Origin=origin).get("/db/feed")
    for answer in (preflight, plain):
        assert "Access-Control-Allow-Origin" not in answer.headers
        assert answer.headers["Vary"] == "Origin"


@pytest.mark.parametrize("path", ["/api/sessions", "/api/none", "/db/feed", "/db/broken"])
async def test_answer_to_an_allowed_origin_exposes_what_pouchdb_reads(bare: Api, path: str) -> None:
    answer = await bare.sending(Origin=ORIGIN).get(path)
    assert answer.headers["Access-Control-Allow-Origin"] == ORIGIN
    exposed = answer.headers["Access-Control-Expose-Headers"].split(", ")
    assert {"ETag", "Location", "Content-Type", "X-Request-ID", "Retry-After"} <= set(exposed)


async def test_other_paths_are_not_shared_with_other_origins(bare: Api) -> None:
    answer = await bare.sending(Origin=ORIGIN).get("/portal")
    assert "Access-Control-Allow-Origin" not in answer.headers


async def test_any_origin_is_echoed_and_never_starred(aiohttp_client: AiohttpClient) -> None:
    bare = Api(await aiohttp_client(bare_app(allowed_origins=("*",))), {})
    answer = await bare.sending(Origin="https://any.example.org").get("/api/health")
    assert answer.headers["Access-Control-Allow-Origin"] == "https://any.example.org"


async def test_without_origins_nothing_is_shared(aiohttp_client: AiohttpClient) -> None:
    bare = Api(await aiohttp_client(bare_app(allowed_origins=())), {})
    answer = await bare.sending(Origin=ORIGIN).get("/api/health")
    assert "Access-Control-Allow-Origin" not in answer.headers
    assert "Vary" not in answer.headers


async def test_handlers_find_the_request_id(bare: Api) -> None:
    assert (await bare.sending(X_Request_ID="r1").get("/db/id")).body == "r1"
