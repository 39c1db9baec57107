"""`/api/redcap/projects`, `/hosts` and `/records`: how far each project is, what pauses it, what was pulled.

| what happens | answer |
|---|---|
| a project is paused that is, or goes on that does | 409 `already_done` |
| a project goes on | its sessions are entered again, and participants are pulled |
| a ban is lifted | requests go there again, at the usual rate: speak with the host's people before |
| a conflict is settled | the next pull takes REDCap's value, or leaves ours until REDCap's changes |
"""

from typing import Any, Literal

import msgspec
from sqlalchemy import select

from reporting.redcap.desk_rows import (
    HostView,
    ProjectView,
    RecordView,
    select_hosts,
    select_projects,
    select_record_views,
)
from reporting.redcap.hosts import lift_ban
from reporting.redcap.projects import pause, resume
from reporting.redcap.pulled import ask_for_pull, have_reconciled, select_kept, settle
from reporting.redcap.requests import resync
from reporting.redcap.roster_mapping import Member
from reporting.tables import outbox, redcap_hosts, redcap_projects, redcap_pulled
from sync_server.api.acts import Reason
from sync_server.api.call import Call, ListQuery, Nothing, PageOf
from sync_server.api.parameters import Text
from sync_server.api.route import Route, get, post
from sync_server.errors import AlreadyDone, NotFound, NotPossible
from sync_server.policy import Right

_p = redcap_projects.c


class ProjectQuery(ListQuery, frozen=True, kw_only=True):
    """Of one study."""

    study: Text | None = None


class RecordQuery(ListQuery, frozen=True, kw_only=True):
    """`troubled`: only those that were not taken as a whole, or only the others."""

    study: Text | None = None
    project: Text | None = None
    troubled: bool | None = None


class Pausing(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Why."""

    reason: Reason


class Pulling(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """`full`: all records are looked at, and those that are gone are listed."""

    full: bool = False


class Settling(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Whose value counts, of a member that both sides have changed."""

    member: Member
    keep: Literal["here", "redcap"]


class AskedFor(msgspec.Struct, frozen=True):
    """What will be done: the job's id."""

    job: int


async def list_projects(call: Call[ProjectQuery, Nothing]) -> PageOf[ProjectView]:
    """REDCap projects with their pauses, pulls, and numbers of sessions by state.

    Sorted by `project` or `study`.
    """
    matching = select_projects(call.caller.scope("redcap.read"), study=call.query.study)
    sortable = {name: _p[name] for name in ("project", "study")}
    return await call.page(ProjectView, matching, sortable=sortable, key=[_p.project])


async def get_project(call: Call[Nothing, Nothing]) -> ProjectView:
    """One project."""
    return await _project(call, "redcap.read")


async def pause_project(call: Call[Nothing, Pausing]) -> ProjectView:
    """Have nothing pushed or pulled until it is resumed."""
    before = await _project(call, "redcap.manage", lock=True)
    reason = call.body.reason
    by = f"{call.caller.person.email}: {reason}"
    if (await call.connection.execute(pause(before.project, before.study, "person", by))).first() is None:
        raise AlreadyDone(f"It is paused ({before.paused_cause}): {before.paused_reason}")
    return await _acted(call, "redcap_project.pause", before, reason=reason)


async def resume_project(call: Call[Nothing, Nothing]) -> ProjectView:
    """Have it go on, whatever paused it; what waited is entered again."""
    before = await _project(call, "redcap.manage", lock=True)
    if (await call.connection.execute(resume(before.project))).first() is None:
        raise AlreadyDone("It is not paused.")
    await call.connection.execute(resync(before.study, site=before.site))
    return await _acted(call, "redcap_project.resume", before)


async def pull_project(call: Call[Nothing, Pulling]) -> AskedFor:
    """Have participants pulled now, instead of at the next time."""
    before = await _project(call, "redcap.manage", lock=True)
    if before.paused_at is not None:
        raise NotPossible("It is paused: resume it first.")
    if call.body.full:
        await call.connection.execute(have_reconciled(before.project))
    entered = ask_for_pull([(before.project, before.study)]).returning(outbox.c.id)
    number = (await call.connection.execute(entered)).scalar_one()
    await _record(call, "redcap_project.pull", before, after={"full": call.body.full})
    return AskedFor(number)


async def list_hosts(call: Call[ListQuery, Nothing]) -> PageOf[HostView]:
    """REDCap's servers: whether they fail, or have banned this one. Sorted by `host`."""
    c = redcap_hosts.c
    return await call.page(HostView, select_hosts(), sortable={"host": c.host}, key=[c.host])


async def lift_host_ban(call: Call[Nothing, Pausing]) -> HostView:
    """Have requests go to a host again that had banned this server. Its people have to have lifted it."""
    call.caller.require_everywhere("redcap.manage")
    host = call.path("host")
    found = select_hosts().where(redcap_hosts.c.host == host)
    row = (await call.connection.execute(found.with_for_update())).one_or_none()
    if row is None:
        raise NotFound(f"No request was ever made to {host[:200]}.")
    before = HostView(*row)
    if (await call.connection.execute(lift_ban(host))).first() is None:
        raise AlreadyDone("It has not banned this server.")
    await call.record(
        "redcap_host.lift_ban",
        "redcap_host",
        host,
        reason=call.body.reason,
        before={"ban": before.ban, "banned_at": str(before.banned_at)},
    )
    return HostView(*(await call.connection.execute(found)).one())


async def list_records(call: Call[RecordQuery, Nothing]) -> PageOf[RecordView]:
    """What the last pull made of each record: who it is, what was not taken and why, and conflicts with both
    values (of contacts only that there is one). Sorted by `record` or `pulled_at`.
    """
    query, r = call.query, redcap_pulled.c
    matching = select_record_views(
        call.caller.scope("redcap.read"), project=query.project, study=query.study, troubled=query.troubled
    )
    sortable = {"record": r.record, "pulled_at": r.pulled_at}
    return await call.page(RecordView, matching, sortable=sortable, key=[r.id])


async def settle_record(call: Call[Nothing, Settling]) -> RecordView:
    """Say whose value counts, of a member that both sides have changed; the next pull does it."""
    found = select_record_views(call.caller.scope("redcap.manage")).where(
        redcap_pulled.c.id == call.number("id")
    )
    row = (await call.connection.execute(found)).one_or_none()
    if row is None:
        raise NotFound(f"There is no record {call.path('id')[:40]}.")
    view, body = RecordView(*row), call.body
    kept = (await call.connection.execute(select_kept(view.id))).one()
    if body.member not in (kept.conflicts or {}):
        raise AlreadyDone(f"{body.member} is not in conflict.")
    conflict = kept.conflicts[body.member]
    await call.connection.execute(settle(view.id, kept.value, kept.conflicts, body.member, keep=body.keep))
    await call.connection.execute(have_reconciled(view.project))
    await call.connection.execute(ask_for_pull([(view.project, view.study)]))
    await call.record(
        "redcap_record.settle",
        "redcap_record",
        str(view.id),
        study=view.study,
        site=view.site,
        before={"member": body.member, "here": conflict["here"], "redcap": conflict["redcap"]},
        after={"keep": body.keep},
    )
    return RecordView(*(await call.connection.execute(found)).one())


async def _project(call: Call[Any, Any], right: Right, *, lock: bool = False) -> ProjectView:
    name = call.path("project")
    if lock:
        await call.connection.execute(select(_p.project).where(_p.project == name).with_for_update())
    matching = select_projects(call.caller.scope(right)).where(_p.project == name)
    row = (await call.connection.execute(matching)).one_or_none()
    if row is None:
        raise NotFound(f"There is no project {name[:200]}.")
    return ProjectView(*row)


async def _acted(
    call: Call[Any, Any], action: str, before: ProjectView, *, reason: str | None = None
) -> ProjectView:
    after = await _project(call, "redcap.manage")
    told = {"paused_cause": before.paused_cause, "paused_reason": before.paused_reason}
    await _record(call, action, before, before=told, reason=reason)
    return after


async def _record(call: Call[Any, Any], action: str, row: ProjectView, **about: Any) -> None:
    await call.record(action, "redcap_project", row.project, study=row.study, site=row.site, **about)


_PROJECT = "/api/redcap/projects/{project}"

ROUTES: list[Route] = [
    get("/api/redcap/projects", list_projects, right="redcap.read"),
    get(_PROJECT, get_project, right="redcap.read"),
    post(f"{_PROJECT}/pause", pause_project, right="redcap.manage", errors=(409,)),
    post(f"{_PROJECT}/resume", resume_project, right="redcap.manage", errors=(409,)),
    post(f"{_PROJECT}/pull", pull_project, right="redcap.manage", status=202, errors=(409,)),
    get("/api/redcap/hosts", list_hosts, right="redcap.read"),
    post("/api/redcap/hosts/{host}/lift-ban", lift_host_ban, right="redcap.manage", errors=(409,)),
    get("/api/redcap/records", list_records, right="redcap.read"),
    post("/api/redcap/records/{id}/settle", settle_record, right="redcap.manage", errors=(409,)),
]
