"""When devices were last seen, written to Postgres every few seconds.

A tablet makes hundreds of requests for one sync, and a row a request would cost more than the sync. What is
lost when the process dies, or Postgres is away, is the last few seconds of it; the next request tells again.
"""

import asyncio
from datetime import UTC, datetime

import sqlalchemy.exc
import structlog
from sqlalchemy import func
from sqlalchemy.dialects.postgresql import Insert, insert
from sqlalchemy.ext.asyncio import AsyncEngine

from reporting.documents.text import without_nul
from reporting.tables import device_activity

EVERY_SECONDS = 5.0
_PATIENCE = 10.0
_LONGEST_APP = 200

log = structlog.get_logger()


class Activity:
    """What devices did since it was written last. `run` until the end, then `write` once more."""

    def __init__(self, engine: AsyncEngine) -> None:
        self._engine = engine
        self._seen: dict[tuple[str, str], dict[str, object]] = {}

    def note(self, *, site: str, device: str, address: str | None, app: str | None, pushes: bool) -> None:
        """The device has made a request; `pushes`: it hands in documents."""
        now = datetime.now(UTC)
        seen = self._seen.setdefault((site, device), {"last_push_at": None})
        seen["last_seen_at"], seen["address"] = now, address
        # A header that is no UTF-8 has halves of characters: one row would keep all from being written.
        seen["app"] = without_nul((app or "").encode(errors="replace").decode())[:_LONGEST_APP] or None
        if pushes:
            seen["last_push_at"] = now

    async def run(self) -> None:
        """Write it, again and again."""
        while True:
            await asyncio.sleep(EVERY_SECONDS)
            await self.write()

    async def write(self) -> None:
        """Write what is new; it waits for the next time where Postgres is away."""
        if not self._seen:
            return
        seen, self._seen = self._seen, {}
        rows = [{"site": site, "device": device, **about} for (site, device), about in sorted(seen.items())]
        try:
            async with asyncio.timeout(_PATIENCE), self._engine.begin() as connection:
                await connection.execute(_upsert(), rows)
        except (sqlalchemy.exc.DBAPIError, sqlalchemy.exc.TimeoutError, TimeoutError, OSError) as error:
            log.warning("activity of devices not written", error=type(error).__name__)
            self._seen = {**seen, **self._seen}


def _upsert() -> Insert:
    statement = insert(device_activity)
    new, old = statement.excluded, device_activity.c
    return statement.on_conflict_do_update(
        index_elements=["site", "device"],
        set_={
            # Another process may have seen it later.
            "last_seen_at": func.greatest(new.last_seen_at, old.last_seen_at),
            "last_push_at": func.greatest(new.last_push_at, old.last_push_at),
            "address": new.address,
            "app": new.app,
        },
    )
