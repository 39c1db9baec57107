"""What a hub does for itself while it runs: write which tablets were seen, and give space back.

Every save of a session is a revision, and older ones stay until compaction. A clinic may switch its hub off
every night, so what counts is when the last compaction ended, not how long the process has run.
"""

import asyncio
from datetime import datetime, timedelta
from typing import Final, NoReturn

import structlog

from replication.errors import CouchError
from sync_server.hub.parts import Hub, now
from sync_server.hub.records import RecordsFailed, read_meta, write_meta

WRITE_TABLETS_EVERY_S: Final = 5.0
COMPACT_EVERY: Final = timedelta(hours=20)
COMPACTION_LOOK_S: Final = 15 * 60.0
_COMPACTED: Final = "compacted"

log = structlog.get_logger()


async def write_tablets(hub: Hub) -> NoReturn:
    """Write it, again and again."""
    while True:
        await asyncio.sleep(WRITE_TABLETS_EVERY_S)
        try:
            await hub.tablets.write(hub.records)
        except RecordsFailed as error:
            log.warning("tablets not written", error=str(error))


async def compact(hub: Hub) -> NoReturn:
    """Compact when it is due, again and again; the first look is not at once, tablets may be waiting."""
    while True:
        await asyncio.sleep(COMPACTION_LOOK_S)
        try:
            await compact_if_due(hub)
        except (CouchError, RecordsFailed) as error:
            log.warning("not compacted", error=str(error))


async def compact_if_due(hub: Hub) -> bool:
    """Compact the site's database unless that was done lately; whether it was. Raises CouchError,
    RecordsFailed.
    """
    kept = await hub.records.do(lambda c: read_meta(c, _COMPACTED))
    # A clock that was set back would otherwise put it off for as long.
    if kept is not None and timedelta(0) <= now() - datetime.fromisoformat(kept.decode()) < COMPACT_EVERY:
        return False
    database = await hub.registry.open(hub.settings.database)
    database.compaction.start()
    await database.compaction.finished()
    at = now().isoformat().encode()
    await hub.records.do(lambda c: write_meta(c, _COMPACTED, at))
    log.info("compacted")
    return True
