"""What people read of consents, and the withdrawals that they record."""

from datetime import datetime
from typing import Any

import msgspec
from sqlalchemy import ColumnElement, CompoundSelect, Select, func, literal, select, true, union
from sqlalchemy.dialects.postgresql import insert
from sqlalchemy.sql.dml import ReturningInsert

from reporting.consent.state import NOW, State, consent_state, form_states
from reporting.tables import consent_forms, consent_withdrawals, consents, participants

P = participants.c
C = consents.c
W = consent_withdrawals.c


class ParticipantConsent(msgspec.Struct, frozen=True):
    """Whether a participant of the roster consents now."""

    study: str
    participant: str
    site: str | None
    state: State
    last_signed_at: datetime | None


class SignedConsent(msgspec.Struct, frozen=True):
    """A signed consent. `flags` say what to look at; `source_missing_at`: it does not count since then."""

    site: str
    id: str
    form: str | None
    form_version: int | None
    language: str | None
    signed_at: datetime
    signed_at_corrected: datetime | None
    received_at: datetime | None
    has_signature: bool
    flags: list[str]
    source_missing_at: datetime | None


class Withdrawal(msgspec.Struct, frozen=True):
    """A withdrawal; `form` None: of all forms."""

    id: int
    form: str | None
    withdrawn_at: datetime
    reason: str
    recorded_by: str
    recorded_at: datetime


class FormState(msgspec.Struct, frozen=True):
    """The state of a required form; `form` None: of any consent to the study, where no form is required."""

    form: str | None
    state: State


class ConsentHistory(msgspec.Struct, frozen=True):
    """All about a participant's consent."""

    study: str
    participant: str
    site: str | None
    state: State
    forms: list[FormState]
    consents: list[SignedConsent]
    withdrawals: list[Withdrawal]


_STATE: ColumnElement[Any] = consent_state(P.study, P.code)
_LAST_SIGNED = (
    select(func.max(C.signed_at))
    .where(C.study == P.study, C.participant == P.code, C.source_missing_at.is_(None))
    .correlate(participants)
    .scalar_subquery()
)
SORTABLE: dict[str, ColumnElement[Any]] = {
    "participant": P.code,
    "study": P.study,
    "site": P.site,
    "last_signed_at": _LAST_SIGNED,
}


def select_participants(state: State | None = None) -> Select[*tuple[Any, ...]]:
    """Statement: ParticipantConsent columns of the roster, of those in a state."""
    statement = select(P.study, P.code, P.site, _STATE, _LAST_SIGNED)
    return statement if state is None else statement.where(literal(state) == _STATE)


def select_participant(study: str, code: str) -> Select[*tuple[Any, ...]]:
    """Statement: (site, state) of one participant of the roster."""
    return select(P.site, _STATE).where(P.study == study, P.code == code)


def select_form_states(study: str, code: str) -> Select[*tuple[Any, ...]]:
    """Statement: FormState columns."""
    states = form_states(P.study, P.code, at=NOW)
    return (
        select(states.c.form, states.c.state)
        .select_from(participants.join(states, true()))
        .where(P.study == study, P.code == code)
        .order_by(states.c.form)
    )


def select_signed(study: str, code: str) -> Select[*tuple[Any, ...]]:
    """Statement: SignedConsent columns, in the order of signing."""
    columns = [consents.c[name] for name in SignedConsent.__struct_fields__]
    return select(*columns).where(C.study == study, C.participant == code).order_by(C.signed_at, C.site, C.id)


def select_withdrawals(study: str, code: str) -> Select[*tuple[Any, ...]]:
    """Statement: Withdrawal columns, in their order."""
    columns = [consent_withdrawals.c[name] for name in Withdrawal.__struct_fields__]
    return select(*columns).where(W.study == study, W.participant == code).order_by(W.withdrawn_at, W.id)


def select_consent(site: str, consent: str) -> Select[*tuple[Any, ...]]:
    """Statement: (study, participant, rev, has_signature) of one consent."""
    return select(C.study, C.participant, C.rev, C.has_signature).where(C.site == site, C.id == consent)


def select_known_forms(study: str, code: str) -> CompoundSelect[str]:
    """Statement: the forms that were published in a study, or that a participant has signed."""
    published = select(consent_forms.c.id).where(consent_forms.c.study == study)
    signed = select(C.form).where(C.study == study, C.participant == code, C.form.is_not(None))
    return union(published, signed)


def insert_withdrawal(
    *, study: str, participant: str, form: str | None, withdrawn_at: datetime, reason: str, recorded_by: str
) -> ReturningInsert[Any]:
    """Statement: record it; returns its id."""
    return (
        insert(consent_withdrawals)
        .values(
            study=study,
            participant=participant,
            form=form,
            withdrawn_at=withdrawn_at,
            reason=reason,
            recorded_by=recorded_by,
        )
        .returning(W.id)
    )
