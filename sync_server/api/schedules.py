"""`/api/schedules`: when a study's visits are due.

A change brings the visits of all participants up to date in its own transaction; with `dry_run=true` it says
which would change, and does nothing. The study's row is held, so that changes of one schedule, and of the
batteries that it names, come one after the other.

| what happens | answer |
|---|---|
| visits that count from each other in a circle, or from none | 422, with the circle |
| a battery that the study does not have | 422 |
| retiring a visit from which another counts | 409, with the others |
| changed since it was read | 412; without If-Match 428 |
"""

from collections.abc import Sequence
from datetime import UTC, date, datetime
from typing import Annotated, Any

import msgspec
from msgspec import Meta

from reporting.publication.requests import publish_sites
from reporting.steps import perform
from reporting.studies.rows import select_sites_of_study
from reporting.visits.definitions import (
    KEY,
    MOST_DEFINITIONS,
    SORTABLE,
    DefinitionRow,
    UnsoundSchedule,
    check_schedule,
    insert_definition,
    select_battery,
    select_definitions,
    update_definition,
)
from reporting.visits.generation import Change, up_to_date
from reporting.visits.schedule import ENROLMENT, State
from sync_server.api.acts import Reason
from sync_server.api.call import Call, ListQuery, Nothing, PageOf
from sync_server.api.route import Route, delete, get, put
from sync_server.api.study_rows import lock
from sync_server.errors import InvalidRequest, NotFound, NotPossible, PreconditionFailed

VisitCode = Annotated[str, Meta(pattern=r"^[A-Za-z0-9][A-Za-z0-9._-]{0,63}$(?!\n)", max_length=64)]
Days = Annotated[int, Meta(ge=0, le=3650)]
SHOWN_CHANGES = 100
"""So many moved visits are told of one by one."""


class DryRun(msgspec.Struct, frozen=True, kw_only=True):
    """`dry_run=true`: say which visits would change, and change nothing."""

    dry_run: bool = False


class BatteryName(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """A published battery of the study."""

    id: Annotated[str, Meta(min_length=1, max_length=64)]
    version: Annotated[int, Meta(ge=1, lt=2**31)]


class NewDefinition(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """A visit, due `offset_days` after its anchor: `enrolment`, or another visit's code."""

    title: Annotated[str, Meta(max_length=200)] = ""
    anchor: VisitCode = ENROLMENT
    offset_days: Annotated[int, Meta(ge=-3650, le=36500)] = 0
    window_before_days: Days = 0
    window_after_days: Days = 0
    battery: BatteryName | None = None
    position: Annotated[int, Meta(ge=0, lt=10_000)] = 0


class Retirement(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """Why."""

    reason: Reason


class Moved(msgspec.Struct, frozen=True):
    """A visit that is another than before; `from_state` null: a new one."""

    participant: str
    visit: str
    from_state: State | None
    from_due_on: date | None
    state: State
    due_on: date | None


class Scheduled(msgspec.Struct, frozen=True):
    """A definition as it is (`dry_run`: would be), how many visits it changes, and the first 100 of them."""

    definition: DefinitionRow
    dry_run: bool
    changed: int
    changes: list[Moved]
    row_version: int


async def list_definitions(call: Call[ListQuery, Nothing]) -> PageOf[DefinitionRow]:
    """The visit definitions of a study, retired ones too."""
    study = call.path("study")
    if not call.caller.scope("visits.read").sees_study(study):
        raise NotFound(f"There is no study {study}.")
    return await call.page(DefinitionRow, select_definitions(study), sortable=SORTABLE, key=KEY)


async def put_definition(call: Call[DryRun, NewDefinition]) -> Scheduled:
    """Make or change a visit of a study, or bring a retired one back.

    Planned, due and missed visits follow. `If-Match` is needed where there is one with that code.
    """
    study, code, body = call.path("study"), _code(call), call.body
    call.caller.require("visits.write", study)
    await lock(call, study)
    known = await _definitions(call, study)
    before = known.get(code)
    if before is not None:
        call.match(before.row_version)
    elif call.headers.get("If-Match", "*").strip() != "*":
        raise PreconditionFailed(f"{study} has no visit {code} any more: read it again.")
    elif len(known) >= MOST_DEFINITIONS:
        raise NotPossible(f"{study} has {MOST_DEFINITIONS} visits already.")
    await _check_battery(call, study, body.battery)
    fields: dict[str, Any] = msgspec.structs.asdict(body)
    battery = fields.pop("battery")
    fields |= {
        "battery_id": None if battery is None else battery.id,
        "battery_version": None if battery is None else battery.version,
        "retired": False,
    }
    now = datetime.now(UTC)
    version = 1 if before is None else before.row_version + 1
    made = before.created_at if before is not None else now
    after = DefinitionRow(study, code, **fields, row_version=version, created_at=made, updated_at=now)
    known[code] = after
    try:
        check_schedule(each.definition for each in known.values())
    except UnsoundSchedule as error:
        raise InvalidRequest(
            f"{error} ($.anchor).",
            details={"path": "$.anchor", "visits": error.codes},
        ) from error
    if before is None:
        save: Any = insert_definition(study, code, **fields)
    else:
        save = update_definition(study, code, **fields)
    return await _scheduled(call, save, known, before, after)


async def retire_definition(call: Call[DryRun, Retirement]) -> Scheduled:
    """Retire a visit: planned and due ones are cancelled, completed and missed ones stay.

    Not while another visit counts from it.
    """
    study, code = call.path("study"), call.path("code")
    call.caller.require("visits.write", study)
    await lock(call, study)
    known = await _definitions(call, study)
    before = known.get(code)
    if before is None:
        raise NotFound(f"{study} has no visit {code}.")
    call.match(before.row_version)
    if before.retired:
        raise NotPossible(f"{code} is retired already.")
    dependent = sorted(each.code for each in known.values() if each.anchor == code and not each.retired)
    if dependent:
        raise NotPossible(
            f"Other visits count from {code}: {', '.join(dependent)}. Retire or re-anchor them first.",
            details={"visits": dependent},
        )
    after = msgspec.structs.replace(
        before, retired=True, row_version=before.row_version + 1, updated_at=datetime.now(UTC)
    )
    known[code] = after
    save = update_definition(study, code, retired=True)
    return await _scheduled(call, save, known, before, after, reason=call.body.reason)


async def _scheduled(  # noqa: PLR0917 (one change and why)
    call: Call[DryRun, Any],
    save: Any,
    known: dict[str, DefinitionRow],
    before: DefinitionRow | None,
    after: DefinitionRow,
    reason: str | None = None,
) -> Scheduled:
    study, dry_run, now = after.study, call.query.dry_run, datetime.now(UTC)
    if dry_run:
        ordered = sorted(known.values(), key=lambda each: (each.position, each.code))
        wanted = [each.definition for each in ordered]
        steps = up_to_date(study, None, now, definitions=wanted)
        return _told(after, await call.connection.run_sync(perform, steps), dry_run=True)
    await call.connection.execute(save)
    changes = await call.connection.run_sync(perform, up_to_date(study, None, now))
    action = "schedule.retire" if after.retired else "schedule.put"
    await call.record(
        action,
        "visit_definition",
        f"{study}/{after.code}",
        study=study,
        reason=reason,
        before=before,
        after=after,
    )
    sites = (await call.connection.scalars(select_sites_of_study(study))).all()
    if sites:
        # All of them: also visits that have not moved have another battery or title now.
        await call.connection.execute(publish_sites(sites))
    return _told((await _definitions(call, study))[after.code], changes, dry_run=False)


def _told(definition: DefinitionRow, changes: Sequence[Change], *, dry_run: bool) -> Scheduled:
    shown = [
        Moved(
            each.participant,
            each.after.code,
            None if each.before is None else each.before.state,
            None if each.before is None else each.before.due_on,
            each.after.state,
            each.after.due_on,
        )
        for each in changes[:SHOWN_CHANGES]
    ]
    return Scheduled(definition, dry_run, len(changes), shown, definition.row_version)


def _code(call: Call[Any, Any]) -> str:
    try:
        code = msgspec.convert(call.path("code"), VisitCode)
    except msgspec.ValidationError as error:
        raise InvalidRequest(
            "A visit's code is a letter or digit, then up to 63 letters, digits, dots, _ or -.",
            details={"path": "code"},
        ) from error
    if code == ENROLMENT:
        problem = f"{ENROLMENT} is what visits count from, and none itself."
        raise InvalidRequest(problem, details={"path": "code"})
    return code


async def _definitions(call: Call[Any, Any], study: str) -> dict[str, DefinitionRow]:
    rows = await call.connection.execute(select_definitions(study))
    return {row.code: DefinitionRow(*row) for row in rows}


async def _check_battery(call: Call[Any, Any], study: str, battery: BatteryName | None) -> None:
    if battery is None:
        return
    if await call.connection.scalar(select_battery(study, battery.id, battery.version)) is None:
        raise InvalidRequest(
            f"{study} does not have the battery {battery.id}@{battery.version}: add it to the study first.",
            details={"path": "$.battery"},
        )


_ONE = "/api/schedules/{study}/{code}"

ROUTES: list[Route] = [
    get("/api/schedules/{study}", list_definitions, right="visits.read"),
    put(_ONE, put_definition, right="visits.write", errors=(409, 412, 428)),
    delete(_ONE, retire_definition, right="visits.write", errors=(409, 412, 428)),
]
