"""`GET /api/metrics`: each site's numbers, the outbox's and the process's own, in Prometheus's text format.

Open to anybody, as `/api/health` is: who watches a system has no account. Labels are names of sites and
kinds of outbox entries, routes and statuses, and nothing else; there is nothing of a participant in it. While
Postgres is away, `metricis_postgres_up` is 0 and what only Postgres knows is absent; what the process itself
served (`sync_server.traffic`) is told all the same: an outage is when it is looked at.
"""

import asyncio
from collections.abc import Iterable
from typing import Final

import structlog
from aiohttp import web
from prometheus_client import CollectorRegistry, Gauge
from prometheus_client.core import GaugeMetricFamily
from prometheus_client.exposition import CONTENT_TYPE_PLAIN_0_0_4, generate_latest
from prometheus_client.registry import Collector

from reporting.outbox.jobs import OutboxNumbers, select_numbers
from reporting.queries.metrics import SiteNumbers, read_numbers
from reporting.queries.snapshot import snapshot
from reporting.redcap.hosts import HostNumbers, select_host_numbers
from reporting.redcap.ledger import LedgerNumbers, select_ledger_numbers
from reporting.redcap.projects import ProjectNumbers, select_project_numbers
from reporting.reminders.listing import ReminderNumbers, select_reminder_numbers
from reporting.replication_jobs.rows import JobNumbers, select_job_numbers
from sync_server.api.route import plain
from sync_server.following import AWAY, said
from sync_server.keys import ENGINE, TRAFFIC

_PATIENCE_S: Final = 5.0
"""Less than a scrape waits."""

log = structlog.get_logger()

GAUGES: Final = {
    "pending": ("metricis_projection_pending", "Changes after the projector's last batch, as it saw them."),
    "lag_s": (
        "metricis_projection_lag_seconds",
        "Since the oldest document was received that came after the projector's last batch.",
    ),
    "complete_through_age_s": (
        "metricis_complete_through_age_seconds",
        "What was acknowledged longer ago is judged.",
    ),
    "quarantine_open": ("metricis_quarantine_open", "Quarantined revisions that nobody has waived."),
    "conflicts_open": ("metricis_conflicts_open", "Contradictions that nobody has resolved."),
    "replays_waiting": ("metricis_replays_waiting", "Documents that are to be projected again."),
    "proof_age_s": ("metricis_proof_age_seconds", "Since the site was last reconciled."),
    "proof_missing": ("metricis_proof_missing", "Documents that the last proof found missing."),
    "proof_double": ("metricis_proof_double", "Rows that the last proof found unexplained."),
    "proof_incomplete": (
        "metricis_proof_incomplete",
        "Documents that the last proof found without all their rows.",
    ),
    "proof_gone": ("metricis_proof_gone", "Documents that the last proof found gone from the site database."),
}
"""By member of SiteNumbers: name and help of the gauge."""


class _Sites(Collector):
    def __init__(self, sites: Iterable[SiteNumbers]) -> None:
        self._sites = list(sites)

    def collect(self) -> Iterable[GaugeMetricFamily]:
        for member, (name, text) in GAUGES.items():
            gauge = GaugeMetricFamily(name, text, labels=["site"])
            for site in self._sites:
                value = getattr(site, member)
                if value is not None:
                    gauge.add_metric([site.site], value)
            yield gauge


OUTBOX_GAUGES: Final = {
    "pending": ("metricis_outbox_pending", "Entries that wait to be done outside Postgres."),
    "oldest_s": (
        "metricis_outbox_oldest_age_seconds",
        "For how long the longest waiting entry has been due.",
    ),
    "dead": ("metricis_outbox_dead", "Entries that were given up: a person has to look."),
}
"""By member of OutboxNumbers."""


REPLICATION_GAUGES: Final = {
    "jobs": ("metricis_replication_jobs", "Replication jobs by site and state."),
    "stuck": ("metricis_replication_stuck", "Replication jobs that somebody has to look after."),
}
"""By member of JobNumbers."""


REMINDER_GAUGES: Final = {
    "reminders": ("metricis_reminders", "Reminders by what became of them."),
    "repeats": (
        "metricis_reminders_repeated",
        "Times that a reminder was handed over again because nobody knew what had come of it.",
    ),
    "late_s": ("metricis_reminders_late_seconds", "Since the oldest reminder was due that was not sent yet."),
}
"""By member of ReminderNumbers."""


class _Reminders(Collector):
    def __init__(self, numbers: Iterable[ReminderNumbers]) -> None:
        self._numbers = list(numbers)

    def collect(self) -> Iterable[GaugeMetricFamily]:
        states = GaugeMetricFamily(*REMINDER_GAUGES["reminders"], labels=["state"])
        for each in self._numbers:
            states.add_metric([each.state], each.reminders)
        yield states
        repeated = GaugeMetricFamily(*REMINDER_GAUGES["repeats"])
        repeated.add_metric([], sum(each.repeats for each in self._numbers))
        yield repeated
        late = GaugeMetricFamily(*REMINDER_GAUGES["late_s"])
        late.add_metric([], max((each.late_s for each in self._numbers), default=0.0))
        yield late


class _Replication(Collector):
    def __init__(self, numbers: Iterable[JobNumbers]) -> None:
        self._numbers = list(numbers)

    def collect(self) -> Iterable[GaugeMetricFamily]:
        jobs = GaugeMetricFamily(*REPLICATION_GAUGES["jobs"], labels=["site", "state"])
        stuck = GaugeMetricFamily(*REPLICATION_GAUGES["stuck"], labels=["site"])
        by_site: dict[str, int] = {}
        for each in self._numbers:
            jobs.add_metric([each.site, each.state], each.jobs)
            by_site[each.site] = by_site.get(each.site, 0) + each.stuck
        for site, number in by_site.items():
            stuck.add_metric([site], number)
        yield jobs
        yield stuck


REDCAP_GAUGES: Final = {
    "sessions": ("metricis_redcap_sessions", "Instances of sessions in a REDCap project, by state."),
    "paused": ("metricis_redcap_paused", "1 while a REDCap project is paused."),
    "banned": ("metricis_redcap_banned", "REDCap servers that have banned this one."),
    "open": ("metricis_redcap_failing", "REDCap servers that are left alone for a while, since they fail."),
}


class _Redcap(Collector):
    def __init__(
        self, rows: Iterable[LedgerNumbers], projects: Iterable[ProjectNumbers], hosts: Iterable[HostNumbers]
    ) -> None:
        self._rows = list(rows)
        self._projects = list(projects)
        self._hosts = list(hosts)

    def collect(self) -> Iterable[GaugeMetricFamily]:
        sessions = GaugeMetricFamily(*REDCAP_GAUGES["sessions"], labels=["project", "state"])
        for row in self._rows:
            sessions.add_metric([row.project, row.state], row.rows)
        yield sessions
        paused = GaugeMetricFamily(*REDCAP_GAUGES["paused"], labels=["project"])
        for project in self._projects:
            paused.add_metric([project.project], project.paused)
        yield paused
        for member in ("banned", "open"):
            gauge = GaugeMetricFamily(*REDCAP_GAUGES[member])
            for hosts in self._hosts:
                gauge.add_metric([], float(getattr(hosts, member)))
            yield gauge


class _Outbox(Collector):
    def __init__(self, kinds: Iterable[OutboxNumbers]) -> None:
        self._kinds = list(kinds)

    def collect(self) -> Iterable[GaugeMetricFamily]:
        for member, (name, text) in OUTBOX_GAUGES.items():
            gauge = GaugeMetricFamily(name, text, labels=["kind"])
            for kind in self._kinds:
                gauge.add_metric([kind.kind], float(getattr(kind, member)))
            yield gauge


async def get_metrics(request: web.Request) -> web.Response:
    """Tell each site's numbers, and each kind of outbox entry's, in Prometheus's text format."""
    registry = CollectorRegistry(auto_describe=False)
    is_up = Gauge("metricis_postgres_up", "1 while Postgres answers this process.", registry=registry)
    sites: list[SiteNumbers] = []
    kinds: list[OutboxNumbers] = []
    jobs: list[JobNumbers] = []
    redcap = _Redcap((), (), ())
    reminders: list[ReminderNumbers] = []
    try:
        async with asyncio.timeout(_PATIENCE_S), snapshot(request.app[ENGINE]) as connection:
            sites = await read_numbers(connection)
            kinds = [OutboxNumbers(*row) for row in await connection.execute(select_numbers())]
            jobs = [JobNumbers(*row) for row in await connection.execute(select_job_numbers())]
            redcap = _Redcap(
                [LedgerNumbers(*row) for row in await connection.execute(select_ledger_numbers())],
                [ProjectNumbers(*row) for row in await connection.execute(select_project_numbers())],
                [HostNumbers(*row) for row in await connection.execute(select_host_numbers())],
            )
            numbers = await connection.execute(select_reminder_numbers())
            reminders = [ReminderNumbers(*row) for row in numbers]
        is_up.set(1)
    except AWAY as error:
        log.warning("metrics without Postgres", error=said(error))
    registry.register(_Sites(sites))
    registry.register(_Outbox(kinds))
    registry.register(_Replication(jobs))
    registry.register(redcap)
    registry.register(_Reminders(reminders))
    body = generate_latest(registry) + generate_latest(request.app[TRAFFIC].registry)
    return web.Response(body=body, headers={"Content-Type": CONTENT_TYPE_PLAIN_0_0_4})


ROUTES = [
    plain("GET", "/api/metrics", get_metrics, right="public", produces="text/plain"),
]
