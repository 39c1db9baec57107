"""`sync-server rebuild`: rows made anew from the site databases, compared, and put in place."""

import asyncio
from collections.abc import Sequence
from pathlib import Path

import click
import msgspec
import psycopg
from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TaskID, TextColumn, TimeElapsedColumn

from reporting.errors import FeedUnavailable, NotFollowed, SourceReplaced, StaleBatch
from reporting.projection.pump import random_epoch
from reporting.projection.rebuild import Rebuilt, rebuild_site
from sync_server.cli.site_feed import chosen_databases, site_feed
from sync_server.cli.target import Target, data_dir_option, fail, target


@click.command()
@click.option("--site", "sites", multiple=True, help="Only this site; may be repeated.")
@click.option("--dry-run", is_flag=True, help="Rebuild and compare, and change nothing.")
@click.option("--json", "as_json", is_flag=True, help="One JSON array instead of the lines.")
@data_dir_option
def rebuild(sites: tuple[str, ...], data_dir: Path | None, *, dry_run: bool, as_json: bool) -> None:
    """Make the rows of every site anew from its documents, and replace those that differ.

    Everything serves meanwhile. Rows of documents that are gone stay, marked. Replaced 0 is the proof that
    the rows are what the documents say.
    """
    where = target(data_dir)
    done: list[Rebuilt] = []
    try:
        asyncio.run(_rebuild(where, sites, done, dry_run=dry_run))
    except FeedUnavailable as error:
        _end(done, f"The site databases cannot be read: {error}")
    except psycopg.Error as error:
        _end(done, f"Postgres failed: {error}")
    except (StaleBatch, SourceReplaced, NotFollowed) as error:
        _end(
            done,
            f"The projector has to read site {error.site} from its start first; run this again when"
            " it has (GET /api/health/detailed).",
        )
    if as_json:
        click.echo(msgspec.json.encode([rebuilt._asdict() for rebuilt in done]).decode())
    else:
        _print(done, dry_run=dry_run)


async def _rebuild(where: Target, sites: Sequence[str], done: list[Rebuilt], *, dry_run: bool) -> None:
    columns = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TimeElapsedColumn())
    async with site_feed(where) as feed:
        databases = await chosen_databases(feed, sites)
        with Progress(*columns, console=Console(stderr=True)) as bar:
            for database in databases:
                reading = bar.add_task(f"Site {database.site}", total=None)

                def tell(read: int, total: int, reading: TaskID = reading) -> None:
                    bar.update(reading, completed=read, total=total)

                rebuilt = await rebuild_site(
                    feed,
                    where.database_url,
                    database,
                    new_epoch=random_epoch,
                    tell=tell,
                    dry_run=dry_run,
                )
                done.append(rebuilt)
                bar.update(reading, completed=rebuilt.documents, total=rebuilt.documents)


def _print(done: Sequence[Rebuilt], *, dry_run: bool) -> None:
    verb = "would be replaced" if dry_run else "replaced"
    for rebuilt in done:
        tables = ", ".join(f"{table} {number}" for table, number in rebuilt.by_table.items() if number)
        click.echo(
            f"{rebuilt.site}: {rebuilt.documents} documents read, {rebuilt.replaced} {verb}"
            f"{f' ({tables})' if tables else ''}, {rebuilt.marked} rows marked as gone"
        )
    click.echo(f"{len(done)} sites, {sum(each.replaced for each in done)} documents {verb}.")


def _end(done: Sequence[Rebuilt], problem: str) -> None:
    finished = ", ".join(rebuilt.site for rebuilt in done)
    fail(f"{problem} {f'Finished before: {finished}.' if finished else 'Nothing was changed.'}")
