"""What a look has seen, put on record: numbers, history, and alerts, in one transaction.

| what happens | outcome |
|---|---|
| the process dies before the commit | the next look judges from the same memory |
| two looks are recorded at the same time | rows are locked; the later one goes on from the earlier's memory |
| a job was restarted or paused since it was looked at | that look is not its own: nothing is recorded |
"""

from collections.abc import Iterable
from datetime import datetime, timedelta

import msgspec
import structlog
from sqlalchemy import Connection, func, select

from reporting.replication_jobs.alerts import recovered, stuck
from reporting.replication_jobs.health import Judgement, Look, Memory, judge
from reporting.replication_jobs.rows import (
    forget_events,
    insert_events,
    select_watched,
    update_seen,
)
from reporting.webhooks.events import Event, announce

log = structlog.get_logger()


class Seen(msgspec.Struct, frozen=True):
    """A look at a job, and which generation and attempt of it was looked at."""

    job: int
    generation: int
    attempt: int
    look: Look


def record_looks(connection: Connection, seen: Iterable[Seen], *, patience: timedelta) -> None:
    """Record looks of this moment. Alerts are logged, and announced once an episode."""
    by_job = {each.job: each for each in seen}
    if not by_job:
        return
    now = connection.execute(select(func.clock_timestamp())).scalar_one()
    happened: list[Event] = []
    for row in connection.execute(select_watched(list(by_job))).all():
        each = by_job[row.id]
        if (row.generation, row.attempt) == (each.generation, each.attempt):
            memory = None if row.memory is None else msgspec.convert(row.memory, Memory)
            judged = judge(memory, each.look, now=now, stuck_since=row.stuck_since, patience=patience)
            _record(connection, row.id, each.look, judged)
            happened += _alerts(row.id, row.site, row.name, row.stuck_since, judged)
    if happened:
        connection.execute(announce(*happened))


def _record(connection: Connection, number: int, look: Look, judged: Judgement) -> None:
    memory = judged.memory
    connection.execute(
        update_seen(
            number,
            memory=memory,
            state=look.state,
            observed_at=memory.at,
            pending=look.pending,
            written=look.written,
            failures=look.failures,
            per_second=judged.per_second,
            error=memory.error,
            error_at=memory.error_at,
            next_retry_at=look.next_retry_at,
            stuck_since=judged.stuck_since,
        )
    )
    if judged.events:
        connection.execute(insert_events(number, judged.events))
        connection.execute(forget_events(number))


def _alerts(number: int, site: str, name: str, open_since: datetime | None, judged: Judgement) -> list[Event]:
    state = judged.memory.state
    about = {"job": number, "site": site, "name": name, "state": state}
    if judged.alert == "stuck" and judged.stuck_since is not None:
        log.error("replication stuck", **about, reason=judged.why)
        return [stuck(number, site, name, judged.stuck_since, state=state, why=judged.why or state)]
    if judged.alert == "recovered" and open_since is not None:
        log.info("replication recovered", **about, stuck_since=open_since.isoformat())
        return [recovered(number, site, name, open_since, state)]
    return []
