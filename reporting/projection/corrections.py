"""Corrections in the transaction of a batch: read for the sessions in it, and told to those that are not.

Corrections of a batch are written before its other documents are judged. So a session in the same batch sees
them, and every other session that one of them is about is asked to be projected again.

| what happens | outcome |
|---|---|
| a correction before its session | its row waits; the session reads it when it comes |
| a correction after its session | the session is replayed |
| both in one batch, in whatever order | the session is judged after it |
| a correction changed, quarantined, deleted, gone or found again | the session is replayed with what is |
| a session is replayed | no correction is written, so nothing is asked for again |
"""

from collections.abc import Collection, Iterable, Mapping, Sequence

import msgspec
import psycopg

from reporting.documents.corrections import PREFIX, session_key
from reporting.documents.kinds import Correction
from reporting.documents.text import key_text, without_nul_deep
from reporting.projection import correction_statements as statements
from reporting.projection.batch import FedDocument, session_ids
from reporting.projection.correction_rows import audit_entry, stored_correction
from reporting.projection.judge import Judgement
from reporting.projection.replays import request_replays

CAUSE = "correction"
REQUESTED_BY = "projector"

Corrections = Mapping[str, Sequence[Correction]]
"""By the key of their session's document."""


def is_correction(document: FedDocument) -> bool:
    """Whether a document is judged before the others."""
    return document.id.startswith(PREFIX)


def load_corrections(connection: psycopg.Connection, site: str, keys: Sequence[str]) -> Corrections:
    """The corrections that apply to these documents, by key; in the caller's transaction."""
    asked = session_ids(keys)
    found: dict[str, list[Correction]] = {}
    if asked:
        rows = connection.execute(statements.LOAD_CORRECTIONS, {"site": site, "session_ids": asked})
        for row in rows:
            correction = stored_correction(row)
            found.setdefault(f"session:{correction.session}", []).append(correction)
    return found


def tell_sessions(
    connection: psycopg.Connection, site: str, changed: Iterable[FedDocument], judged: Collection[str]
) -> None:
    """Have the sessions of these corrections projected again, but those that are judged in this batch."""
    keys = {session_key(document.id) for document in changed if is_correction(document)}
    told = sorted(key for key in keys if key is not None and key not in judged)
    request_replays(connection, site, told, cause=CAUSE, requested_by=REQUESTED_BY)


def find_again(connection: psycopg.Connection, site: str, keys: Sequence[str]) -> None:
    """Corrections that were gone from the site database apply again."""
    wanted = [key for key in keys if key.startswith(PREFIX)]
    if wanted:
        connection.execute(statements.FOUND_AGAIN, {"site": site, "doc_ids": wanted})


def record_corrections(connection: psycopg.Connection, site: str, judgements: Iterable[Judgement]) -> None:
    """Write the audit entries that whoever wrote a correction may have failed to write."""
    for judgement in judgements:
        if judgement.correction is not None:
            entry = msgspec.structs.asdict(audit_entry(site, *judgement.correction))
            for name in ("before", "after"):
                entry[name] = msgspec.json.encode(without_nul_deep(entry[name])[0]).decode()
            _, correction = judgement.correction
            # Of a session that has no rows no study is known, as whoever wrote the correction knew none.
            entry["session"] = key_text(correction.session)
            connection.execute(statements.RECORD_CORRECTION, entry)
