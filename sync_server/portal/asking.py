"""Asking routes of the API in this process, as the person who looks.

    SITES = api("GET", "/api/sites")
    sites = await asking.ask(SITES, page="2")          # what the handler returns, typed

What a page asks, it asks on one connection that sees one moment. What a form does is a transaction of the
route's own, with the route's Idempotency-Key, and is answered after its commit.
"""

import re
from collections.abc import Mapping
from typing import Any
from urllib.parse import quote, urlencode

import msgspec
from aiohttp import web
from multidict import CIMultiDict
from sqlalchemy.ext.asyncio import AsyncConnection

from sync_server.api.bodies import decode_body
from sync_server.api.call import Given, Nothing
from sync_server.api.idempotency import make_key
from sync_server.api.parameters import convert_fields
from sync_server.api.route import Route
from sync_server.api.routes import API_ROUTES
from sync_server.errors import InvalidRequest
from sync_server.identity.callers import Caller

_ROUTES = {(route.method, route.path): route for route in API_ROUTES}
_PART = re.compile(r"{(\w+)}")


def api(method: str, path: str) -> Route:
    """A route of the API. Raises LookupError: a page of a route that is not there cannot be declared."""
    return _ROUTES[method, path]


class Asking:
    """Asks as a caller, on a connection; `request` is the page's."""

    def __init__(self, request: web.Request, caller: Caller, connection: AsyncConnection) -> None:
        self._request = request
        self._caller = caller
        self._connection = connection

    async def ask(self, route: Route, path: Mapping[str, str], query: Mapping[str, str]) -> Any:
        """What the route's handler returns. Raises what it raises: ApiError."""
        asked = list(query.items())
        known = {field.encode_name for field in msgspec.structs.fields(route.query)}
        own = [(name, value) for name, value in asked if name in known or not route.takes_filters]
        typed = convert_fields(own, route.query, what="query parameter")
        given = Given(path, CIMultiDict[str](), typed, Nothing(), asked)
        return await route.read(self._request, self._caller, given, self._connection)


async def change(
    request: web.Request,
    caller: Caller,
    route: Route,
    *,
    path: Mapping[str, str],
    body: Mapping[str, Any],
    query: Mapping[str, str] = {},
    version: str | None = None,
    key: str | None = None,
) -> Any:
    """Do what the route does; its answer, typed. `version` is what `If-Match` would say, `key` what
    `Idempotency-Key` would: with one that did it before nothing is done again.

    A body is looked at as one that comes by HTTP: what is nested too deeply, or holds what no stored text
    has, is refused. Raises ApiError, msgspec.ValidationError (the body's path in it).
    """
    route.admit(caller)
    typed: Any = Nothing()
    if route.consumes == "text/csv":
        typed = body["text"]
    elif route.body is not Nothing:
        typed = decode_body(_as_json(body), route.body, any_text=route.any_text, strict=False)
    headers = CIMultiDict[str]() if version is None else CIMultiDict({"If-Match": version})
    asked = convert_fields(list(query.items()), route.query, what="query parameter")
    entered = None
    if key is not None and route.heeds_key:
        told = urlencode(sorted([*path.items(), *query.items()]), quote_via=quote)
        entered = make_key(caller, key, f"{route.method} {route.path} {told}", msgspec.json.encode(typed))
    response = await route.change(request, caller, Given(path, headers, asked, typed), entered)
    answered = response.body if isinstance(response, web.Response) else None
    answer = route.also.get(response.status, route.answer)
    if not isinstance(answered, bytes) or not answered or answer in (None, type(None)):
        return None
    return msgspec.json.decode(answered, type=answer)


def _as_json(body: Mapping[str, Any]) -> bytes:
    try:
        return msgspec.json.encode(body)
    except RecursionError as error:
        raise InvalidRequest("The body is nested too deeply.") from error
    except UnicodeEncodeError as error:
        raise InvalidRequest("A text holds half a character.") from error


def path_parts(route: Route) -> list[str]:
    """The names of the parts of a route's path."""
    return _PART.findall(route.path)
