"""What is fingerprinted of a subject and of its documents.

A fingerprint recognises what was erased when it comes again, and names nobody: it is made with a key that is
not in the database. What it is made of is spelled here once, for the gateway and for the erasure.

| text of | recognises |
|---|---|
| `subject_text` | every document of the participant, by its members `study` and `participant` |
| `nameless_text` | those that say no study, at a site where no other study has that code |
| `document_text` | an erased document, whatever is in it now |
"""

from collections.abc import Callable
from typing import Final

import msgspec

from reporting.documents.text import key_text, without_nul

REASON: Final = "erased on request"
"""What whoever sends it again is told: as refusal of the document, and as its receipt."""

Fingerprint = Callable[[str], list[bytes]]
"""The fingerprints of a text, one a key in force; the first is what is kept."""


class Claims(msgspec.Struct):
    """Whom a document says it is about; None where it says nothing, or no text."""

    study: str | None = None
    participant: str | None = None
    session: str | None = None


class _Loose(msgspec.Struct):
    study: object = None
    participant: object = None
    session: object = None


_decode = msgspec.json.Decoder(_Loose).decode


def claims_of(body: bytes) -> Claims:
    """What a stored document claims; nothing where it is no JSON object."""
    try:
        loose = _decode(body)
    except (msgspec.DecodeError, RecursionError):
        return Claims()
    return Claims(_text(loose.study), _text(loose.participant), _text(loose.session))


def subject_text(study: str, participant: str) -> str:
    """Of a participant of a study."""
    return f"subject\n{study}\n{participant}"


def nameless_text(site: str, participant: str) -> str:
    """Of documents of a site that name a code and no study."""
    return f"nameless\n{site}\n{participant}"


def document_text(site: str, doc_id: str) -> str:
    """Of a document of a site."""
    return f"document\n{site}\n{key_text(doc_id)}"


def texts_of(site: str, doc_id: str, claims: Claims) -> list[str]:
    """By what a document may be recognised."""
    texts = [document_text(site, doc_id)]
    if claims.participant is not None:
        if claims.study is None:
            texts.append(nameless_text(site, claims.participant))
        else:
            texts.append(subject_text(claims.study, claims.participant))
    return texts


def _text(value: object) -> str | None:
    return without_nul(value) if isinstance(value, str) else None
