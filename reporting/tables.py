"""Every Postgres table, as SQLAlchemy Core metadata.

Rows that come from documents are keyed by (site, document id): the same session id in two site databases is
two sessions. `site` is always the *database's* site, never the member that the document claims.
`session_id` is the document id without its `session:` prefix.

One writer a table:

- the projector writes `sessions` to `checkpoints`, each batch in one transaction;
- the gateway writes `ingest_log`, before a document is stored; nothing ever drops its rows;
- people and the command line write `users`, `devices` and the references (`studies`, `participants`,
`batteries`).

There are no foreign keys between result tables: a batch replaces a session's rows as a whole, one module
(`reporting.projection.apply`) writes them, and a key check per trial would cost a fifth of the COPY.
"""

from sqlalchemy import (
    BigInteger,
    Boolean,
    CheckConstraint,
    Column,
    DateTime,
    Double,
    Index,
    Integer,
    LargeBinary,
    MetaData,
    PrimaryKeyConstraint,
    Table,
    Text,
    UniqueConstraint,
    func,
)
from sqlalchemy.dialects.postgresql import ARRAY, JSONB

metadata = MetaData(
    naming_convention={
        "ix": "ix_%(table_name)s_%(column_0_N_name)s",
        "uq": "uq_%(table_name)s_%(column_0_N_name)s",
        "ck": "ck_%(table_name)s_%(constraint_name)s",
        "pk": "pk_%(table_name)s",
    }
)

Timestamp = DateTime(timezone=True)

# --- results: written by the projector -------------------------------------------------------------------

sessions = Table(
    "sessions",
    metadata,
    Column("site", Text, nullable=False),
    Column("id", Text, nullable=False, comment="document id without its `session:` prefix"),
    Column("study", Text, nullable=False, comment="study code as sent"),
    Column("participant", Text, nullable=False, comment="participant code as sent"),
    Column("visit", Text, comment="visit code as sent"),
    Column("status", Text, nullable=False, comment="in_progress, completed or abandoned"),
    Column("started_at", Timestamp, nullable=False, comment="the device's clock, UTC"),
    Column("ended_at", Timestamp, comment="the device's clock, UTC"),
    Column("utc_offset_minutes", Integer, comment="the device's offset from UTC"),
    Column("language", Text),
    Column("battery_id", Text),
    Column("battery_version", Integer),
    Column("device_id", Text, comment="device as the document names it"),
    Column("device_model", Text),
    Column("device_os", Text),
    Column("app_version", Text),
    Column("rev", Text, nullable=False, comment="winning revision"),
    Column("received_at", Timestamp, comment="first receipt of the winning revision, the server's clock"),
    Column("projected_at", Timestamp, nullable=False, server_default=func.now()),
    Column("source_missing_at", Timestamp, comment="set when the document is gone from the site database"),
    PrimaryKeyConstraint("site", "id"),
    Index(None, "study", "started_at"),
    Index(None, "participant"),
    Index(None, "started_at"),
)

task_runs = Table(
    "task_runs",
    metadata,
    Column("site", Text, nullable=False),
    Column("session_id", Text, nullable=False),
    Column("task", Text, nullable=False),
    Column("run", Integer, nullable=False),
    Column("status", Text),
    Column("started_at", Timestamp),
    Column("ended_at", Timestamp),
    Column("params", JSONB),
    Column("summary", JSONB, comment="what the tablet computed; never overwritten"),
    Column("n_trials", Integer, nullable=False),
    PrimaryKeyConstraint("site", "session_id", "task", "run"),
)

trials = Table(
    "trials",
    metadata,
    Column("site", Text, nullable=False),
    Column("session_id", Text, nullable=False),
    Column("task", Text, nullable=False),
    Column("run", Integer, nullable=False),
    Column("trial_index", Integer, nullable=False),
    Column("stage", Text, nullable=False, comment="`phase` or `exp_stage`; absent means test"),
    Column("rt_ms", Double, comment="reaction time, milliseconds; NULL = no response"),
    Column("correct", Boolean),
    Column("response", JSONB, comment="`response` or `key_press`, as logged"),
    Column("condition", Text),
    Column("time_elapsed_ms", Double, comment="milliseconds since the task began"),
    Column("extra", JSONB, comment="every other member of the jsPsych row"),
    PrimaryKeyConstraint("site", "session_id", "task", "run", "trial_index"),
)

scores = Table(
    "scores",
    metadata,
    Column("site", Text, nullable=False),
    Column("session_id", Text, nullable=False),
    Column("task", Text, nullable=False),
    Column("run", Integer, nullable=False),
    Column("name", Text, nullable=False),
    Column("value", Double, comment="NULL = undefined (too few trials)"),
    Column("scoring_version", Integer, nullable=False),
    PrimaryKeyConstraint("site", "session_id", "task", "run", "name"),
    Index(None, "task", "name"),
)

quality_flags = Table(
    "quality_flags",
    metadata,
    Column("site", Text, nullable=False),
    Column("session_id", Text, nullable=False),
    Column("task", Text, comment="NULL = the whole session"),
    Column("run", Integer),
    Column("trial_index", Integer),
    Column("code", Text, nullable=False),
    Column("detail", JSONB, nullable=False),
    UniqueConstraint(
        "site", "session_id", "task", "run", "trial_index", "code", postgresql_nulls_not_distinct=True
    ),
    Index(None, "code"),
)

quarantine = Table(
    "quarantine",
    metadata,
    Column("site", Text, nullable=False),
    Column("doc_id", Text, nullable=False),
    Column("rev", Text, nullable=False),
    Column("type", Text, comment="document type, where it could be read"),
    Column("code", Text, nullable=False),
    Column("path", Text, nullable=False, comment="JSON path of what is wrong"),
    Column("message", Text, nullable=False),
    Column("quarantined_at", Timestamp, nullable=False, server_default=func.now()),
    PrimaryKeyConstraint("site", "doc_id", "rev"),
    Index(None, "code"),
)

conflicts = Table(
    "conflicts",
    metadata,
    Column("site", Text, nullable=False),
    Column("session_id", Text, nullable=False),
    Column("path", Text, nullable=False, comment="where, by identity: $.tasks[simon,1].trials[17]"),
    Column("winner_rev", Text, nullable=False),
    Column("winner_value", JSONB),
    Column("other_rev", Text, nullable=False),
    Column("other_value", JSONB),
    PrimaryKeyConstraint("site", "session_id", "path", "other_rev"),
)

documents = Table(
    "documents",
    metadata,
    Column("site", Text, nullable=False),
    Column("doc_id", Text, nullable=False),
    Column("type", Text, comment="the id's prefix"),
    Column("winner_rev", Text, nullable=False),
    Column("leaves", ARRAY(Text), nullable=False, comment="all leaf revisions, sorted; equal means no-op"),
    Column("state", Text, nullable=False),
    Column("epoch", Text, nullable=False, comment="reading of the feed in which the document was last seen"),
    Column("source_missing_at", Timestamp),
    Column("projected_at", Timestamp, nullable=False, server_default=func.now()),
    PrimaryKeyConstraint("site", "doc_id"),
    CheckConstraint(
        "state IN ('projected', 'conflicted', 'quarantined', 'stored', 'deleted')", name="state_known"
    ),
)

checkpoints = Table(
    "checkpoints",
    metadata,
    Column("site", Text, nullable=False),
    Column("database", Text, nullable=False),
    Column("epoch", Text, nullable=False, comment="new at every reading from the start"),
    Column("batch", BigInteger, nullable=False, comment="number of the last committed batch of this epoch"),
    Column("since", Text, nullable=False, comment="feed position, opaque"),
    Column("pending", BigInteger, comment="changes after this batch when it was read"),
    Column("rereading", Boolean, nullable=False, comment="true until an epoch has reached the feed's end"),
    Column("advanced_at", Timestamp, nullable=False, server_default=func.now()),
    PrimaryKeyConstraint("site"),
)

# --- receipts: written by the gateway --------------------------------------------------------------------

ingest_log = Table(
    "ingest_log",
    metadata,
    Column("site", Text, nullable=False),
    Column("doc_id", Text, nullable=False),
    Column("rev", Text, nullable=False, comment="empty where the writer sent none"),
    Column("outcome", Text, nullable=False),
    Column("received_at", Timestamp, nullable=False, server_default=func.now()),
    Column("device", Text, nullable=False, comment="the credential's device, not the document's"),
    Column("role", Text, nullable=False),
    Column("credential", Text, nullable=False, comment="the credential's id (jti)"),
    Column("request_id", Text, nullable=False),
    Column("reason", Text, comment="why it was refused, or what was normalised"),
    Column("original", LargeBinary, comment="bytes as sent, where they had to be normalised"),
    PrimaryKeyConstraint("site", "doc_id", "rev", "outcome"),
    CheckConstraint("outcome IN ('received', 'refused')", name="outcome_known"),
    Index(None, "received_at"),
)

# --- references and people -------------------------------------------------------------------------------

studies = Table(
    "studies",
    metadata,
    Column("code", Text, primary_key=True),
    Column("title", Text, nullable=False, server_default=""),
    Column("created_at", Timestamp, nullable=False, server_default=func.now()),
)

participants = Table(
    "participants",
    metadata,
    Column("study", Text, nullable=False),
    Column("code", Text, nullable=False),
    Column("created_at", Timestamp, nullable=False, server_default=func.now()),
    PrimaryKeyConstraint("study", "code"),
)

batteries = Table(
    "batteries",
    metadata,
    Column("id", Text, nullable=False),
    Column("version", Integer, nullable=False),
    Column("created_at", Timestamp, nullable=False, server_default=func.now()),
    PrimaryKeyConstraint("id", "version"),
)

users = Table(
    "users",
    metadata,
    Column("id", BigInteger, primary_key=True, autoincrement=True),
    Column("email", Text, nullable=False, comment="lower case"),
    Column("password_hash", Text, nullable=False),
    Column("role", Text, nullable=False),
    Column("active", Boolean, nullable=False, server_default="true"),
    Column("created_at", Timestamp, nullable=False, server_default=func.now()),
    UniqueConstraint("email"),
    CheckConstraint("role IN ('admin', 'coordinator', 'researcher', 'read-only')", name="role_known"),
)

devices = Table(
    "devices",
    metadata,
    Column("credential", Text, primary_key=True, comment="the token's id (jti)"),
    Column("device", Text, nullable=False),
    Column("site", Text, nullable=False),
    Column("role", Text, nullable=False),
    Column("token_sha256", LargeBinary, nullable=False),
    Column("enrolled_at", Timestamp, nullable=False, server_default=func.now()),
    Column("revoked_at", Timestamp),
    CheckConstraint("role IN ('tablet', 'hub')", name="role_known"),
    Index(None, "site", "device"),
)
