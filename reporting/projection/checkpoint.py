"""The checkpoint row: how far a site's feed has been projected, and the fence around every batch.

A projector that was paused, a second one that took over, a Postgres restored from yesterday: each makes a
batch that was read from a checkpoint which no longer is. The row is locked first and compared, so at most one
of any number of projectors commits what follows it.
"""

from typing import Final

import psycopg

from reporting.errors import StaleBatch
from reporting.projection import correction_statements, statements
from reporting.projection.across import flag_after_gone
from reporting.projection.batch import Batch, Checkpoint
from reporting.projection.feed import START, SiteDatabase
from reporting.projection.kinds import KINDS

_OF_KINDS: Final = [kind.mark_not_in_epoch for kind in KINDS.values()]


def load_checkpoint(connection: psycopg.Connection, site: str) -> Checkpoint | None:
    """The site's checkpoint; None where it was never projected."""
    with connection.transaction():
        row = connection.execute(statements.LOAD_CHECKPOINT, {"site": site}).fetchone()
    return Checkpoint(*row) if row else None


def start_epoch(
    connection: psycopg.Connection, database: SiteDatabase, before: Checkpoint | None, epoch: str
) -> Checkpoint:
    """Begin a new reading of the site's feed from its start, in place of `before`.

    Raises StaleBatch when the site's checkpoint is no longer `before`.
    """
    checkpoint = Checkpoint(database.site, database.database, epoch, 0, START, rereading=True)
    with connection.transaction():
        if before is None:
            inserted = connection.execute(statements.INSERT_CHECKPOINT, checkpoint._asdict())
            if inserted.rowcount == 0:
                raise StaleBatch(database.site)
        else:
            lock_checkpoint(connection, before)
            connection.execute(statements.RESTART_CHECKPOINT, checkpoint._asdict())
    return checkpoint


def lock_checkpoint(connection: psycopg.Connection, expected: Checkpoint) -> None:
    """Hold the checkpoint row until the transaction ends. Raises StaleBatch unless it is `expected`."""
    if hold_checkpoint(connection, expected.site) != expected:
        raise StaleBatch(expected.site)


def hold_checkpoint(connection: psycopg.Connection, site: str) -> Checkpoint | None:
    """Hold the checkpoint row, whatever it is, until the transaction ends; None where there is none."""
    row = connection.execute(statements.LOCK_CHECKPOINT, {"site": site}).fetchone()
    return Checkpoint(*row) if row else None


def advance_checkpoint(connection: psycopg.Connection, batch: Batch) -> Checkpoint:
    """Move the locked checkpoint past `batch`; where that ends a reading from the start, mark what is gone.

    Documents that a reading of the whole feed has not shown are gone from the site database: their rows stay,
    with `source_missing_at` set.
    """
    checkpoint = batch.advances_to
    if batch.replayed:
        connection.execute(statements.NOTE_REPLAYED_BATCH, checkpoint._asdict())
        return checkpoint
    connection.execute(
        statements.ADVANCE_CHECKPOINT,
        {
            **checkpoint._asdict(),
            "pending": batch.pending,
            "has_changes": bool(batch.documents),
            "complete_through": batch.read_at if batch.at_end else None,
        },
    )
    if batch.read_from.rereading and not checkpoint.rereading:
        for statement in (correction_statements.MARK_GONE, *_OF_KINDS, *statements.MARK_GONE):
            connection.execute(statement, {"site": checkpoint.site, "epoch": checkpoint.epoch})
        flag_after_gone(connection, checkpoint.site)
    return checkpoint
