"""Executing a confirmed erasure: steps that are recorded, each of which may be repeated.

| step | does | died in it: the next run |
|---|---|---|
| `block` | from now on the gateways refuse what is pushed of the subject | blocks the same again |
| `find` | which documents are the subject's, kept in `erasure_targets` | finds the same, and what came |
| `purge` | takes them out of the site databases | purges what is left |
| `rows` | deletes the rows, in one transaction | the transaction has happened or not |
| `again` | after all gateways know of the block: find, purge, rows once more | the same |
| `compact` | gives back the space in the site databases, so that the bytes are gone | compacts again |
| `audit` | removes the details of audit entries | removes what is left |
| `end` | one transaction: ids become fingerprints, the code is removed, who asked for it stays on record | |

One run at a time: it holds an advisory lock; another one that is started meanwhile ends at once (`Busy`).
"""

import asyncio
import time
from collections import Counter
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping, Sequence
from contextlib import asynccontextmanager
from typing import Final

from sqlalchemy import func, select
from sqlalchemy.ext.asyncio import AsyncEngine

from reporting.audit import AuditEntry, record_entry
from reporting.documents.text import NUL, key_text
from reporting.erasure import requests
from reporting.erasure.audit_details import erase_details
from reporting.erasure.blocked import block_documents, block_subjects, notify
from reporting.erasure.finding import Found, find_in_database, find_in_rows, keep_targets, load_subject
from reporting.erasure.names import Fingerprint, document_text, nameless_text, subject_text
from reporting.erasure.registry import targets, touched
from reporting.erasure.requests import Erasure, read_erasure
from reporting.erasure.rows import delete_rows
from reporting.erasure.site_store import SiteStore
from reporting.erasure.subject import Subject
from reporting.hubs import EVERY_LEAF, assign_purges, name_purged
from reporting.sites import site_of
from reporting.webhooks.events import Event, announce

SETTLE_S: Final = 5.0
"""After the block, until a document that a gateway has let through before is stored."""

_LOCK: Final = 0x6572_6173  # "eras"

Observer = Callable[[str], Awaitable[None]]


class NotConfirmed(Exception):
    """There is no such erasure, or nobody has confirmed it, or it is done or cancelled."""

    def __init__(self) -> None:
        super().__init__(self.__doc__)


class Busy(Exception):
    """This erasure is being executed by another process."""

    def __init__(self) -> None:
        super().__init__(self.__doc__)


async def _nothing(_: str) -> None:
    return


async def run_erasure(
    engine: AsyncEngine,
    store: SiteStore,
    fingerprint: Fingerprint,
    erasure: int,
    *,
    settle: float = SETTLE_S,
    before_step: Observer = _nothing,
) -> Erasure:
    """Execute it, from where it is; the erasure as it is then. `settle` in seconds.

    `before_step` is told the name of each step. Raises NotConfirmed, Busy, and whatever a database or the
    store raises: the erasure is `failed` then, and may be run again.
    """
    async with _alone(engine, erasure):
        found = await _begin(engine, erasure)
        assert found.participant is not None  # noqa: S101 (only `end` removes it)
        try:
            names = await store.databases()
            async with engine.connect() as connection:
                subject = await load_subject(connection, names, erasure, found.study, found.participant)
            await _Run(engine, store, fingerprint, subject, settle, before_step).run(
                {step.step for step in found.steps}
            )
        except Exception as error:
            async with engine.begin() as connection:
                # The kind alone: a driver's message quotes what it was given.
                await connection.execute(requests.fail(erasure, type(error).__name__))
            raise
    async with engine.connect() as connection:
        done = await read_erasure(connection, erasure)
    if done is None:
        raise NotConfirmed
    return done


@asynccontextmanager
async def _alone(engine: AsyncEngine, erasure: int) -> AsyncIterator[None]:
    async with engine.connect() as connection:
        await connection.execution_options(isolation_level="AUTOCOMMIT")
        locked = select(func.pg_try_advisory_lock(_LOCK, erasure % 2**31))
        if not (await connection.execute(locked)).scalar_one():
            raise Busy
        try:
            yield
        finally:
            await connection.execute(select(func.pg_advisory_unlock(_LOCK, erasure % 2**31)))


async def _begin(engine: AsyncEngine, erasure: int) -> Erasure:
    async with engine.begin() as connection:
        if (await connection.execute(requests.begin(erasure))).first() is None:
            raise NotConfirmed
        found = await read_erasure(connection, erasure)
    if found is None or found.participant is None:
        raise NotConfirmed
    return found


class _Run:
    def __init__(  # noqa: PLR0917 (the arguments of `run_erasure`)
        self,
        engine: AsyncEngine,
        store: SiteStore,
        fingerprint: Fingerprint,
        subject: Subject,
        settle: float,
        before_step: Observer,
    ) -> None:
        self._engine = engine
        self._store = store
        self._fingerprint = fingerprint
        self._subject = subject
        self._settle = settle
        self._before_step = before_step
        self._blocked_at = time.monotonic()

    async def run(self, behind: set[str]) -> None:
        """Every step that is not behind it; what blocks and what looks again is always done."""
        always = {"block", "again"}
        for name, step in self._steps().items():
            if name in behind and name not in always:
                continue
            await self._before_step(name)
            counts = await step()
            async with self._engine.begin() as connection:
                await connection.execute(requests.note_step(self._subject.erasure, name, counts))
        await self._before_step("end")
        await self._end()

    def _steps(self) -> Mapping[str, Callable[[], Awaitable[Mapping[str, int]]]]:
        return {
            "block": self._block,
            "find": self._find,
            "purge": self._purge,
            "rows": self._rows,
            "again": self._again,
            "compact": self._compact,
            "audit": self._audit,
        }

    async def _block(self) -> Mapping[str, int]:
        study, code, erasure = self._subject.study, self._subject.participant, self._subject.erasure
        texts = [subject_text(study, code)]
        texts += [nameless_text(site, code) for site in self._subject.nameless_sites]
        async with self._engine.begin() as connection:
            await connection.execute(block_subjects([self._fingerprint(text)[0] for text in texts], erasure))
            await connection.execute(notify())
        self._blocked_at = time.monotonic()
        return {}

    async def _find(self) -> Mapping[str, int]:
        found = await self._look()
        return {site: len(documents) for site, documents in found.items() if documents}

    async def _look(self) -> dict[str, list[Found]]:
        """By site database; what is found is a target from now on."""
        found: dict[str, list[Found]] = {}
        shared: set[tuple[str, str]] = set()
        async with self._engine.connect() as connection:
            own = await find_in_rows(connection, self._subject)
            own |= {(site, doc_id) for site, doc_id in await connection.execute(targets(self._subject))}
        for database in await self._store.databases():
            site = site_of(database)
            if site is None:
                continue
            known = {doc_id for where, doc_id in own if where == site}
            found[database] = await find_in_database(self._store, database, site, self._subject, known)
            for each in found[database]:
                (own if each.whole else shared).add((site, key_text(each.doc_id)))
        async with self._engine.begin() as connection:
            await keep_targets(connection, self._subject, own, shared)
            blocked = {
                self._fingerprint(document_text(site, doc_id))[0]
                for site, doc_id in await connection.execute(targets(self._subject))
            }
            if blocked:
                await connection.execute(block_documents(blocked, self._subject.erasure))
            await connection.execute(notify())
        return found

    async def _purge(self) -> Mapping[str, int]:
        counts: Counter[str] = Counter()
        for database, documents in (await self._look()).items():
            if documents:
                # Named for the hubs first: a run that dies after the purge does not find them again.
                await self._assign_to_hubs(database, documents)
                await self._store.purge(database, {each.doc_id: each.leaves for each in documents})
                counts[database] += len(documents)
        return counts

    async def _assign_to_hubs(self, database: str, documents: Sequence[Found]) -> None:
        revisions = [
            (each.doc_id, rev)
            for each in documents
            if NUL not in each.doc_id
            for rev in ([EVERY_LEAF] if each.whole else each.leaves)
        ]
        erasure, site = self._subject.erasure, site_of(database) or ""
        if not revisions:
            return
        async with self._engine.begin() as connection:
            await connection.execute(assign_purges(erasure, site))
            await connection.execute(name_purged(erasure, site, revisions))

    async def _rows(self) -> Mapping[str, int]:
        async with self._engine.begin() as connection:
            return await delete_rows(connection, self._subject)

    async def _again(self) -> Mapping[str, int]:
        await asyncio.sleep(max(0.0, self._blocked_at + self._settle - time.monotonic()))
        purged = await self._purge()
        return {**purged, **await self._rows()}

    async def _compact(self) -> Mapping[str, int]:
        async with self._engine.connect() as connection:
            sites = {site for site, _ in await connection.execute(touched(self._subject))}
        databases = [each for each in await self._store.databases() if site_of(each) in sites]
        for database in databases:
            await self._store.compact(database)
        return {"databases": len(databases)}

    async def _audit(self) -> Mapping[str, int]:
        return {"audit_log": await erase_details(self._engine, self._subject)}

    async def _end(self) -> None:
        erasure = self._subject.erasure
        async with self._engine.begin() as connection:
            found = await read_erasure(connection, erasure, lock=True)
            if found is None or found.state != "running":
                return
            counts = _summary(found)
            # A hub may have what the site database had before it was purged by an earlier run.
            recorded: dict[str, list[tuple[str, str]]] = {}
            for site, doc_id in await connection.execute(targets(self._subject)):
                recorded.setdefault(site, []).append((doc_id, EVERY_LEAF))
            for site, revisions in recorded.items():
                await connection.execute(assign_purges(erasure, site))
                await connection.execute(name_purged(erasure, site, revisions))
            await connection.execute(requests.forget_targets(erasure))
            await connection.execute(requests.end(erasure, counts))
            await connection.execute(record_entry(_entry(found, counts)))
            event = Event(
                name="participant.erased",
                occurrence=str(erasure),
                study=found.study,
                data={"erasure": erasure},
            )
            await connection.execute(announce(event))


def _summary(erasure: Erasure) -> dict[str, int]:
    """What all steps together took away, by table and database."""
    total: Counter[str] = Counter()
    for step in erasure.steps:
        if step.step in ("purge", "rows", "again", "audit"):
            total.update(step.counts)
    return dict(sorted(total.items()))


def _entry(erasure: Erasure, counts: Mapping[str, int]) -> AuditEntry:
    return AuditEntry(
        actor="erasure",
        actor_kind="process",
        action="participant.erased",
        entity="erasure",
        entity_id=str(erasure.id),
        study=erasure.study,
        reason=erasure.reason,
        after={
            "requested_by": erasure.requested_by,
            "confirmed_by": erasure.confirmed_by,
            "counts": dict(counts),
        },
        source=f"erasure/{erasure.id}",
    )
