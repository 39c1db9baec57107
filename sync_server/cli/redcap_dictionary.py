"""`sync-server redcap dictionary`: the REDCap form for a battery's scores, and the mapping that fills it.

| what happens | what follows |
|---|---|
| no such battery or version, its tasks not known here | a sentence that says what there is; exit code 1 |
| a file is there already | nothing is written: it may have been edited since; exit code 1 |
| interrupted between the two files | the first is there; removed, the command runs again |
"""

import re
from collections import Counter
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import click
import msgspec
from sqlalchemy import Connection, select

from reporting.redcap.dictionary_file import csv_text, design, mapping_of
from reporting.redcap.mapping_text import as_yaml
from reporting.redcap.problem import near
from reporting.tables import batteries
from sync_server.cli.target import data_dir_option, fail, target
from sync_server.cli.transaction import transaction

_FORM = re.compile(r"(?!redcap)[a-z][a-z0-9_]{0,63}")
_HEADER = """\
# Sessions of the battery {battery} (version {version}) in the form {form}.
#
# `project.key` names the project for good: choose it before the mapping is saved.
# The form has to be a repeating instrument. In a longitudinal project each instrument needs its event, as in
#   event: {{by: visit, map: {{baseline: baseline_arm_1}}}}
"""


class Written(msgspec.Struct, frozen=True):
    """What the command has made."""

    battery: str
    version: int
    form: str
    fields: int
    dictionary: str
    mapping: str


@click.command("dictionary")
@click.option("--battery", required=True, help="Id of the battery, such as `self-regulation`.")
@click.option("--version", type=click.IntRange(min=1), help="Its version; without it, the latest one.")
@click.option("--form", default="cog_session", show_default=True, help="Name of the form in REDCap.")
@click.option(
    "--out",
    type=click.Path(file_okay=False, exists=True, path_type=Path),
    default=".",
    show_default=True,
    help="Directory for the two files.",
)
@click.option("--json", "as_json", is_flag=True, help="Print JSON.")
@data_dir_option
def dictionary_command(
    battery: str, version: int | None, form: str, out: Path, data_dir: Path | None, *, as_json: bool
) -> None:
    """Write the REDCap data dictionary (CSV) for a battery's scores, and the mapping (YAML) that fits it.

    REDCap takes the file as a new project's whole dictionary. Where a project has forms already, put the rows
    of this form behind its own.
    """
    if not _FORM.fullmatch(form) or form == "enrolment":
        fail(
            f"{form!r} cannot be the form's name: small letters, digits and _, a letter first, not `redcap…`,"
            " and not `enrolment`, which holds the records' names."
        )
    with transaction(target(data_dir).database_url) as connection:
        found_version, runs = _tasks(connection, battery, version)
    made = design(battery, runs, form=form)
    header = _HEADER.format(battery=" ".join(battery.split()), version=found_version, form=form)
    # A tablet may have made an id known that is no name of a file, or of a project.
    name = re.sub(r"[^A-Za-z0-9_-]+", "-", battery)[:64]
    stem = out / f"{name}-{found_version}"
    written = Written(
        battery, found_version, form, len(made.drawn), f"{stem}-dictionary.csv", f"{stem}-mapping.yaml"
    )
    _write({written.dictionary: csv_text(made), written.mapping: header + as_yaml(mapping_of(made, name))})
    if as_json:
        click.echo(msgspec.json.encode(written))
        return
    click.echo(f"{written.dictionary}  {written.fields} fields of {form}")
    click.echo(f"{written.mapping}  the mapping that fills them")
    click.echo(f"\nIn REDCap: Designer → Data Dictionary → upload; then set {form} to repeat.")


def _write(files: Mapping[str, str]) -> None:
    """All of them, or none: what is there already stays as it is."""
    made: list[Path] = []
    try:
        for name, text in files.items():
            path = Path(name)
            with path.open("x", encoding="utf-8", newline="") as file:
                made.append(path)
                file.write(text)
    except OSError as error:
        for path in made:
            path.unlink()
        if isinstance(error, FileExistsError):
            fail(f"{error.filename} is there already and may have been edited: nothing was written.")
        fail(f"The files cannot be written: {error}")


def _tasks(connection: Connection, battery: str, version: int | None) -> tuple[int, dict[str, int]]:
    """The version, and how often each of its tasks comes, in order. Ends the command where there is none."""
    b = batteries.c
    rows = connection.execute(select(b.id, b.version, b.tasks, b.definition).order_by(b.id, b.version)).all()
    of_battery = [row for row in rows if row.id == battery]
    if not of_battery:
        hint = near(battery, dict.fromkeys(row.id for row in rows)) or "GET /api/batteries lists them."
        fail(f"There is no battery {battery}. {hint}")
    chosen = [row for row in of_battery if row.version == (version or of_battery[-1].version)]
    if not chosen:
        versions = ", ".join(str(row.version) for row in of_battery)
        fail(f"There is no version {version} of {battery}: there is {versions}.")
    runs = _runs(chosen[0].definition, chosen[0].tasks)
    if not runs:
        fail(f"Of version {chosen[0].version} of {battery} it is not known here of which tasks it consists.")
    return chosen[0].version, runs


def _runs(definition: Any, tasks: Sequence[str] | None) -> dict[str, int]:
    runs: Counter[str] = Counter()
    if isinstance(definition, dict) and definition.get("tasks"):
        for each in definition["tasks"]:
            runs[each["task"]] += each.get("repetitions", 1)
    else:
        runs.update(tasks or ())
    return dict(runs)
