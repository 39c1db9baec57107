"""What relays do now and then. To add a duty, add a line to `duties`."""

from datetime import datetime, timedelta
from functools import partial
from typing import Final

import structlog
from sqlalchemy import Connection, select

from reporting.outbox.claims import (
    Started,
    end,
    ending,
    prune,
    prune_attempts,
    prune_payloads,
    record_attempts,
    release,
    select_lost,
)
from reporting.outbox.duties import Duty
from reporting.outbox.policy import Failed
from reporting.publication.requests import publish_sites
from reporting.redcap.pulled import ask_for_pull, select_due
from reporting.reminders.due import queue_due
from reporting.replication_jobs.requests import ask_for_look
from reporting.replication_jobs.rows import anything_to_watch
from reporting.research.files import ask_for_sweep, expire, fail_given_up, prune_rows
from reporting.tables import sites
from reporting.visits.generation import advance_visits
from sync_server.jobs.pruning import prune_what_ran_out
from sync_server.jobs.registry import FOR_A_DAY, KEPT_FOR_EVER, KINDS
from sync_server.researchers.watchdog import Limits, watch_researchers
from sync_server.settings import Settings

PRUNED_AT_ONCE: Final = 10_000
LOST_AT_ONCE: Final = 1_000
FILE_ROWS_KEPT: Final = timedelta(days=90)

LOST: Final = Failed("Its worker was not heard of until the lease ran out: killed, or cut off.")

log = structlog.get_logger()


def duties(settings: Settings) -> tuple[Duty, ...]:
    """All of them."""
    kept_for = timedelta(days=settings.outbox_keep_days)

    def prune_outbox(connection: Connection, now: datetime) -> None:
        before = now - kept_for
        connection.execute(prune(ended_before=before, limit=PRUNED_AT_ONCE, kept_kinds=KEPT_FOR_EVER))
        connection.execute(prune_payloads(ended_before=before, limit=PRUNED_AT_ONCE, kinds=KEPT_FOR_EVER))
        connection.execute(prune_attempts(ended_before=before, limit=PRUNED_AT_ONCE))

    limits = Limits(
        statement=timedelta(minutes=settings.research_statement_minutes),
        idle=timedelta(minutes=settings.research_idle_minutes),
        transaction=timedelta(minutes=settings.research_transaction_minutes),
    )
    pull_every = timedelta(minutes=settings.redcap_pull_minutes)

    def pull_participants(connection: Connection, now: datetime) -> None:  # noqa: ARG001 (a duty's signature)
        due = [(project, study) for project, study in connection.execute(select_due(pull_every))]
        if due:
            connection.execute(ask_for_pull(due))

    pulls = (Duty("redcap pulls", timedelta(minutes=1), pull_participants),)

    def look_after_files(connection: Connection, now: datetime) -> None:
        connection.execute(fail_given_up())
        connection.execute(prune_rows(ended_before=now - FILE_ROWS_KEPT, limit=PRUNED_AT_ONCE))
        if connection.execute(expire()).all():
            connection.execute(ask_for_sweep())

    def sweep_files(connection: Connection, now: datetime) -> None:  # noqa: ARG001 (a duty's signature)
        connection.execute(ask_for_sweep())

    sweep_every = timedelta(seconds=min(5.0, settings.outbox_lease_seconds / 2))
    return (
        Duty("outbox sweep", sweep_every, sweep),
        Duty("outbox prune", timedelta(minutes=10), prune_outbox),
        Duty("identity prune", timedelta(hours=1), prune_what_ran_out),
        Duty("publication drift", timedelta(hours=1), repair_drift),
        Duty("replication watch", timedelta(seconds=30), watch_replication_jobs),
        # After the visits: what they have become is what is reminded of.
        Duty("visits", timedelta(minutes=1), advance_visits),
        *(pulls if pull_every else ()),
        Duty("reminders", timedelta(seconds=15), queue_due),
        Duty("research files", timedelta(seconds=30), look_after_files),
        Duty("research sweep", timedelta(hours=1), sweep_files),
        Duty("researchers", timedelta(seconds=15), partial(watch_researchers, limits=limits)),
    )


def sweep(connection: Connection, now: datetime) -> None:
    """Take back what was lost: claims that nobody began, and entries whose worker is gone."""
    released = connection.execute(release()).rowcount
    lost = [Started(*row) for row in connection.execute(select_lost(limit=LOST_AT_ONCE))]
    if lost:
        policies = {name: kind.policy for name, kind in KINDS.items()}
        ended = [ending(entry, LOST, policies.get(entry.kind, FOR_A_DAY), now=now) for entry in lost]
        connection.execute(end(ended))
        connection.execute(record_attempts(ended))
    if released or lost:
        log.warning("outbox swept", claims=released, lost=len(lost))


def repair_drift(connection: Connection, now: datetime) -> None:  # noqa: ARG001 (a duty's signature)
    """Have every site compared with what it has to be; what differs is written."""
    codes = list(connection.execute(select(sites.c.code).order_by(sites.c.code)).scalars())
    if codes:
        connection.execute(publish_sites(codes))


def watch_replication_jobs(connection: Connection, now: datetime) -> None:  # noqa: ARG001 (a duty's signature)
    """Have replication jobs looked at, where there are any."""
    if connection.scalar(anything_to_watch()):
        connection.execute(ask_for_look())
