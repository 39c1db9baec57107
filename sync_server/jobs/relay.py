"""The relay: from the outbox in Postgres to the queues in Redis.

    woken by NOTIFY, or a second later ─▶ claim due entries (SKIP LOCKED) ─▶ batches by kind and site ─▶ queue

Any number of relays may run. It carries ids and nothing else; whatever is lost on the way is claimed again.

| what happens | outcome |
|---|---|
| Redis is away | what was claimed is given back; tried again with backoff |
| Redis was emptied | its mark is missing: claims that no worker began are given back at once |
| Postgres is away | tried again with backoff |
| it dies | claims that it did not carry run out; another relay, or itself again, takes them |
| notifications are lost | it looks once a second all the same |
| a duty fails | its transaction is rolled back; the log says so; the others are done |
"""

import threading
import time
from collections import defaultdict
from collections.abc import Callable, Iterator, Sequence
from datetime import timedelta
from typing import Final

import psycopg
import redis
import sqlalchemy.exc
import structlog
from sqlalchemy import Engine

from reporting.engine import connect
from reporting.outbox.claims import Claim, Claimed, claim, release, release_claims
from reporting.outbox.duties import Duty, run_if_due
from reporting.tables.outbox import CHANNEL
from sync_server.jobs.queues import Queues
from sync_server.jobs.registry import KINDS, Kind

POLL_SECONDS: Final = 1.0
LONGEST_BACKOFF_SECONDS: Final = 10.0

_AWAY: Final = (psycopg.Error, redis.RedisError, sqlalchemy.exc.SQLAlchemyError, OSError)

log = structlog.get_logger()


class Relay:
    """One relay, for one thread."""

    def __init__(
        self,
        engine: Engine,
        queues: Queues,
        *,
        lease: timedelta,
        duties: Sequence[Duty] = (),
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._engine = engine
        self._queues = queues
        self._lease = lease
        self._duties = duties
        self._clock = clock
        self._duties_due_at = clock()

    def run(self, stop: threading.Event, database_url: str) -> None:
        """Relay until `stop` is set."""
        failures = 0
        while not stop.is_set():
            try:
                with connect(database_url, application_name="metricis-relay") as listening:
                    listening.execute(f"LISTEN {CHANNEL}".encode())
                    while not stop.is_set():
                        self.do_duties()
                        carried = self.turn()
                        failures = 0
                        if not carried:
                            _wait(listening)
            except _AWAY as error:
                failures += 1
                delay = min(0.2 * 2**failures, LONGEST_BACKOFF_SECONDS)
                log.warning("relay failed", error=f"{type(error).__name__}: {error}", next_try_s=delay)
                stop.wait(delay)

    def turn(self) -> int:
        """Carry what is due and fits; how many entries. Raises what Postgres or Redis raise."""
        if self._queues.were_emptied():
            with self._engine.begin() as connection:
                connection.execute(release(all_claims=True))
        return sum(self._carry(kind) for kind in KINDS.values())

    def do_duties(self) -> None:
        """Look once a second which duties are due, and do them."""
        if self._clock() < self._duties_due_at:
            return
        self._duties_due_at = self._clock() + POLL_SECONDS
        for duty in self._duties:
            try:
                with self._engine.begin() as connection:
                    run_if_due(connection, duty)
            except sqlalchemy.exc.OperationalError:
                raise
            except Exception:
                # One duty's defect must keep neither the others nor the relay from their work.
                log.exception("duty failed", duty=duty.name)

    def _carry(self, kind: Kind) -> int:
        free = self._queues.free(kind.queue)
        if not free:
            return 0
        with self._engine.begin() as connection:
            statement = claim(kind.name, limit=free * kind.batch, lease=self._lease)
            claimed = [Claimed(*row) for row in connection.execute(statement)]
        batches = list(_batches(claimed, kind.batch))
        for number, batch in enumerate(batches):
            try:
                self._queues.put(kind.queue, kind.name, batch)
            except redis.RedisError:
                # Also of the one that failed: should it be there after all, no worker can begin it any more.
                rest = [each for later in batches[number:] for each in later]
                with self._engine.begin() as connection:
                    connection.execute(release_claims(rest))
                raise
        return len(claimed)


def _batches(claimed: Sequence[Claimed], size: int) -> Iterator[list[Claim]]:
    by_site: dict[str | None, list[Claim]] = defaultdict(list)
    for each in claimed:
        by_site[each.site].append((each.id, each.lease))
    for claims in by_site.values():
        for start in range(0, len(claims), size):
            yield claims[start : start + size]


def _wait(listening: psycopg.Connection) -> None:
    """Until something was entered, a second at most."""
    for _ in listening.notifies(timeout=POLL_SECONDS, stop_after=1):
        return
