"""`sync-server replication`: replication jobs, for who runs the machine.

What is done here is on record, by the name of the command. Passwords and tokens are asked for or read from a
file, so that no list of processes shows them.
"""

import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Final, get_args

import click
import msgspec
from sqlalchemy import Connection

from reporting.audit import AuditEntry, record_entry
from reporting.replication_jobs.changing import (
    Act,
    NameTaken,
    NoSuchSite,
    NotNow,
    act_on_job,
    create_job,
    read_job,
    told,
)
from reporting.replication_jobs.rows import (
    EVENTS_KEPT,
    Direction,
    JobEvent,
    JobKind,
    ReplicationJob,
    job_of,
    select_events,
    select_jobs,
)
from reporting.scope import EVERYTHING
from reporting.tables import replication_jobs
from sync_server.cli.target import Target, data_dir_option, fail, target
from sync_server.cli.transaction import transaction
from sync_server.key_file import ReadableByOthers
from sync_server.replication_jobs.asked import GivenCredential, NewJob, Refused, wanted_job, without_login
from sync_server.replication_jobs.remote import Own
from sync_server.sealing import Sealer, UnusableKey, load_sealer

ACTOR: Final = "sync-server replication"

_json = click.option("--json", "as_json", is_flag=True, help="Print JSON.")
_yes = click.option("--yes", is_flag=True, help="Do not ask whether it is meant.")
_job = click.argument("job", type=click.IntRange(min=1, max=2**63 - 1))


@click.group()
def replication() -> None:
    """Site databases kept alike with those of a hub or a centre."""


@replication.command(name="list")
@click.option("--site", help="Of this site only.")
@data_dir_option
@_json
def list_(site: str | None, data_dir: Path | None, *, as_json: bool) -> None:
    """List jobs, with their states."""
    with transaction(target(data_dir).database_url) as connection:
        matching = select_jobs(EVERYTHING, site=site).order_by(replication_jobs.c.id)
        jobs = [job_of(row) for row in connection.execute(matching)]
    if as_json:
        click.echo(msgspec.json.encode(jobs))
        return
    for job in jobs:
        pending = "" if job.pending is None else f"  pending {job.pending}"
        stuck = "" if job.stuck_since is None else "  STUCK"
        click.echo(
            f"{job.id:>4}  {job.site}  {job.name}  {job.direction} {job.kind}  {job.state}{pending}{stuck}"
        )


@replication.command()
@_job
@data_dir_option
@_json
def show(job: int, data_dir: Path | None, *, as_json: bool) -> None:
    """Show a job, and what was seen of it."""
    with transaction(target(data_dir).database_url) as connection:
        found = _read(connection, job)
        history = [JobEvent(*row) for row in connection.execute(select_events(job).limit(EVENTS_KEPT))]
    if as_json:
        click.echo(msgspec.json.encode({**msgspec.structs.asdict(found), "history": history}))
        return
    for name, value in msgspec.structs.asdict(found).items():
        if value is not None:
            click.echo(f"{name:<15} {value}")
    for event in history:
        click.echo(f"  {event.at:%Y-%m-%d %H:%M:%S}  {event.state}  {event.detail or ''}".rstrip())


@replication.command()
@click.option("--site", required=True, help="Code of the site.")
@click.option("--name", required=True, help="What the job is called at the site.")
@click.option(
    "--kind",
    type=click.Choice(get_args(JobKind)),
    required=True,
    help="collected: what tablets hand in; published: what they get; custom: as --selector says.",
)
@click.option("--url", required=True, help="The other side, such as https://centre.example/db/site-lima.")
@click.option(
    "--direction",
    type=click.Choice(get_args(Direction)),
    help="push or pull; by default what was collected is pushed and what is published pulled.",
)
@click.option("--user", help="Login at the other side; its password is asked for.")
@click.option(
    "--token-file",
    type=click.Path(exists=True, dir_okay=False, path_type=Path),
    help="File with a token for the other side, such as a hub's credential.",
)
@click.option("--selector", help="Mango selector, as JSON, of a custom job.")
@click.option("--once", is_flag=True, help="End when everything is copied, instead of going on.")
@data_dir_option
@_json
def create(data_dir: Path | None, *, once: bool, as_json: bool, **given: Any) -> None:
    """Make a job."""
    where = target(data_dir)
    try:
        asked = msgspec.convert(
            {
                **{name: given[name] for name in ("site", "name", "kind", "url", "direction")},
                "credential": _credential(given["user"], given["token_file"]),
                "selector": None if given["selector"] is None else msgspec.json.decode(given["selector"]),
                "continuous": not once,
            },
            NewJob,
        )
        wanted = wanted_job(asked, _sealer(where), _own(where))
        with transaction(where.database_url) as connection:
            job = create_job(connection, wanted, by=ACTOR)
            _record(connection, "replication.create", job, after=told(job))
    except msgspec.DecodeError as error:
        fail(f"That cannot be asked for: {error}")
    except (Refused, NoSuchSite, NameTaken, UnusableKey, ReadableByOthers) as error:
        fail(str(error))
    _tell(job, f"Job {job.id} is made; a worker begins it.", as_json=as_json)


@replication.command()
@_job
@data_dir_option
@_json
def pause(job: int, data_dir: Path | None, *, as_json: bool) -> None:
    """Have a job rest until it is resumed."""
    _act(job, "pause", data_dir, as_json=as_json)


@replication.command()
@_job
@data_dir_option
@_json
def resume(job: int, data_dir: Path | None, *, as_json: bool) -> None:
    """Have a paused job go on from where it was."""
    _act(job, "resume", data_dir, as_json=as_json)


@replication.command()
@_job
@data_dir_option
@_json
def retry(job: int, data_dir: Path | None, *, as_json: bool) -> None:
    """Try a job now, from where it was."""
    _act(job, "retry", data_dir, as_json=as_json)


@replication.command()
@_job
@click.option("--reason", required=True, help="Why, for the audit log.")
@_yes
@data_dir_option
@_json
def restart(job: int, reason: str, data_dir: Path | None, *, yes: bool, as_json: bool) -> None:
    """Compare everything from the beginning; only what the target lacks is sent."""
    _confirm(f"Compare everything of job {job} again?", yes=yes)
    _act(job, "restart", data_dir, as_json=as_json, reason=reason)


@replication.command()
@_job
@_yes
@data_dir_option
@_json
def cancel(job: int, data_dir: Path | None, *, yes: bool, as_json: bool) -> None:
    """End a job for good; what it has copied stays."""
    _confirm(f"End job {job} for good?", yes=yes)
    _act(job, "cancel", data_dir, as_json=as_json)


def _act(job: int, act: Act, data_dir: Path | None, *, as_json: bool, reason: str | None = None) -> None:
    with transaction(target(data_dir).database_url) as connection:
        before = _read(connection, job, lock=True)
        try:
            after = act_on_job(connection, before, act, by=ACTOR)
        except NotNow as error:
            fail(str(error))
        seen = told(before) | {"state": before.state}
        _record(connection, f"replication.{act}", after, before=seen, after=told(after), reason=reason)
    _tell(after, f"Job {job}: {after.state}.", as_json=as_json)


def _read(connection: Connection, job: int, *, lock: bool = False) -> ReplicationJob:
    try:
        return read_job(connection, job, lock=lock)
    except LookupError as error:
        fail(str(error.args[0]))


def _credential(user: str | None, token_file: Path | None) -> GivenCredential | None:
    if user is not None and token_file is not None:
        fail("Give --user or --token-file, not both.")
    if token_file is not None:
        return GivenCredential(token=token_file.read_text().strip())
    if user is not None:
        return GivenCredential(user=user, password=str(click.prompt("Password", hide_input=True, err=True)))
    return None


def _sealer(where: Target) -> Sealer:
    given = os.environ.get("DATA_ENCRYPTION_KEYS", "")
    return load_sealer(tuple(key.strip() for key in given.split(",") if key.strip()), where.data_dir)


def _own(where: Target) -> Own:
    base = where.base_url
    return Own([base], [f"{base}/db", without_login(where.feed_url)], where.production)


def _confirm(question: str, *, yes: bool) -> None:
    if not yes and not click.confirm(question, err=True):
        fail("Nothing was done.")


def _record(
    connection: Connection,
    action: str,
    job: ReplicationJob,
    *,
    after: Mapping[str, Any],
    before: Mapping[str, Any] | None = None,
    reason: str | None = None,
) -> None:
    entry = AuditEntry(
        actor=ACTOR,
        actor_kind="process",
        action=action,
        entity="replication_job",
        entity_id=str(job.id),
        site=job.site,
        reason=reason,
        before=before,
        after=after,
    )
    connection.execute(record_entry(entry))


def _tell(job: ReplicationJob, sentence: str, *, as_json: bool) -> None:
    click.echo(msgspec.json.encode(job) if as_json else sentence)
