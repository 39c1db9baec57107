"""`/api/jobs`: what is waiting, failed or given up in the outbox, and what a person does about it."""

from typing import Annotated, Literal

import msgspec
from msgspec import Meta

from reporting.outbox.jobs import (
    AttemptRow,
    JobRow,
    discard,
    record_decision,
    retry,
    select_attempts,
    select_job,
    select_jobs,
)
from reporting.scope import Scope
from reporting.tables import outbox
from sync_server.api.acts import Reason
from sync_server.api.call import Call, ListQuery, Nothing, PageOf
from sync_server.api.route import Route, get, post
from sync_server.errors import NotFound, NotPossible
from sync_server.policy import Right

State = Literal["pending", "leased", "done", "dead", "discarded"]
Filter = Annotated[str, Meta(min_length=1, max_length=200)]


class JobQuery(ListQuery, frozen=True, kw_only=True):
    """`state` dead: given up, a person has to look."""

    kind: Filter | None = None
    state: State | None = None
    study: Filter | None = None
    site: Filter | None = None


class JobWithHistory(JobRow, frozen=True):
    """An entry and its last attempts, newest first."""

    history: list[AttemptRow]


class Discarding(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """Why it is not to be done any more."""

    reason: Reason


async def list_jobs(call: Call[JobQuery, Nothing]) -> PageOf[JobRow]:
    """Entries of the outbox, newest first.

    Filters `kind`, `state`, `study`, `site`; sorted by `id`, `next_attempt_at` or `created_at`.
    """
    query = call.query
    matching = select_jobs(
        call.caller.scope("jobs.read"),
        kind=query.kind,
        state=query.state,
        study=query.study,
        site=query.site,
    )
    sortable = {name: outbox.c[name] for name in ("id", "next_attempt_at", "created_at")}
    return await call.page(JobRow, matching, sortable=sortable, key=[outbox.c.id.desc()])


async def get_job(call: Call[Nothing, Nothing]) -> JobWithHistory:
    """One entry, with what was tried and what came of it."""
    return await _with_history(call, await _job(call, "jobs.read"))


async def retry_job(call: Call[Nothing, Nothing]) -> JobWithHistory:
    """Have an entry done now, whatever became of it before; as often as a new one.

    409 while a worker is at it, or when it is done.
    """
    before = await _job(call, "jobs.manage")
    if (await call.connection.execute(retry(before.id))).one_or_none() is None:
        raise NotPossible(f"It is {before.state}: only what is pending, dead or discarded can be retried.")
    await call.connection.execute(record_decision(before.id, "retried", None))
    return await _decided(call, "job.retry", before, None)


async def discard_job(call: Call[Nothing, Discarding]) -> JobWithHistory:
    """Give an entry up for good: it will not be done. 409 while a worker is at it, or when it has ended."""
    before = await _job(call, "jobs.manage")
    if (await call.connection.execute(discard(before.id))).one_or_none() is None:
        raise NotPossible(f"It is {before.state}: only what is pending or dead can be discarded.")
    await call.connection.execute(record_decision(before.id, "discarded", call.body.reason))
    return await _decided(call, "job.discard", before, call.body.reason)


async def _decided(
    call: Call[Nothing, Nothing] | Call[Nothing, Discarding], action: str, before: JobRow, reason: str | None
) -> JobWithHistory:
    after = await _job(call, "jobs.manage")
    await call.record(
        action,
        "job",
        str(before.id),
        study=before.study,
        site=before.site,
        reason=reason,
        before={"kind": before.kind, "key": before.key, "state": before.state, "error": before.error},
        after={"state": after.state},
    )
    return await _with_history(call, after)


async def _job(call: Call[Nothing, Nothing] | Call[Nothing, Discarding], right: Right) -> JobRow:
    scope: Scope = call.caller.scope(right)
    row = (await call.connection.execute(select_job(scope, call.number("id")))).one_or_none()
    if row is None:
        raise NotFound(f"There is no job {call.path('id')[:40]}.")
    return JobRow(*row)


async def _with_history(
    call: Call[Nothing, Nothing] | Call[Nothing, Discarding], job: JobRow
) -> JobWithHistory:
    found = await call.connection.execute(select_attempts(job.id))
    return JobWithHistory(**msgspec.structs.asdict(job), history=[AttemptRow(*row) for row in found])


ROUTES: list[Route] = [
    get("/api/jobs", list_jobs, right="jobs.read"),
    get("/api/jobs/{id}", get_job, right="jobs.read"),
    post("/api/jobs/{id}/retry", retry_job, right="jobs.manage", errors=(409,)),
    post("/api/jobs/{id}/discard", discard_job, right="jobs.manage", errors=(409,)),
]
