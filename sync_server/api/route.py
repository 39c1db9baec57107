"""Routes that cannot be declared without saying who may call them.

    ROUTES = [
        get("/api/studies", list_studies, right="studies.read"),
        post("/api/studies", create_study, right="studies.create", status=201, errors=(409,)),
    ]

The right is asked for before anything else is looked at: who has it nowhere gets 403. *On what* the caller
has it is the handler's question (`caller.require`, `within(caller.scope(…))`), since only it knows the row.

| right | who may call |
|---|---|
| a name in `policy.RIGHTS` | people whose role has it, in some study at least |
| `own account` | everybody who is logged in |
| `device` | enrolled devices; the handler asks for the credential |
| `public` | everybody |
"""

import inspect
from collections.abc import Awaitable, Callable, Mapping, Sequence
from typing import Any, Literal, get_args, get_type_hints

import msgspec
from aiohttp import web
from sqlalchemy.ext.asyncio import AsyncConnection

from reporting.queries.snapshot import snapshot
from sync_server.api.answers import answer
from sync_server.api.bodies import read_json
from sync_server.api.call import Call, Given, Nothing, PageOf, etag, wanted_fields
from sync_server.api.idempotency import Key, earlier_answer, keep_answer, read_key, refuse_key
from sync_server.api.parameters import read_query
from sync_server.errors import NotAllowed
from sync_server.identity.callers import Caller
from sync_server.identity.principals import CALLER, require_caller
from sync_server.keys import ENGINE
from sync_server.policy import Right

Access = Right | Literal["own account", "device", "public"]
Handler = Callable[[Call[Any, Any]], Awaitable[Any]]

BODY_LIMIT = 256 * 1024


class Route(msgspec.Struct, frozen=True, kw_only=True):
    """A route of the API: where, who, what goes in, what comes out. `errors` are statuses beyond the general
    ones (400, 401, 403, 404, 413, 422, 429, 503).
    """

    method: str
    path: str
    right: Access
    handler: Any
    """A Handler; or, with `plain`, an aiohttp handler that reads its request itself."""
    status: int = 200
    errors: tuple[int, ...] = ()
    limit: int = BODY_LIMIT
    any_text: bool = False
    """The body may hold NUL: the handler sees to it."""
    transaction: bool = True
    """False: the handler makes its own transactions; what it does counts also where it refuses."""
    produces: str = "application/json"
    also_produces: tuple[str, ...] = ()
    """Other media types of the same answer, by `Accept`."""
    takes_filters: bool = False
    """Further query parameters are conditions, which the handler reads and refuses."""
    plain: bool = False
    asked: Any = None
    """With `plain`: a Handler that does the same for pages of this process."""
    query: Any = Nothing
    body: Any = Nothing
    consumes: str = "application/json"
    answer: Any = None
    also: Mapping[int, Any] = {}
    """Further statuses that are answered with something other than an error, and with what."""
    repeatable: bool = False
    """Sent again it does nothing more, without any Idempotency-Key: one that is sent is let be."""
    location: str = ""
    """Where what was made is: the header `Location`, filled in from the answer's fields."""
    secret: bool = False
    """The answer holds a secret that is told once: it is not kept for who sends an Idempotency-Key again."""

    @property
    def summary(self) -> str:
        """The first line of the handler's description."""
        return (inspect.getdoc(self.handler) or "").split("\n\n")[0].replace("\n", " ")

    @property
    def description(self) -> str:
        """The whole of it."""
        return inspect.getdoc(self.handler) or ""

    @property
    def heeds_key(self) -> bool:
        """Whether an Idempotency-Key is heeded: it takes a person, and one transaction of work and answer."""
        by_person = self.right not in ("public", "device")
        return self.method == "POST" and self.transaction and not self.plain and by_person

    def mount(self) -> web.RouteDef:
        """For aiohttp's router."""
        return web.route(self.method, self.path, self._handle)

    async def _handle(self, request: web.Request) -> web.StreamResponse:
        caller = await self._admit(request)
        if self.method == "POST" and not (self.heeds_key or self.repeatable):
            refuse_key(request)
        if self.plain:
            response: web.StreamResponse = await self.handler(request)
            return response
        query = read_query(request, self.query, takes_others=self.takes_filters)
        body = await self._read_body(request)
        given = Given(request.match_info, request.headers, query, body, list(request.query.items()))
        if self.method in ("GET", "HEAD"):
            async with snapshot(request.app[ENGINE]) as connection:
                return self._answer(await self.handler(Call(request, caller, given, connection)), query)
        key = read_key(request, caller) if self.heeds_key and caller is not None else None
        return await self.change(request, caller, given, key)

    def admit(self, caller: Caller) -> None:
        """Refuse who has the right nowhere. Raises NotAllowed."""
        right = self.right
        if right == "public" or right == "device" or right == "own account":  # noqa: PLR1714 (narrows)
            return
        if not caller.may_somewhere(right):
            raise NotAllowed(f"Your role does not allow this ({right}).")

    async def read(
        self, request: web.Request, caller: Caller, given: Given, connection: AsyncConnection
    ) -> Any:
        """What the route answers to a page of this process, as its handler returns it; `request` is the
        page's. Raises what the handler raises, and NotAllowed.
        """
        self.admit(caller)
        return await (self.asked or self.handler)(Call(request, caller, given, connection))

    async def change(
        self, request: web.Request, caller: Caller | None, given: Given, key: Key | None = None
    ) -> web.StreamResponse:
        """Do it, in a transaction of its own, and answer after the commit: what the same key did before is
        not done again. `request` is the route's own, or the page's that does it; then `admit` comes before.
        """
        engine = request.app[ENGINE]
        if self.plain:
            # Not begun: such a handler makes its own connections, and holds none while it asks the store.
            result = await self.asked(Call(request, caller, given, engine.connect()))
            return self._answer(result, given.query)
        if not self.transaction:
            async with engine.connect() as connection:
                result = await self.handler(Call(request, caller, given, connection))
            return self._answer(result, given.query)
        async with engine.begin() as connection:
            if key is not None:
                earlier = await earlier_answer(request, connection, key)
                if earlier is not None:
                    return earlier
            result = await self.handler(Call(request, caller, given, connection))
            response = self._answer(result, given.query)
            if key is not None:
                await keep_answer(request, connection, key, response, secret=self.secret)
        return response

    async def _admit(self, request: web.Request) -> Caller | None:
        if self.right == "public" or self.right == "device":  # noqa: PLR1714 (narrows the type)
            return None
        caller = request[CALLER] = await require_caller(request)
        self.admit(caller)
        return caller

    async def _read_body(self, request: web.Request) -> Any:
        if self.body is Nothing:
            return Nothing()
        return await read_json(request, self.body, limit=self.limit, any_text=self.any_text)

    def _answer(self, result: Any, query: msgspec.Struct) -> web.StreamResponse:
        if result is None:
            return web.Response(status=204)
        if isinstance(result, web.StreamResponse):
            return result
        fields = wanted_fields(query)
        if isinstance(result, PageOf) and fields is not None:
            rows = [{name: getattr(row, name) for name in fields} for row in result.data]
            told = {name: getattr(result, name) for name in result.__struct_fields__}
            return answer({**told, "data": rows}, status=self.status)
        response = answer(result, status=self.status)
        row_version = getattr(result, "row_version", None)
        if row_version is not None:
            response.headers["ETag"] = etag(row_version)
        if self.location:
            response.headers["Location"] = self.location.format(id=result.id)
        return response


def route(method: str, path: str, handler: Handler, *, right: Access, **about: Any) -> Route:
    """A route whose query, body and answer are the handler's annotations."""
    hints = get_type_hints(handler)
    call = next((hint for name, hint in hints.items() if name != "return"), None)
    query, body = get_args(call)
    return Route(
        method=method,
        path=path,
        handler=handler,
        right=right,
        query=query,
        body=body,
        answer=hints["return"],
        **about,
    )


def get(path: str, handler: Handler, *, right: Access, **about: Any) -> Route:
    """A route that reads."""
    return route("GET", path, handler, right=right, **about)


def post(path: str, handler: Handler, *, right: Access, **about: Any) -> Route:
    """A route that makes something, or does something."""
    return route("POST", path, handler, right=right, **about)


def put(path: str, handler: Handler, *, right: Access, **about: Any) -> Route:
    """A route that replaces something."""
    return route("PUT", path, handler, right=right, **about)


def patch(path: str, handler: Handler, *, right: Access, **about: Any) -> Route:
    """A route that changes members of something."""
    return route("PATCH", path, handler, right=right, **about)


def delete(path: str, handler: Handler, *, right: Access, **about: Any) -> Route:
    """A route that ends something."""
    return route("DELETE", path, handler, right=right, **about)


def plain(method: str, path: str, handler: Any, *, right: Access, **about: Any) -> Route:
    """A route whose handler reads its request itself, and makes its answer."""
    return Route(method=method, path=path, right=right, handler=handler, plain=True, **about)


def mounted(routes: Sequence[Route]) -> list[web.RouteDef]:
    """All of them, for aiohttp's router."""
    return [each.mount() for each in routes]
