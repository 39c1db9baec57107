"""Sealing the audit log while the service runs (see `reporting.audit_chain`).

Any number of services may do it: they take turns. While Postgres is away it waits. Each new head is logged:
kept with the logs, on another machine, it shows that nothing before it was changed.
"""

import asyncio
from typing import NoReturn

import sqlalchemy.exc
import structlog
from sqlalchemy.ext.asyncio import AsyncEngine

from reporting.audit_chain import SEAL_INTERVAL_S, Head, seal_all

log = structlog.get_logger()


async def follow_audit_log(engine: AsyncEngine, *, interval: float = SEAL_INTERVAL_S) -> NoReturn:
    """Seal, wait, seal again, for ever. `interval` in seconds."""
    head: Head | None = None
    away = False
    while True:
        try:
            now = await seal_all(engine, whole=head is None)
            away = False
            if now != head:
                log.info("audit log sealed", position=now.position, head=now.digest)
            head = now
        except (sqlalchemy.exc.DBAPIError, sqlalchemy.exc.TimeoutError, OSError) as error:
            if not away:
                log.warning("audit log not sealed", error=str(getattr(error, "orig", error)))
            away = True
        await asyncio.sleep(interval)
