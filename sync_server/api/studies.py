"""`/api/studies`: studies, their sites and their batteries."""

from typing import Annotated, Any

import msgspec
from msgspec import UNSET, Meta, UnsetType

from reporting.publication.requests import publish_sites
from reporting.scope import within
from reporting.studies.rows import (
    SORTABLE,
    StudyRow,
    insert_study,
    matching,
    select_sites_of_study,
    select_studies,
    update_study,
)
from reporting.studies.status import TRANSITIONS, Status, changes_what_tablets_have, reachable
from reporting.studies.templates import TEMPLATES, apply_template
from reporting.tables import studies
from sync_server.api import study_parts
from sync_server.api.acts import Reason
from sync_server.api.call import Call, ListQuery, Nothing, PageOf
from sync_server.api.names import StudyCode
from sync_server.api.parameters import Text
from sync_server.api.route import Route, get, patch, post
from sync_server.api.study_rows import lock, publish_study, read_study
from sync_server.errors import InvalidRequest, NotFound, NotPossible, Taken

NO_STUDY = ("reminders",)
"""Codes that paths have another meaning for."""

Title = Annotated[str, Meta(max_length=200)]
Description = Annotated[str, Meta(max_length=10_000)]


class StudyQuery(ListQuery, frozen=True, kw_only=True):
    """Sortable by `code`, `title`, `status`, `created_at`, `updated_at`."""

    status: Status | None = None
    q: Text | None = None
    """Text in the code or title."""


class NewStudy(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """A study, which begins as a draft; with the batteries, visits and consent form of a template."""

    code: StudyCode
    title: Title = ""
    description: Description = ""
    consent_required: bool = False
    template: Annotated[str, Meta(max_length=64)] | None = None


class StudyChange(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """What is to change; `reason` where it ends or resumes collection."""

    title: Title | UnsetType = UNSET
    description: Description | UnsetType = UNSET
    consent_required: bool | UnsetType = UNSET
    status: Status | UnsetType = UNSET
    reason: Reason | None = None


async def list_studies(call: Call[StudyQuery, Nothing]) -> PageOf[StudyRow]:
    """The studies that the caller may see, by code."""
    statement = select_studies().where(within(call.caller.scope("studies.read"), study=studies.c.code))
    if call.query.status is not None:
        statement = statement.where(studies.c.status == call.query.status)
    if call.query.q is not None:
        statement = statement.where(matching(call.query.q))
    return await call.page(StudyRow, statement, sortable=SORTABLE, key=[studies.c.code])


async def get_study(call: Call[Nothing, Nothing]) -> StudyRow:
    """One study."""
    study = call.path("study")
    if not call.caller.scope("studies.read").sees_study(study):
        raise NotFound(f"There is no study {study}.")
    return await read_study(call, study)


async def create_study(call: Call[Nothing, NewStudy]) -> StudyRow:
    """Make a study, from a template if one is named.

    The template's batteries are published, or taken where a version says the same already.
    """
    call.caller.require_everywhere("studies.create")
    wanted = call.body
    if wanted.code in NO_STUDY:
        raise InvalidRequest(f"{wanted.code} is no study's code.", details={"path": "$.code"})
    template = None
    if wanted.template is not None:
        template = TEMPLATES.get(wanted.template)
        if template is None:
            raise InvalidRequest(
                f"There is no template {wanted.template}; see GET /api/templates.",
                details={"path": "$.template"},
            )
    fields = {name: getattr(wanted, name) for name in ("code", "title", "description", "consent_required")}
    made = await call.connection.execute(insert_study(**fields, status="draft"))
    if made.one_or_none() is None:
        raise Taken(f"There is a study {wanted.code} already.", details={"code": wanted.code})
    after: dict[str, Any] = {**fields, "status": "draft"}
    if template is not None:
        by = call.caller.person.email
        uses = await apply_template(call.connection, template, study=wanted.code, by=by)
        after |= {"template": template.id, "batteries": [each.name for each in uses]}
        for each in uses:
            if each.is_new:
                await call.record(
                    "battery.publish",
                    "battery",
                    each.name,
                    after={"template": template.id, "title": each.title},
                )
    await call.record("study.create", "study", wanted.code, study=wanted.code, after=after)
    return await read_study(call, wanted.code)


async def change_study(call: Call[Nothing, StudyChange]) -> StudyRow:
    """Change a study: its texts, whether consent is required, its status.

    draft → active ⇄ paused → completed; back from completed only by an admin. Pausing, completing and coming
    back take a `reason`.
    """
    study = call.path("study")
    call.caller.require("studies.write", study)
    row = await lock(call, study)
    call.match(row.row_version)
    given = msgspec.structs.asdict(call.body)
    changed = {
        name: value
        for name, value in given.items()
        if name != "reason" and value is not UNSET and value != getattr(row, name)
    }
    if "status" in changed:
        _check_transition(call, study, row.status, changed["status"])
    if changed:
        before = {name: getattr(row, name) for name in changed}
        await call.connection.execute(update_study(study, **changed))
        await call.record(
            "study.change", "study", study, study=study, reason=call.body.reason, before=before, after=changed
        )
        await _publish(call, study, row.status, changed)
    return await read_study(call, study)


async def _publish(call: Call[Any, Any], study: str, status: Status, changed: dict[str, Any]) -> None:
    comes_or_goes = changes_what_tablets_have(status, changed.get("status", status))
    if not comes_or_goes and "consent_required" not in changed:
        await publish_study(call, study)
        return
    sites = (await call.connection.scalars(select_sites_of_study(study))).all()
    if sites:
        await call.connection.execute(publish_sites(sites))


def _check_transition(call: Call[Any, StudyChange], study: str, old: Status, new: Status) -> None:
    transition = TRANSITIONS.get((old, new))
    if transition is None:
        allowed = reachable(old)
        raise NotPossible(
            f"A study that is {old} does not become {new}; it can become {' or '.join(allowed)}.",
            details={"status": old, "allowed": allowed},
        )
    if transition.needs_admin:
        call.caller.require("studies.create", study)
    if transition.needs_reason and call.body.reason is None:
        raise InvalidRequest(f"Say why the study becomes {new}: reason.", details={"path": "$.reason"})


ROUTES: list[Route] = [
    get("/api/studies", list_studies, right="studies.read"),
    post("/api/studies", create_study, right="studies.create", status=201, errors=(409,)),
    get("/api/studies/{study}", get_study, right="studies.read"),
    patch("/api/studies/{study}", change_study, right="studies.write", errors=(409, 412, 428)),
    *study_parts.ROUTES,
]
