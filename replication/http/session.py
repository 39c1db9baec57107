"""`_session`: who the server takes the client for (see `users`)."""

from urllib.parse import parse_qsl

import msgspec
from aiohttp import web

from replication.errors import BadRequest
from replication.http.answers import json_answer, read_body, read_json
from replication.http.call import Asked
from replication.http.users import END_OF_SESSION, User

FORM = "application/x-www-form-urlencoded"
HANDLERS = ("cookie", "jwt", "default")


class _Login(msgspec.Struct):
    name: str = ""
    password: str = ""


async def get(call: Asked) -> web.Response:
    """`GET /_session`. Raises Unauthorized for a credential that is not valid."""
    user = await call.sessions.current(call.request)
    info: dict[str, object] = {"authentication_handlers": HANDLERS}
    if user.by is not None:
        info["authenticated"] = user.by
    return json_answer({"ok": True, "userCtx": _context(user), "info": info})


async def post(call: Asked) -> web.Response:
    """`POST /_session`: name and password as JSON or as a form. Raises Unauthorized."""
    login = await _login(call.request)
    user, cookie = await call.sessions.opened(call.request, login.name, login.password)
    return json_answer({"ok": True, **_context(user)}, headers={"Set-Cookie": cookie})


async def delete(call: Asked) -> web.Response:  # noqa: ARG001
    """`DELETE /_session`."""
    return json_answer({"ok": True}, headers={"Set-Cookie": END_OF_SESSION})


async def _login(request: web.Request) -> _Login:
    if request.content_type != FORM:
        return await read_json(request, _Login)
    try:
        form = dict(parse_qsl((await read_body(request)).decode(), keep_blank_values=True))
    except ValueError as error:
        raise BadRequest("the form is not UTF-8") from error
    return _Login(form.get("name", ""), form.get("password", ""))


def _context(user: User) -> dict[str, object]:
    return {"name": user.name, "roles": user.roles}
