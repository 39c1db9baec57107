"""Result rows as the projector would have written them."""

from datetime import UTC, datetime
from typing import Any

from sqlalchemy import Engine, Table, insert

from reporting.tables import (
    documents,
    ingest_log,
    quarantine,
    scores,
    sessions,
    task_runs,
    trial_extras,
    trial_rows,
)
from reporting.tables.views import PART_BITS

NOON = datetime(2016, 7, 22, 12, 0, tzinfo=UTC)


def put(engine: Engine, table: Table, *rows: dict[str, Any]) -> None:
    with engine.begin() as connection:
        connection.execute(insert(table), list(rows))


def session(site: str, id_: str, **changes: Any) -> dict[str, Any]:
    return {
        "site": site,
        "id": id_,
        "study": "SRO",
        "participant": "s012",
        "visit": "baseline",
        "status": "completed",
        "started_at": NOON,
        "rev": "1-a",
        **changes,
    }


def put_sessions(engine: Engine, *rows: dict[str, Any]) -> None:
    put(engine, sessions, *rows)


def put_task_run(engine: Engine, site: str, session_id: str, task: str, run: int, *, n_trials: int) -> None:
    """A task run with that many trials (every second one practice) and one score, its number of trials."""
    key = {"site": site, "session_id": session_id, "task": task, "run": run}
    summary = {"mean_rt": 512.4}
    put(engine, task_runs, {**key, "n_trials": n_trials, "status": "completed", "summary": summary})
    put(engine, scores, {**key, "name": "n_trials", "value": float(n_trials), "scoring_version": 1})
    if n_trials:
        put(
            engine,
            trial_extras,
            *(
                {**key, "part": start >> PART_BITS, "extras": {str(n): {"stimulus": "x"} for n in part}}
                for start in range(0, n_trials, 1 << PART_BITS)
                for part in [range(start, start + (1 << PART_BITS))]
            ),
        )
        put(
            engine,
            trial_rows,
            *(
                {
                    **key,
                    "trial_index": index,
                    "stage": "practice" if index % 2 else "test",
                    "rt_ms": 400.0 + index,
                    "correct": index != 2,
                    "response": {"key": index},
                }
                for index in range(n_trials)
            ),
        )


def quarantined(site: str, doc_id: str, rev: str = "1-a", **changes: Any) -> dict[str, Any]:
    return {
        "site": site,
        "doc_id": doc_id,
        "rev": rev,
        "type": "session",
        "code": "missing",
        "path": "$.study",
        "message": "study is required",
        **changes,
    }


def put_quarantine(engine: Engine, *rows: dict[str, Any]) -> None:
    put(engine, quarantine, *rows)


def put_document(engine: Engine, site: str, doc_id: str, state: str, *leaves: str, **changes: Any) -> None:
    """What the projector recorded of a document; with its row in `sessions` where it has one."""
    row = {
        "site": site,
        "doc_id": doc_id,
        "type": doc_id.partition(":")[0],
        "winner_rev": max(leaves),
        "leaves": sorted(leaves),
        "state": state,
        "epoch": "e1",
        **changes,
    }
    put(engine, documents, row)
    kind, _, name = doc_id.partition(":")
    if kind == "session" and state in ("projected", "conflicted"):
        put_sessions(engine, session(site, name, rev=max(leaves)))


def log_receipt(engine: Engine, site: str, doc_id: str, rev: str, **changes: Any) -> None:
    """What the gateway recorded of a revision."""
    row = {
        "site": site,
        "doc_id": doc_id,
        "rev": rev,
        "outcome": "received",
        "device": "lima-tab-2",
        "role": "tablet",
        "credential": "c1",
        "request_id": "r1",
        **changes,
    }
    put(engine, ingest_log, row)
