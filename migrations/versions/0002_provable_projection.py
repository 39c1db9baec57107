"""Projection that can be proved: corrections, replays, proofs, watermarks, an audit log.

Online: new tables and columns only; each added column is nullable or has a constant default, which rewrites
nothing.
`conflicts` and `sessions` get one index each, built in a moment for the sizes that version 0001 can have.

Revision ID: 0002
Revises: 0001
"""

import sqlalchemy as sa
from alembic import op
from sqlalchemy.dialects import postgresql

revision = "0002"
down_revision = "0001"
branch_labels = None
depends_on = None

CREATED = (
    "waivers",
    "site_states",
    "score_history",
    "rescorings",
    "replays",
    "proofs",
    "losing_revisions",
    "device_status",
    "corrections",
    "audit_log",
)

ADDED = {
    "batteries": ("tasks",),
    "checkpoints": ("changed_at", "complete_through"),
    "conflicts": ("state", "correction"),
    "quality_flags": ("rule_version",),
    "quarantine": ("rules_version",),
    "sessions": ("schema", "clock_offset_s", "started_at_corrected", "ended_at_corrected", "trials_digest"),
}


def upgrade() -> None:
    op.create_table(
        "audit_log",
        sa.Column("id", sa.BigInteger(), sa.Identity(always=True), nullable=False),
        sa.Column("at", sa.DateTime(timezone=True), server_default=sa.text("now()"), nullable=False),
        sa.Column("actor", sa.Text(), nullable=False, comment="email, device, or name of the process"),
        sa.Column("actor_kind", sa.Text(), nullable=False),
        sa.Column("role", sa.Text(), comment="the actor's role at that moment"),
        sa.Column("action", sa.Text(), nullable=False, comment="noun and verb: quarantine.waive"),
        sa.Column("entity", sa.Text(), nullable=False, comment="kind of what was acted on"),
        sa.Column("entity_id", sa.Text(), nullable=False),
        sa.Column("site", sa.Text()),
        sa.Column("study", sa.Text()),
        sa.Column("reason", sa.Text()),
        sa.Column("before", postgresql.JSONB()),
        sa.Column("after", postgresql.JSONB()),
        sa.Column("request_id", sa.Text()),
        sa.Column("address", sa.Text(), comment="where the request came from"),
        sa.Column("source", sa.Text(), comment="what it tells of, where that could be told twice"),
        sa.CheckConstraint(
            "actor_kind IN ('person', 'device', 'process')", name=op.f("ck_audit_log_actor_kind_known")
        ),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_audit_log")),
        sa.UniqueConstraint("source", name=op.f("uq_audit_log_source")),
        comment="Append-only: a trigger refuses UPDATE and DELETE.",
    )
    op.create_index(op.f("ix_audit_log_at"), "audit_log", ["at"])
    op.create_index(op.f("ix_audit_log_entity_entity_id"), "audit_log", ["entity", "entity_id"])
    op.create_index(op.f("ix_audit_log_site_at"), "audit_log", ["site", "at"])
    op.create_table(
        "corrections",
        sa.Column("site", sa.Text(), nullable=False),
        sa.Column("doc_id", sa.Text(), nullable=False),
        sa.Column("session_id", sa.Text(), nullable=False),
        sa.Column(
            "number", sa.Integer(), nullable=False, comment="order in which the session's corrections apply"
        ),
        sa.Column("rev", sa.Text(), nullable=False),
        sa.Column("kind", sa.Text(), nullable=False),
        sa.Column("reason", sa.Text(), nullable=False),
        sa.Column("author", sa.Text(), nullable=False),
        sa.Column("made_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column(
            "body",
            postgresql.JSONB(),
            nullable=False,
            comment="what it changes: `patch` and `base`, or `values`",
        ),
        sa.CheckConstraint("kind IN ('patch', 'resolution')", name=op.f("ck_corrections_kind_known")),
        sa.PrimaryKeyConstraint("site", "doc_id", name=op.f("pk_corrections")),
    )
    op.create_index(op.f("ix_corrections_site_session_id"), "corrections", ["site", "session_id"])
    op.create_table(
        "device_status",
        sa.Column("site", sa.Text(), nullable=False),
        sa.Column(
            "device", sa.Text(), nullable=False, comment="id of the `device` document without its prefix"
        ),
        sa.Column("rev", sa.Text(), nullable=False),
        sa.Column("app_version", sa.Text()),
        sa.Column("os", sa.Text()),
        sa.Column("free_bytes", sa.BigInteger()),
        sa.Column("battery_level", sa.Double(), comment="share, 0 to 1"),
        sa.Column("outstanding", sa.Integer(), comment="documents that the tablet has not pushed yet"),
        sa.Column("clock_at", sa.DateTime(timezone=True), comment="the device's clock when it wrote this"),
        sa.Column("received_at", sa.DateTime(timezone=True), comment="the server's clock at first receipt"),
        sa.Column("source_missing_at", sa.DateTime(timezone=True)),
        sa.PrimaryKeyConstraint("site", "device", name=op.f("pk_device_status")),
    )
    op.create_table(
        "losing_revisions",
        sa.Column("site", sa.Text(), nullable=False),
        sa.Column("doc_id", sa.Text(), nullable=False),
        sa.Column("rev", sa.Text(), nullable=False, comment="a live leaf that is not the winner"),
        sa.Column("winner_rev", sa.Text(), nullable=False),
        sa.Column(
            "body",
            postgresql.JSONB(),
            comment="the document as stored, NUL replaced; NULL = no JSON that Postgres holds",
        ),
        sa.PrimaryKeyConstraint("site", "doc_id", "rev", name=op.f("pk_losing_revisions")),
    )
    op.create_table(
        "proofs",
        sa.Column("id", sa.BigInteger(), sa.Identity(always=True), nullable=False),
        sa.Column("site", sa.Text(), nullable=False),
        sa.Column("kind", sa.Text(), nullable=False, comment="full, or since the last proof"),
        sa.Column("started_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("finished_at", sa.DateTime(timezone=True), server_default=sa.text("now()"), nullable=False),
        sa.Column(
            "epoch", sa.Text(), nullable=False, comment="of the checkpoint; another one asks for a full proof"
        ),
        sa.Column("update_seq", sa.Text(), nullable=False, comment="up to where the feed was compared"),
        sa.Column(
            "counts",
            postgresql.JSONB(),
            nullable=False,
            comment="documents, leaves, and how many are in which state",
        ),
        sa.Column("missing", sa.Integer(), nullable=False),
        sa.Column("repaired", sa.Integer(), nullable=False),
        sa.CheckConstraint("kind IN ('full', 'incremental')", name=op.f("ck_proofs_kind_known")),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_proofs")),
    )
    op.create_index(op.f("ix_proofs_site_finished_at"), "proofs", ["site", "finished_at"])
    op.create_table(
        "replays",
        sa.Column("site", sa.Text(), nullable=False),
        sa.Column("doc_id", sa.Text(), nullable=False, comment="as rows spell it"),
        sa.Column(
            "ticket",
            sa.BigInteger(),
            sa.Identity(always=True),
            nullable=False,
            comment="another one at each request",
        ),
        sa.Column("cause", sa.Text(), nullable=False),
        sa.Column("requested_by", sa.Text(), nullable=False),
        sa.Column(
            "requested_at", sa.DateTime(timezone=True), server_default=sa.text("now()"), nullable=False
        ),
        sa.CheckConstraint(
            "cause IN ('correction', 'retry', 'rules', 'rescore', 'reconcile')",
            name=op.f("ck_replays_cause_known"),
        ),
        sa.PrimaryKeyConstraint("site", "doc_id", name=op.f("pk_replays")),
    )
    op.create_table(
        "rescorings",
        sa.Column("id", sa.BigInteger(), sa.Identity(always=True), nullable=False),
        sa.Column("task", sa.Text(), nullable=False),
        sa.Column("scoring_version", sa.Integer(), nullable=False),
        sa.Column("requested_by", sa.Text(), nullable=False),
        sa.Column(
            "requested_at", sa.DateTime(timezone=True), server_default=sa.text("now()"), nullable=False
        ),
        sa.Column("sessions", sa.Integer(), nullable=False),
        sa.Column("difference", postgresql.JSONB(), nullable=False, comment="before and after, by score"),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_rescorings")),
    )
    op.create_table(
        "score_history",
        sa.Column("id", sa.BigInteger(), sa.Identity(always=True), nullable=False),
        sa.Column("site", sa.Text(), nullable=False),
        sa.Column("session_id", sa.Text(), nullable=False),
        sa.Column("task", sa.Text(), nullable=False),
        sa.Column("run", sa.Integer(), nullable=False),
        sa.Column("name", sa.Text(), nullable=False),
        sa.Column("value", sa.Double()),
        sa.Column("scoring_version", sa.Integer(), nullable=False),
        sa.Column("replaced_at", sa.DateTime(timezone=True), server_default=sa.text("now()"), nullable=False),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_score_history")),
    )
    op.create_index(op.f("ix_score_history_site_session_id"), "score_history", ["site", "session_id"])
    op.create_table(
        "site_states",
        sa.Column("site", sa.Text(), nullable=False),
        sa.Column("state", sa.Text(), nullable=False),
        sa.Column(
            "since", sa.DateTime(timezone=True), nullable=False, comment="when it came into this state"
        ),
        sa.Column("failures", sa.Integer(), server_default="0", nullable=False, comment="in a row"),
        sa.Column("error", sa.Text(), comment="the last failure; NULL while running"),
        sa.Column("next_try_at", sa.DateTime(timezone=True)),
        sa.Column("projector", sa.Text(), nullable=False, comment="the process that said so"),
        sa.CheckConstraint(
            "state IN ('initializing', 'running', 'backing_off', 'error')",
            name=op.f("ck_site_states_state_known"),
        ),
        sa.PrimaryKeyConstraint("site", name=op.f("pk_site_states")),
    )
    op.create_table(
        "waivers",
        sa.Column("site", sa.Text(), nullable=False),
        sa.Column("doc_id", sa.Text(), nullable=False),
        sa.Column("code", sa.Text(), nullable=False),
        sa.Column("path", sa.Text(), nullable=False),
        sa.Column("reason", sa.Text(), nullable=False),
        sa.Column("waived_by", sa.Text(), nullable=False),
        sa.Column("waived_at", sa.DateTime(timezone=True), server_default=sa.text("now()"), nullable=False),
        sa.PrimaryKeyConstraint("site", "doc_id", "code", "path", name=op.f("pk_waivers")),
        comment="Accepted problems of quarantined documents, whatever revision has them.",
    )
    op.add_column(
        "batteries",
        sa.Column(
            "tasks",
            postgresql.ARRAY(sa.Text()),
            comment="the tasks of which it consists; NULL = not known here",
        ),
    )
    op.add_column(
        "checkpoints",
        sa.Column(
            "changed_at", sa.DateTime(timezone=True), comment="when the last change of the feed was committed"
        ),
    )
    op.add_column(
        "checkpoints",
        sa.Column(
            "complete_through",
            sa.DateTime(timezone=True),
            comment="what was acknowledged before this moment is judged",
        ),
    )
    op.add_column("conflicts", sa.Column("state", sa.Text(), server_default="open", nullable=False))
    op.add_column(
        "conflicts",
        sa.Column("correction", sa.Text(), comment="id of the correction that resolves it, or is outdated"),
    )
    op.alter_column(
        "conflicts",
        "other_rev",
        existing_type=sa.TEXT(),
        comment="of an outdated patch: the id of the correction",
        existing_nullable=False,
    )
    op.create_index(op.f("ix_conflicts_state"), "conflicts", ["state"])
    op.add_column(
        "quality_flags", sa.Column("rule_version", sa.Integer(), server_default="1", nullable=False)
    )
    op.add_column(
        "quarantine",
        sa.Column(
            "rules_version",
            sa.Integer(),
            server_default="1",
            nullable=False,
            comment="of the rules that judged it",
        ),
    )
    op.add_column(
        "sessions",
        sa.Column(
            "schema", sa.Integer(), server_default="1", nullable=False, comment="document schema as sent"
        ),
    )
    op.add_column(
        "sessions",
        sa.Column(
            "clock_offset_s",
            sa.Double(),
            comment="seconds to add to the device's clock; NULL = nothing suspect",
        ),
    )
    op.add_column(
        "sessions",
        sa.Column(
            "started_at_corrected",
            sa.DateTime(timezone=True),
            comment="started_at by the server's clock, as far as known",
        ),
    )
    op.add_column(
        "sessions",
        sa.Column(
            "ended_at_corrected",
            sa.DateTime(timezone=True),
            comment="ended_at by the server's clock, as far as known",
        ),
    )
    op.add_column(
        "sessions",
        sa.Column(
            "trials_digest", sa.Text(), comment="equal for sessions with the same trials; NULL without trials"
        ),
    )
    op.create_index(op.f("ix_sessions_site_trials_digest"), "sessions", ["site", "trials_digest"])
    op.create_check_constraint(
        op.f("ck_conflicts_state_known"), "conflicts", "state IN ('open', 'resolved', 'outdated')"
    )
    op.execute(
        """
        CREATE FUNCTION refuse_change_of_record() RETURNS trigger LANGUAGE plpgsql AS
        $$ BEGIN RAISE EXCEPTION '% is append-only', TG_TABLE_NAME; END $$
        """
    )
    op.execute(
        """
        CREATE TRIGGER audit_log_is_append_only BEFORE UPDATE OR DELETE OR TRUNCATE ON audit_log
        FOR EACH STATEMENT EXECUTE FUNCTION refuse_change_of_record()
        """
    )


def downgrade() -> None:
    op.drop_index(op.f("ix_sessions_site_trials_digest"), "sessions")
    for table, columns in ADDED.items():
        for column in columns:
            op.drop_column(table, column)
    for table in CREATED:
        op.drop_table(table)
    op.execute("DROP FUNCTION refuse_change_of_record()")
