"""`/api/consent`: who consents, what was signed, withdrawals; forms are in `consent_forms`.

A signature is a tablet's file: it is sent as an attachment of type PNG, never shown inline, and only if it
begins as a PNG does.
"""

from datetime import UTC, datetime
from typing import Annotated
from urllib.parse import quote

import msgspec
from aiohttp import web
from msgspec import Meta

from reporting.audit import record_entry
from reporting.consent.records import (
    SORTABLE,
    ConsentHistory,
    FormState,
    ParticipantConsent,
    SignedConsent,
    Withdrawal,
    insert_withdrawal,
    select_consent,
    select_form_states,
    select_known_forms,
    select_participant,
    select_participants,
    select_signed,
    select_withdrawals,
)
from reporting.consent.state import State
from reporting.publication.requests import participant_document, publish_documents
from reporting.scope import within
from reporting.sites import database_of
from reporting.tables import participants
from reporting.webhooks.events import Event, announce
from sync_server.api import consent_forms
from sync_server.api.acts import Reason, audited
from sync_server.api.call import Call, ListQuery, Nothing, PageOf
from sync_server.api.parameters import Text
from sync_server.api.route import Route, get, post
from sync_server.api.signatures import NoSignature, read_signature
from sync_server.errors import InvalidRequest, NotFound
from sync_server.keys import ENGINE, SITE_DATABASES

Moment = Annotated[datetime, Meta(tz=True)]
_FIRST = datetime(2010, 1, 1, tzinfo=UTC)


class ParticipantsQuery(ListQuery, frozen=True, kw_only=True):
    """Sortable by `participant`, `study`, `site`, `last_signed_at`."""

    study: Text | None = None
    site: Text | None = None
    state: State | None = None


class WithdrawalRequest(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Of one form, or without `form` of all; now, or when the participant said so."""

    reason: Reason
    form: Annotated[str, Meta(pattern=consent_forms.FORM_ID, max_length=64)] | None = None
    withdrawn_at: Moment | None = None


async def list_participants(call: Call[ParticipantsQuery, Nothing]) -> PageOf[ParticipantConsent]:
    """Whether participants consent now, by study and code."""
    columns = participants.c
    scope = call.caller.scope("consents.read")
    statement = select_participants(call.query.state).where(
        within(scope, study=columns.study, site=columns.site)
    )
    if call.query.study is not None:
        statement = statement.where(columns.study == call.query.study)
    if call.query.site is not None:
        statement = statement.where(columns.site == call.query.site)
    return await call.page(
        ParticipantConsent, statement, sortable=SORTABLE, key=[columns.study, columns.code]
    )


async def get_participant(call: Call[Nothing, Nothing]) -> ConsentHistory:
    """A participant's consent: its state, all that was signed, and what was withdrawn."""
    study, code = call.path("study"), call.path("participant")
    found = (await call.connection.execute(select_participant(study, code))).one_or_none()
    if found is None or not call.caller.scope("consents.read").covers(study, found.site):
        raise NotFound(f"There is no participant {code} in study {study}.")
    return await _read_history(call, study, code, found.site, found[1])


async def withdraw(call: Call[Nothing, WithdrawalRequest]) -> ConsentHistory:
    """Record that a participant withdraws consent, and why.

    Sessions from then on are flagged; those of before are not, and nothing is deleted (see erasure).
    """
    study, code = call.path("study"), call.path("participant")
    reads = call.caller.scope("consents.read")
    statement = select_participant(study, code).with_for_update(of=participants)
    found = (await call.connection.execute(statement)).one_or_none()
    if found is None or not reads.covers(study, found.site):
        raise NotFound(f"There is no participant {code} in study {study}.")
    call.caller.require("consents.write", study, found.site)
    wanted = call.body
    now = datetime.now(UTC)
    withdrawn_at = wanted.withdrawn_at or now
    if not _FIRST <= withdrawn_at <= now:
        raise InvalidRequest(
            "withdrawn_at has to be between 2010 and now.", details={"path": "$.withdrawn_at"}
        )
    if wanted.form is not None:
        known = set(await call.connection.scalars(select_known_forms(study, code)))
        if wanted.form not in known:
            raise InvalidRequest(f"There is no consent form {wanted.form}.", details={"path": "$.form"})
    recorded = insert_withdrawal(
        study=study,
        participant=code,
        form=wanted.form,
        withdrawn_at=withdrawn_at,
        reason=wanted.reason,
        recorded_by=call.caller.person.email,
    )
    number = (await call.connection.execute(recorded)).scalar_one()
    about = {
        "study": study,
        "participant": code,
        "form": wanted.form,
        "withdrawn_at": withdrawn_at.isoformat(),
    }
    await call.record(
        "consent.withdraw",
        "participant",
        f"{study}/{code}",
        study=study,
        site=found.site,
        reason=wanted.reason,
        after=about,
    )
    event = Event(
        name="consent.withdrawn", occurrence=f"withdrawal {number}", study=study, site=found.site, data=about
    )
    await call.connection.execute(announce(event))
    if found.site is not None:
        document = participant_document(study, code)
        await call.connection.execute(publish_documents([(found.site, document)]))
    state = (await call.connection.execute(select_participant(study, code))).one()[1]
    return await _read_history(call, study, code, found.site, state)


async def get_signature(call: Call[Nothing, Nothing]) -> web.Response:
    """The image of a signature, from the site database.

    Who has read it is on record.
    """
    site, consent = call.path("site"), call.path("id")
    found = (await call.connection.execute(select_consent(site, consent))).one_or_none()
    scope = call.caller.scope("consents.read")
    may_see = found is not None and (
        scope.covers_site(site) if found.study is None else scope.covers(found.study, site)
    )
    if found is None or not may_see or not found.has_signature:
        raise NotFound(f"There is no signature of consent {consent} at site {site}.")
    client = call.request.app[SITE_DATABASES]
    try:
        image = await read_signature(client, database_of(site), consent, found.rev)
    except NoSignature as error:
        raise NotFound(str(error)) from error
    entry = audited(
        call.request,
        call.caller.person,
        action="consent.read_signature",
        entity="consent",
        entity_id=f"{site}/{consent}",
        study=found.study,
        site=site,
    )
    # The call's own connection only reads.
    async with call.request.app[ENGINE].begin() as connection:
        await connection.execute(record_entry(entry))
    name = quote(f"signature-{site}-{consent}.png", safe="")
    headers = {
        "Content-Disposition": f"attachment; filename*=UTF-8''{name}",
        "X-Content-Type-Options": "nosniff",
        "Content-Security-Policy": "sandbox; default-src 'none'",
        "Cache-Control": "no-store",
    }
    return web.Response(body=image, content_type="image/png", headers=headers)


async def _read_history(
    call: Call[Nothing, Nothing] | Call[Nothing, WithdrawalRequest],
    study: str,
    code: str,
    site: str | None,
    state: State,
) -> ConsentHistory:
    read = call.connection.execute
    return ConsentHistory(
        study=study,
        participant=code,
        site=site,
        state=state,
        forms=[FormState(*row) for row in await read(select_form_states(study, code))],
        consents=[SignedConsent(*row) for row in await read(select_signed(study, code))],
        withdrawals=[Withdrawal(*row) for row in await read(select_withdrawals(study, code))],
    )


ROUTES: list[Route] = [
    *consent_forms.ROUTES,
    get("/api/consent/participants", list_participants, right="consents.read"),
    get(
        "/api/consent/signature/{site}/{id}",
        get_signature,
        right="consents.read",
        produces="image/png",
    ),
    get("/api/consent/{study}/{participant}", get_participant, right="consents.read"),
    post("/api/consent/{study}/{participant}/withdraw", withdraw, right="consents.write", status=201),
]
