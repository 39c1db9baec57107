"""What an alert looks at: numbers a site, computed from Postgres at the moment they are asked for.

Nothing counts along in a process: several serve, several project, and each of them would know a part. A site
without a number has none (it was never proved, say); that is no zero.
"""

from typing import Any

import msgspec
from sqlalchemy import Float, Integer, Select, and_, exists, func, or_, select
from sqlalchemy.ext.asyncio import AsyncConnection

from reporting.queries.health import read_progress
from reporting.tables import checkpoints, conflicts, proofs, quarantine, replays, waivers


class SiteNumbers(msgspec.Struct, kw_only=True):
    """One site's numbers; None = there is none. Ages and lags are in seconds."""

    site: str
    pending: int | None = None
    lag_s: float | None = None
    complete_through_age_s: float | None = None
    quarantine_open: int = 0
    conflicts_open: int = 0
    replays_waiting: int = 0
    proof_age_s: float | None = None
    proof_missing: int | None = None
    proof_double: int | None = None
    proof_incomplete: int | None = None
    proof_gone: int | None = None


def _age(moment: Any) -> Any:
    return func.extract("epoch", func.now() - moment).cast(Float)


def _open_quarantine() -> Select[*tuple[Any, ...]]:
    entry = quarantine.c
    waived = exists().where(
        and_(
            waivers.c.site == entry.site,
            waivers.c.doc_id == entry.doc_id,
            waivers.c.code == entry.code,
            waivers.c.path == entry.path,
        )
    )
    return select(entry.site, func.count()).where(~waived).group_by(entry.site)


def _open_conflicts() -> Select[*tuple[Any, ...]]:
    c = conflicts.c
    return select(c.site, func.count()).where(or_(c.state == "open", c.state == "outdated")).group_by(c.site)


def _waiting_replays() -> Select[*tuple[Any, ...]]:
    return select(replays.c.site, func.count()).group_by(replays.c.site)


def _complete_through() -> Select[*tuple[Any, ...]]:
    return select(checkpoints.c.site, _age(checkpoints.c.complete_through))


def _last_proofs() -> Select[*tuple[Any, ...]]:
    c = proofs.c
    counts = (c.counts[name].astext.cast(Integer) for name in ("double", "incomplete", "gone"))
    last = select(func.max(c.id)).group_by(c.site)
    return select(c.site, _age(c.finished_at), c.missing, *counts).where(c.id.in_(last))


async def read_numbers(connection: AsyncConnection) -> list[SiteNumbers]:
    """Every site's numbers, by site."""
    sites: dict[str, SiteNumbers] = {}
    for progress in await read_progress(connection):
        lag = (progress.read_at - progress.waiting_since).total_seconds() if progress.waiting_since else 0.0
        sites[progress.site] = SiteNumbers(site=progress.site, pending=progress.pending, lag_s=max(lag, 0.0))

    def of(site: str) -> SiteNumbers:
        return sites.setdefault(site, SiteNumbers(site=site))

    for site, age in await connection.execute(_complete_through()):
        of(site).complete_through_age_s = age
    for site, n in await connection.execute(_open_quarantine()):
        of(site).quarantine_open = n
    for site, n in await connection.execute(_open_conflicts()):
        of(site).conflicts_open = n
    for site, n in await connection.execute(_waiting_replays()):
        of(site).replays_waiting = n
    for site, age, missing, double, incomplete, gone in await connection.execute(_last_proofs()):
        numbers = of(site)
        numbers.proof_age_s, numbers.proof_missing, numbers.proof_gone = age, missing, gone
        numbers.proof_double, numbers.proof_incomplete = double, incomplete
    return [sites[site] for site in sorted(sites)]
