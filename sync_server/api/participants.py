"""`/api/participants`: the roster, with contacts only where they are asked for.

| what happens | answer |
|---|---|
| the study has the code, or another participant is the record in REDCap | 409 `taken` |
| its participant was erased | 409 `not_possible` |
| a status that cannot follow | 409 `not_possible` |
| a site at which the study does not run | 422 |
| changed since it was read | 412; without If-Match 428 |
| a contact is read | an audit entry, before it is answered |
| a contact that was sealed with a key that is not there any more | 503 |
"""

from datetime import date
from typing import Annotated, Any

import msgspec
from msgspec import UNSET, Meta, UnsetType

from reporting.audit import record_entry
from reporting.consent.state import State as ConsentState
from reporting.participants.changing import CreatedMeanwhile, RecordTaken, apply_changes, read_study_sites
from reporting.participants.contact import Contact, Long, Short, open_contact
from reporting.participants.fates import Change, Known
from reporting.participants.roster import (
    KEY,
    SORTABLE,
    Participant,
    RosterFilter,
    select_participant,
    select_roster,
)
from reporting.participants.rules import Code, Language, RedcapId, State, Status, needs_its_site, problem_of
from sync_server.api.acts import Reason, audited
from sync_server.api.call import Call, ListQuery, Nothing, PageOf
from sync_server.api.parameters import Text
from sync_server.api.participants_in_bulk import BULK_ROUTES
from sync_server.api.route import Route, get, patch, post
from sync_server.api.study_rows import require_study
from sync_server.errors import InvalidRequest, NotFound, NotPossible, Taken, Unavailable
from sync_server.keys import ENGINE, ERASED, SEALER
from sync_server.sealing import CannotOpen


class RosterQuery(ListQuery, frozen=True, kw_only=True):
    """`q` is how a code begins."""

    study: Text | None = None
    site: Text | None = None
    status: Status | None = None
    consent: ConsentState | None = None
    redcap_id: RedcapId | None = None
    q: Annotated[str, Meta(min_length=1, max_length=64)] | None = None


class OneQuery(msgspec.Struct, frozen=True, kw_only=True):
    """`contact=true` answers the contact too, and is on record."""

    contact: bool = False


class Detail(Participant, frozen=True):
    """A participant; `contact` only where it was asked for."""

    contact: Contact | None = None


class NewParticipant(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """`enrolled_on` is, unless told, the day at the site on which the status becomes `enrolled`."""

    study: Text
    code: Code
    site: Text | None = None
    status: Status = "screened"
    language: Language | None = None
    enrolled_on: date | None = None
    redcap_id: RedcapId | None = None
    contact: Contact | None = None
    reason: Reason | None = None


class ContactChange(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Members that are there are set, those that are null removed."""

    name: Short | UnsetType | None = UNSET
    email: Short | UnsetType | None = UNSET
    phone: Short | UnsetType | None = UNSET
    address: Long | UnsetType | None = UNSET
    note: Long | UnsetType | None = UNSET
    timezone: Annotated[str, Meta(min_length=1, max_length=64)] | UnsetType | None = UNSET


class ParticipantChange(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Members that are there are set. A withdrawal, and what takes one back, need a reason."""

    site: Text | UnsetType = UNSET
    status: Status | UnsetType = UNSET
    language: Language | UnsetType | None = UNSET
    enrolled_on: date | UnsetType | None = UNSET
    redcap_id: RedcapId | UnsetType | None = UNSET
    contact: ContactChange | UnsetType | None = UNSET
    reason: Reason | None = None


async def list_participants(call: Call[RosterQuery, Nothing]) -> PageOf[Participant]:
    """The roster, without contacts."""
    query = call.query
    wanted = RosterFilter(
        study=query.study,
        site=query.site,
        status=query.status,
        consent=query.consent,
        redcap_id=query.redcap_id,
        q=query.q,
    )
    matching = select_roster(wanted, call.caller.scope("participants.read"))
    return await call.page(Participant, matching, sortable=SORTABLE, key=KEY, identity=KEY)


async def get_participant(call: Call[OneQuery, Nothing]) -> Detail:
    """One participant. With `contact=true` the contact too, for those who may; that is on record."""
    study, code = call.path("study"), call.path("code")
    participant, sealed = await _load(call, study, code)
    call.caller.require("participants.read", study, participant.site)
    if not call.query.contact:
        return Detail(**_fields(participant))
    call.caller.require("participants.contact", study, participant.site)
    contact = _opened(call, sealed)
    entry = audited(
        call.request,
        call.caller.person,
        action="participant.read_contact",
        entity="participant",
        entity_id=f"{study}/{code}",
        study=study,
        site=participant.site,
    )
    # Reads have no transaction to write in, and nobody reads what is not on record.
    async with call.request.app[ENGINE].begin() as connection:
        await connection.execute(record_entry(entry))
    return Detail(**_fields(participant), contact=contact)


async def create_participant(call: Call[Nothing, NewParticipant]) -> Detail:
    """Put a participant on the roster of a study."""
    body = call.body
    call.caller.require("participants.write", body.study, body.site)
    if body.contact is not None:
        call.caller.require("participants.contact", body.study, body.site)
    await require_study(call, body.study)
    if call.request.app[ERASED].knows_subject(body.study, body.code):
        raise NotPossible("The participant with this code was erased: use another code.")
    state = State(body.site, body.status, body.language, body.enrolled_on, body.redcap_id)
    await _change(call, body.study, body.code, None, Known(state, body.contact or Contact()), body.reason)
    return await _detail(call, body.study, body.code)


async def change_participant(call: Call[Nothing, ParticipantChange]) -> Detail:
    """Change a participant's site, status, language, day of enrolment, REDCap record or contact."""
    study, code, body = call.path("study"), call.path("code"), call.body
    participant, sealed = await _load(call, study, code, lock=True)
    call.caller.require("participants.write", study, participant.site)
    call.match(participant.row_version)
    if body.site is not UNSET and body.site != participant.site:
        call.caller.require("participants.write", study, body.site)
    contact = Contact()
    if body.contact is not UNSET:
        call.caller.require("participants.contact", study, participant.site)
    if participant.has_contact:
        contact = _opened(call, sealed)
    before = Known(participant.state, contact)
    said = {name: getattr(body, name) for name in State.__struct_fields__}
    state = msgspec.structs.replace(
        before.state, **{name: value for name, value in said.items() if value is not UNSET}
    )
    after = Known(state, _with(contact, body.contact))
    if after != before:
        await _change(call, study, code, before, after, body.reason)
    return await _detail(call, study, code)


async def _change(  # noqa: PLR0917 (one change and why)
    call: Call[Any, Any], study: str, code: str, before: Known | None, after: Known, reason: str | None
) -> None:
    where = await read_study_sites(call.connection, study)
    was, state = None if before is None else before.state, after.state
    if state.site is not None and needs_its_site(was, state):
        if state.site not in where.days:
            raise InvalidRequest(f"{study} does not run at {state.site}.", details={"member": "site"})
        if state.site in where.closed:
            raise NotPossible(f"The site {state.site} is archived.", details={"member": "site"})
    newly = was is None or was.status != state.status
    if state.status == "enrolled" and newly and state.enrolled_on is None and state.site is not None:
        state = msgspec.structs.replace(state, enrolled_on=where.days.get(state.site))
    problem = problem_of(was, state, reason=reason)
    if problem is not None:
        kind = NotPossible if problem.conflict else InvalidRequest
        raise kind(problem.message, details={"member": problem.member})

    def entry(**about: Any) -> Any:
        about |= {"entity": "participant", "reason": reason}
        return audited(call.request, call.caller.person, **about)

    change = Change(code, before, Known(state, after.contact))
    try:
        await apply_changes(call.connection, study, [change], call.request.app[SEALER].seal, entry)
    except CreatedMeanwhile as error:
        raise Taken(f"{study} has a participant {code} already.") from error
    except RecordTaken as error:
        raise Taken(str(error), details={"member": "redcap_id"}) from error


async def _load(
    call: Call[Any, Any], study: str, code: str, *, lock: bool = False
) -> tuple[Participant, bytes | None]:
    row = (await call.connection.execute(select_participant(study, code, lock=lock))).one_or_none()
    missing = NotFound(f"There is no participant {code} in {study}.")
    if row is None:
        raise missing
    *fields, sealed = row
    participant = Participant(*fields)
    if not call.caller.scope("participants.read").covers(study, participant.site):
        raise missing
    return participant, sealed


async def _detail(call: Call[Any, Any], study: str, code: str) -> Detail:
    row = (await call.connection.execute(select_participant(study, code))).one()
    return Detail(*row[:-1])


def _fields(participant: Participant) -> dict[str, Any]:
    return msgspec.structs.asdict(participant)


def _opened(call: Call[Any, Any], sealed: bytes | None) -> Contact:
    try:
        return open_contact(sealed, call.request.app[SEALER].open)
    except CannotOpen as error:
        raise Unavailable("The contact was sealed with a key that this server does not have.") from error


def _with(contact: Contact, change: ContactChange | UnsetType | None) -> Contact:
    if change is UNSET:
        return contact
    if change is None:
        return Contact()
    said = msgspec.structs.asdict(change)
    return msgspec.structs.replace(
        contact, **{name: value for name, value in said.items() if value is not UNSET}
    )


_ONE = "/api/participants/{study}/{code}"

ROUTES: list[Route] = [
    get("/api/participants", list_participants, right="participants.read"),
    post("/api/participants", create_participant, right="participants.write", status=201, errors=(409,)),
    *BULK_ROUTES,
    get(_ONE, get_participant, right="participants.read"),
    patch(_ONE, change_participant, right="participants.write", errors=(409, 412, 428)),
]
