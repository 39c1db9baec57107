"""The queues in Redis: what carries ids from the relay to the workers, and may lose them.

One job is `deliver_batch(kind, [[id, lease], …])`, in JSON: nobody who can write to Redis can make a worker
run anything else of its own making. No more than a few jobs a queue wait at a time: claims run out in a
minute, and a queue that is long would be full of claims that ran out.
"""

import contextlib
from collections.abc import Sequence
from typing import Final, Protocol

import redis
from rq import Queue
from rq.serializers import JSONSerializer

from reporting.outbox.claims import Claim

ENTRY_POINT: Final = "sync_server.jobs.worker.deliver_batch"

MOST_WAITING: Final = 8
"""Jobs of a queue."""

_MARK: Final = "metricis:outbox:mark"

KEEP_FAILED_SECONDS: Final = 3600


class Queues(Protocol):
    """Where a relay puts what it has claimed."""

    def were_emptied(self) -> bool:
        """Whether everything was lost since the last time somebody asked; true for one relay only."""
        ...

    def free(self, queue: str) -> int:
        """How many more jobs should wait there."""
        ...

    def put(self, queue: str, kind: str, claims: Sequence[Claim]) -> None:
        """One job. Raises redis.RedisError; then it is unknown whether the job is there."""
        ...


class RedisQueues:
    """`Queues` of RQ."""

    def __init__(self, connection: "redis.Redis", *, lease_seconds: int) -> None:
        self._connection = connection
        self._ttl = lease_seconds
        self._queues: dict[str, Queue] = {}

    def were_emptied(self) -> bool:
        """See Queues."""
        return bool(self._connection.set(_MARK, "1", nx=True))

    def free(self, queue: str) -> int:
        """See Queues."""
        return max(0, MOST_WAITING - self._queue(queue).count)

    def put(self, queue: str, kind: str, claims: Sequence[Claim]) -> None:
        """See Queues."""
        self._queue(queue).enqueue_call(
            ENTRY_POINT,
            args=(kind, [list(claim) for claim in claims]),
            # The leases bound it, not a signal in the middle of a handler.
            timeout=-1,
            # A claim that ran out is no work any more.
            ttl=self._ttl,
            result_ttl=0,
            failure_ttl=KEEP_FAILED_SECONDS,
            description=f"{kind}: {len(claims)}",
        )

    def close(self) -> None:
        """Close the connection."""
        with contextlib.suppress(redis.RedisError):
            self._connection.close()

    def _queue(self, name: str) -> Queue:
        if name not in self._queues:
            self._queues[name] = Queue(name, connection=self._connection, serializer=JSONSerializer)
        return self._queues[name]
