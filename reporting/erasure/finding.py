"""Finding the documents of a subject: by the rows of Postgres, and by looking through all site databases.

Neither alone is enough: quarantined documents have no rows, and documents that are gone have rows only.

    rows: sessions, consents, …  ─┐
    winners that name the code   ─┼─▶  ids  ─▶  with their corrections  ─▶  leaves to purge, rows to delete
    leaves of conflicts, deleted ─┘
"""

from collections.abc import Iterable
from typing import Final, NamedTuple

from sqlalchemy import Select, Text, and_, func, literal, or_, select, union
from sqlalchemy.dialects.postgresql import insert
from sqlalchemy.ext.asyncio import AsyncConnection

from reporting.documents.text import key_text
from reporting.erasure.names import Claims, claims_of
from reporting.erasure.site_store import SiteStore, StoredDocument
from reporting.erasure.subject import CONSENT, SESSION, Subject, correction_session
from reporting.publication.requests import participant_document, visit_document
from reporting.sites import site_of
from reporting.tables import (
    consents,
    corrections,
    documents,
    erasure_targets,
    ingest_log,
    participants,
    sessions,
    sites,
)

CLAIMING: Final = (SESSION, CONSENT)


class Found(NamedTuple):
    """A document in a site database: the leaves that are the subject's, and whether that is all of it."""

    doc_id: str
    leaves: tuple[str, ...]
    whole: bool


async def load_subject(
    connection: AsyncConnection, databases: Iterable[str], erasure: int, study: str, code: str
) -> Subject:
    """The subject, with the sites where its code means nobody else."""
    names = {site for each in databases if (site := site_of(each)) is not None}
    names |= set((await connection.execute(select(sites.c.code))).scalars())
    others = set((await connection.execute(_select_sites_of_others(study, code))).scalars())
    nameless = frozenset() if None in others else frozenset(names - others)
    return Subject(erasure, study, code, nameless)


async def find_in_rows(connection: AsyncConnection, subject: Subject) -> set[tuple[str, str]]:
    """(site, document id as rows spell it) of the documents that rows know."""
    found = {(site, doc_id) for site, doc_id in await connection.execute(_select_recorded(subject))}
    for site, doc_id, original in await connection.execute(_select_originals(subject.participant)):
        if subject.is_named(site, claims_of(bytes(original))):
            found.add((site, doc_id))
    return found


async def keep_targets(
    connection: AsyncConnection, subject: Subject, own: set[tuple[str, str]], shared: set[tuple[str, str]]
) -> None:
    """Have these (site, document id) on record as the erasure's targets; what is there stays as it is."""
    rows = [
        {
            "erasure": subject.erasure,
            "site": site,
            "doc_id": doc_id,
            "shared": (site, doc_id) in shared,
        }
        for site, doc_id in sorted(own | shared)
    ]
    if rows:
        await connection.execute(insert(erasure_targets).on_conflict_do_nothing(), rows)


async def find_in_database(
    store: SiteStore, database: str, site: str, subject: Subject, known: set[str]
) -> list[Found]:
    """The subject's documents in a site database; `known` are the ids that rows know."""
    winners = {
        doc_id
        for doc_id, study in await store.naming(database, subject.participant)
        if subject.is_named(site, Claims(study, subject.participant))
    }
    feed = await store.feed(database)
    doubtful = [each for each in feed if _is_read(each)]
    wanted = [(each.id, leaf) for each in doubtful for leaf in each.leaves]
    claims: dict[str, dict[str, Claims]] = {
        each.id: dict.fromkeys(each.leaves, Claims()) for each in doubtful
    }
    for doc_id, rev, body in await store.bodies(database, wanted):
        claims[doc_id][rev] = claims_of(body)
    found = []
    for each in feed:
        part = _judge(subject, site, each, claims.get(each.id), winners, known)
        if part is not None:
            found.append(part)
    gone = {each.doc_id.removeprefix(SESSION) for each in found if each.whole}
    gone |= {doc_id.removeprefix(SESSION) for doc_id in known if doc_id.startswith(SESSION)}
    kept = {each.doc_id for each in found}
    found += [
        Found(each.id, each.leaves, whole=True)
        for each in feed
        if each.id not in kept and correction_session(each.id) in gone
    ]
    return found


def _judge(  # noqa: PLR0917 (one document and all that is known of it)
    subject: Subject,
    site: str,
    document: StoredDocument,
    claims: dict[str, Claims] | None,
    winners: set[str],
    known: set[str],
) -> Found | None:
    if claims is not None:
        leaves, whole = subject.leaves_to_purge(site, claims)
        if leaves:
            return Found(document.id, tuple(leaves), whole)
        if any(claim.participant is not None for claim in claims.values()):
            return None
    if document.id in winners or key_text(document.id) in known or subject.is_named_by_id(document.id):
        return Found(document.id, document.leaves, whole=True)
    return None


def _is_read(document: StoredDocument) -> bool:
    # The winner of every other document has been looked at already.
    return document.id.startswith(CLAIMING) and (document.deleted or len(document.leaves) > 1)


def _select_recorded(subject: Subject) -> Select[str, str]:
    study, code = subject.study, subject.participant
    participant, visits = participant_document(study, code), visit_document(study, code, "")
    nameless = sorted(subject.nameless_sites)
    own_sessions = (sessions.c.study == study, sessions.c.participant == code)
    by_session = select(sessions.c.site, literal(SESSION, Text) + sessions.c.id).where(*own_sessions)
    by_consent = select(consents.c.site, literal(CONSENT, Text) + consents.c.id).where(
        consents.c.participant == code,
        or_(consents.c.study == study, and_(consents.c.study.is_(None), consents.c.site.in_(nameless))),
    )
    by_correction = (
        select(corrections.c.site, corrections.c.doc_id)
        .join(
            sessions, and_(sessions.c.site == corrections.c.site, sessions.c.id == corrections.c.session_id)
        )
        .where(*own_sessions)
    )
    published = [documents.c.doc_id == participant, documents.c.doc_id.startswith(visits, autoescape=True)]
    by_id = select(documents.c.site, documents.c.doc_id).where(or_(*published))
    every = union(by_session, by_consent, by_correction, by_id).subquery()
    return select(every.c[0], every.c[1])


def _select_originals(code: str) -> Select[str, str, bytes]:
    i = ingest_log.c
    return select(i.site, i.doc_id, i.original).where(
        i.original.is_not(None), func.position(literal(code.encode()).op("IN")(i.original)) > 0
    )


def _select_sites_of_others(study: str, code: str) -> Select[str | None]:
    p, s = participants.c, sessions.c
    on_roster = select(p.site).where(p.code == code, p.study != study)
    with_sessions = select(s.site).where(s.participant == code, s.study != study)
    every = union(on_roster, with_sessions).subquery()
    return select(every.c[0])
