"""`sync-server redcap pull`, `status`, `pause` and `resume`.

| what happens | what follows |
|---|---|
| there is no such project, it is paused, REDCap does not answer | a sentence, exit code 1 |
| records are not taken | each is told with why, exit code 1; the others are taken |
| interrupted while it pulls | what was taken stays; the next pull begins where the last whole one ended |
"""

import sys
from pathlib import Path
from typing import Any

import click
import msgspec
from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn
from rich.table import Table
from sqlalchemy import Connection

from reporting.audit import AuditEntry, record_entry
from reporting.participants.changing import CreatedMeanwhile, RecordTaken
from reporting.redcap.desk_rows import HostView, ProjectView, select_hosts, select_projects
from reporting.redcap.projects import pause, resume
from reporting.redcap.requests import resync
from reporting.scope import EVERYTHING
from reporting.tables import redcap_projects
from sync_server.cli.redcap_parts import ACTOR, json_option, run
from sync_server.cli.target import data_dir_option, fail, target
from sync_server.cli.transaction import transaction
from sync_server.redcap.connections import Unusable
from sync_server.redcap.locking import Busy
from sync_server.redcap.pull_parts import Refused
from sync_server.redcap.pulling import CannotPull, PullReport, SomebodyElse, pull
from sync_server.redcap.study_connections import Redcaps, told_fault
from sync_server.redcap.throttle import NoTurn
from sync_server.sealing import CannotOpen

_SHOWN = 50

_project = click.option(
    "--project", required=True, help="As `status` lists it: the mapping's key, or key@site."
)


@click.command("pull")
@_project
@click.option("--dry-run", is_flag=True, help="Tell what each record would do and change nothing.")
@click.option("--full", is_flag=True, help="Look at all records, not only at those that changed.")
@json_option
@data_dir_option
def pull_command(project: str, data_dir: Path | None, *, dry_run: bool, full: bool, as_json: bool) -> None:
    """Pull participants of a project into the roster, now."""
    told = run(data_dir, lambda redcaps: _pull(redcaps, project, dry_run=dry_run, full=full))
    if as_json:
        click.echo(msgspec.json.encode(told))
    else:
        _print_pulled(told)
    if told.counts.get("refused") or told.counts.get("conflict"):
        sys.exit(1)


@click.command("status")
@click.option("--study", help="Of this study only.")
@json_option
@data_dir_option
def status_command(study: str | None, data_dir: Path | None, *, as_json: bool) -> None:
    """List projects, how far their sessions are, what pauses them, and REDCap's servers."""
    with transaction(target(data_dir).database_url) as connection:
        ordered = select_projects(EVERYTHING, study=study).order_by(redcap_projects.c.project)
        projects = [ProjectView(*row) for row in connection.execute(ordered)]
        hosts = [HostView(*row) for row in connection.execute(select_hosts())]
    if as_json:
        click.echo(msgspec.json.encode({"projects": projects, "hosts": hosts}))
        return
    for each in projects:
        paused = "" if each.paused_at is None else f"  PAUSED ({each.paused_cause}): {each.paused_reason}"
        states = ", ".join(f"{count} {state}" for state, count in sorted(each.sessions.items())) or "nothing"
        troubled = f", {each.record_problems} records not taken" if each.record_problems else ""
        click.echo(
            f"{each.project}  {each.study}  {each.title or '(never read)'}: {states}{troubled}{paused}"
        )
    for host in hosts:
        if host.banned_at is not None:
            click.echo(
                f"{host.host} has BANNED this server since {host.banned_at:%Y-%m-%d %H:%M}: {host.ban}"
            )
        elif host.failures:
            click.echo(f"{host.host} has failed {host.failures} times in a row")


@click.command("pause")
@_project
@click.option("--reason", required=True, help="Why, for the audit log.")
@data_dir_option
def pause_command(project: str, reason: str, data_dir: Path | None) -> None:
    """Have nothing pushed or pulled until it is resumed."""
    with transaction(target(data_dir).database_url) as connection:
        found = _find(connection, project)
        paused = connection.execute(pause(project, found.study, "person", f"{ACTOR}: {reason}")).first()
        if paused is None:
            fail(f"{project} is paused already ({found.paused_cause}): {found.paused_reason}")
        _record(connection, "redcap_project.pause", found, reason=reason)
    click.echo(f"{project} is paused.")


@click.command("resume")
@_project
@data_dir_option
def resume_command(project: str, data_dir: Path | None) -> None:
    """Have a paused project go on; what waited is entered again."""
    with transaction(target(data_dir).database_url) as connection:
        found = _find(connection, project)
        if connection.execute(resume(project)).first() is None:
            fail(f"{project} is not paused.")
        connection.execute(resync(found.study, site=found.site))
        before = {"paused_cause": found.paused_cause, "paused_reason": found.paused_reason}
        _record(connection, "redcap_project.resume", found, before=before)
    click.echo(f"{project} goes on.")


async def _pull(redcaps: Redcaps, project: str, *, dry_run: bool, full: bool) -> PullReport:
    columns = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TimeElapsedColumn())
    with Progress(*columns, console=Console(stderr=True)) as bar:
        pulling = bar.add_task(f"Pulling {project}", total=None)

        def tell(done: int, total: int) -> None:
            bar.update(pulling, completed=done, total=total)

        try:
            return await pull(project, redcaps, dry_run=dry_run, full=full, tell=tell)
        except Refused as error:
            fail(told_fault(error.fault))
        except (CannotPull, Unusable, CannotOpen, NoTurn) as error:
            fail(str(error))
        except (Busy, SomebodyElse, CreatedMeanwhile, RecordTaken) as error:
            fail(f"{error} Try again.")


def _find(connection: Connection, project: str) -> ProjectView:
    matching = select_projects(EVERYTHING).where(redcap_projects.c.project == project)
    row = connection.execute(matching).one_or_none()
    if row is None:
        fail(f"There is no project {project}.")
    return ProjectView(*row)


def _record(connection: Connection, action: str, row: ProjectView, **about: Any) -> None:
    entry = AuditEntry(
        actor=ACTOR,
        actor_kind="process",
        action=action,
        entity="redcap_project",
        entity_id=row.project,
        study=row.study,
        site=row.site,
        **about,
    )
    connection.execute(record_entry(entry))


def _print_pulled(told: PullReport) -> None:
    if told.records:
        table = Table("record", "participant", "fate", "changes", "problem", box=None)
        for row in told.records[:_SHOWN]:
            changes = ", ".join(row.changes)
            table.add_row(row.record, row.participant or "", row.outcome, changes, row.problem or "")
        Console(width=200, highlight=False, markup=False).print(table)
        if len(told.records) > _SHOWN:
            click.echo(f"… and {len(told.records) - _SHOWN} more; --json lists them.")
    if told.missing:
        click.echo(f"Not in REDCap any more: {', '.join(told.missing[:_SHOWN])}")
    counted = ", ".join(f"{count} {outcome}" for outcome, count in sorted(told.counts.items())) or "no record"
    click.echo(f"Would be: {counted}. Nothing was changed." if told.dry_run else f"{counted}.")
