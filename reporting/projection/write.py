"""Documents → rows in Postgres, inside the transaction of their batch, whatever the documents hold.

A changed document's rows are replaced as a whole: deleted by (site, id), written by COPY. What only Postgres
notices about a value (a number it cannot hold, a key longer than an index entry) fails a whole COPY. The
batch is then undone to where it began and halved until the document stands alone; that one is quarantined
with the server's message, and all others are written.

Documents are judged while the extras of their trials stream into COPY, most of all bytes: Postgres works on
one document while the next one is decoded, and only rows of the narrow tables are held in memory.
"""

from collections.abc import Iterable, Mapping, Sequence
from itertools import chain
from typing import Final

import psycopg
from psycopg import errors

from reporting import tables
from reporting.consent.flagging import flag_written
from reporting.documents.corrections import PREFIX
from reporting.documents.kinds import Correction
from reporting.documents.upcast import CONTRACT, Contract
from reporting.documents.validate import document_type
from reporting.projection import correction_rows, correction_statements, rows, statements
from reporting.projection.across import companions, flag_across
from reporting.projection.batch import Checkpoint, FedDocument, Receipt, State, session_ids
from reporting.projection.copy_text import Row, RowEncoder, row_encoder
from reporting.projection.judge import Judgement, judge, unprojectable
from reporting.projection.kinds import KINDS
from reporting.quality import RULES
from reporting.scoring import DEFINITIONS, GENERIC

Receipts = Mapping[str, Mapping[str, Receipt]]
"""By document id and revision, both as rows spell them."""

# What Postgres says of a value, as against of itself or of the connection. The last two belong to its class
# "program limit exceeded", which the driver counts as operational.
_VALUE_ERRORS: Final = (
    psycopg.DataError,
    psycopg.IntegrityError,
    errors.ProgramLimitExceeded,
    errors.StatementTooComplex,
)

_encode_sessions = row_encoder(tables.sessions, rows.SessionRow._fields)
_encode_task_runs = row_encoder(tables.task_runs, rows.TaskRunRow._fields)
_encode_scores = row_encoder(tables.scores, rows.ScoreRow._fields)
_encode_flags = row_encoder(tables.quality_flags, rows.FlagRow._fields)
_encode_conflicts = row_encoder(tables.conflicts, rows.ConflictRow._fields)
_encode_quarantine = row_encoder(tables.quarantine, rows.QuarantineRow._fields)
_encode_corrections = row_encoder(tables.corrections, correction_rows.CorrectionRow._fields)
_encode_losing = row_encoder(tables.losing_revisions, correction_rows.LosingRow._fields)
_encode_documents = row_encoder(tables.documents, rows.DocumentRow._fields)


_UNKNOWN: Final = ("unknown_study", "unknown_participant", "unknown_battery")


def delete_session_rows(connection: psycopg.Connection, site: str, session_ids: Sequence[str]) -> None:
    """Drop all rows of these sessions; scores of an older version leave their values in `score_history`."""
    parameters = {
        "site": site,
        "session_ids": list(session_ids),
        "tasks": list(DEFINITIONS),
        "versions": [definition.version for definition in DEFINITIONS.values()],
        "generic_version": GENERIC.version,
    }
    for statement in statements.DELETE_SESSION_ROWS:
        connection.execute(statement, parameters)


class DocumentWriter:
    """Writes documents of one batch. Lives for one transaction, which the caller begins and ends."""

    def __init__(
        self,
        connection: psycopg.Connection,
        checkpoint: Checkpoint,
        *,
        receipts: Receipts,
        contract: Contract = CONTRACT,
        corrections: Mapping[str, Sequence[Correction]] | None = None,
    ) -> None:
        """`corrections` by the key of their session."""
        self._connection = connection
        self._site = checkpoint.site
        self._epoch = checkpoint.epoch
        self._receipts = receipts
        self._contract = contract
        self._corrections = corrections or {}
        self.touched: set[str] = set()
        """Sessions whose flags may have changed, of other documents too."""

    def write(self, documents: Sequence[FedDocument]) -> list[Judgement]:
        """Replace the rows of these documents; answers what became of each, in order.

        Raises what the driver raises when the server or the connection fails, never for a document.
        """
        if not documents:
            return []
        try:
            with self._connection.transaction():
                return self._replace(documents, map(self._judge, documents))
        except _VALUE_ERRORS as failure:
            if len(documents) == 1:
                problem = failure.diag.message_primary or str(failure)
                return self._replace(documents, [unprojectable(documents[0], problem)])
        middle = len(documents) // 2
        return self.write(documents[:middle]) + self.write(documents[middle:])

    def _judge(self, document: FedDocument) -> Judgement:
        return judge(
            document,
            site=self._site,
            receipts=self._receipts.get(document.key, {}),
            corrections=self._corrections.get(document.key, ()),
            contract=self._contract,
        )

    def _replace(self, documents: Sequence[FedDocument], judgements: Iterable[Judgement]) -> list[Judgement]:
        ids = session_ids(document.key for document in documents)
        before = companions(self._connection, self._site, ids)
        self._delete_rows(documents)
        written = self._copy_trials(judgements)
        sessions = [judgement.rows for judgement in written if judgement.rows is not None]
        self._copy(statements.COPY_SESSIONS, _encode_sessions, [each.session for each in sessions])
        self._copy(statements.COPY_TASK_RUNS, _encode_task_runs, _all(each.task_runs for each in sessions))
        self._copy(statements.COPY_SCORES, _encode_scores, _all(each.scores for each in sessions))
        self._copy(statements.COPY_FLAGS, _encode_flags, _all(each.flags for each in sessions))
        self._copy(statements.COPY_CONFLICTS, _encode_conflicts, _all(each.conflicts for each in sessions))
        self._copy(statements.COPY_QUARANTINE, _encode_quarantine, _all(map(self._quarantine_rows, written)))
        for kind in KINDS.values():
            found = [each.row[1] for each in written if each.row is not None and each.row[0] is kind]
            self._copy(kind.copy, kind.encode, found)
        self._copy(correction_statements.COPY_CORRECTIONS, _encode_corrections, self._corrections_in(written))
        for judgement in written:
            losing = self._losing_rows(judgement)
            self._copy(correction_statements.COPY_LOSING_REVISIONS, _encode_losing, losing)
        self._copy(statements.COPY_DOCUMENTS, _encode_documents, map(self._document_row, written))
        written_ids = [each.session.id for each in sessions]
        self._flag_unknown_references(written_ids)
        flag_written(self._connection, self._site, written_ids)
        self._mark_deleted([judgement for judgement in written if judgement.state is State.DELETED])
        self.touched |= flag_across(self._connection, self._site, ids, before)
        return written

    def _delete_rows(self, documents: Sequence[FedDocument]) -> None:
        # Also of documents that are new: rows that somebody left behind must not look like a poison document.
        replaced = [each.key for each in documents if not each.is_deleted]
        if sessions := session_ids(replaced):
            delete_session_rows(self._connection, self._site, sessions)
        for kind in KINDS.values():
            if names := kind.names(replaced):
                self._connection.execute(kind.delete, {"site": self._site, "names": names})
        if corrections := [key for key in replaced if key.startswith(PREFIX)]:
            self._connection.execute(
                correction_statements.DELETE_CORRECTIONS, {"site": self._site, "doc_ids": corrections}
            )
        for statement in (*statements.DELETE_DOCUMENT_ROWS, correction_statements.DELETE_LOSING_REVISIONS):
            self._connection.execute(
                statement, {"site": self._site, "doc_ids": [each.key for each in documents]}
            )

    def _copy_trials(self, judgements: Iterable[Judgement]) -> list[Judgement]:
        written = []
        rows_to_write: list[bytes] = []
        with self._connection.cursor().copy(statements.COPY_TRIAL_EXTRAS) as copy:
            for judgement in judgements:
                for lines in judgement.trial_lines:
                    copy.write(lines.extras)
                    rows_to_write.append(lines.rows)
                written.append(judgement._replace(trial_lines=()))
        with self._connection.cursor().copy(statements.COPY_TRIAL_ROWS) as copy:
            for trial_rows in rows_to_write:
                copy.write(trial_rows)
        return written

    def _copy(self, statement: str, encode: RowEncoder, rows_to_write: Iterable[Row]) -> None:
        lines = encode(rows_to_write)
        if lines:
            with self._connection.cursor().copy(statement.encode()) as copy:
                copy.write(lines)

    def _quarantine_rows(self, judgement: Judgement) -> list[rows.QuarantineRow]:
        document = judgement.document
        type_ = document_type(document.id)
        return [
            rows.QuarantineRow(
                self._site, document.key, leaf.rev, type_, *leaf.reason, self._contract.rules_version
            )
            for leaf in judgement.quarantined
        ]

    def _corrections_in(self, written: Iterable[Judgement]) -> list[correction_rows.CorrectionRow]:
        found = [judgement.correction for judgement in written if judgement.correction is not None]
        return [correction_rows.correction_row(self._site, *each) for each in found]

    def _losing_rows(self, judgement: Judgement) -> list[correction_rows.LosingRow]:
        document = judgement.document
        leaves = document.leaves or ()
        return correction_rows.losing_rows(self._site, document.key, judgement.winner_rev, leaves)

    def _document_row(self, judgement: Judgement) -> rows.DocumentRow:
        document = judgement.document
        return rows.DocumentRow(
            self._site,
            document.key,
            document_type(document.id),
            judgement.winner_rev,
            document.leaf_revs,
            judgement.state,
            self._epoch,
        )

    def _flag_unknown_references(self, written: list[str]) -> None:
        if written:
            about = {
                "site": self._site,
                "session_ids": written,
                "codes": list(_UNKNOWN),
                "versions": [RULES[code].version for code in _UNKNOWN],
            }
            self._connection.execute(statements.FLAG_UNKNOWN_REFERENCES, about)

    def _mark_deleted(self, deleted: Sequence[Judgement]) -> None:
        keys = [judgement.document.key for judgement in deleted]
        if keys:
            ids = {
                "site": self._site,
                "doc_ids": keys,
                "session_ids": session_ids(keys),
            }
            for statement in (*statements.MARK_DELETED, correction_statements.MARK_DELETED):
                self._connection.execute(statement, ids)
            for kind in KINDS.values():
                if names := kind.names(keys):
                    self._connection.execute(kind.mark, {"site": self._site, "names": names})


def _all(groups: Iterable[Sequence[Row]]) -> Iterable[Row]:
    return chain.from_iterable(groups)
