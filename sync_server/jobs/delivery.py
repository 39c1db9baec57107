"""One job: the entries of a claim are begun, done and ended.

While the handler works, the leases are renewed; a worker that is killed is noticed when they run out. What
came of it is recorded only for entries whose lease and ticket still count (see `reporting.outbox.claims`).
"""

import asyncio
import contextlib
from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import asynccontextmanager
from datetime import UTC, datetime, timedelta
from typing import Final

import sqlalchemy.exc
import structlog
from sqlalchemy.ext.asyncio import AsyncEngine

from reporting.outbox.claims import Claim, Ended, Started, end, ending, record_attempts, renew, start
from reporting.outbox.policy import Failed, Outcome
from sync_server.jobs.registry import KINDS, Kind
from sync_server.jobs.resources import Resources

_TRIES_TO_END: Final = 6

log = structlog.get_logger()


async def deliver(kind_name: str, claims: Sequence[Claim], resources: Resources) -> int:
    """Do what these entries ask for; how many were begun. Never raises for an entry."""
    if not claims:
        return 0
    kind = KINDS.get(kind_name)
    if kind is None:
        # Another version of this system claimed it; the claim runs out.
        log.warning("unknown kind", kind=kind_name)
        return 0
    lease = timedelta(seconds=resources.settings.outbox_lease_seconds)
    async with resources.engine.begin() as connection:
        entries = [Started(*row) for row in await connection.execute(start(claims, lease=lease))]
    if not entries:
        return 0
    async with _renewed(resources.engine, entries, lease):
        outcomes = await _handle(kind, entries, resources)
    now = datetime.now(UTC)
    silent = Failed("Its handler said nothing of it.")
    ended = [ending(entry, outcomes.get(entry.id, silent), kind.policy, now=now) for entry in entries]
    await _end(resources.engine, ended)
    return len(entries)


async def _handle(kind: Kind, entries: Sequence[Started], resources: Resources) -> Mapping[int, Outcome]:
    try:
        return await kind.handler(entries, resources)
    except Exception as error:
        # Of the whole batch: it is on record, and tried again by the policy.
        log.exception("batch failed", kind=kind.name, entries=len(entries))
        return dict.fromkeys((entry.id for entry in entries), Failed(f"{type(error).__name__}: {error}"))


@asynccontextmanager
async def _renewed(engine: AsyncEngine, entries: Sequence[Started], lease: timedelta) -> AsyncIterator[None]:
    claims = [(entry.id, entry.lease) for entry in entries]

    async def keep() -> None:
        while True:
            await asyncio.sleep(lease.total_seconds() / 3)
            # Postgres is away for a moment: the next renewal may come in time.
            with contextlib.suppress(sqlalchemy.exc.SQLAlchemyError):
                async with engine.begin() as connection:
                    await connection.execute(renew(claims, lease=lease))

    task = asyncio.create_task(keep())
    try:
        yield
    finally:
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)


async def _end(engine: AsyncEngine, ended: Sequence[Ended]) -> None:
    for attempt in range(1, _TRIES_TO_END + 1):
        try:
            async with engine.begin() as connection:
                counted = set((await connection.execute(end(ended))).scalars())
                told = [each for each in ended if each.entry.id in counted]
                tried = [each for each in told if each.outcome != "postponed"]
                if tried:
                    await connection.execute(record_attempts(tried))
        except sqlalchemy.exc.OperationalError:
            if attempt == _TRIES_TO_END:
                raise
            await asyncio.sleep(0.1 * 2**attempt)
        else:
            break
    for each in told:
        if each.error is not None and each.outcome != "postponed":
            log.warning(
                "delivery ended",
                kind=each.entry.kind,
                entry=each.entry.id,
                outcome=each.outcome,
                error=each.error,
            )
