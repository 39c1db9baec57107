"""The store's replicator over the CouchDB API: documents of `_replicator`, and what `_scheduler` says.

| what happens | outcome |
|---|---|
| there is no `_replicator` yet | it is made |
| a document was changed since it was read | it is not written; the next look reads again |
| the store cannot be reached | CouchError |
"""

from collections.abc import Mapping
from typing import Any, Final
from urllib.parse import quote

import msgspec

from replication.client import CouchClient
from replication.errors import Conflict, CouchError, DatabaseExists, NotFound
from sync_server.replication_jobs.documents import PREFIX, Plan

DATABASE: Final = "_replicator"
_PAGE: Final = 1_000
_AFTER: Final = f"{PREFIX[:-1]};"
"""`;` follows `:`."""


class _Row(msgspec.Struct):
    doc: dict[str, Any] | None = None


class _Listing(msgspec.Struct):
    rows: list[_Row]


class _Documents(msgspec.Struct):
    docs: list[dict[str, Any]]
    total_rows: int = 0


class _Jobs(msgspec.Struct):
    jobs: list[dict[str, Any]]
    total_rows: int = 0


class StoreReplicator:
    """The replicator of one store, asked as who may do everything."""

    def __init__(self, client: CouchClient) -> None:
        self._client = client

    async def documents(self) -> dict[str, dict[str, Any]]:
        """Documents of jobs, by id, with their revisions. Raises CouchError."""
        query = {
            "include_docs": "true",
            "startkey": msgspec.json.encode(PREFIX).decode(),
            "endkey": msgspec.json.encode(_AFTER).decode(),
        }
        try:
            listing = await self._client.request("GET", f"/{DATABASE}/_all_docs", _Listing, query=query)
        except NotFound:
            await self._create()
            return {}
        return {row.doc["_id"]: row.doc for row in listing.rows if row.doc is not None}

    async def _create(self) -> None:
        try:
            await self._client.create(DATABASE)
        except DatabaseExists:
            return

    async def apply(self, plan: Plan) -> dict[str, str]:
        """Write what is planned; by document id, why something was not written. Raises CouchError where the
        store is away.
        """
        problems = {}
        for doc_id, rev in plan.delete:
            path = f"/{DATABASE}/{quote(doc_id, safe='')}"
            try:
                await self._client.request("DELETE", path, dict[str, Any], query={"rev": rev})
            except (NotFound, Conflict):
                continue
        for document in plan.put:
            try:
                await self._client.put(DATABASE, document)
            except Conflict:
                continue
            except CouchError as error:
                # Not everything is told: a refusal may quote the document.
                problems[document["_id"]] = f"{error.error}: {error.reason}"[:200]
        return problems

    async def scheduled(self) -> tuple[dict[str, dict[str, Any]], dict[str, dict[str, Any]]]:
        """Rows of `_scheduler/docs` and of `_scheduler/jobs`, by document id. Raises CouchError."""
        documents = await self._pages(f"/_scheduler/docs/{DATABASE}", _Documents, "docs")
        jobs = await self._pages("/_scheduler/jobs", _Jobs, "jobs")
        return documents, jobs

    async def _pages(
        self, path: str, kind: type[_Documents] | type[_Jobs], member: str
    ) -> dict[str, dict[str, Any]]:
        found: dict[str, dict[str, Any]] = {}
        skip = 0
        while True:
            query = {"skip": str(skip), "limit": str(_PAGE)}
            page = await self._client.request("GET", path, kind, query=query)
            rows: list[Mapping[str, Any]] = getattr(page, member)
            found |= {str(row["doc_id"]): dict(row) for row in rows if row.get("doc_id") is not None}
            skip += len(rows)
            if not rows or skip >= page.total_rows:
                return found
