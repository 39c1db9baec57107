"""Whose data an erasure is about, and which documents are that person's.

A document is about whom its `study` and `participant` name. One that names a code and no study is the
subject's where no other study has that code at the site. Of a document whose leaves name different people,
only the subject's leaves go; the others are somebody else's data.

| leaves of a document | purged | the document |
|---|---|---|
| all name the subject, or nobody | all | goes |
| one names the subject, another somebody else | all but the others' | stays |
| none names the subject | none | stays |
"""

from collections.abc import Mapping
from typing import NamedTuple

from reporting.documents.corrections import PREFIX as CORRECTION
from reporting.erasure.names import Claims
from reporting.publication.requests import participant_document

SESSION = "session:"
CONSENT = "consent:"


class Subject(NamedTuple):
    """`nameless_sites`: where documents that say no study are the subject's by their code alone."""

    erasure: int
    study: str
    participant: str
    nameless_sites: frozenset[str] = frozenset()

    def is_named(self, site: str, claims: Claims) -> bool:
        """Whether a document of the site says that it is about the subject."""
        if claims.participant != self.participant:
            return False
        return claims.study == self.study or (claims.study is None and site in self.nameless_sites)

    def is_named_by_id(self, doc_id: str) -> bool:
        """Whether an id is that of a document published for the subject."""
        participant = participant_document(self.study, self.participant)
        visits = f"visit:{self.study}/{self.participant}/"
        return doc_id == participant or doc_id.startswith(visits)

    def leaves_to_purge(self, site: str, claims: Mapping[str, Claims]) -> tuple[list[str], bool]:
        """Which leaves (with what they claim) go, and whether that is the whole document."""
        named = [rev for rev, claim in claims.items() if self.is_named(site, claim)]
        others = [rev for rev in claims if rev not in named and claims[rev].participant is not None]
        if not named:
            return [], False
        return [rev for rev in claims if rev not in others], not others


def correction_session(doc_id: str) -> str | None:
    """The id of the session that a correction's id names; None for other documents."""
    if not doc_id.startswith(CORRECTION):
        return None
    session, separator, _ = doc_id.removeprefix(CORRECTION).rpartition(":")
    return session if separator else None
