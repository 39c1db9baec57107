"""The dry run of an erasure: what would go, counted; nothing is changed but the request itself."""

from collections import Counter
from collections.abc import Mapping

import msgspec
from sqlalchemy import ColumnElement, Table, func, select
from sqlalchemy.ext.asyncio import AsyncConnection

from reporting.documents.text import key_text
from reporting.erasure.audit_details import is_about
from reporting.erasure.finding import find_in_database, find_in_rows, keep_targets
from reporting.erasure.registry import erased_tables
from reporting.erasure.rows import count_rows
from reporting.erasure.site_store import SiteStore
from reporting.erasure.subject import Subject
from reporting.sites import site_of
from reporting.tables import audit_log, ingest_log


class Preview(msgspec.Struct, frozen=True):
    """`tables`: rows that go (those of a document in which other people have leaves are made anew);
    `documents`: by site database and type, `part of …` where other people's leaves stay; `attachments`: such
    as signatures; `originals`: bytes as sent that the ingest log holds; `audit_entries`: whose details go.
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
    shared: set[tuple[str, str]] = set()
    attachments = 0
    for database in await store.databases():
        site = site_of(database)
        if site is None:
            continue
        known = {doc_id for where, doc_id in wanted if where == site}
        found = await find_in_database(store, database, site, subject, known)
        leaves = [(each.doc_id, leaf) for each in found for leaf in each.leaves]
        attachments += sum(map(_attachments, await store.bodies(database, leaves)))
        for each in found:
            kind = each.doc_id.partition(":")[0]
            stored.setdefault(database, Counter())[kind if each.whole else f"part of {kind}"] += 1
            (wanted if each.whole else shared).add((site, key_text(each.doc_id)))
    await keep_targets(connection, subject, wanted, shared)
    return Preview(
        tables=await count_rows(connection, subject),
        documents=stored,
        attachments=attachments,
        originals=await _count(connection, ingest_log, subject, ingest_log.c.original.is_not(None)),
        audit_entries=(
            await connection.execute(select(func.count()).select_from(audit_log).where(is_about(subject)))
        ).scalar_one(),
    )


class _Attached(msgspec.Struct):
    attachments: dict[str, msgspec.Raw] = msgspec.field(name="_attachments", default_factory=dict)


def _attachments(leaf: tuple[str, str, bytes]) -> int:
    return len(msgspec.json.decode(leaf[2], type=_Attached).attachments)


async def _count(
    connection: AsyncConnection, table: Table, subject: Subject, besides: ColumnElement[bool]
) -> int:
    condition = next(condition for each, condition in erased_tables() if each is table)
    counted = select(func.count()).select_from(table).where(condition(table, subject), besides)
    return int((await connection.execute(counted)).scalar_one())
