"""`/api/replication/jobs`: site databases kept alike with those of a hub or a centre.

Whoever says where a site's documents go, or from where they come, does so for every study that runs there: it
takes the right on all of them. Pausing and the like takes it on one.

A change is a row, and a request that the store's replicator be brought to it: a worker does that within
moments, and what it saw is what is shown. A credential is taken and never shown.
"""

from functools import partial
from typing import Annotated, Any

import msgspec
from msgspec import Meta

from reporting.replication_jobs.changing import (
    Act,
    NameTaken,
    NoSuchSite,
    NotNow,
    act_on_job,
    change_job,
    create_job,
    read_job,
    told,
)
from reporting.replication_jobs.rows import (
    EVENTS_KEPT,
    SHOWN_STATE,
    JobEvent,
    ReplicationJob,
    ShownState,
    select_events,
    select_jobs,
    select_studies_at,
)
from reporting.tables import replication_jobs
from sync_server.api.acts import Reason
from sync_server.api.call import Call, ListQuery, Nothing, PageOf
from sync_server.api.names import SiteCode
from sync_server.api.route import Route, delete, get, patch, post
from sync_server.errors import InvalidRequest, NotAllowed, NotFound, NotPossible, Taken
from sync_server.keys import SEALER, SETTINGS
from sync_server.policy import Right
from sync_server.replication_jobs.asked import (
    JobChanges,
    NewJob,
    Refused,
    own_urls,
    wanted_changes,
    wanted_job,
)


class ReplicationQuery(ListQuery, frozen=True, kw_only=True):
    """`stuck`: only those that somebody has to look after, or only the others."""

    site: SiteCode | None = None
    state: ShownState | None = None
    stuck: bool | None = None


class JobWithHistory(ReplicationJob, frozen=True, kw_only=True):
    """A job, and what was seen of it, newest first."""

    history: Annotated[list[JobEvent], Meta(max_length=EVENTS_KEPT)]


class Restarting(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """Why everything is to be compared again."""

    reason: Reason


async def list_replication_jobs(call: Call[ReplicationQuery, Nothing]) -> PageOf[ReplicationJob]:
    """Replication jobs of the caller's sites, newest first.

    Filters `site`, `state`, `stuck`; sorted by `id`, `site`, `name`, `state` or `pending`. Numbers and states
    are as of `observed_at`.
    """
    query = call.query
    matching = select_jobs(
        call.caller.scope("replication.read"), site=query.site, state=query.state, stuck=query.stuck
    )
    c = replication_jobs.c
    sortable = {name: c[name] for name in ("id", "site", "name", "pending")} | {"state": SHOWN_STATE}
    return await call.page(ReplicationJob, matching, sortable=sortable, key=[c.id.desc()])


async def create_replication_job(call: Call[Nothing, NewJob]) -> ReplicationJob:
    """Have a site database replicated with another one, from now on.

    `collected` and `published` select what tablets hand in and what they get; the credential is kept sealed
    and never shown. The other side may be in a private network.
    """
    body = call.body
    call.caller.require_at_site("replication.manage", body.site)
    await _require_all_studies(call, body.site)
    app = call.request.app
    try:
        wanted = wanted_job(body, app[SEALER], own_urls(app[SETTINGS]))
        make = partial(create_job, wanted=wanted, by=call.caller.person.email)
        job = await call.connection.run_sync(make)
    except Refused as error:
        raise _invalid(error) from error
    except NoSuchSite as error:
        raise NotFound(str(error)) from error
    except NameTaken as error:
        raise Taken(str(error)) from error
    await call.record("replication.create", "replication_job", str(job.id), site=job.site, after=told(job))
    return job


async def get_replication_job(call: Call[Nothing, Nothing]) -> JobWithHistory:
    """One job, with what was seen of it."""
    job = await _job(call, "replication.read")
    rows = await call.connection.execute(select_events(job.id).limit(EVENTS_KEPT))
    return JobWithHistory(**msgspec.structs.asdict(job), history=[JobEvent(*row) for row in rows])


async def change_replication_job(call: Call[Nothing, JobChanges]) -> ReplicationJob:
    """Change its name, other side, credential or selector, or whether it goes on for ever.

    Another URL takes the credential with it: it has to be given again.
    """
    before = await _job(call, "replication.manage", lock=True)
    await _require_all_studies(call, before.site)
    call.match(before.row_version)
    app = call.request.app
    try:
        changes = wanted_changes(before, call.body, app[SEALER], own_urls(app[SETTINGS]))
        change = partial(change_job, before=before, changes=changes, by=call.caller.person.email)
        after = await call.connection.run_sync(change)
    except Refused as error:
        raise _invalid(error) from error
    except NameTaken as error:
        raise Taken(str(error)) from error
    except NotNow as error:
        raise NotPossible(str(error)) from error
    if changes:
        seen = told(after) | ({"credential": "changed"} if "credential" in changes else {})
        await _record(call, "replication.change", before, seen)
    return after


async def cancel_replication_job(call: Call[Nothing, Nothing]) -> None:
    """End a job for good; what it has copied stays, on both sides."""
    before = await _job(call, "replication.manage", lock=True)
    call.match(before.row_version)
    await _act(call, before, "cancel")


async def pause_replication_job(call: Call[Nothing, Nothing]) -> ReplicationJob:
    """Have a job rest until it is resumed; it will go on from where it was."""
    return await _act(call, await _job(call, "replication.manage", lock=True), "pause")


async def resume_replication_job(call: Call[Nothing, Nothing]) -> ReplicationJob:
    """Have a paused job go on from where it was."""
    return await _act(call, await _job(call, "replication.manage", lock=True), "resume")


async def retry_replication_job(call: Call[Nothing, Nothing]) -> ReplicationJob:
    """Have a job tried now instead of at its next retry, from where it was; one that has ended runs again."""
    return await _act(call, await _job(call, "replication.manage", lock=True), "retry")


async def restart_replication_job(call: Call[Nothing, Restarting]) -> ReplicationJob:
    """Have a job compare everything from the beginning; only what the target lacks is sent.

    For a target that has lost documents which the checkpoints say it has.
    """
    before = await _job(call, "replication.manage", lock=True)
    return await _act(call, before, "restart", reason=call.body.reason)


async def _require_all_studies(call: Call[Any, Any], site: str) -> None:
    """Raises NotAllowed where a study runs at the site in which the caller has not the right."""
    scope = call.caller.scope("replication.manage")
    runs = await call.connection.scalars(select_studies_at(site))
    if not all(scope.covers(study, site) for study in runs):
        raise NotAllowed(
            f"Other studies run at {site}, of which you are no admin: their documents go with the site's."
        )


async def _act(
    call: Call[Any, Any], before: ReplicationJob, act: Act, *, reason: str | None = None
) -> ReplicationJob:
    do = partial(act_on_job, before=before, act=act, by=call.caller.person.email)
    try:
        after = await call.connection.run_sync(do)
    except NotNow as error:
        raise NotPossible(str(error)) from error
    await _record(call, f"replication.{act}", before, told(after), reason=reason)
    return after


async def _record(
    call: Call[Any, Any], action: str, before: ReplicationJob, after: Any, *, reason: str | None = None
) -> None:
    await call.record(
        action,
        "replication_job",
        str(before.id),
        site=before.site,
        reason=reason,
        before=told(before) | {"state": before.state},
        after=after,
    )


async def _job(call: Call[Any, Any], right: Right, *, lock: bool = False) -> ReplicationJob:
    read = partial(read_job, number=call.number("id"), scope=call.caller.scope(right), lock=lock)
    try:
        return await call.connection.run_sync(read)
    except LookupError as error:
        raise NotFound(f"There is no replication job {call.path('id')[:40]}.") from error


def _invalid(error: Refused) -> InvalidRequest:
    return InvalidRequest(str(error), details={"path": f"$.{error.member}"})


_JOBS = "/api/replication/jobs"

ROUTES: list[Route] = [
    get(_JOBS, list_replication_jobs, right="replication.read"),
    post(_JOBS, create_replication_job, right="replication.manage", status=201, errors=(409,)),
    get(f"{_JOBS}/{{id}}", get_replication_job, right="replication.read"),
    patch(f"{_JOBS}/{{id}}", change_replication_job, right="replication.manage", errors=(409, 412, 428)),
    delete(
        f"{_JOBS}/{{id}}",
        cancel_replication_job,
        right="replication.manage",
        status=204,
        errors=(409, 412, 428),
    ),
    post(f"{_JOBS}/{{id}}/pause", pause_replication_job, right="replication.manage", errors=(409,)),
    post(f"{_JOBS}/{{id}}/resume", resume_replication_job, right="replication.manage", errors=(409,)),
    post(f"{_JOBS}/{{id}}/retry", retry_replication_job, right="replication.manage", errors=(409,)),
    post(f"{_JOBS}/{{id}}/restart", restart_replication_job, right="replication.manage", errors=(409,)),
]
