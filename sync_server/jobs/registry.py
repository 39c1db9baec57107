"""Every kind of outbox entry: its queue, who does it, how long it is tried, how many go together.

To add a kind, add a line to KINDS. Queues and what workers listen to are derived from it.

| kind | asked for by | effect |
|---|---|---|
| `publication` | `reporting.publication.requests` | documents of a site database are what Postgres says |
| `event` | `reporting.webhooks.events` | a `webhook` entry for each webhook that asked for it |
| `webhook` | `event`, or a person's test | a signed POST was taken |
| `mail` | accounts | a message was handed to the mail server |
| `erasure` | an approved request | a participant's data are gone |
| `redcap_pull` | `reporting.redcap.pulled` | what REDCap says of participants is on the roster |
| `reminder` | `reporting.reminders.due`, or a person's test | a participant was reminded of a visit |
| `replication` | `reporting.replication_jobs.requests` | replications run as wanted, and are looked at |
| `research_file` | `reporting.research.files` | an export or report lies in its folder |
| `research_sweep` | removal, expiry, erasure | files that no row needs are gone |
| `redcap` | `reporting.redcap.requests` | a session has one instance in REDCap, with the values of now |
"""

from collections.abc import Mapping
from datetime import timedelta
from typing import Final

import msgspec

from reporting.erasure.requests import KIND as ERASURE
from reporting.outbox.policy import Policy
from reporting.publication.requests import KIND as PUBLICATION
from reporting.redcap.pulled import KIND as REDCAP_PULL
from reporting.redcap.requests import KIND as REDCAP
from reporting.reminders.due import KIND as REMINDER
from reporting.replication_jobs.requests import KIND as REPLICATION
from reporting.research.files import KIND as RESEARCH_FILE
from reporting.research.files import SWEEP as RESEARCH_SWEEP
from reporting.webhooks.events import KIND as EVENT
from reporting.webhooks.fan_out import KIND as WEBHOOK
from sync_server.jobs.erasure import deliver_erasure
from sync_server.jobs.events import fan_out
from sync_server.jobs.handlers import Handler, one_by_one
from sync_server.jobs.mail import KIND as MAIL
from sync_server.jobs.mail import deliver_mail
from sync_server.jobs.publication import deliver_publications
from sync_server.jobs.redcap import push_sessions
from sync_server.jobs.redcap_pull import deliver_pull
from sync_server.jobs.reminders import deliver_reminder
from sync_server.jobs.replication import look_after_jobs
from sync_server.jobs.research_files import FILES, deliver_file, deliver_sweep
from sync_server.jobs.webhooks import deliver_webhook

_SECOND, _MINUTE, _HOUR = timedelta(seconds=1), timedelta(minutes=1), timedelta(hours=1)

FOR_A_DAY: Final = Policy.doubling(first=2 * _SECOND, longest=15 * _MINUTE, total=24 * _HOUR)

WEBHOOKS: Final = Policy(
    (5 * _SECOND, 1 * _MINUTE, 5 * _MINUTE, 30 * _MINUTE, 2 * _HOUR, 5 * _HOUR, 6 * _HOUR, 10 * _HOUR)
)

REMINDERS: Final = Policy.doubling(first=10 * _SECOND, longest=30 * _MINUTE, total=8 * 24 * _HOUR)
"""Longer than any reminder is useful: what ends it is that it is too late."""


class Kind(msgspec.Struct, frozen=True, kw_only=True):
    """A kind of entry. Up to `batch` entries of it, all of one site, are one job of `queue`."""

    name: str
    queue: str
    handler: Handler
    policy: Policy = FOR_A_DAY
    batch: int = 50


KINDS: Final[Mapping[str, Kind]] = {
    kind.name: kind
    for kind in (
        Kind(name=PUBLICATION, queue="publications", handler=deliver_publications, batch=500),
        Kind(name=EVENT, queue="webhooks", handler=fan_out, batch=200),
        Kind(name=WEBHOOK, queue="webhooks", handler=one_by_one(deliver_webhook), policy=WEBHOOKS, batch=16),
        Kind(name=MAIL, queue="mail", handler=one_by_one(deliver_mail), batch=20),
        Kind(name=ERASURE, queue="erasures", handler=one_by_one(deliver_erasure), batch=1),
        Kind(name=REDCAP_PULL, queue="redcap", handler=one_by_one(deliver_pull, at_once=1), batch=1),
        Kind(
            name=REMINDER,
            queue="reminders",
            handler=one_by_one(deliver_reminder),
            policy=REMINDERS,
            batch=20,
        ),
        Kind(name=REPLICATION, queue="replications", handler=one_by_one(look_after_jobs), batch=1),
        Kind(name=REDCAP, queue="redcap", handler=push_sessions, batch=100),
        Kind(
            name=RESEARCH_FILE,
            queue="reports",
            handler=one_by_one(deliver_file, at_once=1),
            policy=FILES,
            batch=1,
        ),
        Kind(name=RESEARCH_SWEEP, queue="reports", handler=one_by_one(deliver_sweep), batch=1),
    )
}

KEPT_FOR_EVER: Final = frozenset({EVENT})
"""Kinds whose done entries keep their key (not their payload): it is what makes them happen once."""
