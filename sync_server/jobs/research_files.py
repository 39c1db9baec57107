"""The handlers of `research_file` (a file is made) and `research_sweep` (files go that no row needs).

A file is made in a thread: the loop goes on renewing the lease, however long it takes.

| what happens | outcome |
|---|---|
| the file was removed, or is done | discarded |
| another worker makes one of the same content | postponed |
| it cannot be made (Excel's limits, a full disk) | given up at once; the row says why |
| Postgres goes away | again later; after the last attempt the row is `failed` |
"""

import asyncio
from datetime import timedelta
from typing import Final

import structlog

from reporting.engine import sync_engine
from reporting.outbox.claims import Started
from reporting.outbox.policy import Dropped, Failed, Outcome, Policy, Postponed
from sync_server.jobs.resources import Resources
from sync_server.research_files.kinds import maker_of
from sync_server.research_files.making import CannotMake
from sync_server.research_files.running import AgainLater, Busy, NothingToMake, make_file
from sync_server.research_files.sweeping import Swept, sweep

FILES: Final = Policy((timedelta(seconds=5), timedelta(minutes=1), timedelta(minutes=10)))
SOON: Final = timedelta(seconds=10)
"""Each look reads what state the study's rows are in."""

log = structlog.get_logger()


async def deliver_file(entry: Started, resources: Resources) -> Outcome | None:
    """Make the file that the entry names."""
    number = int(entry.payload["file"])
    try:
        kind = await asyncio.to_thread(_make, number, resources, last=entry.attempts + 1 >= FILES.attempts)
    except NothingToMake as error:
        return Dropped(str(error))
    except Busy as error:
        return Postponed(str(error), SOON)
    except CannotMake as error:
        return Failed(str(error), final=True)
    except AgainLater as error:
        log.warning("file not made", file=number, error=str(error), exc_info=error.__cause__)
        return Failed(str(error))
    log.info("file made", file=number, kind=kind)
    return None


async def deliver_sweep(entry: Started, resources: Resources) -> None:  # noqa: ARG001 (a handler's signature)
    """Take away what no row needs."""
    swept = await asyncio.to_thread(_sweep, resources)
    if any(swept):
        log.info("files swept", files=swept.files, leftovers=swept.leftovers, lost=swept.lost)


def _make(number: int, resources: Resources, *, last: bool) -> str:
    settings = resources.settings
    engine = sync_engine(settings.database_url, application_name="metricis-files", holds=True)
    keep = timedelta(days=settings.research_files_keep_days)
    try:
        row = make_file(engine, settings.files_folder, number, makers=maker_of, keep=keep, last=last)
    finally:
        engine.dispose()
    return row.kind


def _sweep(resources: Resources) -> Swept:
    engine = sync_engine(resources.settings.database_url, application_name="metricis-files")
    try:
        return sweep(engine, resources.settings.files_folder)
    finally:
        engine.dispose()
