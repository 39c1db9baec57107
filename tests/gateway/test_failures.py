"""What goes wrong under `/db` is told in CouchDB's shape, logged with its request, and shows no secret."""

import asyncio
import logging
import sys

import aiohttp
import pytest
import structlog
from aiohttp import web
from aiohttp.http_exceptions import BadHttpMessage, LineTooLong
from pytest_aiohttp.plugin import AiohttpClient

from sync_server.gateway.failures import couch_errors
from sync_server.keys import SETTINGS
from sync_server.logs import without_received_bytes
from sync_server.middleware import install_middleware
from sync_server.settings import Settings
from tests.gateway.gateway import Gateway


async def defect(request: web.Request) -> web.Response:
    raise RuntimeError("the secret is 42")


async def defect_in_the_middle(request: web.Request) -> web.StreamResponse:
    response = web.StreamResponse()
    await response.prepare(request)
    await response.write(b'{"results":[')
    raise RuntimeError("the secret is 42")


async def gone(request: web.Request) -> web.Response:
    raise web.HTTPGone


def _broken_app(settings: Settings) -> web.Application:
    """The middleware of the application over handlers with defects."""
    app = web.Application()
    app[SETTINGS] = settings
    install_middleware(app)
    app.middlewares.append(couch_errors)
    app.add_routes(
        [
            web.get("/db/defect", defect),
            web.get("/db/half", defect_in_the_middle),
            web.get("/db/gone", gone),
            web.get("/dbx", gone),
        ]
    )
    return app


@pytest.fixture
async def broken(settings: Settings, aiohttp_client: AiohttpClient) -> Gateway:
    app = _broken_app(settings)
    return Gateway(app, await aiohttp_client(app))


async def test_a_defect_is_a_500_with_the_request_id_and_without_its_cause(
    broken: Gateway, log_lines: list[structlog.typing.EventDict]
) -> None:
    answer = await broken.call("GET", "/defect", headers={"X-Request-ID": "r1"})
    assert answer.error == (500, "internal_server_error")
    assert "r1" in answer.json["reason"]
    assert b"42" not in answer.body
    failed, access = log_lines
    assert (failed["event"], failed["request_id"], failed["path"]) == ("request failed", "r1", "/db/defect")
    assert failed["exc_info"]
    assert (access["event"], access["status"]) == ("request", 500)


async def test_a_defect_in_the_middle_of_an_answer_cuts_the_connection(
    broken: Gateway, log_lines: list[structlog.typing.EventDict]
) -> None:
    with pytest.raises(aiohttp.ClientError):
        await broken.call("GET", "/half")
    assert log_lines[0]["event"] == "request failed"
    assert (await broken.call("GET", "/gone")).status == 410


async def test_other_failures_keep_their_status_and_other_paths_their_answer(broken: Gateway) -> None:
    assert (await broken.call("GET", "/gone")).error == (410, "bad_request")
    elsewhere = await broken.call("GET", "x")
    assert (elsewhere.status, elsewhere.headers["Content-Type"][:10]) == (410, "text/plain")


async def test_what_no_route_has_is_told_in_couchdbs_shape(gateway: Gateway, lima: str, tablet: str) -> None:
    for method, path, status, error in (
        ("GET", "//", 404, "not_found"),
        ("GET", f"/{lima}//", 404, "not_found"),
        ("GET", f"/{lima}/_local/", 404, "not_found"),
        ("GET", f"/{lima}/visit:1/", 404, "not_found"),
        ("PATCH", "/", 405, "method_not_allowed"),
        ("PATCH", f"/{lima}", 405, "method_not_allowed"),
        ("DELETE", f"/{lima}/_bulk_docs", 405, "method_not_allowed"),
        ("PATCH", f"/{lima}/visit:1", 405, "method_not_allowed"),
    ):
        answer = await gateway.call(method, path, token=tablet)
        assert answer.error == (status, error), path


HOSTILE_BODIES = [
    b"",
    b"null",
    b"[]",
    b"{",
    b'{"docs":1}',
    b'{"docs":{}}',
    b'{"new_edits":false}',
    b'{"new_edits":0,"docs":[]}',
    b'{"new_edits":false,"docs":[' + b"[" * 100_000,
    b'{"new_edits":false,"docs":[{"_id":"session:\xff"}]}',
    b"\xef\xbb\xbf{}",
]


async def test_hostile_bodies_are_400s(gateway: Gateway, lima: str, tablet: str) -> None:
    for path in ("_bulk_docs", "_bulk_get", "_revs_diff", "_changes"):
        for body in HOSTILE_BODIES:
            answer = await gateway.call("POST", f"/{lima}/{path}", token=tablet, data=body)
            assert answer.status in (200, 400), (path, body[:40], answer.body)
            if answer.status == 400:
                assert answer.error[0] == 400


async def test_a_body_that_is_half_sent_stores_nothing_and_harms_nobody(
    gateway: Gateway, lima: str, tablet: str
) -> None:
    host, port = gateway.address
    head = f"POST /db/{lima}/_bulk_docs HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer {tablet}\r\n"
    reader, writer = await asyncio.open_connection(host, port)
    writer.write(f"{head}Content-Type: application/json\r\nContent-Length: 1000\r\n\r\n".encode())
    writer.write(b'{"new_edits":false,"docs":[{"_id":"session:half"')
    await writer.drain()
    writer.close()
    await writer.wait_closed()
    assert await reader.read() == b""
    assert await gateway.stored(lima) == []
    assert (await gateway.call("GET", f"/{lima}", token=tablet)).status == 200


async def test_a_request_without_a_credential_is_answered_before_its_body(
    gateway: Gateway, lima: str
) -> None:
    host, port = gateway.address
    reader, writer = await asyncio.open_connection(host, port)
    head = f"POST /db/{lima}/_bulk_docs HTTP/1.1\r\nHost: x\r\nContent-Type: application/json\r\n"
    writer.write(f"{head}Content-Length: 250000000\r\n\r\n".encode())
    await writer.drain()
    assert (await reader.readline()).startswith(b"HTTP/1.1 401")
    writer.close()
    await writer.wait_closed()


@pytest.mark.parametrize(
    "error",
    [
        BadHttpMessage("Invalid header value char: b'Authorization: Bearer secret\\x01'"),
        LineTooLong("b'Bearer secret…'", "8190"),
    ],
)
def test_bytes_of_a_request_that_was_no_http_do_not_get_into_the_log(error: BadHttpMessage) -> None:
    try:
        raise error
    except BadHttpMessage:
        record = logging.LogRecord(
            "aiohttp.server", logging.ERROR, "", 0, "Error from %s", ("::1",), sys.exc_info()
        )
    assert without_received_bytes(record)
    assert "secret" not in logging.Formatter().format(record)
    assert record.getMessage() == f"a request was not HTTP ({type(error).__name__})"


async def test_no_log_line_has_a_credential(
    gateway: Gateway, lima: str, tablet: str, log_lines: list[structlog.typing.EventDict]
) -> None:
    await gateway.call("GET", f"/{lima}", token=tablet)
    await gateway.call("GET", f"/{lima}/_changes?token={tablet}", token=tablet)
    await gateway.call("GET", f"/{lima}", token=tablet + "x")
    await gateway.push(lima, {"_id": "study:x", "_rev": "1-aa"}, token=tablet)
    assert len(log_lines) > 4
    assert tablet.rpartition(".")[2] not in str(log_lines)
