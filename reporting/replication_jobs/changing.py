"""What people do with replication jobs, in the transaction of their caller: the API or a command.

    running ──pause──▶ paused ──resume──▶ running         retry: now, from where it was
       └──────────┬───────┘                                restart: from the beginning
                cancel ──▶ cancelled (for good)

| what happens | outcome |
|---|---|
| the process dies before the commit | nothing: row, audit entry, request for a look are one transaction |
| … after it | a worker writes the document; the relay finds the entry |
| twice, at the same time | the row is locked: the second finds what the first has left |
| a job that is paused or cancelled is stuck | its alert ends: `replication.recovered`, with the state |
"""

from collections.abc import Mapping
from typing import Any, Final, Literal

import msgspec
from sqlalchemy import Connection, select
from sqlalchemy.dialects.postgresql import insert
from sqlalchemy.exc import IntegrityError

from reporting.replication_jobs.alerts import recovered
from reporting.replication_jobs.health import Memory
from reporting.replication_jobs.requests import ask_for_look
from reporting.replication_jobs.rows import (
    UNSEEN,
    Direction,
    JobKind,
    ReplicationJob,
    job_of,
    select_jobs,
    update_job,
)
from reporting.scope import EVERYTHING, Scope
from reporting.tables import replication_jobs, sites
from reporting.webhooks.events import announce

Act = Literal["pause", "resume", "retry", "restart", "cancel"]

DIRECTIONS: Final[Mapping[JobKind, Direction]] = {
    "collected": "push",
    "published": "pull",
    "custom": "push",
}
"""As a hub has them: what was collected goes to the centre, what was published comes from it."""

_c = replication_jobs.c


class NoSuchSite(Exception):
    """There is no such site, or it is archived."""


class NameTaken(Exception):
    """The site has a job of that name."""


class NotNow(Exception):
    """The job is in a state in which this cannot be done."""


class Wanted(msgspec.Struct, frozen=True, kw_only=True):
    """A job as it is asked for, checked by its caller. `credential` is sealed."""

    site: str
    name: str
    kind: JobKind
    direction: Direction
    url: str
    selector: Mapping[str, Any] | None = None
    continuous: bool = True
    login_name: str | None = None
    credential: bytes | None = None


def create_job(connection: Connection, wanted: Wanted, *, by: str) -> ReplicationJob:
    """Make a job and have it begun. Raises NoSuchSite, NameTaken."""
    # Shared: it is not archived meanwhile, and others may make jobs of it.
    is_open = select(sites.c.code).where(sites.c.code == wanted.site, sites.c.status == "open")
    if connection.execute(is_open.with_for_update(read=True)).first() is None:
        raise NoSuchSite(f"There is no site {wanted.site} that is open.")
    made = (
        insert(replication_jobs)
        .values(**msgspec.structs.asdict(wanted), created_by=by, updated_by=by)
        .on_conflict_do_nothing()
        .returning(_c.id)
    )
    number = connection.execute(made).scalar_one_or_none()
    if number is None:
        raise NameTaken(f"{wanted.site} has a replication job {wanted.name!r} already.")
    connection.execute(ask_for_look())
    return read_job(connection, number)


def change_job(
    connection: Connection, before: ReplicationJob, changes: Mapping[str, Any], *, by: str
) -> ReplicationJob:
    """Change what a job does; it goes on in the new way. The row is locked. Raises NameTaken, NotNow."""
    if before.desired == "cancelled":
        raise NotNow("It is cancelled: make another one.")
    if not changes:
        return before
    try:
        with connection.begin_nested():
            connection.execute(update_job(before.id, {**changes, "updated_by": by}))
    except IntegrityError as error:
        raise NameTaken(f"{before.site} has a replication job {changes['name']!r} already.") from error
    connection.execute(ask_for_look())
    return read_job(connection, before.id)


def act_on_job(connection: Connection, before: ReplicationJob, act: Act, *, by: str) -> ReplicationJob:
    """Pause, resume, retry, restart or cancel a job; the row is locked. Raises NotNow."""
    changes = _changes(before, act)
    if act in ("resume", "retry", "restart"):
        kept = connection.scalar(select(_c.memory).where(_c.id == before.id))
        changes |= {**UNSEEN, "memory": None if kept is None else msgspec.to_builtins(_begun_again(kept))}
    connection.execute(update_job(before.id, {**changes, "updated_by": by}))
    if before.stuck_since is not None and changes.get("desired", "running") != "running":
        connection.execute(
            announce(recovered(before.id, before.site, before.name, before.stuck_since, changes["desired"]))
        )
    connection.execute(ask_for_look())
    return read_job(connection, before.id)


def _changes(before: ReplicationJob, act: Act) -> dict[str, Any]:
    if before.desired == "cancelled":
        raise NotNow("It is cancelled: make another one.")
    if act == "cancel":
        return {"desired": "cancelled", "stuck_since": None, "next_retry_at": None}
    if act == "pause":
        if before.desired == "paused":
            raise NotNow("It is paused already.")
        return {"desired": "paused", "stuck_since": None, "next_retry_at": None}
    if act == "resume":
        if before.desired == "running":
            raise NotNow("It is not paused.")
        return {"desired": "running"}
    if before.desired == "paused":
        raise NotNow("It is paused: resume it first.")
    return {"attempt": _c.attempt + 1} if act == "retry" else {"generation": _c.generation + 1}


def _begun_again(kept: Any) -> Memory:
    """Nothing was seen of the new run; crashes that are in the history already stay known."""
    memory = msgspec.convert(kept, Memory)
    return Memory(
        at=memory.at,
        state="initializing",
        crashed_at=memory.crashed_at,
        error=memory.error,
        error_at=memory.error_at,
    )


def read_job(
    connection: Connection, number: int, *, scope: Scope = EVERYTHING, lock: bool = False
) -> ReplicationJob:
    """The job. Raises LookupError where there is none in the scope."""
    statement = select_jobs(scope).where(_c.id == number)
    row = connection.execute(statement.with_for_update() if lock else statement).one_or_none()
    if row is None:
        raise LookupError(f"There is no replication job {number}.")
    return job_of(row)


def told(job: ReplicationJob) -> dict[str, Any]:
    """What the audit log keeps of a job: what people want of it, and nothing of its credential."""
    names = ("site", "name", "kind", "direction", "url", "user", "has_credential", "selector", "continuous")
    kept = {name: getattr(job, name) for name in names}
    return {**kept, "desired": job.desired, "generation": job.generation, "attempt": job.attempt}
