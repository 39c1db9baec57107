"""A signed consent → its row of `consents`.

Pure. A consent is signed once. Where live leaves of one document differ (two devices with copies of it, an
app that saves again), the earliest signature counts: it was given, and no later save of the same document
takes it back or moves it behind a session; taking back is a withdrawal, which a person records. The other
leaves are kept, those that are not the winner in `losing_revisions`, and the row says so in its flags;
nothing waits for a decision.

| flag | when |
|---|---|
| `no_study` `no_form` | the app did not tell to what was consented: it counts for no study, for no form |
| `no_signature` | there is no PNG `signature.png` |
| `clock_ahead` | signed more than 2 minutes after it was received; `signed_at_corrected` is the receipt |
| `clock_unset` | signed before 2010; `signed_at_corrected` is the receipt, where there was one |
| `differing_leaves` | live leaves differ in participant, study, form or time of signature |
"""

from collections.abc import Iterator, Mapping, Sequence
from datetime import datetime
from typing import NamedTuple

from reporting.documents.kinds import Consent, ConsentDocument
from reporting.documents.ranking import rank
from reporting.projection.batch import Receipt
from reporting.quality.clock import FIRST_TABLETS, TOLERANCE


class ConsentRow(NamedTuple):
    """`consents`"""

    site: str
    id: str
    study: str | None
    participant: str
    form: str | None
    form_version: int | None
    language: str | None
    device_id: str | None
    signed_at: datetime
    signed_at_corrected: datetime | None
    has_signature: bool
    flags: list[str]
    rev: str
    received_at: datetime | None


def consent_row(
    site: str, valid: Sequence[tuple[str, Consent]], receipts: Mapping[str, Receipt]
) -> ConsentRow:
    """`valid` are the valid live leaves by revision, spelled as rows spell it; one at least."""
    by_rank = sorted(valid, key=lambda leaf: rank(leaf[0]), reverse=True)
    rev, (name, consent) = min(by_rank, key=lambda leaf: leaf[1].document.signed_at)
    receipt = receipts.get(rev)
    received_at = receipt.received_at if receipt else None
    form = consent.form
    flags = list(_flags(consent, received_at))
    if len({_said(leaf.document) for _, leaf in valid}) > 1:
        flags.append("differing_leaves")
    return ConsentRow(
        site=site,
        id=name,
        study=consent.study,
        participant=consent.participant,
        form=form.id if form else None,
        form_version=form.version if form else None,
        language=consent.language,
        device_id=consent.device.id if consent.device else None,
        signed_at=consent.signed_at,
        signed_at_corrected=received_at if {"clock_ahead", "clock_unset"} & set(flags) else None,
        has_signature=consent.has_signature,
        flags=flags,
        rev=rev,
        received_at=received_at,
    )


def _flags(consent: ConsentDocument, received_at: datetime | None) -> Iterator[str]:
    if consent.study is None:
        yield "no_study"
    if consent.form is None:
        yield "no_form"
    if not consent.has_signature:
        yield "no_signature"
    if consent.signed_at < FIRST_TABLETS:
        yield "clock_unset"
    elif received_at is not None and consent.signed_at - received_at > TOLERANCE:
        yield "clock_ahead"


def _said(consent: ConsentDocument) -> tuple[object, ...]:
    return consent.study, consent.participant, consent.form, consent.signed_at
