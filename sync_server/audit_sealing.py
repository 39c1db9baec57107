"""Sealing the audit log while the service runs (see `reporting.audit_chain`).

Any number of services may do it: they take turns. While Postgres is away it waits. Most looks are among the
newest entries; every few minutes one is at the whole log, for entries of a slow and large transaction (an
import) may be committed when many later ones are sealed. Each new head is logged:
kept with the logs, on another machine, it shows that nothing before it was changed.
"""

import asyncio
from itertools import count
from typing import Final, NoReturn

import structlog
from sqlalchemy.ext.asyncio import AsyncEngine

from reporting.audit_chain import SEAL_INTERVAL_S, Head, seal_all
from sync_server.following import AWAY, said

LOOKS_UNTIL_WHOLE: Final = 60

log = structlog.get_logger()


async def follow_audit_log(engine: AsyncEngine, *, interval: float = SEAL_INTERVAL_S) -> NoReturn:
    """Seal, wait, seal again, for ever. `interval` in seconds."""
    head: Head | None = None
    away = False
    for look in count():
        try:
            now = await seal_all(engine, whole=head is None or look % LOOKS_UNTIL_WHOLE == 0)
            away = False
            if now != head:
                log.info("audit log sealed", position=now.position, head=now.digest)
            head = now
        except AWAY as error:
            if not away:
                log.warning("audit log not sealed", error=said(error))
            away = True
        await asyncio.sleep(interval)
    raise AssertionError("it counts for ever")
