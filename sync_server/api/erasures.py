"""`/api/participants/…/erasure`: erasing a participant's data, by two people.

| what happens | answer |
|---|---|
| the participant has an open request | 409 `taken` |
| the requester confirms | 409 `not_possible`: another person has to |
| confirmed, cancelled or done already | 409 `not_possible` |
| the store does not answer while it is looked through | 503, nothing is requested |
| asked for by the code after it is done | the same answer, without the code: it is found by its fingerprint |
"""

from typing import Literal

import msgspec

from replication.errors import CouchError
from reporting.erasure import requests
from reporting.erasure.finding import load_subject
from reporting.erasure.names import subject_text
from reporting.erasure.preview import preview_erasure
from reporting.erasure.requests import Erasure, ErasureRow, read_erasure
from reporting.participants.roster import select_site_of
from reporting.tables import erasures
from sync_server.api.acts import Reason
from sync_server.api.call import Call, ListQuery, Nothing, PageOf
from sync_server.api.parameters import Text
from sync_server.api.route import Route, get, post
from sync_server.errors import InvalidRequest, NotFound, NotPossible, Taken, Unavailable
from sync_server.keys import SEALER, SITE_DATABASES
from sync_server.site_erasing import CouchSiteStore


class ErasureBody(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """The reason stays on record for good: it may not name the participant."""

    reason: Reason


class ErasureQuery(ListQuery, frozen=True, kw_only=True):
    """Of one study, in one state."""

    study: Text | None = None
    state: Literal["requested", "confirmed", "running", "failed", "done", "cancelled"] | None = None


async def list_erasures(call: Call[ErasureQuery, Nothing]) -> PageOf[ErasureRow]:
    """The erasures that were asked for, the latest last."""
    c = erasures.c
    matching = requests.select_erasures(call.caller.scope("participants.erase"))
    if call.query.study is not None:
        matching = matching.where(c.study == call.query.study)
    if call.query.state is not None:
        matching = matching.where(c.state == call.query.state)
    sortable = {"requested_at": c.requested_at, "state": c.state}
    return await call.page(ErasureRow, matching, sortable=sortable, key=[c.id])


async def request_erasure(call: Call[Nothing, ErasureBody]) -> Erasure:
    """Ask for a participant's erasure; the answer's `preview` says what would go. Nothing goes yet.

    Another person has to confirm it. Looking through the site databases may take a while.
    """
    study, code = call.path("study"), call.path("code")
    await _require(call, study, code)
    if code.casefold() in call.body.reason.casefold():
        raise InvalidRequest("The reason stays on record: it may not name the participant.")
    subject_fingerprint = call.request.app[SEALER].fingerprints(subject_text(study, code))[0]
    asked = requests.insert_request(
        study=study,
        participant=code,
        subject=subject_fingerprint,
        reason=call.body.reason,
        requested_by=call.caller.person.email,
    )
    number = (await call.connection.execute(asked)).scalar_one_or_none()
    if number is None:
        raise Taken("This participant's erasure has been asked for already.")
    store = CouchSiteStore(call.request.app[SITE_DATABASES])
    try:
        subject = await load_subject(call.connection, await store.databases(), number, study, code)
        preview = await preview_erasure(call.connection, store, subject)
    except CouchError as error:
        raise Unavailable("The site databases cannot be looked through at the moment.") from error
    if preview.is_empty:
        raise NotFound(f"There is nothing of a participant {code} in {study}.")
    await call.connection.execute(requests.note_preview(number, msgspec.to_builtins(preview)))
    await call.record("erasure.request", "erasure", str(number), study=study, reason=call.body.reason)
    return await _read(call, number)


async def get_erasure(call: Call[Nothing, Nothing]) -> Erasure:
    """An erasure, with the steps that are behind it."""
    return await _find(call)


async def confirm_erasure(call: Call[Nothing, Nothing]) -> Erasure:
    """Confirm an erasure, as another person than who asked for it. It cannot be taken back."""
    found = await _find(call)
    person = call.caller.person.email
    confirmed = await call.connection.execute(requests.confirm_request(found.id, person=person))
    if confirmed.first() is None:
        now = await _read(call, found.id)
        if now.state == "requested":
            raise NotPossible("Another person than who asked for it has to confirm.")
        raise NotPossible(f"It is {now.state}.", details={"state": now.state})
    await call.connection.execute(requests.enter(found.id))
    await call.record("erasure.confirm", "erasure", str(found.id), study=found.study)
    return await _read(call, found.id)


async def cancel_erasure(call: Call[Nothing, Nothing]) -> Erasure:
    """Cancel an erasure that nobody has confirmed yet."""
    found = await _find(call)
    if (await call.connection.execute(requests.cancel_request(found.id))).first() is None:
        now = await _read(call, found.id)
        raise NotPossible(f"It is {now.state}.", details={"state": now.state})
    await call.connection.execute(requests.forget_targets(found.id))
    await call.record("erasure.cancel", "erasure", str(found.id), study=found.study)
    return await _read(call, found.id)


async def _find(call: Call[Nothing, Nothing]) -> Erasure:
    study, code, number = call.path("study"), call.path("code"), call.number("id")
    await _require(call, study, code)
    fingerprints = call.request.app[SEALER].fingerprints(subject_text(study, code))
    wanted = requests.select_of_subject(number, fingerprints)
    if (await call.connection.execute(wanted)).first() is None:
        raise NotFound("There is no such erasure.")
    return await _read(call, number)


async def _read(call: Call[Nothing, ErasureBody] | Call[Nothing, Nothing], number: int) -> Erasure:
    found = await read_erasure(call.connection, number)
    if found is None:
        raise NotFound("There is no such erasure.")
    return found


async def _require(call: Call[Nothing, ErasureBody] | Call[Nothing, Nothing], study: str, code: str) -> None:
    site = await call.connection.scalar(select_site_of(study, code))
    call.caller.require("participants.erase", study, site)


_ONE = "/api/participants/{study}/{code}/erasure"

ROUTES: list[Route] = [
    get("/api/erasures", list_erasures, right="participants.erase"),
    post(_ONE, request_erasure, right="participants.erase", status=201, errors=(409,)),
    get(f"{_ONE}/{{id}}", get_erasure, right="participants.erase"),
    post(f"{_ONE}/{{id}}/confirm", confirm_erasure, right="participants.erase", errors=(409,)),
    post(f"{_ONE}/{{id}}/cancel", cancel_erasure, right="participants.erase", errors=(409,)),
]
