"""The `_replicator` database: each document asks for a replication, and is told what became of it.

    what happens to a document                  what follows
    ----------------------------------------    ------------------------------------------------------
    it is written                               its replication is scheduled
    it is changed                               the old one ends, the new one begins; an end of the old one
                                                that comes late is not written into it
    it is deleted, or the database is           its replication ends
    it cannot be a replication                  `_replication_state: "failed"` with the reason
    it asks for what another one runs           the same
    its replication reaches the end             `_replication_state: "completed"` with its numbers
    the server is restarted                     every document without a final state is scheduled again

As in CouchDB 3, only final states are written into documents; `_scheduler/docs` tells the others.
"""

import asyncio
import contextlib
from collections.abc import Callable, Mapping
from typing import Any, Final

import msgspec
import structlog

from replication.client import CouchClient
from replication.errors import BadRequest, Conflict, CouchError, NotFound
from replication.replicator.definition import Definition, parse_definition
from replication.replicator.jobs import Job, document_row, timestamp
from replication.replicator.scheduler import NODE, Scheduler

DATABASE: Final = "_replicator"
_LOOK_SECONDS: Final = 1.0
_LONGPOLL_MS: Final = 20_000
_QUIET_FAILURES: Final = 3
_FINAL: Final = ("completed", "failed")

log = structlog.get_logger()


class _Row(msgspec.Struct):
    id: str
    doc: dict[str, Any] | None = None
    deleted: bool = False


class _Page(msgspec.Struct):
    results: list[_Row]
    last_seq: Any


class ReplicatorDocuments:
    """Follows the database on behalf of a scheduler."""

    def __init__(self, client: CouchClient, scheduler: Scheduler, *, clock: Callable[[], float]) -> None:
        self._client = client
        self._scheduler = scheduler
        self._clock = clock
        self._job_of: dict[str, str] = {}
        self._final: dict[str, Mapping[str, Any]] = {}
        self._writing: set[asyncio.Task[None]] = set()
        scheduler.on_end(self._ended)

    def rows(self) -> list[Mapping[str, Any]]:
        """Rows of `_scheduler/docs`, by document id."""
        jobs = self._scheduler.jobs
        live = {
            doc_id: jobs[job_id].shown_document(NODE)
            for doc_id, job_id in self._job_of.items()
            if job_id in jobs
        }
        return [row for _, row in sorted({**self._final, **live}.items())]

    async def follow(self) -> None:
        """Read the database until cancelled. Its failures are logged, and the reading begun again."""
        since, failures = "0", 0
        while True:
            try:
                since = await self._next(since)
            except NotFound:
                await self._forget_all()
                since = "0"
                await asyncio.sleep(_LOOK_SECONDS)
            except CouchError as failure:
                failures += 1
                # At first the server may only not listen yet.
                if failures > _QUIET_FAILURES:
                    log.warning("the replicator's database cannot be read", reason=failure.reason)
                await asyncio.sleep(_LOOK_SECONDS)
            else:
                failures = 0

    async def _next(self, since: str) -> str:
        query = {"include_docs": "true", "since": since, "limit": "100"}
        if since != "0":
            query |= {"feed": "longpoll", "timeout": str(_LONGPOLL_MS)}
        page = await self._client.request("GET", f"/{DATABASE}/_changes", _Page, query=query)
        for row in page.results:
            if not row.id.startswith("_design/"):
                await self._take(row)
        return str(page.last_seq)

    async def _take(self, row: _Row) -> None:
        document = row.doc
        if row.deleted or document is None:
            await self._forget(row.id)
            return
        state = document.get("_replication_state")
        if state in _FINAL:
            await self._forget(row.id)
            self._final[row.id] = _final_row(row.id, document)
            return
        try:
            definition = parse_definition(document)
        except BadRequest as failure:
            await self._forget(row.id)
            await self._write(row.id, "failed", of=document, reason=failure.reason)
            return
        job_id = self._scheduler.job_id(definition)
        running = self._scheduler.jobs.get(job_id)
        # Not by its name alone: another password, or another pace, makes no other replication of it.
        if self._job_of.get(row.id) == job_id and running is not None and running.definition == definition:
            return
        await self._forget(row.id)
        other = self._scheduler.jobs.get(job_id)
        if other is not None and other.doc_id not in (None, row.id):
            reason = (
                f"Replication `{job_id}` specified by document `{row.id}` already started,"
                f" triggered by document `{other.doc_id}`"
            )
            await self._write(row.id, "failed", of=document, reason=reason)
            return
        self._job_of[row.id] = self._scheduler.add(definition, doc_id=row.id).id

    async def _forget(self, doc_id: str) -> None:
        self._final.pop(doc_id, None)
        job_id = self._job_of.pop(doc_id, None)
        if job_id is not None:
            with contextlib.suppress(NotFound):
                await self._scheduler.remove(job_id)

    async def _forget_all(self) -> None:
        for doc_id in list(self._job_of):
            await self._forget(doc_id)
        self._final.clear()

    def _ended(self, job: Job) -> None:
        if job.doc_id is None:
            return
        self._job_of.pop(job.doc_id, None)
        stats = msgspec.to_builtins(job.statistics)
        task = asyncio.create_task(
            self._write(job.doc_id, "completed", of=job.definition, job_id=job.id, stats=stats)
        )
        self._writing.add(task)
        task.add_done_callback(self._writing.discard)

    async def _write(
        self,
        doc_id: str,
        state: str,
        *,
        of: Mapping[str, Any] | Definition,
        reason: str | None = None,
        job_id: str | None = None,
        stats: Any = None,
    ) -> None:
        """Write a final state into the document, unless it is another one by now than the state is of."""
        members = {
            "_replication_state": state,
            "_replication_state_time": timestamp(self._clock()),
            "_replication_state_reason": reason,
            "_replication_id": job_id,
            "_replication_stats": stats,
        }
        told = {name: value for name, value in members.items() if value is not None}
        try:
            document = await self._client.document(DATABASE, doc_id)
            if not _is_still(document, of):
                return
            kept = {name: value for name, value in document.items() if name not in members}
            await self._client.put(DATABASE, {**kept, **told})
        except (NotFound, Conflict):
            return
        except CouchError as failure:
            log.warning("a replication's end was not written down", doc_id=doc_id, reason=failure.reason)
            return
        self._final[doc_id] = _final_row(doc_id, {**kept, **told})


def _is_still(document: Mapping[str, Any], of: Mapping[str, Any] | Definition) -> bool:
    if not isinstance(of, Definition):
        return document.get("_rev") == of.get("_rev")
    try:
        return parse_definition(document) == of
    except BadRequest:
        return False


def _final_row(doc_id: str, document: Mapping[str, Any]) -> Mapping[str, Any]:
    state = document["_replication_state"]
    failed = state == "failed"
    reason = document.get("_replication_state_reason")
    try:
        definition = parse_definition(document)
    except BadRequest:
        definition = None
    return document_row(
        doc_id,
        state=state,
        node=NODE,
        job_id=document.get("_replication_id"),
        error_count=1 if failed else 0,
        info={"error": reason} if failed else document.get("_replication_stats"),
        source=definition.source.shown if definition else None,
        target=definition.target.shown if definition else None,
        last_updated=document.get("_replication_state_time"),
        start_time=None,
    )
