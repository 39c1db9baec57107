"""What a scheduler says of a job, as a look. Pure.

Rows of `_scheduler/docs` tell states, those of `_scheduler/jobs` what happened. CouchDB and the embedded
store have the same members, and wait differently after a crash; neither tells when it tries again.

Reasons are shown without the credential, and name no document: its id may be a participant's session.
"""

import re
from collections.abc import Iterable, Mapping, Sequence
from datetime import UTC, datetime, timedelta
from typing import Any, Final, cast, get_args

import msgspec

from replication.replicator.backoff import FIRST_WAIT, LONGEST_WAIT
from reporting.replication_jobs.health import Crash, Look, State
from sync_server.policy import COLLECTED_TYPES, PUBLISHED_TYPES

HIDDEN: Final = "…"
_STATES: Final = frozenset(get_args(State))
_TYPES: Final = (*COLLECTED_TYPES, *PUBLISHED_TYPES, "correction")
_DOCUMENT: Final = re.compile(rf"\b({'|'.join(_TYPES)}):[^\s,;'\"]+")


class Backoff(msgspec.Struct, frozen=True):
    """How long a scheduler waits: `first` after one crash, doubled by each further one in a row."""

    first: timedelta
    longest: timedelta

    def next_retry(self, crashed_at: datetime, crashes: int) -> datetime:
        """When it tries again."""
        wait: timedelta = self.first * 2 ** min(max(crashes, 1) - 1, 20)
        return crashed_at + min(self.longest, wait)


EMBEDDED: Final = Backoff(timedelta(seconds=FIRST_WAIT), timedelta(seconds=LONGEST_WAIT))
COUCHDB: Final = Backoff(timedelta(seconds=30), timedelta(seconds=30 * 2**10))
"""As `couch_replicator_scheduler` has them (3.5)."""


def look_of(
    document: Mapping[str, Any] | None,
    job: Mapping[str, Any] | None,
    *,
    backoff: Backoff,
    secrets: Sequence[str] = (),
) -> Look:
    """From rows of `_scheduler/docs` and `_scheduler/jobs`, None where the scheduler has none."""
    if document is None:
        return Look()
    told = document.get("info")
    info: Mapping[str, Any] = told if isinstance(told, dict) else {}
    state = document.get("state")
    crashes = () if job is None else tuple(_crashes(job.get("history"), secrets))
    error = info.get("error")
    return Look(
        state=cast(State, state) if isinstance(state, str) and state in _STATES else "initializing",
        error=shown_reason(error, secrets) if isinstance(error, str) else None,
        pending=_count(info, "changes_pending"),
        checked=_count(info, "revisions_checked"),
        written=_count(info, "docs_written"),
        failures=_count(info, "doc_write_failures"),
        checkpoint=_sequence(info.get("checkpointed_source_seq")),
        crashes=crashes,
        next_retry_at=_next_retry(state, document.get("error_count"), crashes, backoff),
    )


def shown_reason(reason: str, secrets: Iterable[str]) -> str:
    """A reason without secrets and ids of documents."""
    for secret in secrets:
        reason = reason.replace(secret, HIDDEN)
    return _DOCUMENT.sub(rf"\1:{HIDDEN}", reason)


def _crashes(history: Any, secrets: Sequence[str]) -> Iterable[Crash]:
    for event in history if isinstance(history, list) else []:
        if isinstance(event, dict) and event.get("type") == "crashed":
            at = _time(event.get("timestamp"))
            if at is not None:
                yield Crash(at, shown_reason(str(event.get("reason") or "no reason is told"), secrets))


def _next_retry(state: Any, count: Any, crashes: Sequence[Crash], backoff: Backoff) -> datetime | None:
    if state != "crashing" or not crashes:
        return None
    last = max(crash.at for crash in crashes)
    return backoff.next_retry(last, count if isinstance(count, int) else len(crashes))


def _count(info: Mapping[str, Any], member: str) -> int | None:
    value = info.get(member)
    return value if isinstance(value, int) and not isinstance(value, bool) and 0 <= value < 2**63 else None


def _sequence(value: Any) -> str | None:
    return value if value is None or isinstance(value, str) else msgspec.json.encode(value).decode()


def _time(text: Any) -> datetime | None:
    try:
        return datetime.strptime(str(text), "%Y-%m-%dT%H:%M:%SZ").replace(tzinfo=UTC)
    except ValueError:
        return None
