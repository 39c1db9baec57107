"""What documents say: the tables that a rebuild makes anew, written by the projector only."""

from sqlalchemy import (
    BigInteger,
    Boolean,
    CheckConstraint,
    Column,
    Double,
    Index,
    Integer,
    PrimaryKeyConstraint,
    Table,
    Text,
    UniqueConstraint,
    func,
)
from sqlalchemy.dialects.postgresql import ARRAY, JSONB

from reporting.tables.base import Timestamp, metadata

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
    Column("schema", Integer, nullable=False, server_default="1", comment="document schema as sent"),
    Column("received_at", Timestamp, comment="first receipt of the winning revision, the server's clock"),
    Column("clock_offset_s", Double, comment="seconds to add to the device's clock; NULL = none known"),
    Column("started_at_corrected", Timestamp, comment="started_at by the server's clock, as far as known"),
    Column("ended_at_corrected", Timestamp, comment="ended_at by the server's clock, as far as known"),
    Column("trials_digest", Text, comment="equal for sessions with the same trials; NULL = too few"),
    Column("projected_at", Timestamp, nullable=False, server_default=func.now()),
    Column("source_missing_at", Timestamp, comment="set when the document is gone from the site database"),
    PrimaryKeyConstraint("site", "id"),
    Index(None, "study", "started_at"),
    Index(None, "participant"),
    Index(None, "started_at"),
    Index(None, "received_at"),
    Index(None, "site", "trials_digest"),
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

trial_rows = Table(
    "trial_rows",
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
    Index(None, "site", "session_id"),
    comment="The view `trials` without `extra`. Once a task run: the keys of task_runs and trial_extras.",
)

trial_extras = Table(
    "trial_extras",
    metadata,
    Column("site", Text, nullable=False),
    Column("session_id", Text, nullable=False),
    Column("task", Text, nullable=False),
    Column("run", Integer, nullable=False),
    Column("part", Integer, nullable=False, comment="trial_index >> 6: up to 64 trials are one value"),
    Column("extras", JSONB, nullable=False, comment="by trial_index: what `trials` shows as `extra`"),
    PrimaryKeyConstraint("site", "session_id", "task", "run", "part"),
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
    Column("rule_version", Integer, nullable=False, server_default="1"),
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
    Column(
        "rules_version",
        Integer,
        nullable=False,
        server_default="1",
        comment="of the rules that judged it, or are to",
    ),
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
    Column("other_rev", Text, nullable=False, comment="of an outdated patch: the id of the correction"),
    Column("other_value", JSONB),
    Column("state", Text, nullable=False, server_default="open"),
    Column("correction", Text, comment="id of the correction that resolves it, or is outdated"),
    PrimaryKeyConstraint("site", "session_id", "path", "other_rev"),
    CheckConstraint("state IN ('open', 'resolved', 'outdated')", name="state_known"),
    Index(None, "state"),
)

corrections = Table(
    "corrections",
    metadata,
    Column("site", Text, nullable=False),
    Column("doc_id", Text, nullable=False),
    Column("session_id", Text, nullable=False),
    Column("number", Integer, nullable=False, comment="order in which the session's corrections apply"),
    Column("rev", Text, nullable=False),
    Column("kind", Text, nullable=False),
    Column("reason", Text, nullable=False),
    Column("author", Text, nullable=False),
    Column("made_at", Timestamp, nullable=False),
    Column("body", JSONB, nullable=False, comment="what it changes: `patch` and `base`, or `values`"),
    Column("source_missing_at", Timestamp, comment="deleted or gone at its source: not applied"),
    PrimaryKeyConstraint("site", "doc_id"),
    Index(None, "site", "session_id"),
    CheckConstraint("kind IN ('patch', 'resolution')", name="kind_known"),
)

losing_revisions = Table(
    "losing_revisions",
    metadata,
    Column("site", Text, nullable=False),
    Column("doc_id", Text, nullable=False),
    Column("rev", Text, nullable=False, comment="a live leaf that is not the winner"),
    Column("winner_rev", Text, nullable=False),
    Column("body", JSONB, comment="the document as stored, NUL replaced; NULL = no JSON that Postgres holds"),
    PrimaryKeyConstraint("site", "doc_id", "rev"),
)

device_status = Table(
    "device_status",
    metadata,
    Column("site", Text, nullable=False),
    Column("device", Text, nullable=False, comment="id of the `device` document without its prefix"),
    Column("rev", Text, nullable=False),
    Column("app_version", Text),
    Column("os", Text),
    Column("free_bytes", BigInteger),
    Column("battery_level", Double, comment="share, 0 to 1"),
    Column("outstanding", Integer, comment="documents that the tablet has not pushed yet"),
    Column("clock_at", Timestamp, comment="the device's clock when it wrote this"),
    Column("received_at", Timestamp, comment="the server's clock at first receipt"),
    Column("source_missing_at", Timestamp),
    PrimaryKeyConstraint("site", "device"),
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
