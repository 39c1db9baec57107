"""The dry run of an erasure: what would go, counted; nothing is changed but the request itself."""

from collections import Counter
from collections.abc import Mapping

import msgspec
from sqlalchemy import ColumnElement, Table, func, select
from sqlalchemy.dialects.postgresql import insert
from sqlalchemy.ext.asyncio import AsyncConnection

from reporting.documents.text import key_text
from reporting.erasure.audit_details import is_about
from reporting.erasure.finding import find_in_database, find_in_rows
from reporting.erasure.registry import erased_tables
from reporting.erasure.rows import count_rows
from reporting.erasure.site_store import SiteStore
from reporting.erasure.subject import Subject
from reporting.sites import site_of
from reporting.tables import audit_log, consents, erasure_targets, ingest_log


class Preview(msgspec.Struct, frozen=True):
    """`tables`: rows that go; `documents`: by site database and type, `part of …` where other people's leaves
    stay; `attachments`: signatures; `originals`: bytes as sent that the ingest log holds; `audit_entries`:
    whose details go.
    """

    tables: Mapping[str, int]
    documents: Mapping[str, Mapping[str, int]]
    attachments: int
    originals: int
    audit_entries: int

    @property
    def is_empty(self) -> bool:
        """Whether there is nothing at all of such a participant."""
        return not self.documents and not self.tables


async def preview_erasure(connection: AsyncConnection, store: SiteStore, subject: Subject) -> Preview:
    """What there is now. Its documents are the erasure's targets from now on. Raises as the store."""
    wanted = await find_in_rows(connection, subject)
    stored: dict[str, Counter[str]] = {}
    for database in await store.databases():
        site = site_of(database)
        if site is None:
            continue
        known = {doc_id for where, doc_id in wanted if where == site}
        for each in await find_in_database(store, database, site, subject, known):
            kind = each.doc_id.partition(":")[0]
            stored.setdefault(database, Counter())[kind if each.whole else f"part of {kind}"] += 1
            wanted.add((site, key_text(each.doc_id)))
    if wanted:
        rows = [
            {"erasure": subject.erasure, "site": site, "doc_id": doc_id} for site, doc_id in sorted(wanted)
        ]
        await connection.execute(insert(erasure_targets), rows)
    return Preview(
        tables=await count_rows(connection, subject),
        documents=stored,
        attachments=await _count(connection, consents, subject, consents.c.has_signature),
        originals=await _count(connection, ingest_log, subject, ingest_log.c.original.is_not(None)),
        audit_entries=(
            await connection.execute(select(func.count()).select_from(audit_log).where(is_about(subject)))
        ).scalar_one(),
    )


async def _count(
    connection: AsyncConnection, table: Table, subject: Subject, besides: ColumnElement[bool]
) -> int:
    condition = next(condition for each, condition in erased_tables() if each is table)
    counted = select(func.count()).select_from(table).where(condition(table, subject), besides)
    return int((await connection.execute(counted)).scalar_one())
