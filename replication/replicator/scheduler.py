"""Runs the replications that are wanted: a bounded number at a time, each failing by itself.

what happens                                what follows
----------------------------------------    ------------------------------------------------------
more are wanted than may run                the others are pending; continuous ones take turns
a run fails, by a defect too                crashing: tried again after a wait that doubles (`backoff`)
`POST /_replicate`, not continuous, fails   its caller is told, and it is forgotten
the same replication is asked for again     the one that is there is joined
the server stops                            runs are cancelled; the next start goes on from checkpoints
"""

import asyncio
import contextlib
import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any, Final
from urllib.parse import quote

import aiohttp
import msgspec
import structlog

from replication.client import UnexpectedAnswer
from replication.errors import CouchError, NotFound, Unauthorized, Unavailable
from replication.replicator.definition import Definition, Endpoint
from replication.replicator.jobs import Job
from replication.replicator.peer import Peer
from replication.replicator.transfer import Outcome, Run

NODE: Final = "nonode@nohost"
MOST_RUNNING: Final = 500
TURN_SECONDS: Final = 60.0
"""How long a continuous replication runs before one that is pending may have its place."""

log = structlog.get_logger()

Headers = Callable[[], Mapping[str, str]]

LookUp = Callable[[str, str], Mapping[str, str]]
"""The headers of a credential, by the URL it is for and its reference. Raises CouchError."""


def no_credentials(url: str, reference: str) -> Mapping[str, str]:  # noqa: ARG001 (a LookUp)
    """Of a server that has none. Raises Unauthorized."""
    raise Unauthorized("this server knows no credentials by reference")


class Scheduler:
    """All jobs of a server. `uuid` is the server's: it is part of every replication id."""

    def __init__(
        self,
        uuid: str,
        *,
        new_uuid: Callable[[], str],
        base: str,
        headers: Headers = dict,
        look_up: LookUp = no_credentials,
        most_running: int = MOST_RUNNING,
        clock: Callable[[], float] = time.time,
    ) -> None:
        """`base` is the URL below which this server's own databases are, `headers` its own credential."""
        self.jobs: dict[str, Job] = {}
        self._uuid = uuid
        self._new_uuid = new_uuid
        self._base = base
        self._headers = headers
        self._look_up = look_up
        self._most_running = most_running
        self._clock = clock
        self._changed = asyncio.Event()
        self._on_end: list[Callable[[Job], None]] = []

    def on_end(self, told: Callable[[Job], None]) -> None:
        """`told` is called with every job that reached its end."""
        self._on_end.append(told)

    def job_id(self, definition: Definition) -> str:
        """How the job of this definition is called here."""
        return definition.job_id(self._uuid)

    def add(self, definition: Definition, *, doc_id: str | None = None) -> Job:
        """The job of this definition, new or already there."""
        job_id = self.job_id(definition)
        job = self.jobs.get(job_id)
        if job is None:
            job = self.jobs[job_id] = Job(job_id, definition, doc_id, self._clock())
            job.note("added", self._clock())
            self._changed.set()
        return job

    async def remove(self, job_id: str) -> Job:
        """Stop and forget a job. Raises NotFound."""
        job = self.jobs.pop(job_id, None)
        if job is None:
            raise NotFound("could not find replication")
        await self._stop([job])
        if not job.ended.done():
            job.ended.set_exception(Unavailable("the replication was cancelled"))
            job.ended.exception()
        return job

    def active_tasks(self) -> Iterable[Mapping[str, object]]:
        """Rows of `_active_tasks`."""
        return [job.active_task() for job in self.jobs.values() if job.task is not None]

    async def run(self) -> None:
        """Start and rotate jobs until cancelled; no run outlives this."""
        try:
            while True:
                self._changed.clear()
                await self._rotate()
                self._start_due()
                with contextlib.suppress(TimeoutError):
                    await asyncio.wait_for(self._changed.wait(), self._until_next())
        finally:
            await self._stop(list(self.jobs.values()))

    def _running(self) -> list[Job]:
        return [job for job in self.jobs.values() if job.task is not None]

    def _waiting(self) -> list[Job]:
        """Jobs that do not run, those first that have waited longest."""
        waiting = [job for job in self.jobs.values() if job.task is None]
        return sorted(waiting, key=lambda job: job.history[0].at)

    def _until_next(self) -> float | None:
        waiting = self._waiting()
        if not waiting:
            return None
        if len(self._running()) >= self._most_running:
            return TURN_SECONDS / 10
        now = self._clock()
        return max(0.05, min(job.due_at for job in waiting) - now)

    def _start_due(self) -> None:
        room = self._most_running - len(self._running())
        now = self._clock()
        for job in [job for job in self._waiting() if job.due_at <= now][: max(room, 0)]:
            job.started_at = now
            job.note("started", now)
            job.task = asyncio.create_task(self._run(job), name=f"replication {job.id}")

    async def _rotate(self) -> None:
        """Take the place of the continuous runs that have had it longest, for those that are due."""
        now = self._clock()
        due = [job for job in self._waiting() if job.due_at <= now]
        short = len(due) - (self._most_running - len(self._running()))
        had_turn = [
            job
            for job in self._running()
            if job.definition.continuous and now - (job.started_at or now) >= TURN_SECONDS
        ]
        had_turn.sort(key=lambda job: job.started_at or now)
        stopped = had_turn[: max(short, 0)]
        await self._stop(stopped)
        for job in stopped:
            job.note("stopped", now)

    async def _stop(self, jobs: Sequence[Job]) -> None:
        tasks = [job.task for job in jobs if job.task is not None]
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)

    async def _run(self, job: Job) -> None:
        definition = job.definition
        patience = definition.request_timeout
        timeout = aiohttp.ClientTimeout(total=None, sock_connect=patience, sock_read=patience)
        try:
            async with aiohttp.ClientSession(timeout=timeout) as session:
                job.run = Run(
                    definition,
                    Peer(session, self._resolved(definition.source)),
                    Peer(session, self._resolved(definition.target)),
                    checkpoint_id=definition.base_id(self._uuid),
                    session_id=self._new_uuid(),
                    clock=self._clock,
                )
                outcome = await job.run()
        except CouchError as failure:
            self._crashed(job, failure)
        except Exception as defect:
            # Not its text, which may quote headers. Without this it would be started again at once, for ever.
            log.exception("replication failed by a defect", id=job.id, **_shown(job))
            self._crashed(job, UnexpectedAnswer(f"a defect of the replicator: {type(defect).__name__}"))
        else:
            self._ended(job, outcome)
        finally:
            if job.run is not None:
                job.last = job.run.statistics
            job.run = job.task = None
            self._changed.set()

    def _ended(self, job: Job, outcome: Outcome) -> None:
        self.jobs.pop(job.id, None)
        log.info("replication completed", id=job.id, **_shown(job), **msgspec.to_builtins(job.statistics))
        if not job.ended.done():
            job.ended.set_result(outcome)
        for told in self._on_end:
            told(job)

    def _crashed(self, job: Job, failure: CouchError) -> None:
        reason = f"{failure.error}: {failure.reason}"
        job.note("crashed", self._clock(), reason)
        log.warning("replication failed", id=job.id, reason=reason, **_shown(job))
        if job.doc_id is None and not job.definition.continuous:
            self.jobs.pop(job.id, None)
            if not job.ended.done():
                job.ended.set_exception(failure)
                job.ended.exception()  # asked for, so that nobody complains when the caller has gone

    def _resolved(self, endpoint: Endpoint) -> Endpoint:
        """An endpoint as a URL with its credential: this server's own, or the one that it refers to."""
        if endpoint.database is None:
            if endpoint.reference is None:
                return endpoint
            found = self._look_up(endpoint.url, endpoint.reference)
            known = {name.lower(): value for name, value in found.items()}
            return msgspec.structs.replace(
                endpoint, headers=tuple({**dict(endpoint.headers), **known}.items())
            )
        headers = {
            **{name.lower(): value for name, value in self._headers().items()},
            **dict(endpoint.headers),
        }
        url = f"{self._base}/{quote(endpoint.database, safe='')}"
        return msgspec.structs.replace(endpoint, url=url, headers=tuple(headers.items()))


def _shown(job: Job) -> dict[str, Any]:
    return {"source": job.definition.source.shown, "target": job.definition.target.shown}
