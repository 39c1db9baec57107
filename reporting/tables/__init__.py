"""Every Postgres table, as SQLAlchemy Core metadata.

Rows that come from documents are keyed by (site, document id): the same session id in two site databases is
two sessions. `site` is always the *database's* site, never the member that the document claims.
`session_id` is the document id without its `session:` prefix.

| module | tables | written by |
|---|---|---|
| `results` | what documents say: sessions, trials, scores, quarantine, … | the projector |
| `projection` | how far it has come: checkpoints, states, proofs, … | the projector |
| | what has to be projected again: `replays` | whoever has a reason |
| `record` | what happened: ingest log, audit log, waivers | the gateway, the API |
| `views` | relations that people read: `trials` | |
| `accounts` | people, what they may do where, devices | people and the command line |
| `logins` | logins, links by mail, changes of addresses, second factors, attempts | people |
| `studies` | studies, sites, participants, batteries, … | people |
| `consents` | forms; what was signed; withdrawals | people; the projector; people |
| `visits` | visit definitions, visits | people, the projector |
| `enrolment` | codes, labels and activity of devices | people, the gateway |
| `redcap` | connections, mappings, the ledger of what was pushed | people; workers |
| `reminders` | rules, templates, opt-outs; what became of each reminder | people; planning, workers |
| `requests` | what was answered to requests that may be sent twice | the API |
| `hubs` | site hubs, and what they have to purge | hubs, the erasure |
| `erasures` | requests, steps, and what stays blocked | two people, and the erasure |
| `research` | who reads what in Postgres; de-identification | people and the command line |
| `research_files` | exports and reports, made by jobs | people; workers |
| `outbox` | what has to happen outside Postgres | whoever causes it, the relay |
| `replication` | replication jobs, and what was seen of them | people; the watch |
| `webhooks` | who is told what happened | people; paused by a worker too |

There are no foreign keys between result tables: a batch replaces a session's rows as a whole, one module
(`reporting.projection.write`) writes them, and a key check per trial would cost a fifth of the COPY.
"""

from reporting.tables.accounts import devices, memberships, users
from reporting.tables.base import metadata
from reporting.tables.consents import (
    consent_changes,
    consent_form_drafts,
    consent_forms,
    consent_withdrawals,
    consents,
)
from reporting.tables.enrolment import device_activity, device_labels, enrolment_codes
from reporting.tables.erasures import (
    erased_documents,
    erased_subjects,
    erasure_hub_tasks,
    erasure_steps,
    erasure_targets,
    erasures,
)
from reporting.tables.hubs import erasure_hub_documents, hubs
from reporting.tables.logins import (
    address_changes,
    attempts,
    logins,
    mail_links,
    recovery_codes,
    refresh_tokens,
    second_factors,
)
from reporting.tables.outbox import duties, outbox, outbox_attempts
from reporting.tables.projection import checkpoints, proofs, replays, rescorings, score_history, site_states
from reporting.tables.record import audit_chain, audit_log, ingest_log, waivers
from reporting.tables.redcap import (
    redcap_attempts,
    redcap_connections,
    redcap_hosts,
    redcap_ledger,
    redcap_mappings,
    redcap_projects,
    redcap_pulled,
)
from reporting.tables.reminders import (
    reminder_opt_outs,
    reminder_rules,
    reminder_settings,
    reminder_templates,
    reminder_timezones,
    reminders,
)
from reporting.tables.replication import replication_job_events, replication_jobs
from reporting.tables.requests import idempotency_keys
from reporting.tables.research import research_grants, research_policies
from reporting.tables.research_files import research_files
from reporting.tables.results import (
    conflicts,
    corrections,
    device_status,
    documents,
    losing_revisions,
    quality_flags,
    quarantine,
    scores,
    sessions,
    task_runs,
    trial_extras,
    trial_rows,
)
from reporting.tables.studies import (
    batteries,
    battery_drafts,
    item_bank_drafts,
    item_banks,
    participants,
    sites,
    studies,
    study_batteries,
    study_sites,
    task_modules,
)
from reporting.tables.views import trials
from reporting.tables.visits import visit_definitions, visits
from reporting.tables.webhooks import webhooks

RESULTS = (
    sessions,
    task_runs,
    trial_rows,
    trial_extras,
    scores,
    quality_flags,
    quarantine,
    conflicts,
    corrections,
    losing_revisions,
    device_status,
    consents,
    documents,
)
"""The tables that a rebuild makes anew."""

__all__ = [
    "RESULTS",
    "address_changes",
    "attempts",
    "audit_chain",
    "audit_log",
    "batteries",
    "battery_drafts",
    "checkpoints",
    "conflicts",
    "consent_changes",
    "consent_form_drafts",
    "consent_forms",
    "consent_withdrawals",
    "consents",
    "corrections",
    "device_activity",
    "device_labels",
    "device_status",
    "devices",
    "documents",
    "duties",
    "enrolment_codes",
    "erased_documents",
    "erased_subjects",
    "erasure_hub_documents",
    "erasure_hub_tasks",
    "erasure_steps",
    "erasure_targets",
    "erasures",
    "hubs",
    "idempotency_keys",
    "ingest_log",
    "item_bank_drafts",
    "item_banks",
    "logins",
    "losing_revisions",
    "mail_links",
    "memberships",
    "metadata",
    "outbox",
    "outbox_attempts",
    "participants",
    "proofs",
    "quality_flags",
    "quarantine",
    "recovery_codes",
    "redcap_attempts",
    "redcap_connections",
    "redcap_hosts",
    "redcap_ledger",
    "redcap_mappings",
    "redcap_projects",
    "redcap_pulled",
    "refresh_tokens",
    "reminder_opt_outs",
    "reminder_rules",
    "reminder_settings",
    "reminder_templates",
    "reminder_timezones",
    "reminders",
    "replays",
    "replication_job_events",
    "replication_jobs",
    "rescorings",
    "research_files",
    "research_grants",
    "research_policies",
    "score_history",
    "scores",
    "second_factors",
    "sessions",
    "site_states",
    "sites",
    "studies",
    "study_batteries",
    "study_sites",
    "task_modules",
    "task_runs",
    "trial_extras",
    "trial_rows",
    "trials",
    "users",
    "visit_definitions",
    "visits",
    "waivers",
    "webhooks",
]
