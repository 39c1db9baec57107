"""First tables: results, the ingest log, references and people.

What each is for is said in `reporting/tables.py`; here is only how they came to be.

Revision ID: 0001
Revises:
"""

import sqlalchemy as sa
from alembic import op
from sqlalchemy.dialects import postgresql

revision = "0001"
down_revision = None
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.create_table(
        "sessions",
        sa.Column("site", sa.Text(), nullable=False),
        sa.Column("id", sa.Text(), nullable=False, comment="document id without its `session:` prefix"),
        sa.Column("study", sa.Text(), nullable=False, comment="study code as sent"),
        sa.Column("participant", sa.Text(), nullable=False, comment="participant code as sent"),
        sa.Column("visit", sa.Text(), comment="visit code as sent"),
        sa.Column("status", sa.Text(), nullable=False, comment="in_progress, completed or abandoned"),
        sa.Column(
            "started_at", sa.DateTime(timezone=True), nullable=False, comment="the device's clock, UTC"
        ),
        sa.Column("ended_at", sa.DateTime(timezone=True), comment="the device's clock, UTC"),
        sa.Column("utc_offset_minutes", sa.Integer(), comment="the device's offset from UTC"),
        sa.Column("language", sa.Text()),
        sa.Column("battery_id", sa.Text()),
        sa.Column("battery_version", sa.Integer()),
        sa.Column("device_id", sa.Text(), comment="device as the document names it"),
        sa.Column("device_model", sa.Text()),
        sa.Column("device_os", sa.Text()),
        sa.Column("app_version", sa.Text()),
        sa.Column("rev", sa.Text(), nullable=False, comment="winning revision"),
        sa.Column(
            "received_at",
            sa.DateTime(timezone=True),
            comment="first receipt of the winning revision, the server's clock",
        ),
        sa.Column("projected_at", sa.DateTime(timezone=True), server_default=sa.func.now(), nullable=False),
        sa.Column(
            "source_missing_at",
            sa.DateTime(timezone=True),
            comment="set when the document is gone from the site database",
        ),
        sa.PrimaryKeyConstraint("site", "id", name=op.f("pk_sessions")),
    )
    op.create_index(op.f("ix_sessions_participant"), "sessions", ["participant"])
    op.create_index(op.f("ix_sessions_started_at"), "sessions", ["started_at"])
    op.create_index(op.f("ix_sessions_study_started_at"), "sessions", ["study", "started_at"])

    op.create_table(
        "task_runs",
        sa.Column("site", sa.Text(), nullable=False),
        sa.Column("session_id", sa.Text(), nullable=False),
        sa.Column("task", sa.Text(), nullable=False),
        sa.Column("run", sa.Integer(), nullable=False),
        sa.Column("status", sa.Text()),
        sa.Column("started_at", sa.DateTime(timezone=True)),
        sa.Column("ended_at", sa.DateTime(timezone=True)),
        sa.Column("params", postgresql.JSONB()),
        sa.Column("summary", postgresql.JSONB(), comment="what the tablet computed; never overwritten"),
        sa.Column("n_trials", sa.Integer(), nullable=False),
        sa.PrimaryKeyConstraint("site", "session_id", "task", "run", name=op.f("pk_task_runs")),
    )

    op.create_table(
        "trials",
        sa.Column("site", sa.Text(), nullable=False),
        sa.Column("session_id", sa.Text(), nullable=False),
        sa.Column("task", sa.Text(), nullable=False),
        sa.Column("run", sa.Integer(), nullable=False),
        sa.Column("trial_index", sa.Integer(), nullable=False),
        sa.Column("stage", sa.Text(), nullable=False, comment="`phase` or `exp_stage`; absent means test"),
        sa.Column("rt_ms", sa.Double(), comment="reaction time, milliseconds; NULL = no response"),
        sa.Column("correct", sa.Boolean()),
        sa.Column("response", postgresql.JSONB(), comment="`response` or `key_press`, as logged"),
        sa.Column("condition", sa.Text()),
        sa.Column("time_elapsed_ms", sa.Double(), comment="milliseconds since the task began"),
        sa.Column("extra", postgresql.JSONB(), comment="every other member of the jsPsych row"),
        sa.PrimaryKeyConstraint("site", "session_id", "task", "run", "trial_index", name=op.f("pk_trials")),
    )

    op.create_table(
        "scores",
        sa.Column("site", sa.Text(), nullable=False),
        sa.Column("session_id", sa.Text(), nullable=False),
        sa.Column("task", sa.Text(), nullable=False),
        sa.Column("run", sa.Integer(), nullable=False),
        sa.Column("name", sa.Text(), nullable=False),
        sa.Column("value", sa.Double(), comment="NULL = undefined (too few trials)"),
        sa.Column("scoring_version", sa.Integer(), nullable=False),
        sa.PrimaryKeyConstraint("site", "session_id", "task", "run", "name", name=op.f("pk_scores")),
    )
    op.create_index(op.f("ix_scores_task_name"), "scores", ["task", "name"])

    op.create_table(
        "quality_flags",
        sa.Column("site", sa.Text(), nullable=False),
        sa.Column("session_id", sa.Text(), nullable=False),
        sa.Column("task", sa.Text(), comment="NULL = the whole session"),
        sa.Column("run", sa.Integer()),
        sa.Column("trial_index", sa.Integer()),
        sa.Column("code", sa.Text(), nullable=False),
        sa.Column("detail", postgresql.JSONB(), nullable=False),
        sa.UniqueConstraint(
            "site",
            "session_id",
            "task",
            "run",
            "trial_index",
            "code",
            name=op.f("uq_quality_flags_site_session_id_task_run_trial_index_code"),
            postgresql_nulls_not_distinct=True,
        ),
    )
    op.create_index(op.f("ix_quality_flags_code"), "quality_flags", ["code"])

    op.create_table(
        "quarantine",
        sa.Column("site", sa.Text(), nullable=False),
        sa.Column("doc_id", sa.Text(), nullable=False),
        sa.Column("rev", sa.Text(), nullable=False),
        sa.Column("type", sa.Text(), comment="document type, where it could be read"),
        sa.Column("code", sa.Text(), nullable=False),
        sa.Column("path", sa.Text(), nullable=False, comment="JSON path of what is wrong"),
        sa.Column("message", sa.Text(), nullable=False),
        sa.Column("quarantined_at", sa.DateTime(timezone=True), server_default=sa.func.now(), nullable=False),
        sa.PrimaryKeyConstraint("site", "doc_id", "rev", name=op.f("pk_quarantine")),
    )
    op.create_index(op.f("ix_quarantine_code"), "quarantine", ["code"])

    op.create_table(
        "conflicts",
        sa.Column("site", sa.Text(), nullable=False),
        sa.Column("session_id", sa.Text(), nullable=False),
        sa.Column(
            "path", sa.Text(), nullable=False, comment="where, by identity: $.tasks[simon,1].trials[17]"
        ),
        sa.Column("winner_rev", sa.Text(), nullable=False),
        sa.Column("winner_value", postgresql.JSONB()),
        sa.Column("other_rev", sa.Text(), nullable=False),
        sa.Column("other_value", postgresql.JSONB()),
        sa.PrimaryKeyConstraint("site", "session_id", "path", "other_rev", name=op.f("pk_conflicts")),
    )

    op.create_table(
        "documents",
        sa.Column("site", sa.Text(), nullable=False),
        sa.Column("doc_id", sa.Text(), nullable=False),
        sa.Column("type", sa.Text(), comment="the id's prefix"),
        sa.Column("winner_rev", sa.Text(), nullable=False),
        sa.Column(
            "leaves",
            postgresql.ARRAY(sa.Text()),
            nullable=False,
            comment="all leaf revisions, sorted; equal means no-op",
        ),
        sa.Column("state", sa.Text(), nullable=False),
        sa.Column(
            "epoch",
            sa.Text(),
            nullable=False,
            comment="reading of the feed in which the document was last seen",
        ),
        sa.Column("source_missing_at", sa.DateTime(timezone=True)),
        sa.Column("projected_at", sa.DateTime(timezone=True), server_default=sa.func.now(), nullable=False),
        sa.CheckConstraint(
            "state IN ('projected', 'conflicted', 'quarantined', 'stored', 'deleted')",
            name=op.f("ck_documents_state_known"),
        ),
        sa.PrimaryKeyConstraint("site", "doc_id", name=op.f("pk_documents")),
    )

    op.create_table(
        "checkpoints",
        sa.Column("site", sa.Text(), nullable=False),
        sa.Column("database", sa.Text(), nullable=False),
        sa.Column("epoch", sa.Text(), nullable=False, comment="new at every reading from the start"),
        sa.Column(
            "batch",
            sa.BigInteger(),
            nullable=False,
            comment="number of the last committed batch of this epoch",
        ),
        sa.Column("since", sa.Text(), nullable=False, comment="feed position, opaque"),
        sa.Column("pending", sa.BigInteger(), comment="changes after this batch when it was read"),
        sa.Column(
            "rereading",
            sa.Boolean(),
            nullable=False,
            comment="true until an epoch has reached the feed's end",
        ),
        sa.Column("advanced_at", sa.DateTime(timezone=True), server_default=sa.func.now(), nullable=False),
        sa.PrimaryKeyConstraint("site", name=op.f("pk_checkpoints")),
    )

    op.create_table(
        "ingest_log",
        sa.Column("site", sa.Text(), nullable=False),
        sa.Column("doc_id", sa.Text(), nullable=False),
        sa.Column("rev", sa.Text(), nullable=False, comment="empty where the writer sent none"),
        sa.Column("outcome", sa.Text(), nullable=False),
        sa.Column("received_at", sa.DateTime(timezone=True), server_default=sa.func.now(), nullable=False),
        sa.Column("device", sa.Text(), nullable=False, comment="the credential's device, not the document's"),
        sa.Column("role", sa.Text(), nullable=False),
        sa.Column("credential", sa.Text(), nullable=False, comment="the credential's id (jti)"),
        sa.Column("request_id", sa.Text(), nullable=False),
        sa.Column("reason", sa.Text(), comment="why it was refused, or what was normalised"),
        sa.Column("original", sa.LargeBinary(), comment="bytes as sent, where they had to be normalised"),
        sa.CheckConstraint("outcome IN ('received', 'refused')", name=op.f("ck_ingest_log_outcome_known")),
        sa.PrimaryKeyConstraint("site", "doc_id", "rev", "outcome", name=op.f("pk_ingest_log")),
    )
    op.create_index(op.f("ix_ingest_log_received_at"), "ingest_log", ["received_at"])

    op.create_table(
        "studies",
        sa.Column("code", sa.Text(), nullable=False),
        sa.Column("title", sa.Text(), server_default="", nullable=False),
        sa.Column("created_at", sa.DateTime(timezone=True), server_default=sa.func.now(), nullable=False),
        sa.PrimaryKeyConstraint("code", name=op.f("pk_studies")),
    )

    op.create_table(
        "participants",
        sa.Column("study", sa.Text(), nullable=False),
        sa.Column("code", sa.Text(), nullable=False),
        sa.Column("created_at", sa.DateTime(timezone=True), server_default=sa.func.now(), nullable=False),
        sa.PrimaryKeyConstraint("study", "code", name=op.f("pk_participants")),
    )

    op.create_table(
        "batteries",
        sa.Column("id", sa.Text(), nullable=False),
        sa.Column("version", sa.Integer(), nullable=False),
        sa.Column("created_at", sa.DateTime(timezone=True), server_default=sa.func.now(), nullable=False),
        sa.PrimaryKeyConstraint("id", "version", name=op.f("pk_batteries")),
    )

    op.create_table(
        "users",
        sa.Column("id", sa.BigInteger(), autoincrement=True, nullable=False),
        sa.Column("email", sa.Text(), nullable=False, comment="lower case"),
        sa.Column("password_hash", sa.Text(), nullable=False),
        sa.Column("role", sa.Text(), nullable=False),
        sa.Column("active", sa.Boolean(), server_default="true", nullable=False),
        sa.Column("created_at", sa.DateTime(timezone=True), server_default=sa.func.now(), nullable=False),
        sa.CheckConstraint(
            "role IN ('admin', 'coordinator', 'researcher', 'read-only')", name=op.f("ck_users_role_known")
        ),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_users")),
        sa.UniqueConstraint("email", name=op.f("uq_users_email")),
    )

    op.create_table(
        "devices",
        sa.Column("credential", sa.Text(), nullable=False, comment="the token's id (jti)"),
        sa.Column("device", sa.Text(), nullable=False),
        sa.Column("site", sa.Text(), nullable=False),
        sa.Column("role", sa.Text(), nullable=False),
        sa.Column("token_sha256", sa.LargeBinary(), nullable=False),
        sa.Column("enrolled_at", sa.DateTime(timezone=True), server_default=sa.func.now(), nullable=False),
        sa.Column("revoked_at", sa.DateTime(timezone=True)),
        sa.CheckConstraint("role IN ('tablet', 'hub')", name=op.f("ck_devices_role_known")),
        sa.PrimaryKeyConstraint("credential", name=op.f("pk_devices")),
    )
    op.create_index(op.f("ix_devices_site_device"), "devices", ["site", "device"])


def downgrade() -> None:
    for table in (
        "devices",
        "users",
        "batteries",
        "participants",
        "studies",
        "ingest_log",
        "checkpoints",
        "documents",
        "conflicts",
        "quarantine",
        "quality_flags",
        "scores",
        "trials",
        "task_runs",
        "sessions",
    ):
        op.drop_table(table)
