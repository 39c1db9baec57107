"""Corrections in the site databases, through the CouchDB HTTP API (see `api.seams.CorrectionWriter`)."""

from collections.abc import Mapping
from typing import Any, Final
from urllib.parse import quote

import msgspec

from replication.client import CouchClient
from replication.errors import Conflict, CouchError, NotFound
from reporting.documents.corrections import PREFIX, correction_number
from sync_server.api.seams import StoreUnreachable

MOST_IN_A_LISTING: Final = 10_000


class _Value(msgspec.Struct):
    rev: str


class _Row(msgspec.Struct):
    id: str
    value: _Value


class _Listing(msgspec.Struct):
    rows: list[_Row]


class SiteCorrections:
    """`CorrectionWriter` on a CouchDB client."""

    def __init__(self, client: CouchClient) -> None:
        self._client = client

    async def corrections(self, database: str, session: str) -> Mapping[str, str]:
        """Ids and revisions of the session's corrections. Raises StoreUnreachable."""
        prefix = f"{PREFIX}{session}:"
        query = {
            "startkey": msgspec.json.encode(prefix).decode(),
            "endkey": msgspec.json.encode(f"{prefix}\ufff0").decode(),
            "limit": str(MOST_IN_A_LISTING),
        }
        try:
            path = f"/{quote(database, safe='')}/_all_docs"
            found = await self._client.request("GET", path, _Listing, query=query)
        except NotFound:
            return {}
        except CouchError as error:
            raise StoreUnreachable(error.reason) from error
        return {row.id: row.value.rev for row in found.rows if correction_number(row.id, session) is not None}

    async def leaf(self, database: str, doc_id: str, rev: str) -> bytes | None:
        """The body of a revision. Raises StoreUnreachable."""
        try:
            found = await self._client.bulk_get(database, [(doc_id, rev)])
        except NotFound:
            return None
        except CouchError as error:
            raise StoreUnreachable(error.reason) from error
        return next((leaf.body for leaf in found if leaf.rev == rev and not leaf.deleted), None)

    async def write(self, database: str, document: Mapping[str, Any]) -> str | None:
        """Store a new document. Raises StoreUnreachable."""
        try:
            return await self._client.put(database, document)
        except Conflict:
            return None
        except CouchError as error:
            if error.status < 500:
                raise StoreUnreachable(error.reason) from error
            # A cluster that gave up waiting for its copies may have written, too.
            return await self._read_again(database, document, error)

    async def _read_again(self, database: str, document: Mapping[str, Any], lost: CouchError) -> str | None:
        """No answer, or one that leaves it open: is the document there?"""
        try:
            found = await self._client.document(database, document["_id"])
        except CouchError as error:
            raise StoreUnreachable(lost.reason) from error
        is_ours = all(found.get(member) == value for member, value in document.items())
        return str(found["_rev"]) if is_ours else None
