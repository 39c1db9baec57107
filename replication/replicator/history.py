"""Checkpoints: how far a replication has come, as both sides remember it.

Each side keeps `_local/<replication id>` with the sessions of the replication, the newest first. Where to go
on is the newest session that *both* remember: a side that was put back to an older state, or recreated,
remembers less, and everything since then is compared again. Comparing twice costs time and writes nothing.

| source and target remember | go on from |
|---|---|
| the same last session | its sequence |
| some session in common | the newest such session's recorded sequence |
| nothing in common, or one side nothing | the start |
| something that is no checkpoint | the start |
"""

from collections.abc import Mapping, Sequence
from typing import Any, Final

import msgspec

from replication.replicator.definition import VERSION
from replication.values import sequence_text

START: Final = "0"
_SESSIONS_KEPT: Final = 50


class Session(msgspec.Struct, kw_only=True):
    """One run of a replication, as checkpoints hold it. Times are HTTP dates; sequences are opaque."""

    session_id: str
    start_time: str
    end_time: str
    start_last_seq: str = START
    end_last_seq: str = START
    recorded_seq: str = START
    missing_checked: int = 0
    missing_found: int = 0
    docs_read: int = 0
    docs_written: int = 0
    doc_write_failures: int = 0


class Checkpoint(msgspec.Struct, kw_only=True):
    """The `_local` document."""

    session_id: str
    source_last_seq: str
    replication_id_version: int = VERSION
    history: list[Session] = []


def read_checkpoint(document: Mapping[str, Any] | None) -> Checkpoint | None:
    """A side's checkpoint; None where there is none, or where it cannot be read."""
    if document is None:
        return None
    try:
        # Sequences are text here, and numbers or arrays on other servers.
        return msgspec.convert(_with_text_sequences(document), Checkpoint)
    except msgspec.ValidationError:
        return None


def common_sequence(source: Checkpoint | None, target: Checkpoint | None) -> str:
    """The sequence of the source up to which both sides remember to have come."""
    if source is None or target is None:
        return START
    if source.session_id == target.session_id:
        return source.source_last_seq
    remembered = {session.session_id for session in target.history}
    for session in source.history:
        if session.session_id in remembered:
            return session.recorded_seq
    return START


def checkpoint_after(session: Session, before: Sequence[Session]) -> Checkpoint:
    """The checkpoint that records `session` in front of those before it."""
    older = [each for each in before if each.session_id != session.session_id]
    history = [session, *older][:_SESSIONS_KEPT]
    return Checkpoint(session_id=session.session_id, source_last_seq=session.recorded_seq, history=history)


def _with_text_sequences(document: Mapping[str, Any]) -> dict[str, Any]:
    history = document.get("history")
    sessions = history if isinstance(history, list) else []
    return {
        **document,
        "source_last_seq": sequence_text(document.get("source_last_seq", START)),
        "history": [
            {name: sequence_text(value) if name.endswith("_seq") else value for name, value in each.items()}
            for each in sessions
            if isinstance(each, dict)
        ],
    }
