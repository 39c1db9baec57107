"""Publication's view of the site databases, on the CouchDB HTTP API (see `reporting.publication`)."""

from collections.abc import Mapping, Sequence
from typing import Any, Final, TypeVar
from urllib.parse import quote

import msgspec

from replication.client import CouchClient
from replication.errors import CouchError, NotFound
from reporting.publication.desired import Document
from reporting.publication.site_documents import CONFLICT, SiteDatabaseAway, SiteDatabaseMissing

T = TypeVar("T")

_AFTER_COLON: Final = ";"
"""The character after `:`: `study;` is beyond every id of a study."""


class _Value(msgspec.Struct):
    rev: str = ""
    deleted: bool = False


class _Row(msgspec.Struct):
    id: str = ""
    key: str = ""
    value: _Value | None = None
    doc: dict[str, Any] | None = None
    error: str | None = None


class _Listing(msgspec.Struct):
    rows: list[_Row]


class _Written(msgspec.Struct):
    id: str = ""
    error: str = ""
    reason: str = ""


class CouchSiteDocuments:
    """`SiteDocuments` on a CouchDB client with the right to write everything."""

    def __init__(self, client: CouchClient) -> None:
        self._client = client

    async def read(self, database: str, doc_ids: Sequence[str]) -> Mapping[str, Mapping[str, Any]]:
        """See SiteDocuments."""
        rows = await self._rows(database, doc_ids, include_docs=True)
        return {row.id: row.doc for row in rows if row.doc is not None}

    async def present(self, database: str, doc_ids: Sequence[str]) -> frozenset[str]:
        """See SiteDocuments."""
        rows = await self._rows(database, doc_ids, include_docs=False)
        return frozenset(row.id for row in rows if row.value is not None and not row.value.deleted)

    async def ids_of_type(self, database: str, type_: str, *, after: str | None, limit: int) -> list[str]:
        """See SiteDocuments."""
        # NUL is the first character there is: the next id at least.
        first = f"{type_}:" if after is None else f"{after}\0"
        query = {
            "startkey": msgspec.json.encode(first).decode(),
            "endkey": msgspec.json.encode(f"{type_}{_AFTER_COLON}").decode(),
            "inclusive_end": "false",
            "limit": str(limit),
        }
        path = f"/{quote(database, safe='')}/_all_docs"
        listing = await self._ask("GET", path, _Listing, query=query)
        return [row.id for row in listing.rows]

    async def write(self, database: str, documents: Sequence[Document]) -> Mapping[str, str]:
        """See SiteDocuments."""
        path = f"/{quote(database, safe='')}/_bulk_docs"
        rows = await self._ask("POST", path, list[_Written], body={"docs": documents})
        return {
            row.id: CONFLICT if row.error == "conflict" else f"{row.error}: {row.reason}"
            for row in rows
            if row.error
        }

    async def _rows(self, database: str, doc_ids: Sequence[str], *, include_docs: bool) -> list[_Row]:
        path = f"/{quote(database, safe='')}/_all_docs"
        query = {"include_docs": "true"} if include_docs else None
        listing = await self._ask("POST", path, _Listing, query=query, body={"keys": list(doc_ids)})
        for row in listing.rows:
            if row.error not in (None, "not_found"):
                # Taken for absent it would be written as new.
                raise SiteDatabaseAway(f"{row.key}: {row.error}")
        return [row for row in listing.rows if row.error is None]

    async def _ask(
        self,
        method: str,
        path: str,
        kind: type[T],
        *,
        query: Mapping[str, str] | None = None,
        body: Any = None,
    ) -> T:
        try:
            return await self._client.request(method, path, kind, query=query, body=body)
        except NotFound as error:
            raise SiteDatabaseMissing(f"There is no database {path.split('/')[1]}.") from error
        except CouchError as error:
            raise SiteDatabaseAway(f"{type(error).__name__}: {error.reason}") from error
