"""One batch, one transaction: rows, quarantine, flags, conflicts and the checkpoint, or nothing at all.

| what happens | outcome |
|---|---|
| the same batch again, or one read from another checkpoint | StaleBatch, nothing changed |
| a document whose leaves are recorded already | untouched, `projected_at` too; noted as seen in this epoch |
| a document that changed, or is replayed | all its rows are replaced |
| every leaf is a deletion | its rows stay, marked `source_missing_at` |
| a leaf that is no longer one | leaves the quarantine |
| leaves that the feed named and did not give | the document is to be replayed, and nothing else changes |
| corrections | are judged before the other documents, see `corrections` |
| a document that Postgres cannot take although it looked valid | found by halving the batch, quarantined |
| the connection is lost at any point | nothing changed; the batch is read again |
"""

from collections.abc import Mapping, Sequence

import psycopg

from reporting.documents.upcast import CONTRACT, Contract
from reporting.errors import StaleBatch
from reporting.projection import statements
from reporting.projection.across import companions, flag_across
from reporting.projection.announcing import announce_batch
from reporting.projection.batch import (
    Applied,
    Batch,
    Checkpoint,
    FedDocument,
    Outcome,
    Receipt,
    Recorded,
    State,
    session_ids,
)
from reporting.projection.checkpoint import advance_checkpoint, lock_checkpoint
from reporting.projection.consents import announce_signed
from reporting.projection.corrections import (
    find_again,
    is_correction,
    load_corrections,
    record_corrections,
    tell_sessions,
)
from reporting.projection.judge import Judgement
from reporting.projection.kinds import KINDS
from reporting.projection.replays import request_replays
from reporting.projection.write import DocumentWriter, Receipts
from reporting.redcap.requests import push_written
from reporting.visits.completion import complete_visits, people_of


def recorded_documents(connection: psycopg.Connection, site: str, keys: Sequence[str]) -> dict[str, Recorded]:
    """What Postgres knows of these documents, by id as rows spell it; unknown ones are absent."""
    with connection.transaction():
        return _load_recorded(connection, site, keys)


def apply_batch(
    connection: psycopg.Connection, batch: Batch, contract: Contract = CONTRACT, *, announces: bool = True
) -> Applied:
    """Commit `batch` and the checkpoint after it. `connection` must not be in a transaction. Without
    `announces` nobody is told of what it brings: it is no news.

    Raises StaleBatch when the checkpoint is not the one that the batch was read from, and whatever the driver
    raises when the server or the connection fails; in both cases nothing has changed.
    """
    checkpoint = batch.read_from
    # Two ids are spelled alike only where they differ in NUL or beyond the longest key: the later one counts.
    documents = {document.key: document for document in batch.documents}
    with connection.transaction():
        lock_checkpoint(connection, checkpoint)
        recorded = _load_recorded(connection, checkpoint.site, list(documents))
        unchanged = {
            key: recorded[key]
            for key, document in documents.items()
            if key in recorded and recorded[key].leaf_revs == document.leaf_revs and not batch.replayed
        }
        changed = [document for key, document in documents.items() if key not in unchanged]
        if any(document.leaves is None for document in changed):
            # Read as recorded, and no longer: somebody removed the record in between.
            raise StaleBatch(checkpoint.site)
        found_again, touched = _refresh(connection, checkpoint, unchanged)
        sessions = session_ids(document.key for document in changed)
        seen_before = people_of(connection, checkpoint.site, sessions)
        receipts = _load_receipts(connection, checkpoint.site, changed)
        judgements, flagged = _write(connection, checkpoint, changed, receipts, contract)
        people = complete_visits(
            connection, checkpoint.site, [*sessions, *session_ids(found_again)], before=seen_before
        )
        if announces:
            announce_signed(connection, judgements, recorded)
            announce_batch(connection, checkpoint.site, judgements)
            push_written(connection, checkpoint.site, {*sessions, *touched, *flagged}, people)
        _end_replays(connection, batch)
        if not batch.replayed:
            request_replays(
                connection, checkpoint.site, batch.unread, cause="reconcile", requested_by=statements.UNREAD
            )
        advanced = advance_checkpoint(connection, batch)
    outcomes = tuple(_outcome(judgement, receipts) for judgement in judgements)
    was_missing = any(each.source_missing for each in unchanged.values())
    asks = batch.read_from.rereading or was_missing or any(map(is_correction, changed))
    asks = asks or bool(batch.unread)
    return Applied(advanced, outcomes, unchanged=len(unchanged), asks_for_replays=asks)


def _load_recorded(connection: psycopg.Connection, site: str, keys: Sequence[str]) -> dict[str, Recorded]:
    found = connection.execute(statements.RECORDED_DOCUMENTS, {"site": site, "doc_ids": list(keys)})
    return {
        doc_id: Recorded(tuple(leaves), State(state), epoch, source_missing)
        for doc_id, leaves, state, epoch, source_missing in found
    }


def _load_receipts(connection: psycopg.Connection, site: str, documents: Sequence[FedDocument]) -> Receipts:
    asked = [(document.key, rev) for document in documents for rev in document.leaf_revs]
    if not asked:
        return {}
    doc_ids, revs = zip(*asked, strict=True)
    found = connection.execute(
        statements.RECEIPTS, {"site": site, "doc_ids": list(doc_ids), "revs": list(revs)}
    )
    receipts: dict[str, dict[str, Receipt]] = {}
    for doc_id, rev, received_at, request_id, normalised in found:
        receipts.setdefault(doc_id, {})[rev] = Receipt(received_at, request_id, normalised)
    return receipts


def _write(
    connection: psycopg.Connection,
    checkpoint: Checkpoint,
    changed: Sequence[FedDocument],
    receipts: Receipts,
    contract: Contract,
) -> tuple[list[Judgement], set[str]]:
    """Write the documents that changed, corrections first; answers what became of each, in feed order, and
    the sessions whose flags may have changed.
    """
    site = checkpoint.site
    first = [document for document in changed if is_correction(document)]
    rest = [document for document in changed if not is_correction(document)]
    first_writer = DocumentWriter(connection, checkpoint, receipts=receipts, contract=contract)
    written = first_writer.write(first)
    record_corrections(connection, site, written)
    tell_sessions(connection, site, first, {document.key for document in rest})
    corrections = load_corrections(connection, site, [document.key for document in rest])
    writer = DocumentWriter(
        connection, checkpoint, receipts=receipts, contract=contract, corrections=corrections
    )
    by_key = {judgement.document.key: judgement for judgement in (*written, *writer.write(rest))}
    return [by_key[document.key] for document in changed], first_writer.touched | writer.touched


def _refresh(
    connection: psycopg.Connection, checkpoint: Checkpoint, unchanged: Mapping[str, Recorded]
) -> tuple[list[str], set[str]]:
    """Note documents that are as they were as seen in this epoch; those that were missing are back, and
    answered, with the sessions whose flags may have changed by that.

    A row that says so already is not written again: rereading a site must not rewrite its tables.
    """
    found_again = [
        key for key, each in unchanged.items() if each.source_missing and each.state is not State.DELETED
    ]
    touched: set[str] = set()
    if found_again:
        ids = session_ids(found_again)
        connection.execute(statements.SESSIONS_FOUND_AGAIN, {"site": checkpoint.site, "session_ids": ids})
        for kind in KINDS.values():
            if names := kind.names(found_again):
                connection.execute(kind.find_again, {"site": checkpoint.site, "names": names})
        before = companions(connection, checkpoint.site, ids)
        touched = flag_across(connection, checkpoint.site, ids, before)
        find_again(connection, checkpoint.site, found_again)
        connection.execute(statements.REPLAY_FOUND_AGAIN, {"site": checkpoint.site, "doc_ids": found_again})
    seen = {key for key, each in unchanged.items() if each.epoch != checkpoint.epoch} | set(found_again)
    if seen:
        connection.execute(
            statements.REFRESH_DOCUMENTS,
            {"site": checkpoint.site, "epoch": checkpoint.epoch, "doc_ids": sorted(seen)},
        )
    return found_again, touched


def _end_replays(connection: psycopg.Connection, batch: Batch) -> None:
    if batch.replayed:
        keys, tickets = zip(*batch.replayed, strict=True)
        parameters = {"site": batch.read_from.site, "doc_ids": list(keys), "tickets": list(tickets)}
        connection.execute(statements.END_REPLAYS, parameters)


def _outcome(judgement: Judgement, receipts: Receipts) -> Outcome:
    key = judgement.document.key
    request_ids = {rev: receipt.request_id for rev, receipt in receipts.get(key, {}).items()}
    return Outcome(key, judgement.winner_rev, judgement.state, judgement.quarantined, request_ids)
