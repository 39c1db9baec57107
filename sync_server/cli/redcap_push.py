"""`sync-server redcap push` and `check`: what would be changed in REDCap, having it changed, and whether the
mapping still fits.

| what happens | what follows |
|---|---|
| the study has no mapping, a project cannot be asked | a sentence, exit code 1; nothing is done |
| the mapping does not fit | every problem with its path, exit code 1 |
| a dry run finds sessions that are blocked, or edits that would be overwritten | told, exit code 1 |
| interrupted while it waits | sessions that were entered are pushed all the same |
"""

import asyncio
import sys
from collections import Counter
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import click
import msgspec
from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn
from rich.table import Table
from sqlalchemy import func, select

from reporting.audit import record_entry
from reporting.redcap.comparison import RowComparison, Summary
from reporting.redcap.mapping import Mapping as StudyMapping
from reporting.redcap.mapping_text import CannotRead, read_mapping
from reporting.redcap.preview_rows import select_page
from reporting.redcap.projects import select_mapping
from reporting.redcap.requests import KIND, resync
from reporting.scope import EVERYTHING
from reporting.tables import outbox
from sync_server.cli.redcap_parts import act, json_option, run, study_option
from sync_server.cli.target import data_dir_option, fail
from sync_server.redcap.checking_study import Checked, check, read_known
from sync_server.redcap.previewing import Preview, preview
from sync_server.redcap.study_connections import Redcaps, connections_of

AT_ONCE = 100
_LOOK_S = 0.5
_SHOWN = 50


@click.command("check")
@study_option
@click.option(
    "--file",
    type=click.Path(exists=True, dir_okay=False, path_type=Path),
    help="A mapping in YAML or JSON; without it, the one that is saved.",
)
@json_option
@data_dir_option
def check_command(study: str, file: Path | None, data_dir: Path | None, *, as_json: bool) -> None:
    """Check a mapping with the live dictionary of every project of the study; nothing is saved."""
    text = None if file is None else file.read_bytes()
    told = run(data_dir, lambda redcaps: _check(redcaps, study, text))
    if as_json:
        click.echo(msgspec.json.encode(told))
    else:
        _print_checked(told)
    if not all(each.fits for each in told):
        sys.exit(1)


@click.command("push")
@study_option
@click.option("--site", help="Sessions of this site only.")
@click.option("--dry-run", is_flag=True, help="Compare with REDCap and change nothing.")
@click.option("--wait/--no-wait", default=True, show_default=True, help="Until all of them were tried.")
@json_option
@data_dir_option
def push_command(
    study: str, site: str | None, data_dir: Path | None, *, dry_run: bool, wait: bool, as_json: bool
) -> None:
    """Have all sessions of a study brought to REDCap again, or see what that would change."""
    if dry_run:
        found = run(data_dir, lambda redcaps: _preview(redcaps, study, site))
        if as_json:
            click.echo(msgspec.json.encode(found))
        else:
            _print_preview(found)
        if found.summary.blocked or found.summary.edited or found.unreachable:
            sys.exit(1)
        return
    states = run(data_dir, lambda redcaps: _push(redcaps, study, site, wait=wait))
    if as_json:
        click.echo(msgspec.json.encode(states))
    else:
        click.echo(", ".join(f"{count} {state}" for state, count in states.items()) or "No session.")
    if states.get("dead"):
        sys.exit(1)


async def _mapping(redcaps: Redcaps, study: str) -> StudyMapping:
    async with redcaps.engine.connect() as connection:
        definition = await connection.scalar(select_mapping(study))
    if definition is None:
        fail(f"{study} has no mapping.")
    return read_mapping(definition)


async def _check(redcaps: Redcaps, study: str, text: bytes | None) -> list[Checked]:
    try:
        mapping = await _mapping(redcaps, study) if text is None else read_mapping(text)
    except CannotRead as error:
        fail(f"{error.path}: {error.message}{'' if error.hint is None else f' {error.hint}'}")
    async with redcaps.engine.connect() as connection:
        chosen = await connections_of(connection, study, redcaps.settings.site_configs)
        known = await read_known(connection, study)
    if not chosen:
        fail(f"{study} has no connection with a REDCap project.")
    return [each for each, _ in await check(mapping, chosen, known, redcaps)]


async def _preview(redcaps: Redcaps, study: str, site: str | None) -> Preview:
    mapping = await _mapping(redcaps, study)
    async with redcaps.engine.connect() as connection:
        rows = await connection.execute(select_page(study, EVERYTHING, site=site))
        sessions = [(at, session) for at, session in rows]
        found: list[Preview] = []
        with _bar() as bar:
            comparing = bar.add_task("Comparing with REDCap", total=len(sessions))
            for start in range(0, len(sessions), AT_ONCE):
                part = sessions[start : start + AT_ONCE]
                found.append(await preview(connection, study, mapping, part, redcaps))
                bar.update(comparing, advance=len(part))
    return _together(study, found)


def _together(study: str, found: Iterable[Preview]) -> Preview:
    counts: Counter[str] = Counter()
    not_wanted: Counter[str] = Counter()
    rows: list[RowComparison] = []
    unreachable: list[Any] = []
    for each in found:
        counts.update(msgspec.structs.asdict(each.summary))
        not_wanted.update(each.not_wanted)
        rows += each.rows
        unreachable += each.unreachable
    return Preview(
        study=study,
        summary=Summary(**counts),
        rows=rows,
        not_wanted=dict(not_wanted),
        unreachable=unreachable,
    )


async def _push(redcaps: Redcaps, study: str, site: str | None, *, wait: bool) -> dict[str, int]:
    await _mapping(redcaps, study)
    async with redcaps.engine.begin() as connection:
        entered = (await connection.scalars(resync(study, site=site).returning(outbox.c.id))).all()
        entry = act("redcap_mapping.push", study, site=site, after={"sessions": len(entered)})
        await connection.execute(record_entry(entry))
    of_these = [outbox.c.kind == KIND, outbox.c.study == study]
    if site is not None:
        of_these.append(outbox.c.site == site)
    statement = (
        select(outbox.c.state, func.count())
        .where(*of_these)
        .group_by(outbox.c.state)
        .order_by(outbox.c.state)
    )
    with _bar() as bar:
        pushing = bar.add_task("Pushing to REDCap", total=len(entered))
        while True:
            async with redcaps.engine.connect() as connection:
                states = {row[0]: row[1] for row in await connection.execute(statement)}
            left = states.get("pending", 0) + states.get("leased", 0)
            bar.update(pushing, completed=max(0, len(entered) - left))
            if not (wait and left):
                return states
            await asyncio.sleep(_LOOK_S)


def _bar() -> Progress:
    columns = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TimeElapsedColumn())
    return Progress(*columns, console=Console(stderr=True))


def _print_checked(told: Iterable[Checked]) -> None:
    for each in told:
        if each.unreachable is not None:
            click.echo(f"{each.project}: cannot be asked: {each.unreachable}")
        elif each.fits:
            click.echo(f"{each.project}: fits ({each.title})")
        for problem in each.problems:
            hint = "" if problem.hint is None else f" {problem.hint}"
            click.echo(f"{each.project}: {problem.path}: {problem.message}{hint}")


def _print_preview(found: Preview) -> None:
    changed = [row for row in found.rows if row.kind != "unchanged"]
    if changed:
        table = Table("session", "form", "record", "instance", "kind", "cells", box=None)
        for row in changed[:_SHOWN]:
            cells = ", ".join(
                f"{cell.column}: {cell.before or '∅'} → {cell.after or '∅'}"
                + (" (edited)" if cell.kind == "edited" else "")
                for cell in row.cells
            )
            table.add_row(
                f"{row.site}/{row.session}",
                row.form,
                row.record or "",
                "" if row.instance is None else str(row.instance),
                row.kind,
                row.reason or cells,
            )
        Console(width=200, highlight=False, markup=False).print(table)
        if len(changed) > _SHOWN:
            click.echo(f"… and {len(changed) - _SHOWN} more; --json lists all.")
    for why, count in found.not_wanted.items():
        click.echo(f"{count} not wanted: {why}")
    for away in found.unreachable:
        click.echo(f"{away.project or 'no project'}: {away.sessions} sessions not compared: {away.why}")
    counted = msgspec.structs.asdict(found.summary)
    click.echo(f"{', '.join(f'{count} {name}' for name, count in counted.items())}. Nothing was changed.")
