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
| `people` | accounts, devices, references | people and the command line |

There are no foreign keys between result tables: a batch replaces a session's rows as a whole, one module
(`reporting.projection.write`) writes them, and a key check per trial would cost a fifth of the COPY.
"""

from reporting.tables.base import metadata
from reporting.tables.people import batteries, devices, participants, studies, users
from reporting.tables.projection import checkpoints, proofs, replays, rescorings, score_history, site_states
from reporting.tables.record import audit_log, ingest_log, waivers
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
from reporting.tables.views import trials

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
    documents,
)
"""The tables that a rebuild makes anew."""

__all__ = [
    "RESULTS",
    "audit_log",
    "batteries",
    "checkpoints",
    "conflicts",
    "corrections",
    "device_status",
    "devices",
    "documents",
    "ingest_log",
    "losing_revisions",
    "metadata",
    "participants",
    "proofs",
    "quality_flags",
    "quarantine",
    "replays",
    "rescorings",
    "score_history",
    "scores",
    "sessions",
    "site_states",
    "studies",
    "task_runs",
    "trial_extras",
    "trial_rows",
    "trials",
    "users",
    "waivers",
]
