"""One run of a replication, from the newest common checkpoint to the end of the source's feed, or for ever.

    where it breaks                                what follows
    -------------------------------------------    ------------------------------------------------------
    a request gets no answer, 429, 503, …          the same request again, a bounded number of times
    the process is killed                          the next run begins at the last common checkpoint;
                                                   `_revs_diff` keeps it from sending anything twice
    the target refuses one document (forbidden,    counted in `doc_write_failures`; the others go on
    too large)
    the target refuses a batch for its size        the batch in halves, down to one document
    a revision is gone when it is fetched          passed over: what replaced it comes later in the feed
    a stub whose attachment the target lacks       the document once more, with all its attachments
    a side is recreated or put back meanwhile      the run fails before it writes a checkpoint: the next one
                                                   compares from what both sides remember
    anything else                                  the run fails; the scheduler tries again later

A checkpoint is written only after the target has everything before it on disk, to both sides.
"""

import asyncio
import contextlib
from collections.abc import Awaitable, Callable, Mapping, Sequence
from email.utils import formatdate
from typing import Any, Final, TypeVar

import msgspec

from replication.client import RevsDiff
from replication.errors import (
    BadRequest,
    Conflict,
    CouchError,
    MissingStub,
    NotFound,
    TooLarge,
    Unavailable,
)
from replication.replicator.definition import Definition
from replication.replicator.history import (
    Checkpoint,
    Session,
    checkpoint_after,
    common_sequence,
    read_checkpoint,
)
from replication.replicator.peer import ChangedDocument, FeedPage, Fetched, Peer

T = TypeVar("T")

_FETCHED_AT_ONCE: Final = 100
_WRITTEN_BYTES: Final = 8 * 1024 * 1024
_STREAMED_AT_ONCE: Final = 4
_FIRST_WAIT: Final = 0.25
_REFUSALS: Final = ("forbidden", "unauthorized", "doc_validation", "document_too_large", "too_large")


class Statistics(msgspec.Struct):
    """What a run has done so far, as `_active_tasks` and `_scheduler` show it."""

    revisions_checked: int = 0
    missing_revisions_found: int = 0
    docs_read: int = 0
    docs_written: int = 0
    doc_write_failures: int = 0
    changes_pending: int | None = None
    source_seq: str = "0"
    through_seq: str = "0"
    checkpointed_source_seq: str = "0"


class Outcome(msgspec.Struct, frozen=True):
    """A run that reached the end. `changed` is False where nothing had to be looked at."""

    session: Session
    history: tuple[Session, ...]
    changed: bool


class Run:
    """One run. `clock` answers seconds since 1970; `session_id` names the run in checkpoints."""

    def __init__(
        self,
        definition: Definition,
        source: Peer,
        target: Peer,
        *,
        checkpoint_id: str,
        session_id: str,
        clock: Callable[[], float],
    ) -> None:
        self.statistics = Statistics()
        self._definition = definition
        self._source = source
        self._target = target
        self._checkpoint_id = checkpoint_id
        self._clock = clock
        now = formatdate(clock(), usegmt=True)
        self._session = Session(session_id=session_id, start_time=now, end_time=now)
        self._before: tuple[Session, ...] = ()
        self._local_revs: dict[Peer, str | None] = {}
        self._instances: dict[Peer, str] = {}
        self._recorded_at = clock()

    async def __call__(self) -> Outcome:
        """Replicate to the end of the feed; continuous ones until they are cancelled. Raises CouchError."""
        since = await self._begin()
        begun_at = since
        while True:
            page = await self._read(since)
            await self._copy(page.documents)
            since = page.last_seq
            self.statistics.through_seq = self.statistics.source_seq = since
            self.statistics.changes_pending = page.pending
            at_end = len(page.documents) == 0 or page.pending == 0
            if self._is_due() or (at_end and since != self._session.recorded_seq):
                await self._record(since)
            if at_end and not self._definition.continuous:
                return Outcome(self._session, self._before, changed=since != begun_at)

    async def _begin(self) -> str:
        """Look at both sides; where to go on."""
        definition = self._definition
        self._instances[self._source] = await self._retried(self._source.instance)
        if definition.create_target:
            await self._retried(lambda: self._target.create(dict(definition.create_target_params)))
        self._instances[self._target] = await self._retried(self._target.instance)
        source, target = await self._remembered(self._source), await self._remembered(self._target)
        if target is not None:
            self._before = tuple(target.history)
        since = common_sequence(source, target)
        if definition.since_seq is not None:
            since = definition.since_seq
        self._session.start_last_seq = self._session.recorded_seq = since
        self.statistics.checkpointed_source_seq = self.statistics.through_seq = since
        return since

    async def _remembered(self, side: Peer) -> Checkpoint | None:
        if not self._definition.use_checkpoints:
            return None
        document = await self._retried(lambda: side.local(self._checkpoint_id))
        self._local_revs[side] = None if document is None else str(document.get("_rev"))
        return read_checkpoint(document)

    async def _read(self, since: str) -> FeedPage:
        definition = self._definition
        page = await self._retried(lambda: self._source.read_feed(since, definition, wait_ms=None))
        if page.documents or not definition.continuous:
            return page
        # A silent server and one that waits look alike: so the wait is shorter than the patience.
        wait_ms = int(1000 * min(definition.request_timeout / 2, definition.checkpoint_interval * 4))
        return await self._retried(lambda: self._source.read_feed(page.last_seq, definition, wait_ms=wait_ms))

    async def _copy(self, documents: Sequence[ChangedDocument]) -> None:
        if not documents:
            return
        self.statistics.revisions_checked += sum(len(document.revs) for document in documents)
        diff = await self._retried(lambda: self._target.revs_diff(documents))
        wanted = [(doc_id, rev) for doc_id, found in diff.items() for rev in found.missing]
        self.statistics.missing_revisions_found += len(wanted)
        for first in range(0, len(wanted), _FETCHED_AT_ONCE):
            some = wanted[first : first + _FETCHED_AT_ONCE]
            fetched = await self._retried(lambda some=some: self._source.fetch(some))  # type: ignore[misc]
            self.statistics.docs_read += len(fetched)
            await self._write_all([each for each in fetched if not each.has_attachments])
            await self._stream_all([each for each in fetched if each.has_attachments], diff)

    async def _write_all(self, documents: Sequence[Fetched]) -> None:
        batch: list[Fetched] = []
        size = 0
        for document in documents:
            if batch and size + len(document.json) > _WRITTEN_BYTES:
                await self._write(batch)
                batch, size = [], 0
            batch.append(document)
            size += len(document.json)
        if batch:
            await self._write(batch)

    async def _write(self, batch: Sequence[Fetched]) -> None:
        try:
            refused = await self._retried(lambda: self._target.write(batch))
        except (TooLarge, BadRequest):
            if len(batch) == 1:
                self.statistics.doc_write_failures += 1
                return
            half = len(batch) // 2
            await self._write(batch[:half])
            await self._write(batch[half:])
            return
        failed = [row for row in refused if row.error not in _REFUSALS]
        if failed:
            raise Unavailable(
                f"the target did not store {failed[0].id}: {failed[0].error} {failed[0].reason}"
            )
        self.statistics.doc_write_failures += len(refused)
        self.statistics.docs_written += len(batch) - len(refused)

    async def _stream_all(self, documents: Sequence[Fetched], diff: Mapping[str, RevsDiff]) -> None:
        for first in range(0, len(documents), _STREAMED_AT_ONCE):
            streams = [
                self._stream(document, diff[document.id].possible_ancestors if document.id in diff else [])
                for document in documents[first : first + _STREAMED_AT_ONCE]
            ]
            for ended in await asyncio.gather(*streams, return_exceptions=True):
                if ended is not None:
                    raise ended

    async def _stream(self, document: Fetched, known: Sequence[str]) -> None:
        try:
            await self._retried(lambda: self._stream_once(document, known))
        except MissingStub:
            if not known:
                raise
            await self._stream(document, [])
        except NotFound:
            return
        except CouchError as failure:
            if failure.error not in _REFUSALS and not isinstance(failure, TooLarge | BadRequest):
                raise
            self.statistics.doc_write_failures += 1
        else:
            self.statistics.docs_written += 1

    async def _stream_once(self, document: Fetched, known: Sequence[str]) -> None:
        async with self._source.open_document(document, known) as (content_type, pieces):
            await self._target.put_document(document.id, content_type, pieces)

    def _is_due(self) -> bool:
        return self._clock() - self._recorded_at >= self._definition.checkpoint_interval

    async def _record(self, since: str) -> None:
        """Write the checkpoint to both sides, once the target has everything before it on disk."""
        statistics, session = self.statistics, self._session
        await self._retried(self._target.flush)
        for side in (self._target, self._source):
            await self._check_same(side)
        self._recorded_at = self._clock()
        session.end_time = formatdate(self._recorded_at, usegmt=True)
        session.end_last_seq = session.recorded_seq = since
        session.missing_checked = statistics.revisions_checked
        session.missing_found = statistics.missing_revisions_found
        session.docs_read = statistics.docs_read
        session.docs_written = statistics.docs_written
        session.doc_write_failures = statistics.doc_write_failures
        statistics.checkpointed_source_seq = since
        if self._definition.use_checkpoints:
            document = msgspec.to_builtins(checkpoint_after(session, self._before))
            for side in (self._target, self._source):
                await self._remember(side, document)

    async def _check_same(self, side: Peer) -> None:
        """Raises Unavailable when the database is another one than at the beginning: it may lack what was
        written to it, and would be told by the checkpoint that it has everything.
        """
        same = await self._retried(side.instance) == self._instances[side]
        if same and self._definition.use_checkpoints and self._local_revs.get(side) is not None:
            # Older servers tell no instance, but a database that is new has forgotten the checkpoint.
            same = await self._retried(lambda: side.local(self._checkpoint_id)) is not None
        if not same:
            raise Unavailable(f"{side.shown} was recreated or put back during the replication")

    async def _remember(self, side: Peer, document: Mapping[str, Any]) -> None:
        try:
            self._local_revs[side] = await self._retried(
                lambda: side.put_local(self._checkpoint_id, document, self._local_revs.get(side))
            )
        except Conflict:
            found = await self._retried(lambda: side.local(self._checkpoint_id))
            rev = None if found is None else str(found.get("_rev"))
            self._local_revs[side] = await self._retried(
                lambda: side.put_local(self._checkpoint_id, document, rev)
            )

    async def _retried(self, call: Callable[[], Awaitable[T]]) -> T:
        for attempt in range(1, self._definition.attempts):
            with contextlib.suppress(Unavailable):
                return await call()
            await asyncio.sleep(_FIRST_WAIT * 2 ** min(attempt - 1, 7))
        return await call()
