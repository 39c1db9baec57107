"""`/api/visits`: participants' visits, and what people decide of them by hand.

What a visit is follows from its definition, its participant and their sessions. A person can give it another
day, cancel it, or take either back; each with a reason, and each stays until it is taken back.

| what happens | answer |
|---|---|
| a completed visit is moved or cancelled, a cancelled one moved, one that is not cancelled restored | 409 |
| changed since it was read, also by a session | 412; without If-Match 428 |
| a session comes at the same moment | one after the other, by the participant's lock |
"""

from datetime import UTC, date, datetime
from typing import Any, Literal

import msgspec
from msgspec import UNSET, UnsetType

from reporting.visits.generation import bring_visits_up_to_date
from reporting.visits.listing import (
    IDENTITY,
    KEY,
    SORTABLE,
    VisitFilter,
    VisitRow,
    decide,
    select_of_participant,
    select_visits,
)
from reporting.visits.schedule import State, local_day
from reporting.visits.statements import lock_participants, select_timezones
from sync_server.api.acts import Reason
from sync_server.api.call import Call, ListQuery, Nothing, PageOf
from sync_server.api.parameters import Text
from sync_server.api.route import Route, get, patch
from sync_server.errors import InvalidRequest, NotFound, NotPossible


class VisitsQuery(ListQuery, frozen=True, kw_only=True):
    """`overdue`: their day is over at the site, their window is not. Dates are included."""

    study: Text | None = None
    site: Text | None = None
    participant: Text | None = None
    state: State | None = None
    due_from: date | None = None
    due_to: date | None = None
    overdue: bool | None = None


class Timeline(msgspec.Struct, frozen=True):
    """A participant's visits by their days; `today` is the day at their site."""

    study: str
    participant: str
    site: str | None
    status: str
    enrolled_on: date | None
    timezone: str
    today: date
    visits: list[VisitRow]


class VisitChange(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """`due_on`: another day, null the planned one again. `state`: `cancelled`, or `restored`. One of both."""

    due_on: date | UnsetType | None = UNSET
    state: Literal["cancelled", "restored"] | UnsetType = UNSET
    reason: Reason


async def list_visits(call: Call[VisitsQuery, Nothing]) -> PageOf[VisitRow]:
    """Visits of all participants that the caller may see, by due date."""
    query = call.query
    names = VisitFilter.__struct_fields__
    wanted = VisitFilter(**{name: getattr(query, name) for name in names})
    matching = select_visits(await today_by_timezone(call), call.caller.scope("visits.read"), wanted)
    return await call.page(VisitRow, matching, sortable=SORTABLE, key=KEY, identity=IDENTITY)


async def get_timeline(call: Call[Nothing, Nothing]) -> Timeline:
    """The visits of one participant."""
    study, participant = call.path("study"), call.path("participant")
    person = (await call.connection.execute(select_of_participant(study, participant))).one_or_none()
    if person is None or not call.caller.scope("visits.read").covers(study, person[0]):
        raise NotFound(f"There is no participant {participant} in {study}.")
    site, status, enrolled_on, timezone = person
    now = datetime.now(UTC)
    visits = await _read(call, study, participant)
    today = local_day(now, timezone) or now.date()
    return Timeline(study, participant, site, status, enrolled_on, timezone, today, visits)


async def get_visit(call: Call[Nothing, Nothing]) -> VisitRow:
    """One visit."""
    return await _one(call)


async def change_visit(call: Call[Nothing, VisitChange]) -> VisitRow:
    """Move a visit to another day, cancel it, or take either back.

    What was decided stays until it is taken back. A session completes the visit all the same.
    """
    study, participant, code = (call.path(name) for name in ("study", "participant", "visit"))
    # Before anything is read: nothing changes the visit between.
    await call.connection.execute(lock_participants([(study, participant)]))
    before = await _one(call)
    call.caller.require("visits.write", study, before.site)
    call.match(before.row_version)
    action, fields = _decision(before, call.body)
    await call.connection.execute(decide(study, participant, code, **fields))
    await bring_visits_up_to_date(call.connection, study=study, participants=[participant])
    after = await _one(call)
    await call.record(
        action,
        "visit",
        f"{study}/{participant}/{code}",
        study=study,
        site=before.site,
        reason=call.body.reason,
        before={"state": before.state, "due_on": before.due_on},
        after={"state": after.state, "due_on": after.due_on},
    )
    return after


async def today_by_timezone(call: Call[Any, Any]) -> dict[str, date]:
    """Which day it is, by the timezones of all sites, and UTC."""
    now = datetime.now(UTC)
    zones = {*(await call.connection.scalars(select_timezones())).all(), "UTC"}
    return {zone: local_day(now, zone) or now.date() for zone in zones}


def _decision(visit: VisitRow, body: VisitChange) -> tuple[str, dict[str, Any]]:
    """What to call it, and the fields that note it. Raises InvalidRequest, NotPossible."""
    if (body.due_on is UNSET) == (body.state is UNSET):
        raise InvalidRequest("Say either due_on or state.", details={"members": ["due_on", "state"]})
    is_cancelled = visit.cancelled_cause == "person"
    if body.state == "restored":
        if not is_cancelled:
            raise NotPossible(f"Nobody has cancelled the visit {visit.code}: it is {visit.state}.")
        return "visit.restore", {"cancelled_cause": None, "cancelled_reason": None}
    if visit.state in ("completed", "cancelled"):
        raise NotPossible(f"The visit {visit.code} is {visit.state}.", details={"state": visit.state})
    if body.state == "cancelled":
        return "visit.cancel", {"cancelled_cause": "person", "cancelled_reason": body.reason}
    reason = None if body.due_on is None else body.reason
    return "visit.move", {"moved_to": body.due_on, "moved_reason": reason}


async def _one(call: Call[Any, Any]) -> VisitRow:
    study, participant, code = (call.path(name) for name in ("study", "participant", "visit"))
    found = [each for each in await _read(call, study, participant) if each.code == code]
    if not found:
        raise NotFound(f"There is no visit {code} of {participant} in {study}.")
    return found[0]


async def _read(call: Call[Any, Any], study: str, participant: str) -> list[VisitRow]:
    wanted = VisitFilter(study=study, participant=participant)
    matching = select_visits(await today_by_timezone(call), call.caller.scope("visits.read"), wanted)
    return [VisitRow(*row) for row in await call.connection.execute(matching.order_by(*KEY))]


_ONE = "/api/visits/{study}/{participant}/{visit}"

ROUTES: list[Route] = [
    get("/api/visits", list_visits, right="visits.read"),
    get("/api/visits/{study}/{participant}", get_timeline, right="visits.read"),
    get(_ONE, get_visit, right="visits.read"),
    patch(_ONE, change_visit, right="visits.write", errors=(409, 412, 428)),
]
