"""What the audit log says of the subject: details are taken out, who did what when stays.

Entries are sealed first, so that the chain holds a digest of what is removed; the salt goes with the details,
and nobody can try out what they were.
"""

import re

from sqlalchemy import ColumnElement, and_, null, or_, select, update
from sqlalchemy.ext.asyncio import AsyncConnection, AsyncEngine

from reporting.audit_chain import ERASED, seal_all
from reporting.erasure.registry import names_subject, target_sessions, targets
from reporting.erasure.subject import Subject
from reporting.publication.requests import participant_document, visit_document
from reporting.tables import audit_chain, audit_log


async def erase_details(engine: AsyncEngine, subject: Subject) -> int:
    """Remove the details of every entry about the subject; how many. Again: those that came since."""
    await seal_all(engine)
    async with engine.begin() as connection:
        return await _erase(connection, subject)


async def _erase(connection: AsyncConnection, subject: Subject) -> int:
    a = audit_log.c
    sealed = select(audit_chain.c.entry).where(audit_chain.c.entry == a.id).exists()
    about = and_(a.erasure.is_(None), sealed, is_about(subject))
    ids = list((await connection.execute(select(a.id).where(about))).scalars())
    if ids:
        gone = (a.reason, a.before, a.after, a.request_id, a.address, a.source)
        values = {column: null() for column in gone} | {a.entity_id: ERASED, a.erasure: subject.erasure}
        await connection.execute(update(audit_log).where(a.id.in_(ids)).values(values))
        salts = update(audit_chain).where(audit_chain.c.entry.in_(ids)).values(salt=None)
        await connection.execute(salts)
    return len(ids)


def is_about(subject: Subject) -> ColumnElement[bool]:
    """Condition: the entry names the subject, by what it is about, in its values, or in its reason."""
    a = audit_log.c
    study, code = subject.study, subject.participant
    own = participant_document(study, code).partition(":")[2]
    visits = visit_document(study, code, "").partition(":")[2]
    here = or_(a.study == study, a.study.is_(None))
    word = rf"(^|[^A-Za-z0-9._-]){re.escape(code)}($|[^A-Za-z0-9_-])"
    ids, sessions = targets(subject).subquery(), target_sessions(subject).subquery()
    return or_(
        a.entity_id == own,
        a.entity_id.startswith(visits, autoescape=True),
        and_(a.entity_id == code, a.study == study),
        a.entity_id.in_(select(ids.c.doc_id)),
        a.entity_id.in_(select(sessions.c[1])),
        and_(here, or_(names_subject(a.before, subject), names_subject(a.after, subject))),
        and_(here, a.reason.op("~")(word)),
    )
