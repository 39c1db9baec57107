"""`sync-server report`: a PDF of a participant, a site or a study, made here and now, without a job.

The same bytes as `/api/reports` makes of the same data.

| what happens | what follows |
|---|---|
| the participant, site or study is not there | a sentence, exit code 1 |
| it is interrupted, or the disk is full | nothing is left; what stood under the name still stands |
| `--identified` | codes and dates as they are; on the audit record, as every report |
"""

from pathlib import Path
from typing import get_args

import click
import msgspec

from reporting.audit import record_entry
from reporting.reports.contents import Kind
from reporting.research.policy import make_policy
from reporting.research.variables import Language
from reporting.studies.rows import select_status
from sync_server.cli.made_file import made_here, make_file
from sync_server.cli.target import data_dir_option, fail, target
from sync_server.cli.transaction import transaction
from sync_server.reports.making import MAKER
from sync_server.reports.request import ReportRequest, kind_of
from sync_server.research_files.making import Wanted


@click.command()
@click.argument("kind", type=click.Choice(get_args(Kind)))
@click.argument("study")
@click.option("--participant", help="Pseudonym, or with --identified the code.")
@click.option("--site", "sites", multiple=True, help="The site; of another report only this one, repeatable.")
@click.option("--language", type=click.Choice(get_args(Language)), default="en", help="Of the report.")
@click.option("--identified", is_flag=True, help="Codes and dates as they are.")
@click.option("--out", type=click.Path(path_type=Path), default=".", help="File, or folder to put it in.")
@click.option("--json", "as_json", is_flag=True, help="Print JSON.")
@data_dir_option
def report(  # noqa: PLR0917 (as click calls it)
    kind: Kind,
    study: str,
    participant: str | None,
    sites: tuple[str, ...],
    language: Language,
    out: Path,
    data_dir: Path | None,
    *,
    identified: bool,
    as_json: bool,
) -> None:
    """Make a report of KIND in STUDY as a PDF."""
    if (kind == "participant") != (participant is not None):
        fail("A report of a participant needs --participant, and no other takes it.")
    if kind == "site" and len(sites) != 1:
        fail("A report of a site needs one --site.")
    wanted = Wanted(
        kind=kind_of(kind),
        study=study,
        sites=tuple(sorted(set(sites))) or None,
        identified=identified,
        request=ReportRequest(language=language, participant=participant).as_json(),
    )
    database_url = target(data_dir).database_url
    with transaction(database_url) as connection:
        if connection.scalar(select_status(study)) is None:
            fail(f"There is no study {study}.")
        connection.execute(make_policy(study))
        connection.execute(record_entry(made_here(wanted, "report")))
    place = out / f"{MAKER.name(wanted)}.pdf" if out.is_dir() else out
    _, size, sha256 = make_file(database_url, wanted, MAKER, place)
    if as_json:
        click.echo(msgspec.json.encode({"file": str(place), "size": size, "sha256": sha256}).decode())
    else:
        click.echo(f"{place}: {size} bytes, SHA-256 {sha256}")
