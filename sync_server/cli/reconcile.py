"""`sync-server reconcile`: the proof that every document is in Postgres, or what is not."""

import asyncio
import sys
from collections.abc import Sequence
from datetime import UTC, datetime
from functools import partial
from pathlib import Path

import click
import msgspec
import psycopg
from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TaskID, TextColumn, TimeElapsedColumn

from reporting.engine import connect
from reporting.errors import FeedUnavailable, NotFollowed
from reporting.projection.connections import Lease
from reporting.projection.proof import Counts, Proof
from reporting.projection.reconcile import reconcile_lost_site, reconcile_site, recorded_sites
from sync_server.cli.site_feed import site_feed
from sync_server.cli.target import Target, data_dir_option, fail, target

DEFECTS_FOUND = 3
"""Exit code; 1 and 2 say that there is no proof."""


@click.command()
@click.option("--site", "sites", multiple=True, help="Only this site; may be repeated.")
@click.option("--full", is_flag=True, help="Compare everything, not only what changed since the last proof.")
@click.option("--repair", is_flag=True, help="Have what is missing projected again; mark what is gone.")
@click.option("--json", "as_json", is_flag=True, help="One JSON object instead of the table.")
@data_dir_option
def reconcile(
    sites: tuple[str, ...], data_dir: Path | None, *, full: bool, repair: bool, as_json: bool
) -> None:
    """Prove that every document of every site database is in Postgres.

    Exits with 0 when nothing is missing, double or incomplete, with 3 when something is, and with 1 when a
    site could not be compared. Everything serves meanwhile.
    """
    where = target(data_dir)
    proofs: list[Proof] = []
    problems: dict[str, str] = {}
    try:
        asyncio.run(_reconcile(where, sites, proofs, problems, full=full, repair=repair))
    except FeedUnavailable as error:
        fail(f"The site databases cannot be listed: {error}")
    except psycopg.Error as error:
        fail(f"Postgres failed: {error}")
    holds = all(proof.holds for proof in proofs)
    if as_json:
        answer = {"holds": holds and not problems, "sites": proofs, "not_compared": problems}
        click.echo(msgspec.json.encode(answer).decode())
    else:
        _print(proofs)
        for site, problem in problems.items():
            click.echo(f"{site}: not compared: {problem}")
    sys.exit(1 if problems else 0 if holds else DEFECTS_FOUND)


async def _reconcile(
    where: Target,
    sites: Sequence[str],
    proofs: list[Proof],
    problems: dict[str, str],
    *,
    full: bool,
    repair: bool,
) -> None:
    columns = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TimeElapsedColumn())
    with (
        connect(where.database_url, application_name="metricis-reconcile") as connection,
        Progress(*columns, console=Console(stderr=True)) as bar,
    ):
        async with site_feed(where) as feed:
            there = {database.site: database for database in await feed.databases()}
            known = there.keys() | recorded_sites(connection)
            unknown = sorted(set(sites) - known)
            if unknown:
                fail(f"Neither the store nor Postgres has a site {', '.join(unknown)}.")
            lease = Lease(connection)
            for site in sorted(sites or known):
                reading = bar.add_task(f"Site {site}", total=None)
                try:
                    tell = partial(_tell, bar, reading)
                    if site in there:
                        proof = await reconcile_site(
                            feed, lease, there[site], full=full, repair=repair, now=_now, tell=tell
                        )
                    else:
                        proof = await reconcile_lost_site(lease, site, repair=repair, now=_now)
                except (FeedUnavailable, NotFollowed) as error:
                    problems[site] = str(error)
                else:
                    proofs.append(proof)
                    n = proof.counts.documents
                    bar.update(reading, completed=n, total=n)


def _tell(bar: Progress, reading: TaskID, done: int, total: int) -> None:
    bar.update(reading, completed=done, total=total)


def _now() -> datetime:
    return datetime.now(UTC)


def _print(proofs: Sequence[Proof]) -> None:
    names = Counts.__struct_fields__
    lines = [["site", *names, "repaired", "proof"]]
    for proof in proofs:
        numbers = [str(getattr(proof.counts, name)) for name in names]
        lines.append([proof.site, *numbers, str(proof.repaired), proof.kind])
    widths = [max(map(len, column)) for column in zip(*lines, strict=True)]
    for first, *rest in lines:
        cells = [cell.rjust(width) for cell, width in zip(rest, widths[1:], strict=True)]
        click.echo("  ".join([first.ljust(widths[0]), *cells]))
    for proof in proofs:
        for counted_as, keys in proof.examples.items():
            click.echo(f"{proof.site}: {counted_as}: {', '.join(keys)}")
        if proof.newly_gone and not proof.repaired:
            click.echo(
                f"{proof.site}: {proof.newly_gone} of the gone are not marked yet: --repair marks them."
            )
    total = Counts()
    for name in names:
        setattr(total, name, sum(getattr(proof.counts, name) for proof in proofs))
    verdict = f"missing = {total.missing}, double = {total.double}, incomplete = {total.incomplete}"
    at = max((proof.finished_at for proof in proofs if proof.finished_at), default=None)
    click.echo(
        f"{verdict}; {total.documents} documents with {total.leaves} leaves compared, {at or 'never'}."
    )
