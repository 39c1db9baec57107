"""`python -m benchmarks NAME`."""

import json
from collections import defaultdict
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import click
from rich.console import Console

from benchmarks import exports as exports_benchmark
from benchmarks import gateway as gateway_benchmark
from benchmarks import portal as portal_benchmark
from benchmarks import projection as projection_benchmark
from benchmarks import quality as quality_table
from benchmarks import redcap as redcap_benchmark
from benchmarks import replication as replication_benchmark
from benchmarks import research as research_benchmark
from benchmarks import trials_table as trials_table_benchmark
from benchmarks.end_to_end import measure, tables
from benchmarks.idle_feeds import KINDS, Figures, NotHeard, allow_connections, idle_table, measure_idle
from benchmarks.initial_pull import NoPouchDB
from benchmarks.portal_rows import Size
from benchmarks.servers import fresh_servers


@click.group()
def main() -> None:
    """Benchmarks. These machines are noisy: read the ratios, not the absolute figures."""


@main.command("end_to_end")
@click.option("--documents", type=click.IntRange(1), help="Push only so many documents a site.")
@click.option("--steady-seconds", type=click.IntRange(0), default=30, show_default=True, help="0: none.")
@click.option("--json", "json_file", type=click.Path(path_type=Path), help="Write the figures to this file.")
def end_to_end(documents: int | None, steady_seconds: int, json_file: Path | None) -> None:
    """From a tablet's push to committed rows, on the field sessions or, where absent, generated ones."""
    console = Console()
    figures = measure(documents, steady_seconds, console)
    for table in tables(figures):
        console.print(table)
    _written(figures, json_file)


@main.command("replication")
@click.option(
    "--documents", type=click.IntRange(500), default=5_000, show_default=True, help="Of 2 kB, a round."
)
@click.option("--rounds", type=click.IntRange(1), default=3, show_default=True, help="The median counts.")
@click.option("--feeds", type=click.IntRange(0), default=1_000, show_default=True, help="Idle ones.")
@click.option(
    "--pouchdb-server", "pouchdb", type=click.Path(exists=True, path_type=Path), help="Its program."
)
@click.option(
    "--couchdb", "couchdbs", multiple=True, help="A CouchDB's URL with user and password; repeatable."
)
@click.option("--json", "json_file", type=click.Path(path_type=Path), help="Write the figures to this file.")
def replication(
    *,
    documents: int,
    rounds: int,
    feeds: int,
    pouchdb: Path | None,
    couchdbs: tuple[str, ...],
    json_file: Path | None,
) -> None:
    """The replication protocol's requests on this store and on others, in turn, with ratios."""
    console = Console()
    allow_connections(feeds)
    with fresh_servers(pouchdb=pouchdb, couchdbs=couchdbs) as servers:
        try:
            kind, rates = replication_benchmark.measure(
                servers, documents=documents, rounds=rounds, console=console
            )
        except NoPouchDB as error:
            raise click.ClickException(str(error)) from error
        figures = replication_benchmark.medians(rates)
        console.print(replication_benchmark.table(figures, servers))
    idle: dict[str, dict[str, Figures]] = defaultdict(dict)
    for feed in KINDS if feeds else ():
        with fresh_servers(pouchdb=pouchdb, couchdbs=couchdbs) as servers:
            for server in servers:
                try:
                    idle[server.name][feed] = measure_idle(server, kind=feed, count=feeds)
                except (NotHeard, OSError) as failure:
                    console.print(f"{server.name}: {feed}: {failure}", style="red")
    if idle:
        console.print(idle_table(idle, feeds))
    _written({"field_documents": kind, "rates": figures, "idle_feeds": idle}, json_file)


@main.command("gateway")
@click.option("--couchdb", required=True, help="The CouchDB's URL with user and password.")
@click.option(
    "--documents", type=click.IntRange(500), default=10_000, show_default=True, help="Of 2 kB, a round."
)
@click.option("--rounds", type=click.IntRange(1), default=5, show_default=True, help="The median counts.")
@click.option("--json", "json_file", type=click.Path(path_type=Path), help="Write the figures to this file.")
def gateway(couchdb: str, documents: int, rounds: int, json_file: Path | None) -> None:
    """The gateway before a CouchDB against that CouchDB itself, with ratios."""
    console = Console()
    rates = gateway_benchmark.measure(couchdb, documents=documents, rounds=rounds, console=console)
    console.print(gateway_benchmark.table(rates))
    _written(rates, json_file)


@main.command("quality")
@click.option("--json", "json_file", type=click.Path(path_type=Path), help="Write the figures to this file.")
def quality(json_file: Path | None) -> None:
    """Whom the quality rules flag, by kind of field session; generated ones where those are absent."""
    kinds = quality_table.measure()
    Console(width=120).print(quality_table.table(kinds))
    if json_file is not None:
        _written(quality_table.figures_of(kinds), json_file)


@main.command("projection")
@click.option("--rounds", type=click.IntRange(1), default=5, show_default=True, help="The median counts.")
@click.option(
    "--large-documents", "large", type=click.IntRange(0), default=0, help="Also so many of 8 to 60 MB."
)
@click.option("--json", "json_file", type=click.Path(path_type=Path), help="Write the figures to this file.")
def projection(rounds: int, large: int, json_file: Path | None) -> None:
    """The projector against bare COPY of the same rows, and against copying raw bodies."""
    console = Console()
    figures = projection_benchmark.measure(rounds, large, console)
    for table in projection_benchmark.tables(figures):
        console.print(table)
    _written(figures, json_file)


@main.command("redcap")
@click.option("--sessions", type=click.IntRange(2), default=5_000, show_default=True, help="To push.")
@click.option(
    "--per-minute",
    type=click.IntRange(1, 600),
    default=600,
    show_default=True,
    help="Requests: the throttle.",
)
@click.option("--json", "json_file", type=click.Path(path_type=Path), help="Write the figures to this file.")
def redcap(sessions: int, per_minute: int, json_file: Path | None) -> None:
    """Sessions to a double of REDCap: requests and seconds, against what the throttle allows."""
    console = Console()
    figures = redcap_benchmark.measure(sessions, per_minute, console)
    console.print(redcap_benchmark.table(figures))
    _written(figures, json_file)


@main.command("research")
@click.option("--trials", type=click.IntRange(1), default=10_000_000, show_default=True, help="In Postgres.")
@click.option("--rounds", type=click.IntRange(20), default=60, show_default=True, help="Of each request.")
@click.option("--data-dir", type=click.Path(path_type=Path), help="Keep the database here, or find it here.")
@click.option("--database-url", help="A database that is filled already, in place of one of its own.")
@click.option("--json", "json_file", type=click.Path(path_type=Path), help="Write the figures to this file.")
def research(
    trials: int, rounds: int, data_dir: Path | None, database_url: str | None, json_file: Path | None
) -> None:
    """`/api/research` on ten million trials: p50 and p95 of pages and aggregates, beside their bare SQL."""
    console = Console(width=120)
    figures = research_benchmark.measure(trials, rounds, data_dir, console, database_url=database_url)
    for table in research_benchmark.tables(figures):
        console.print(table)
    _written(figures, json_file)


@main.command("portal")
@click.option("--sites", type=click.IntRange(20), default=1_000, show_default=True)
@click.option("--tablets", type=click.IntRange(20), default=10_000, show_default=True)
@click.option("--sessions", type=click.IntRange(5_000), default=1_000_000, show_default=True)
@click.option("--rounds", type=click.IntRange(1), default=40, show_default=True, help="Of each address.")
@click.option(
    "--open-pages", type=click.IntRange(0, 24), default=24, show_default=True, help="Live; 0: none."
)
@click.option("--data-dir", type=click.Path(path_type=Path), help="Keep the database here, or find it here.")
@click.option("--json", "json_file", type=click.Path(path_type=Path), help="Write the figures to this file.")
def portal(
    *,
    sites: int,
    tablets: int,
    sessions: int,
    rounds: int,
    open_pages: int,
    data_dir: Path | None,
    json_file: Path | None,
) -> None:
    """Every page of the portal: p50 and p95, processor time; exit code 1 where one is over 200 ms."""
    console = Console(width=140)
    size = Size(sites, tablets, sessions)
    figures = portal_benchmark.measure(size, rounds, open_pages, data_dir, console)
    for table in portal_benchmark.tables(figures):
        console.print(table)
    _written(figures, json_file)
    if portal_benchmark.too_slow(figures):
        raise SystemExit(1)


@main.command("exports")
@click.option(
    "--trials", type=click.IntRange(1_000), default=10_000_000, show_default=True, help="In the CSV."
)
@click.option("--rounds", type=click.IntRange(1), default=3, show_default=True, help="The median counts.")
@click.option(
    "--small", type=click.IntRange(1_000), default=200_000, show_default=True, help="Trials, other formats."
)
@click.option("--data-dir", type=click.Path(path_type=Path), help="Keep the database here, or find it here.")
@click.option("--json", "json_file", type=click.Path(path_type=Path), help="Write the figures to this file.")
def exports(trials: int, rounds: int, small: int, data_dir: Path | None, json_file: Path | None) -> None:
    """Exports of trials against bare COPY of the same rows: rows a second, memory."""
    console = Console()
    figures = exports_benchmark.measure(trials, rounds, small, data_dir, console)
    console.print(exports_benchmark.table(figures))
    _written(figures, json_file)


@main.command("trials_table")
@click.option("--rows", type=click.IntRange(1), default=4_000_000, show_default=True, help="In each design.")
@click.option(
    "--shared-buffers-mb", type=click.IntRange(1), default=64, show_default=True, help="Of Postgres."
)
@click.option("--json", "json_file", type=click.Path(path_type=Path), help="Write the figures to this file.")
@click.option("--design", "names", multiple=True, help="Only this one; repeatable.")
def trials_table(rows: int, shared_buffers_mb: int, json_file: Path | None, names: tuple[str, ...]) -> None:
    """Layouts of the table of trials: size, rates, replacing, reading, vacuum."""
    console = Console()
    figures = trials_table_benchmark.measure(rows, shared_buffers_mb, console, names=names)
    for table in trials_table_benchmark.tables(figures):
        console.print(table)
    _written(figures, json_file)


def _written(figures: Mapping[str, Any], json_file: Path | None) -> None:
    text = json.dumps(figures, indent=2)
    if json_file is not None:
        json_file.parent.mkdir(parents=True, exist_ok=True)
        json_file.write_text(text + "\n")
    else:
        click.echo(text)


if __name__ == "__main__":
    main()
