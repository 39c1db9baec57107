"""How far each site's projection has come, as Postgres knows it.

`waiting_since` is the receipt time of the oldest document received since the site's last batch. It is a lower
bound: in a backlog, documents from before that batch wait as well (`pending` says how many). The time of the
last batch alone would be wrong the other way: after a quiet night the first document of the morning would
show as hours late.
"""

from datetime import datetime
from typing import Any

import msgspec
from sqlalchemy import Select, Text, cast, func, literal, select
from sqlalchemy.ext.asyncio import AsyncConnection

from reporting.tables import checkpoints, devices, ingest_log, proofs
from reporting.tables.base import Timestamp

_NEVER = cast(literal("-infinity", Text), Timestamp)


class SiteProgress(msgspec.Struct, frozen=True):
    """A site's checkpoint. All but `site` and `read_at` are None before the first batch."""

    site: str
    since: str | None
    pending: int | None
    """Changes after the last batch, counted when that batch was read."""
    advanced_at: datetime | None
    waiting_since: datetime | None
    """None: nothing was received since the last batch."""
    read_at: datetime
    """When this was read, by the clock that wrote the other times."""
    proved_at: datetime | None = None
    """When the site was last reconciled."""
    missing: int | None = None
    """What that proof found missing."""


def select_progress() -> Select[*tuple[Any, ...]]:
    """Statement: the fields of SiteProgress for every site that is projected or has an enrolled device."""
    c = checkpoints.c
    enrolled = select(devices.c.site).distinct().subquery("enrolled")
    site = func.coalesce(c.site, enrolled.c.site).label("site")
    waiting_since = (
        select(func.min(ingest_log.c.received_at))
        .where(
            ingest_log.c.site == func.coalesce(c.site, enrolled.c.site),
            ingest_log.c.outcome == "received",
            # One condition, that the index of receipts by site and time can begin at.
            ingest_log.c.received_at > func.coalesce(c.advanced_at, _NEVER),
        )
        .correlate(checkpoints, enrolled)
        .scalar_subquery()
    )
    last_proof = (
        select(proofs.c.finished_at, proofs.c.missing)
        .where(proofs.c.site == func.coalesce(c.site, enrolled.c.site))
        .correlate(checkpoints, enrolled)
        .order_by(proofs.c.finished_at.desc())
        .limit(1)
    )
    proved_at = last_proof.with_only_columns(proofs.c.finished_at).scalar_subquery()
    missing = last_proof.with_only_columns(proofs.c.missing).scalar_subquery()
    return (
        select(site, c.since, c.pending, c.advanced_at, waiting_since, func.now(), proved_at, missing)
        .select_from(checkpoints.outerjoin(enrolled, c.site == enrolled.c.site, full=True))
        .order_by(site)
    )


async def read_progress(connection: AsyncConnection) -> list[SiteProgress]:
    """Every site's progress, by site."""
    return [SiteProgress(*row) for row in await connection.execute(select_progress())]
