"""Whether somebody consents to a study: one expression, for now and for the moment at which a session began.

    state of a form = f(consents signed until then, withdrawals until then, versions published until then)

| state of a form | when |
|---|---|
| `valid` | a consent that counts: to a version that is not superseded, not withdrawn since it was signed |
| `outdated` | consents that are not withdrawn, all of them to versions that a newer one supersedes |
| `withdrawn` | consents, all of them withdrawn since |
| `none` | no consent |

The state in the study is the worst of the forms that are required: `withdrawn`, `none`, `outdated`, `valid`.
A study without a required form takes any consent that names it. Which version a consent may have at a moment
depends on what was published until then: a new version makes no session of before wrong. Consents whose
document is gone from the site database do not count while it is; consents to versions that were never
published count for no form. A participant may have signed at another site.

A tablet's clock is what times are compared by where the same tablet signed and ran; elsewhere the corrected
times are.
"""

from collections.abc import Sequence
from typing import Any, Final, Literal

from sqlalchemy import (
    ARRAY,
    Boolean,
    ColumnElement,
    FromClause,
    ScalarSelect,
    Text,
    and_,
    case,
    exists,
    func,
    literal,
    literal_column,
    or_,
    select,
    true,
)
from sqlalchemy.dialects.postgresql import aggregate_order_by, array
from sqlalchemy.sql.selectable import LateralFromClause

from reporting.tables import consent_forms, consent_withdrawals, consents
from reporting.tables.base import Timestamp

_WORST_FIRST: Final = ("withdrawn", "none", "outdated", "valid")

State = Literal["none", "valid", "outdated", "withdrawn"]

Column = ColumnElement[Any]
NOW: Column = literal_column("'infinity'::timestamptz", Timestamp)
"""Everything that there is counts, also what a clock that is ahead has signed."""


def form_states(
    study: Column,
    participant: Column,
    *,
    at: Column = NOW,
    device: Column | None = None,
    at_of_device: Column | None = None,
) -> LateralFromClause:
    """Lateral (form, state), one row a required form, or one with a NULL form where there is none, of the
    participant that the columns name. `at_of_device`: the moment by the clock of `device`.
    """
    form = consent_forms.alias("form")
    newest_required = func.array_agg(
        aggregate_order_by(form.c.required, form.c.version.desc()), type_=ARRAY(Boolean)
    )[1]
    required = (
        select(form.c.id.label("form"), func.max(form.c.version).filter(form.c.supersedes).label("least"))
        .where(form.c.study == study, form.c.created_at <= at)
        .group_by(form.c.id)
        .having(newest_required)
        .correlate_except(form)
        .lateral("required")
    )
    one = select(literal(1).label("one")).subquery("one")
    state = _state_of_form(study, participant, required, at=at, device=device, at_of_device=at_of_device)
    return (
        select(required.c.form, state.label("state"))
        .select_from(one.outerjoin(required, true()))
        .correlate_except(one, required)
        .lateral("form_states")
    )


def _state_of_form(
    study: Column,
    participant: Column,
    required: FromClause,
    *,
    at: Column,
    device: Column | None,
    at_of_device: Column | None,
) -> ScalarSelect[Any]:
    signed = consents.alias("signed")
    signed_at = func.coalesce(signed.c.signed_at_corrected, signed.c.signed_at)
    until_then: Column = signed_at <= at
    if device is not None and at_of_device is not None:
        until_then = case(
            (signed.c.device_id == device, signed.c.signed_at <= at_of_device), else_=until_then
        )
    version = consent_forms.alias("version")
    is_published = (
        exists()
        .where(
            version.c.study == signed.c.study,
            version.c.id == signed.c.form,
            version.c.version == signed.c.form_version,
        )
        .correlate_except(version)
    )
    withdrawal = consent_withdrawals.alias("withdrawal")
    is_withdrawn = (
        exists()
        .where(
            withdrawal.c.study == signed.c.study,
            withdrawal.c.participant == signed.c.participant,
            or_(withdrawal.c.form.is_(None), withdrawal.c.form == signed.c.form),
            withdrawal.c.withdrawn_at >= signed_at,
            withdrawal.c.withdrawn_at <= at,
        )
        .correlate_except(withdrawal)
    )
    is_current = or_(required.c.least.is_(None), signed.c.form_version >= required.c.least)
    # One reference to what is looked up for each consent: Postgres looks again for each that is written.
    best = func.min(case((is_withdrawn, 3), (is_current, 1), else_=2))
    return (
        select(func.coalesce(_named(("valid", "outdated", "withdrawn"), best), "none"))
        .where(
            signed.c.study == study,
            signed.c.participant == participant,
            signed.c.source_missing_at.is_(None),
            until_then,
            or_(required.c.form.is_(None), and_(signed.c.form == required.c.form, is_published)),
        )
        .correlate_except(signed)
        .scalar_subquery()
    )


def consent_state(study: Column, participant: Column) -> ScalarSelect[Any]:
    """The state in the study, now, of the participant that the columns name (of `participants`, say)."""
    states = form_states(study, participant)
    return select(worst(states.c.state)).select_from(states).correlate_except(states).scalar_subquery()


def worst(state: Column) -> Column:
    """Aggregate: the state in the study, of the states of its required forms. Names the state once: it is a
    look at the consents for each time.
    """
    of_states = func.array_position(_texts(_WORST_FIRST), state)
    return func.coalesce(_named(_WORST_FIRST, func.min(of_states)), "valid")


def _named(names: Sequence[str], number: Column) -> Column:
    return _texts(names)[number]


def _texts(names: Sequence[str]) -> Column:
    return array([literal_column(f"'{name}'", Text) for name in names])
