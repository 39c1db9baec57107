"""One replication that is wanted, and what has become of it so far.

```
            ┌────────── another's turn ──────────┐
            ▼                                    │
added ─▶ pending ─▶ running ─▶ completed     (continuous)
            ▲          │
            └─ wait ◀─ crashing
```

The states are those that CouchDB's `_scheduler` names; a document that cannot be a job at all is `failed`.
"""

import asyncio
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any

import msgspec

from replication.replicator.backoff import Event, Kind, crashes_in_a_row, next_start, with_event
from replication.replicator.definition import Definition
from replication.replicator.transfer import Outcome, Run, Statistics


@dataclass(eq=False)
class Job:
    """`doc_id` names the document of `_replicator` that asks for it; None: `POST /_replicate` did."""

    id: str
    definition: Definition
    doc_id: str | None
    added_at: float
    history: tuple[Event, ...] = ()
    run: Run | None = None
    task: asyncio.Task[None] | None = None
    ended: asyncio.Future[Outcome] = field(default_factory=lambda: asyncio.get_running_loop().create_future())
    """The outcome of a job that is not continuous; of `POST /_replicate` its failure, too."""
    last: Statistics = field(default_factory=Statistics)
    started_at: float | None = None

    @property
    def state(self) -> str:
        """As `_scheduler/docs` names it."""
        if self.task is not None:
            return "running"
        if self.history and self.history[0].kind == "crashed":
            return "crashing"
        return "pending"

    @property
    def due_at(self) -> float:
        """Seconds since 1970 before which it is not started."""
        return next_start(self.history)

    @property
    def statistics(self) -> Statistics:
        """Of the run that is under way, or of the last one."""
        return self.run.statistics if self.run is not None else self.last

    def note(self, kind: Kind, at: float, reason: str | None = None) -> None:
        """Remember what happened."""
        self.history = with_event(self.history, Event(kind, at, reason))

    def shown(self, node: str) -> dict[str, Any]:
        """As `_scheduler/jobs` shows it."""
        return {
            "database": "_replicator" if self.doc_id is not None else None,
            "doc_id": self.doc_id,
            "history": [
                {"timestamp": timestamp(event.at), "type": event.kind}
                | ({} if event.reason is None else {"reason": event.reason})
                for event in self.history
            ],
            "id": self.id,
            "info": self.info(),
            "node": node,
            "pid": None,
            "source": self.definition.source.shown,
            "start_time": timestamp(self.added_at),
            "target": self.definition.target.shown,
            "user": None,
        }

    def info(self) -> dict[str, Any]:
        """Its numbers, and after a crash the reason."""
        crash = self.history[0] if self.history and self.history[0].kind == "crashed" else None
        told: dict[str, Any] = msgspec.to_builtins(self.statistics)
        return told | ({} if crash is None else {"error": crash.reason})

    def shown_document(self, node: str) -> dict[str, Any]:
        """As `_scheduler/docs` shows it."""
        return document_row(
            self.doc_id or "",
            state=self.state,
            job_id=self.id,
            info=self.info(),
            error_count=crashes_in_a_row(self.history),
            source=self.definition.source.shown,
            target=self.definition.target.shown,
            start_time=timestamp(self.added_at),
            last_updated=timestamp(self.history[0].at if self.history else self.added_at),
            node=node,
        )

    def active_task(self) -> dict[str, Any]:
        """As `_active_tasks` shows it while it runs."""
        started = self.started_at or self.added_at
        return {
            "type": "replication",
            "replication_id": self.id,
            "doc_id": self.doc_id,
            "database": "_replicator" if self.doc_id is not None else None,
            "source": self.definition.source.shown,
            "target": self.definition.target.shown,
            "continuous": self.definition.continuous,
            "user": None,
            "started_on": int(started),
            "updated_on": int(self.history[0].at if self.history else started),
            "checkpoint_interval": int(self.definition.checkpoint_interval * 1000),
            **msgspec.to_builtins(self.statistics),
        }


def document_row(doc_id: str, *, state: str, node: str, info: Any, **members: Any) -> dict[str, Any]:
    """A row of `_scheduler/docs`."""
    absent = {
        "id": members.pop("job_id", None),
        "error_count": 0,
        "source": None,
        "target": None,
        "start_time": None,
        "last_updated": None,
    }
    return {
        "database": "_replicator",
        "doc_id": doc_id,
        "state": state,
        "node": node,
        "info": info,
        "source_proxy": None,
        "target_proxy": None,
        **absent,
        **members,
    }


def answer_of(outcome: Outcome) -> Mapping[str, Any]:
    """What `POST /_replicate` is answered with when the end was reached."""
    # A run that found nothing to look at leaves no entry: the answer is the checkpoint as it was.
    unchanged = bool(outcome.history) and not outcome.changed
    history = outcome.history if unchanged else (outcome.session, *outcome.history)
    answer = {
        "ok": True,
        "session_id": history[0].session_id,
        "source_last_seq": outcome.session.recorded_seq,
        "replication_id_version": 4,
        "history": msgspec.to_builtins(history),
    }
    return answer if outcome.changed else {"no_changes": True, **answer}


def timestamp(at: float) -> str:
    """Seconds since 1970 as `_scheduler` writes times."""
    return datetime.fromtimestamp(at, UTC).strftime("%Y-%m-%dT%H:%M:%SZ")
