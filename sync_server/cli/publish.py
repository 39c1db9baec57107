"""`sync-server publish`: are the site databases what Postgres says? And make them so."""

import asyncio
import sys
from collections.abc import Sequence
from functools import partial
from pathlib import Path

import aiohttp
import click
import msgspec
import sqlalchemy.exc
from rich.console import Console
from rich.progress import Progress, SpinnerColumn, TextColumn, TimeElapsedColumn
from sqlalchemy import select

from reporting.engine import async_engine
from reporting.publication.consents import consent_states
from reporting.publication.deliver import Drift, Publisher
from reporting.publication.site_documents import SiteDatabaseAway, SiteDatabaseMissing
from reporting.tables import sites as sites_table
from sync_server.cli.target import Target, data_dir_option, fail, target
from sync_server.identity.signing_key_file import UnusableSigningKey, load_or_create_signing_key
from sync_server.jobs.site_documents import CouchSiteDocuments
from sync_server.store_client import STORE_CLIENT_TIMEOUT, store_client

EXAMPLES = 5


@click.command()
@click.option("--site", "sites", multiple=True, help="Only this site; may be repeated.")
@click.option("--check", is_flag=True, help="Only look; exit with 1 where something differs.")
@click.option("--json", "as_json", is_flag=True, help="One JSON object instead of the table.")
@data_dir_option
def publish(sites: tuple[str, ...], data_dir: Path | None, *, check: bool, as_json: bool) -> None:
    """Bring what tablets get to what Postgres says, all of it; write what differs and nothing else.

    The workers do the same for every change, and for every site once an hour. Exits with 1 where something
    could not be compared or written, and with --check where something differs.
    """
    where = target(data_dir)
    drifts: dict[str, Drift] = {}
    problems: dict[str, str] = {}
    try:
        asyncio.run(_publish(where, sites, drifts, problems, writes=not check))
    except sqlalchemy.exc.SQLAlchemyError as error:
        fail(f"Postgres failed: {error}")
    failed = bool(problems) or any(drift.problems for drift in drifts.values())
    differs = any(drift.found for drift in drifts.values())
    if as_json:
        answer = {"agrees": not differs and not failed, "sites": drifts, "not_compared": problems}
        click.echo(msgspec.json.encode(answer).decode())
    else:
        _print(drifts, problems)
    sys.exit(1 if failed or (check and differs) else 0)


async def _publish(
    where: Target, wanted: Sequence[str], drifts: dict[str, Drift], problems: dict[str, str], *, writes: bool
) -> None:
    try:
        key = await asyncio.to_thread(load_or_create_signing_key, where.data_dir)
    except (UnusableSigningKey, OSError) as error:
        fail(f"The signing key cannot be used: {error}")
    engine = async_engine(where.database_url, pool_size=2, application_name="metricis-publish")
    columns = (
        SpinnerColumn(),
        TextColumn("{task.description}"),
        TextColumn("{task.completed:.0f} documents"),
    )
    try:
        async with aiohttp.ClientSession(timeout=STORE_CLIENT_TIMEOUT) as session:
            client = store_client(session, where.feed_url, key, service="cli")
            publisher = Publisher(engine, CouchSiteDocuments(client), consent_states, writes=writes)
            async with engine.connect() as connection:
                known = set((await connection.execute(select(sites_table.c.code))).scalars())
            if unknown := sorted(set(wanted) - known):
                fail(f"There is no site {', '.join(unknown)}.")
            with Progress(*columns, TimeElapsedColumn(), console=Console(stderr=True)) as bar:
                for site in sorted(wanted or known):
                    shown = bar.add_task(f"Site {site}", total=None)
                    try:
                        drifts[site] = await publisher.publish_site(site, partial(bar.advance, shown))
                    except SiteDatabaseMissing as error:
                        if await publisher.is_open(site):
                            problems[site] = str(error)
                    except SiteDatabaseAway as error:
                        problems[site] = str(error)
    finally:
        await engine.dispose()


def _print(drifts: dict[str, Drift], problems: dict[str, str]) -> None:
    for site, drift in drifts.items():
        counts = ", ".join(
            f"{len(ids)} {name}"
            for name, ids in (
                ("missing", drift.missing),
                ("different", drift.different),
                ("surplus", drift.surplus),
            )
        )
        click.echo(f"{site}: {drift.compared} compared, {counts}")
        for doc_id in [*drift.missing, *drift.different, *drift.surplus][:EXAMPLES]:
            click.echo(f"  {doc_id}")
        for doc_id, why in drift.problems.items():
            click.echo(f"  not written: {doc_id}: {why}")
    for site, problem in problems.items():
        click.echo(f"{site}: not compared: {problem}")
