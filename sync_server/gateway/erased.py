"""What was erased may not come again: asked for every document that is pushed, held in memory.

Only fingerprints are known here (see `reporting.erasure.names`). They are read anew at once when an erasure
notifies, and looked for every second.

| situation | answer |
|---|---|
| never read yet | Unavailable: a document let through now would be back for good |
| Postgres away after the first reading | what is known stays in force; the ingest log refuses pushes anyway |
| a new document of an erased subject | refused, and its id is remembered: receipts tell why |
| a hub's journal named that document first | its entry goes when the document is refused |
| it was let through a moment before | the erasure looks a second time, after all gateways know |
"""

import asyncio
from collections.abc import Sequence
from types import TracebackType
from typing import Final, Self

from sqlalchemy.ext.asyncio import AsyncEngine

from replication.errors import Unavailable
from replication.wire.decode import Incoming
from reporting.erasure.blocked import (
    CHANNEL,
    block_documents,
    select_documents,
    select_extent,
    select_subjects,
)
from reporting.erasure.names import Claims, Fingerprint, claims_of, document_text, subject_text, texts_of
from reporting.ingest import forget_receipt, forget_receipts
from sync_server.following import AWAY, Follower

_CLAIMING: Final = ("session:", "consent:")
_PATIENCE: Final = 5.0


class ErasedFingerprints:
    """The fingerprints, followed by a background task from `async with` to its end.

    `interval` is the longest time between two looks, seconds.
    """

    def __init__(self, engine: AsyncEngine, fingerprint: Fingerprint, *, interval: float = 1.0) -> None:
        self._engine = engine
        self._fingerprint = fingerprint
        self._follower = Follower(
            engine, CHANNEL, self.refresh, what="erased fingerprints", interval=interval
        )
        self._extent: tuple[int, int] | None = None
        self._known: frozenset[bytes] = frozenset()
        self._has_subjects = False

    async def __aenter__(self) -> Self:
        await self._follower.__aenter__()
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        await self._follower.__aexit__(kind, error, traceback)

    async def find(self, site: str, docs: Sequence[Incoming]) -> list[bool]:
        """Which of the documents were erased, or are of an erased subject. Raises Unavailable."""
        await self._be_read()
        return [self._is_erased(site, incoming) for incoming in docs]

    async def knows(self, site: str, doc_id: str, claims: Claims) -> bool:
        """Whether a document was erased, or is of an erased subject. Raises Unavailable."""
        await self._be_read()
        return bool(self._known) and any(map(self._recognises, texts_of(site, doc_id, claims)))

    async def _be_read(self) -> None:
        if self._extent is None:
            try:
                await self.refresh()
            except AWAY as error:
                raise Unavailable("what was erased cannot be read at the moment; send again") from error

    def knows_document(self, site: str, doc_id: str) -> bool:
        """Whether a document of this id was erased."""
        return bool(self._known) and self._recognises(document_text(site, doc_id))

    def knows_subject(self, study: str, participant: str) -> bool:
        """Whether a participant was erased, or is being erased."""
        return self._has_subjects and self._recognises(subject_text(study, participant))

    async def remember(self, site: str, doc_ids: Sequence[str]) -> None:
        """Recognise these documents by their ids too, and keep no id that a hub's journal named before.

        Raises SQLAlchemy's errors.
        """
        new = [each for each in doc_ids if not self.knows_document(site, each)]
        fingerprints = [self._fingerprint(document_text(site, doc_id))[0] for doc_id in new]
        async with self._engine.begin() as connection:
            if fingerprints:
                await connection.execute(block_documents(fingerprints, 0))
            await connection.execute(forget_receipts(site, doc_ids))
        self._known |= set(fingerprints)

    async def forget_receipt(self, site: str, doc_id: str, rev: str) -> None:
        """Take what was put on record of an erased revision off it again. Raises SQLAlchemy's errors."""
        async with self._engine.begin() as connection:
            await connection.execute(forget_receipt(site, doc_id, rev))

    async def refresh(self) -> None:
        """Read what is new, now. Raises SQLAlchemy's errors."""
        async with asyncio.timeout(_PATIENCE), self._engine.connect() as connection:
            subjects, documents = (await connection.execute(select_extent())).one()
            if (subjects, documents) == self._extent:
                return
            known = set((await connection.execute(select_subjects())).scalars())
            known |= set((await connection.execute(select_documents())).scalars())
        self._known = frozenset(known)
        self._has_subjects = subjects > 0
        self._extent = (subjects, documents)

    def _is_erased(self, site: str, incoming: Incoming) -> bool:
        if not self._known:
            return False
        claims = Claims()
        if self._has_subjects and incoming.edit is not None and incoming.id.startswith(_CLAIMING):
            claims = claims_of(incoming.edit.body)
        return any(map(self._recognises, texts_of(site, incoming.id, claims)))

    def _recognises(self, text: str) -> bool:
        return not self._known.isdisjoint(self._fingerprint(text))
