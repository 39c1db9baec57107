"""Files that a page links to: the same as a route of the API streams, for who is signed in to the portal."""

from collections.abc import Mapping
from typing import Final

import msgspec
from aiohttp import web
from sqlalchemy.ext.asyncio import AsyncConnection

from reporting.queries.snapshot import snapshot
from sync_server.api.route import Route
from sync_server.errors import NotAllowed
from sync_server.keys import ENGINE
from sync_server.portal.asking import Asking, api, path_parts
from sync_server.portal.cookie import PATH
from sync_server.portal.signing_in import Who, recognise
from sync_server.portal.tokens import comes_from_here

Parts = Mapping[str, str]


class Download(msgspec.Struct, frozen=True, kw_only=True):
    """Where it is, and what of the API it is; `query`: parameter of the route → part of the path."""

    path: str
    reads: Route
    query: Mapping[str, str] = {}
    takes: tuple[str, ...] = ()
    """Parameters that the address may have."""

    async def serve(self, request: web.Request) -> web.StreamResponse:
        """The file. Raises ApiError."""
        async with snapshot(request.app[ENGINE]) as connection:
            who = await recognise(request, connection)
            query = {name: request.match_info[part] for name, part in self.query.items()}
            asked = {name: request.query[name] for name in self.takes if name in request.query}
            if asked and not comes_from_here(request):
                raise NotAllowed("Another site has led here: ask for this file in the portal's own page.")
            query |= asked
            parts = {name: request.match_info[name] for name in path_parts(self.reads)}
            if not self.reads.plain:
                return await self._ask(request, who, connection, parts, query)
        # Not begun: a large file on a bad line would hold it for hours.
        return await self._ask(request, who, request.app[ENGINE].connect(), parts, query)

    async def _ask(
        self, request: web.Request, who: Who, connection: AsyncConnection, parts: Parts, query: Parts
    ) -> web.StreamResponse:
        asking = Asking(request, who.caller, connection)
        answered: web.StreamResponse = await asking.ask(self.reads, parts, query)
        return answered


DOWNLOADS: Final = (
    Download(
        path=f"{PATH}/studies/{{study}}/participants.csv",
        reads=api("GET", "/api/participants/export"),
        query={"study": "study"},
        takes=("contact",),
    ),
    Download(
        path=f"{PATH}/studies/{{study}}/signatures/{{site}}/{{id}}",
        reads=api("GET", "/api/consent/signature/{site}/{id}"),
    ),
    Download(
        path=f"{PATH}/research/{{study}}/exports/{{id}}/file", reads=api("GET", "/api/exports/{id}/download")
    ),
    Download(
        path=f"{PATH}/research/{{study}}/reports/{{id}}/file", reads=api("GET", "/api/reports/{id}/download")
    ),
)
