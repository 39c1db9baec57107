"""`sync-server researchers policy`: how a study shows participants and dates to who is not `identified`.

| what happens | what follows |
|---|---|
| nothing to change is named | the policy is printed |
| the change reaches files made before | what that means is told and asked; `--yes` does not ask |
| no such study; somebody else changes it meanwhile | a sentence, exit code 1; nothing has changed |
"""

from pathlib import Path
from typing import Any, get_args

import click
import msgspec
from sqlalchemy import Connection

from reporting.audit import AuditEntry, record_entry
from reporting.research.policy import (
    Dates,
    Participants,
    Policy,
    PolicyRow,
    consequences,
    put_policy,
    select_policy,
)
from reporting.studies.rows import lock_study, select_status
from sync_server.cli.target import data_dir_option, fail, target
from sync_server.cli.transaction import transaction

_SHOWN = {
    "code": "participant codes",
    "pseudonym": "pseudonyms",
    "actual": "as they are",
    "shifted": "shifted, for each participant by a number of days of their own",
    "days": "not at all, only days since enrolment",
}


@click.command()
@click.option("--study", required=True, help="The study.")
@click.option("--participants", type=click.Choice(get_args(Participants)), help="How participants are shown.")
@click.option("--dates", type=click.Choice(get_args(Dates)), help="How dates are shown.")
@click.option("--shift-days", type=click.IntRange(1, 3650), help="The most days of a shift, back or forth.")
@click.option("--new-pseudonyms", is_flag=True, help="Make other pseudonyms and shifts, for good.")
@click.option("--yes", is_flag=True, help="Do not ask.")
@click.option("--json", "as_json", is_flag=True, help="Print JSON.")
@data_dir_option
def policy(
    study: str,
    participants: Participants | None,
    dates: Dates | None,
    shift_days: int | None,
    data_dir: Path | None,
    *,
    new_pseudonyms: bool,
    yes: bool,
    as_json: bool,
) -> None:
    """Show or change how a study shows participants and dates to who is not identified."""
    given = {"participants": participants, "dates": dates, "shift_days": shift_days}
    changed: dict[str, Any] = {name: value for name, value in given.items() if value is not None}
    database_url = target(data_dir).database_url
    with transaction(database_url) as connection:
        if connection.scalar(select_status(study)) is None:
            fail(f"There is no study {study}.")
        after = before = _policy(connection, study)
    if changed or new_pseudonyms:
        known = None if before is None else before.policy
        wanted = msgspec.structs.replace(known or Policy(), **changed)
        told = consequences(known, wanted, new_pseudonyms=new_pseudonyms)
        for sentence in told:
            click.echo(sentence, err=True)
        if told and not yes:
            click.confirm("Change it?", abort=True, err=True)
        with transaction(database_url) as connection:
            connection.execute(lock_study(study))
            if _policy(connection, study) != before:
                fail("Somebody has changed it meanwhile: nothing was done, look at it again.")
            _change(connection, study, known, wanted, new_pseudonyms=new_pseudonyms)
            after = _policy(connection, study)
    if as_json:
        click.echo(msgspec.json.encode(after))
    elif after is None:
        click.echo(f"{study} has no policy: codes and dates are shown to nobody who is not identified.")
    else:
        _print(after)


def _policy(connection: Connection, study: str) -> PolicyRow | None:
    row = connection.execute(select_policy(study)).one_or_none()
    return None if row is None else PolicyRow(**row._mapping)


def _change(
    connection: Connection, study: str, before: Policy | None, after: Policy, *, new_pseudonyms: bool
) -> None:
    if before == after and not new_pseudonyms:
        return
    connection.execute(put_policy(study, after, new_pseudonyms=new_pseudonyms))
    entry = AuditEntry(
        actor="sync-server researchers",
        actor_kind="process",
        action="research_policy.change",
        entity="research_policy",
        entity_id=study,
        study=study,
        before=msgspec.to_builtins(before),
        after={**msgspec.structs.asdict(after), "new_pseudonyms": new_pseudonyms},
    )
    connection.execute(record_entry(entry))


def _print(row: PolicyRow) -> None:
    days = f", {row.shift_days} at most" if row.dates == "shifted" else ""
    click.echo(f"{row.study} shows, to who is not identified:")
    click.echo(f"  participants  {_SHOWN[row.participants]}")
    click.echo(f"  dates         {_SHOWN[row.dates]}{days}")
    click.echo(f"Pseudonyms and shifts are of {row.pseudonyms_since:%Y-%m-%d %H:%M} UTC.")
