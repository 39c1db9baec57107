"""The projector proves its sites by itself, one after the other, at an interval.

When a site was proved last is read from Postgres, so that it does not matter which process proves it, nor how
often processes start. Nothing is repaired: a gap is a defect, and somebody has to see it.

| what happens | outcome |
|---|---|
| a site was never proved, or not for the interval | it is the next, the longest waiting first |
| … no full proof for the longer interval | a full one |
| a site cannot be proved now | told; it is tried again after a while, and the others go on |
| the projector stops meanwhile | no proof; the site is due as before |
| two processes prove one site | two proofs, both right |
"""

import math
import time
from collections.abc import Callable, Sequence
from datetime import UTC, datetime
from typing import Final

import psycopg
import structlog

from reporting.errors import FeedUnavailable, NotFollowed
from reporting.projection import proving
from reporting.projection.connections import Connections, Lease
from reporting.projection.feed import SiteDatabase, SiteFeed
from reporting.projection.proof import Proof
from reporting.projection.reconcile import reconcile_site

_LOOK_S: Final = 60.0
"""Sites come and go: the longest sleep."""

_FIRST_LOOK_S: Final = 1.0

_RETRY_S: Final = 300.0

log = structlog.get_logger()


class ProofSchedule:
    """Which site is proved next, and when. It has a connection of its own: a full proof takes a while."""

    def __init__(
        self,
        feed: SiteFeed,
        database_url: str,
        *,
        interval_s: float,
        full_interval_s: float,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._feed = feed
        self._interval_s = interval_s
        self._full_interval_s = full_interval_s
        self._clock = clock
        self._connections = Connections(database_url, 1)
        self._not_before: dict[str, float] = {}

    async def turn(self, databases: Sequence[SiteDatabase]) -> float:
        """Prove the site of these that waits longest, if one is due; seconds until the next turn is."""
        if not databases:
            return _FIRST_LOOK_S
        async with self._connections.lease() as lease:
            ages = await lease.run(_ages, [database.site for database in databases])
            now = self._clock()
            due_in = {
                database: max(
                    self._interval_s - ages[database.site][0],
                    self._not_before.get(database.site, 0.0) - now,
                )
                for database in databases
            }
            database = min(due_in, key=due_in.__getitem__)
            if due_in[database] > 0:
                return min(due_in[database], _LOOK_S)
            await self._prove(lease, database, full=ages[database.site][1] >= self._full_interval_s)
        return 0.0

    async def close(self) -> None:
        """Close the connection; no turn may be running."""
        await self._connections.close()

    async def _prove(self, lease: Lease, database: SiteDatabase, *, full: bool) -> None:
        # Before it is tried: whatever it fails with, the others have their turn.
        self._not_before[database.site] = self._clock() + min(_RETRY_S, self._interval_s)
        try:
            proof = await reconcile_site(
                self._feed, lease, database, full=full, repair=False, now=_now, tell=_nobody
            )
        except (FeedUnavailable, NotFollowed) as failure:
            write = log.info if isinstance(failure, NotFollowed) else log.warning
            write("not reconciled", site=database.site, error=str(failure))
        else:
            self._not_before.pop(database.site, None)
            _log_proof(proof)


def _ages(connection: psycopg.Connection, sites: Sequence[str]) -> dict[str, tuple[float, float]]:
    """Seconds since each site's last proof, and since its last full one; infinite where there is none."""
    with connection.transaction():
        found = connection.execute(proving.PROOFS_DUE, {"sites": list(sites)})
        return {
            site: (math.inf if any_ is None else any_, math.inf if full is None else full)
            for site, any_, full in found
        }


def _log_proof(proof: Proof) -> None:
    counts = proof.counts
    write = log.info if proof.holds else log.warning
    write(
        "reconciled",
        site=proof.site,
        kind=proof.kind,
        documents=counts.documents,
        pending=counts.pending,
        gone=counts.gone,
        newly_gone=proof.newly_gone,
        missing=counts.missing,
        double=counts.double,
        incomplete=counts.incomplete,
    )


def _nobody(done: int, total: int) -> None:
    """Nobody watches."""


def _now() -> datetime:
    return datetime.now(UTC)
