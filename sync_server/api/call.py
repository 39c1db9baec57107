"""One call of a route, as its handler sees it: who calls, with what, in which transaction.

A handler is `async def handler(call: Call[Query, Body]) -> Answer`. Its annotations are all there is: the
query and body are checked against them, the specification at `/api/openapi.json` is made from them, and what
it returns becomes the answer.

| returned | answered |
|---|---|
| a struct | JSON; with `ETag` where it has a `row_version` |
| `PageOf[Row]` | `{"data": […], "pagination": {…}}` |
| None | 204 |
| an aiohttp response | that |

Every write is one transaction, `call.connection`, and is answered after its commit; what a handler raises
undoes it. Reads see one moment (`snapshot`).
"""

from collections.abc import Mapping, Sequence
from typing import Annotated, Any, Generic, Literal, NamedTuple, TypeVar

import msgspec
from aiohttp import web
from msgspec import Meta
from multidict import MultiMapping
from sqlalchemy import ColumnElement, Select
from sqlalchemy.ext.asyncio import AsyncConnection

from reporting.audit import record_entry
from reporting.queries.listing import NotSortable, Order, order_of
from reporting.queries.snapshot import list_page
from sync_server.api.acts import audited
from sync_server.api.answers import Pagination
from sync_server.api.names import storable
from sync_server.api.parameters import PageQuery, row_number
from sync_server.errors import InvalidRequest, PreconditionFailed, PreconditionRequired
from sync_server.identity.callers import Caller

Query = TypeVar("Query", bound=msgspec.Struct)
Body = TypeVar("Body")
Row = TypeVar("Row", bound=msgspec.Struct)


class Nothing(msgspec.Struct, frozen=True):
    """No query parameters, or no body."""


class ListQuery(PageQuery, frozen=True, kw_only=True):
    """What every list takes besides its filters: a page, an order, and which fields are wanted."""

    sort: Annotated[str, Meta(min_length=1, max_length=60)] | None = None
    order: Literal["asc", "desc"] = "asc"
    fields: (
        Annotated[str, Meta(min_length=1, max_length=2000, description="names, comma-separated")] | None
    ) = None


class PageOf(msgspec.Struct, Generic[Row], frozen=True):
    """A page of a list."""

    data: list[Row]
    pagination: Pagination


class Given(NamedTuple):
    """What a route is called with: by HTTP all of it is the request's, by a page what the page says.

    `path` holds the parts of the path, `headers` those of the call itself (`If-Match`, `Accept`).
    """

    path: Mapping[str, str]
    headers: MultiMapping[str]
    query: Any
    body: Any
    asked: Sequence[tuple[str, str]] = ()
    """All query parameters as text, of a route that takes filters."""


class Call(Generic[Query, Body]):
    """See the module. `request` is the one that brought it here: of the route itself, or of a page."""

    def __init__(
        self, request: web.Request, caller: Caller | None, given: Given, connection: AsyncConnection
    ) -> None:
        self.request = request
        self._caller = caller
        self._path = given.path
        self.headers = given.headers
        self.query: Query = given.query
        self.body: Body = given.body
        self.asked = given.asked
        self.connection = connection

    @property
    def caller(self) -> Caller:
        """Who calls. Only routes with the right `public` have none."""
        if self._caller is None:
            raise LookupError("a public route has no caller")
        return self._caller

    def path(self, name: str) -> str:
        """A part of the path, as in `/api/studies/{study}`. What no stored text can be is nothing's name."""
        return storable(self._path[name])

    def number(self, name: str) -> int:
        """A part of the path that is a row's number; 0, which no row has, where it is none."""
        return row_number(self._path[name])

    def match(self, row_version: int) -> None:
        """Refuse to change what the caller has not seen: `If-Match` names this version, or is `*`.

        Raises PreconditionRequired, PreconditionFailed. Read the row `FOR UPDATE` before.
        """
        given = self.headers.get("If-Match")
        if given is None:
            raise PreconditionRequired(
                "Send If-Match with the ETag of what you have read (or * to overwrite whatever is there).",
                details={"etag": etag(row_version)},
            )
        if given.strip() != "*" and etag(row_version) not in [each.strip() for each in given.split(",")]:
            raise PreconditionFailed(
                "Somebody has changed it since you have read it: read it again.",
                details={"etag": etag(row_version)},
            )

    async def page(
        self,
        row_type: type[Row],
        matching: Select[*tuple[Any, ...]],
        *,
        sortable: Mapping[str, ColumnElement[Any]],
        key: Sequence[ColumnElement[Any]],
        identity: Sequence[ColumnElement[Any]] = (),
    ) -> PageOf[Row]:
        """The wanted page of `matching` (columns in the order of the row type's fields), in the wanted order;
        the query is a ListQuery. `identity`: columns that tell rows apart, where what else a row shows costs
        more than passing it over. Raises InvalidRequest.
        """
        query = self.query
        if not isinstance(query, ListQuery):
            raise TypeError("only a ListQuery says which page is wanted")
        unknown = sorted(set(wanted_fields(query) or ()) - set(row_type.__struct_fields__))
        if unknown:
            raise InvalidRequest(f"Unknown field: {', '.join(unknown)}.", details={"unknown": unknown})
        order = None if query.sort is None else Order(query.sort, descending=query.order == "desc")
        try:
            in_order = order_of(order, sortable=sortable, key=key)
        except NotSortable as error:
            raise InvalidRequest(f"sort: {error}.", details={"parameter": "sort"}) from error
        listed = await list_page(
            self.connection, row_type, matching, query.wanted_page, order=in_order, identity=identity
        )
        pages = -(-listed.total // query.per_page)
        return PageOf(listed.rows, Pagination(query.page, query.per_page, listed.total, pages))

    async def record(
        self,
        action: str,
        entity: str,
        entity_id: str,
        *,
        study: str | None = None,
        site: str | None = None,
        reason: str | None = None,
        before: Any = None,
        after: Any = None,
    ) -> None:
        """Put the act on record, in its own transaction. `before` and `after` hold no secret, no contact."""
        entry = audited(
            self.request,
            self.caller.person,
            action=action,
            entity=entity,
            entity_id=entity_id,
            study=study,
            site=site,
            reason=reason,
            before=msgspec.to_builtins(before),
            after=msgspec.to_builtins(after),
        )
        await self.connection.execute(record_entry(entry))


def etag(row_version: int) -> str:
    """The ETag of a row in this version."""
    return f'"{row_version}"'


def wanted_fields(query: msgspec.Struct) -> list[str] | None:
    """The fields that a list's reader asks for; None: all."""
    if not isinstance(query, ListQuery) or query.fields is None:
        return None
    return [name.strip() for name in query.fields.split(",") if name.strip()]
