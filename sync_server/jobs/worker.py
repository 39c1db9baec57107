"""A worker: an RQ worker that has its jobs done in this process.

RQ's usual worker forks for every job, which protects it from jobs that crash or leak, and makes every job
open connections anew. Here jobs are our own handlers: each waits with a timeout of its own, and what holds a
worker that dies nevertheless is the lease of its entries, which runs out, and the supervisor, who starts
another. So one process keeps one event loop, one pool of connections and one set of imports for all its
jobs. Nothing is kept in Redis that would be missed: a result is the state of an entry in Postgres.
"""

import asyncio
import time
from collections.abc import Sequence
from contextlib import AsyncExitStack
from types import FrameType
from typing import Any, Final

import redis
import structlog
from rq import Queue, SimpleWorker
from rq.exceptions import StopRequested
from rq.serializers import JSONSerializer

from sync_server.jobs.delivery import deliver
from sync_server.jobs.resources import Resources, resources
from sync_server.settings import Settings

RETRY_SECONDS: Final = 1.0

log = structlog.get_logger()


class _Process:
    """The event loop and resources of this process; RQ calls a job as a function of a module."""

    runner: asyncio.Runner | None = None
    resources: Resources | None = None
    told_to_stop = False


def deliver_batch(kind: str, claims: Sequence[Sequence[int]]) -> None:
    """The entry point of every job, by name: entries of a kind, each as `[id, lease]`."""
    if _Process.runner is None or _Process.resources is None:
        raise RuntimeError("a job of the outbox runs in `sync-server work` only")
    try:
        _Process.runner.run(deliver(kind, [(each[0], each[1]) for each in claims], _Process.resources))
    except Exception:
        # Postgres is away: the leases run out. RQ need not keep what failed, and there is no one to tell.
        log.exception("job failed", kind=kind, entries=len(claims))


class OutboxWorker(SimpleWorker):
    """Remembers that it was told to stop; without that, RQ's worker also ends when Redis is away."""

    def request_stop(self, signum: int, frame: FrameType | None) -> Any:
        """The signal's handler: the job in flight is finished."""
        _Process.told_to_stop = True
        return super().request_stop(signum, frame)  # type: ignore[no-untyped-call]


def run_worker(settings: Settings, queues: Sequence[str]) -> None:
    """Work until SIGTERM or SIGINT; the job in flight is finished.

    Raises UnusableSigningKey, UnusableKey, and OSError for the data directory.
    """
    with asyncio.Runner() as runner:
        stack = AsyncExitStack()
        _Process.resources = runner.run(stack.enter_async_context(resources(settings)))
        _Process.runner = runner
        try:
            _work(settings, queues)
        finally:
            _Process.runner = None
            runner.run(stack.aclose())


def _work(settings: Settings, queues: Sequence[str]) -> None:
    log.info("working", queues=list(queues))
    while not _Process.told_to_stop:
        try:
            connection = redis.Redis.from_url(settings.redis_url)
            listened = [Queue(name, connection=connection, serializer=JSONSerializer) for name in queues]
            worker = OutboxWorker(
                listened, connection=connection, serializer=JSONSerializer, log_job_description=False
            )
            # What it complains of is that its own notes are gone, when Redis was emptied.
            worker.work(logging_level="CRITICAL")
            if not _Process.told_to_stop:
                time.sleep(RETRY_SECONDS)
        except StopRequested:
            pass  # between two of RQ's workers
        except redis.RedisError as error:
            log.warning("redis failed", error=f"{type(error).__name__}: {error}")
            time.sleep(RETRY_SECONDS)
