"""`sync-server rescore`: what a new version of a scoring definition changes, and having it changed."""

import time
from pathlib import Path

import click
import msgspec
import psycopg
from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn
from rich.table import Table

from reporting.engine import connect
from reporting.projection.rescore import compare_scores, request_rescoring, rescores_left
from reporting.scoring.difference import Difference, Example
from sync_server.cli.target import data_dir_option, fail, target

_LOOK_S = 0.5
_WHO = "sync-server rescore"


@click.command()
@click.option("--task", required=True, help="Name of the task, such as `stroop`.")
@click.option("--dry-run", is_flag=True, help="Show the difference and change nothing.")
@click.option(
    "--wait/--no-wait", default=True, show_default=True, help="Until the projector has scored them all again."
)
@click.option("--json", "as_json", is_flag=True, help="The difference as JSON.")
@data_dir_option
def rescore(task: str, data_dir: Path | None, *, dry_run: bool, wait: bool, as_json: bool) -> None:
    """Score a task's sessions again with the current definition; the old values go into `score_history`.

    Sessions that are gone from the site databases keep their scores.
    """
    where = target(data_dir)
    try:
        with connect(where.database_url, application_name="metricis-rescore") as connection, _bar() as bar:
            comparing = bar.add_task(f"Comparing {task}", total=None)

            def tell(done: int, total: int) -> None:
                bar.update(comparing, completed=done, total=total)

            if dry_run:
                difference = compare_scores(connection, task, tell=tell)
            else:
                difference = request_rescoring(
                    connection, task, requested_by="sync-server rescore", tell=tell
                )
                if wait and difference.sessions:
                    _wait(connection, bar)
    except psycopg.Error as error:
        fail(f"The scores of {task} could not be compared: {error}")
    if not difference.task_runs:
        fail(f"No session in Postgres has run {task}.")
    if as_json:
        click.echo(msgspec.json.encode(difference).decode())
    else:
        _print(difference, dry_run=dry_run)


def _wait(connection: psycopg.Connection, bar: Progress) -> None:
    left = total = rescores_left(connection)
    scoring = bar.add_task("Scoring again", total=total)
    while left:
        time.sleep(_LOOK_S)
        left = rescores_left(connection)
        total = max(total, left)
        bar.update(scoring, completed=total - left, total=total)


def _bar() -> Progress:
    columns = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TimeElapsedColumn())
    return Progress(*columns, console=Console(stderr=True))


def _print(difference: Difference, *, dry_run: bool) -> None:
    old = ", ".join(map(str, difference.old_versions)) or "none"
    versions = f"version {old} → {difference.new_version}"
    click.echo(f"{difference.task}: {versions}, {difference.task_runs} task runs compared")
    table = Table("score", *_NUMBERS, "example", box=None)
    for name, score in sorted(difference.scores.items()):
        numbers = [score.compared, score.changed, score.became_defined, score.became_undefined]
        numbers += [score.added, score.removed]
        example = _example(score.examples[0]) if score.examples else ""
        sizes = ["" if size is None else f"{size:.6g}" for size in (score.mean_absolute, score.max_absolute)]
        table.add_row(name, *map(str, numbers), *sizes, example)
    Console(width=200, highlight=False).print(table)
    done = "would be scored again" if dry_run else "are scored again"
    click.echo(f"{difference.sessions} sessions {done}.")


def _example(found: Example) -> str:
    return f"{found.site} {found.session} run {found.run}: {found.before} → {found.after}"


_NUMBERS = (
    "task runs",
    "changed",
    "became defined",
    "became undefined",
    "added",
    "removed",
    "mean |difference|",
    "max |difference|",
)
