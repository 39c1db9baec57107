"""The double behind HTTP: `POST …/api/` with a form, as REDCap has it, and nothing else unless asked for.

With `control`, `POST /control/` takes JSON from this machine and does what `control.py` lists; it is meant
for tests whose double is another process.
"""

import asyncio
import json
from typing import Any

from aiohttp import web
from multidict import MultiDictProxy

from tests.redcap_double.answers import Answer
from tests.redcap_double.control import Unknown, perform
from tests.redcap_double.double import Double
from tests.redcap_double.faults import Cut, Dropped, Reply, Wait
from tests.redcap_double.parameters import Parameters

LARGEST_REQUEST = 256 * 1024**2
API_PATHS = ("/api/", "/redcap/api/")
CONTROL_PATH = "/control/"
_LOOK_AGAIN_S = 0.002

DOUBLE = web.AppKey("double", Double)


def build_app(double: Double, *, control: bool = False) -> web.Application:
    """All routes."""
    app = web.Application(client_max_size=LARGEST_REQUEST)
    app[DOUBLE] = double
    for path in API_PATHS:
        app.router.add_post(path, _api)
    if control:
        app.router.add_post(CONTROL_PATH, _control)
    return app


async def _api(request: web.Request) -> web.StreamResponse:
    double = request.app[DOUBLE]
    form: MultiDictProxy[str | bytearray | bytes | web.FileField] = await request.post()
    upload = None
    pairs = []
    for name, value in form.items():
        if isinstance(value, web.FileField):
            upload = (value.filename, value.file.read())
        elif isinstance(value, str):
            pairs.append((name, value))
    token = next((value for name, value in pairs if name == "token"), "")
    parameters = Parameters.of((name, value) for name, value in pairs if name != "token")
    admitted = double.admit(request.remote or "", token, parameters)
    if isinstance(admitted, Answer):
        return _response(admitted)
    call, faults = admitted
    for fault in faults:
        if fault.wait is not None:
            await _wait(request, fault.wait)
    return await _send(request, double.respond(call, faults, upload))


async def _wait(request: web.Request, wait: Wait) -> None:
    if wait.seconds is not None:
        await asyncio.sleep(wait.seconds)
        return
    # Nothing tells when a client hangs up.
    while _is_there(request) or not (wait.released is None or wait.released()):  # noqa: ASYNC110
        await asyncio.sleep(_LOOK_AGAIN_S)


def _is_there(request: web.Request) -> bool:
    return request.transport is not None and not request.transport.is_closing()


def _response(answer: Answer) -> web.Response:
    return web.Response(status=answer.status, body=answer.body, headers={"Content-Type": answer.content_type})


async def _send(request: web.Request, reply: Reply) -> web.StreamResponse:
    if isinstance(reply, Answer):
        return _response(reply)
    if isinstance(reply, Dropped):
        _hang_up(request)
        return web.Response()
    return await _cut(request, reply)


async def _cut(request: web.Request, cut: Cut) -> web.StreamResponse:
    response = web.StreamResponse(status=cut.answer.status, headers={"Content-Type": cut.answer.content_type})
    response.content_length = len(cut.answer.body)
    await response.prepare(request)
    await response.write(cut.answer.body[: cut.sent])
    _hang_up(request)
    return response


def _hang_up(request: web.Request) -> None:
    if request.transport is not None:
        request.transport.close()


async def _control(request: web.Request) -> web.Response:
    # JSON keeps pages of other sites out: a browser asks before it sends it elsewhere.
    if request.remote not in ("127.0.0.1", "::1") or request.content_type != "application/json":
        return web.json_response({"error": "from this machine only, and as application/json"}, status=403)
    try:
        order: Any = json.loads(await request.text())
        done = perform(request.app[DOUBLE], order)
    except (Unknown, ValueError) as wrong:
        return web.json_response({"error": str(wrong)}, status=400)
    return web.json_response(done)
