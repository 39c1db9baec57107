"""The replicator of a server: its scheduler and its documents, started and stopped with it."""

import asyncio
import time
from collections.abc import Callable, Mapping
from typing import Any

import aiohttp

from replication.client import CouchClient
from replication.errors import NotFound, Unavailable
from replication.replicator.definition import Definition
from replication.replicator.documents import ReplicatorDocuments
from replication.replicator.jobs import Job, answer_of
from replication.replicator.scheduler import NODE, Headers, LookUp, Scheduler, no_credentials
from replication.store.registry import Registry


class Replicator:
    """Made before the server listens, started when it does. Without being started it refuses work."""

    def __init__(self, registry: Registry, *, clock: Callable[[], float] = time.time) -> None:
        self._registry = registry
        self._clock = clock
        self._scheduler: Scheduler | None = None
        self._documents: ReplicatorDocuments | None = None
        self._session: aiohttp.ClientSession | None = None
        self._tasks: list[asyncio.Task[None]] = []

    async def start(self, base: str, headers: Headers = dict, look_up: LookUp = no_credentials) -> None:
        """Begin; `base` is the URL below which this server's databases are, `headers` its credential;
        `look_up` knows those that definitions refer to.
        """
        scheduler = Scheduler(
            self._registry.uuid,
            new_uuid=self._registry.new_uuid,
            base=base,
            headers=headers,
            look_up=look_up,
            clock=self._clock,
        )
        self._session = aiohttp.ClientSession(timeout=aiohttp.ClientTimeout(total=None, sock_read=60))
        client = CouchClient(self._session, base, headers=headers)
        self._documents = ReplicatorDocuments(client, scheduler, clock=self._clock)
        self._scheduler = scheduler
        self._registry.task_sources.append(scheduler.active_tasks)
        self._tasks = [
            asyncio.create_task(scheduler.run(), name="replication scheduler"),
            asyncio.create_task(self._documents.follow(), name="replicator documents"),
        ]

    async def stop(self) -> None:
        """End every run, wherever it is: the next start goes on from the checkpoints."""
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)
        self._tasks = []
        if self._scheduler is not None:
            self._registry.task_sources.remove(self._scheduler.active_tasks)
            self._scheduler = None
        if self._session is not None:
            await self._session.close()
            self._session = None

    async def replicate(self, definition: Definition) -> Mapping[str, Any]:
        """`POST /_replicate`: to the end, or begun where it is continuous. Raises the run's CouchError."""
        job = self._running.add(definition)
        if definition.continuous:
            return {"ok": True, "_local_id": job.id}
        # The replication goes on when the client goes away.
        return answer_of(await asyncio.shield(job.ended))

    async def cancel(self, definition: Definition) -> Mapping[str, Any]:
        """`POST /_replicate` with `cancel`. Raises NotFound."""
        job = await self._running.remove(self._running.job_id(definition))
        return {"ok": True, "_local_id": job.id}

    def jobs(self) -> list[Mapping[str, Any]]:
        """Rows of `_scheduler/jobs`."""
        return [job.shown(NODE) for _, job in sorted(self._running.jobs.items())]

    def job(self, job_id: str) -> Mapping[str, Any]:
        """One of them. Raises NotFound."""
        found: Job | None = self._running.jobs.get(job_id)
        if found is None:
            raise NotFound("missing")
        return found.shown(NODE)

    def documents(self) -> list[Mapping[str, Any]]:
        """Rows of `_scheduler/docs`."""
        return self._documents.rows() if self._documents is not None else []

    @property
    def _running(self) -> Scheduler:
        if self._scheduler is None:
            raise Unavailable("the replicator does not run")
        return self._scheduler
