"""REDCap: connections, mappings, the ledger of what was pushed; a participant's record.

Online: new tables, and a column without a default.

Revision ID: 0017
Revises: 0016
"""

import sqlalchemy as sa
from alembic import op
from sqlalchemy.dialects import postgresql

revision = "0017"
down_revision = "0016"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.create_table(
        "redcap_hosts",
        sa.Column("host", sa.Text(), nullable=False, comment="with its port"),
        sa.Column(
            "free_at",
            sa.DateTime(timezone=True),
            server_default=sa.text("now()"),
            nullable=False,
            comment="of the next request",
        ),
        sa.Column("failures", sa.Integer(), server_default="0", nullable=False, comment="in a row"),
        sa.Column(
            "open_until",
            sa.DateTime(timezone=True),
            nullable=True,
            comment="the circuit breaker: no request before then",
        ),
        sa.Column(
            "banned_at",
            sa.DateTime(timezone=True),
            nullable=True,
            comment="no request until a person says so",
        ),
        sa.Column("ban", sa.Text(), nullable=True, comment="in the host's words"),
        sa.PrimaryKeyConstraint("host", name=op.f("pk_redcap_hosts")),
        comment="One throttle, one breaker a host, for all workers.",
    )
    op.create_table(
        "redcap_ledger",
        sa.Column("id", sa.BigInteger(), sa.Identity(always=True), nullable=False),
        sa.Column("project", sa.Text(), nullable=False),
        sa.Column("study", sa.Text(), nullable=False),
        sa.Column("site", sa.Text(), nullable=False),
        sa.Column("session_id", sa.Text(), nullable=False),
        sa.Column("form", sa.Text(), nullable=False),
        sa.Column("record", sa.Text(), nullable=False),
        sa.Column("event", sa.Text(), server_default="", nullable=False, comment="unique event name"),
        sa.Column(
            "instance",
            sa.Integer(),
            nullable=True,
            comment="1 where the form does not repeat; NULL until it is allocated",
        ),
        sa.Column("state", sa.Text(), server_default="pending", nullable=False),
        sa.Column("reason", sa.Text(), nullable=True, comment="why it is parked, or retired"),
        sa.Column(
            "payload",
            postgresql.JSONB(),
            nullable=True,
            comment="what was last sent, REDCap's strings by field",
        ),
        sa.Column("payload_sha256", sa.LargeBinary(), nullable=True),
        sa.Column("accepted", postgresql.JSONB(), nullable=True, comment="payload last read back as sent"),
        sa.Column(
            "fence", sa.BigInteger(), server_default="0", nullable=False, comment="grows with each take"
        ),
        sa.Column("created_at", sa.DateTime(timezone=True), server_default=sa.text("now()"), nullable=False),
        sa.Column("updated_at", sa.DateTime(timezone=True), server_default=sa.text("now()"), nullable=False),
        sa.CheckConstraint(
            "state IN ('pending', 'allocated', 'sent', 'accepted', 'done', 'parked', 'retired')",
            name=op.f("ck_redcap_ledger_state_known"),
        ),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_redcap_ledger")),
        sa.UniqueConstraint(
            "project",
            "record",
            "event",
            "form",
            "instance",
            name=op.f("uq_redcap_ledger_project_record_event_form_instance"),
        ),
        comment="Which session has which instance.",
    )
    op.create_index(
        "ix_redcap_ledger_session",
        "redcap_ledger",
        ["project", "site", "session_id", "form"],
        unique=True,
        postgresql_where=sa.text("state <> 'retired'"),
    )
    op.create_index(op.f("ix_redcap_ledger_study_state"), "redcap_ledger", ["study", "state"], unique=False)
    op.create_table(
        "redcap_attempts",
        sa.Column("id", sa.BigInteger(), sa.Identity(always=True), nullable=False),
        sa.Column("ledger", sa.BigInteger(), nullable=False),
        sa.Column(
            "at", sa.DateTime(timezone=True), server_default=sa.text("clock_timestamp()"), nullable=False
        ),
        sa.Column("entry", sa.BigInteger(), nullable=True, comment="outbox.id"),
        sa.Column("action", sa.Text(), nullable=False),
        sa.Column("outcome", sa.Text(), nullable=False),
        sa.Column("http_status", sa.Integer(), nullable=True),
        sa.Column("before", postgresql.JSONB(), nullable=True, comment="what REDCap had, where it was read"),
        sa.Column("after", postgresql.JSONB(), nullable=True, comment="what was sent"),
        sa.Column("payload_sha256", sa.LargeBinary(), nullable=True),
        sa.Column("error", sa.Text(), nullable=True),
        sa.CheckConstraint(
            "action IN ('allocate', 'import', 'read_back', 'withdraw')",
            name=op.f("ck_redcap_attempts_action_known"),
        ),
        sa.ForeignKeyConstraint(
            ["ledger"],
            ["redcap_ledger.id"],
            name="fk_redcap_attempts_ledger",
            ondelete="CASCADE",
        ),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_redcap_attempts")),
        comment="What was tried, never changed. Never a token.",
    )
    op.create_index(op.f("ix_redcap_attempts_ledger"), "redcap_attempts", ["ledger"], unique=False)
    op.create_table(
        "redcap_projects",
        sa.Column(
            "project",
            sa.Text(),
            nullable=False,
            comment="the mapping's project key, `@<site>` behind a site's",
        ),
        sa.Column("study", sa.Text(), nullable=False),
        sa.Column("title", sa.Text(), server_default="", nullable=False, comment="as REDCap has it"),
        sa.Column("redcap_version", sa.Text(), nullable=True),
        sa.Column(
            "dictionary",
            postgresql.JSONB(),
            nullable=True,
            comment="fields, forms, events and repeats, as last read",
        ),
        sa.Column(
            "dictionary_sha256",
            sa.LargeBinary(),
            nullable=True,
            comment="of the dictionary that the mapping was checked with",
        ),
        sa.Column("checked_at", sa.DateTime(timezone=True), nullable=True),
        sa.Column(
            "paused_at",
            sa.DateTime(timezone=True),
            nullable=True,
            comment="nothing is pushed or pulled until a person resumes it",
        ),
        sa.Column("paused_cause", sa.Text(), nullable=True),
        sa.Column("paused_reason", sa.Text(), nullable=True),
        sa.Column(
            "pulled_until",
            sa.DateTime(timezone=True),
            nullable=True,
            comment="REDCap's clock, read as UTC; NULL = everything",
        ),
        sa.Column("pulled_at", sa.DateTime(timezone=True), nullable=True),
        sa.Column("reconciled_at", sa.DateTime(timezone=True), nullable=True, comment="last pull of all ids"),
        sa.CheckConstraint(
            "paused_cause IN ('person', 'rights', 'dictionary', 'mapping')",
            name=op.f("ck_redcap_projects_paused_cause_known"),
        ),
        sa.PrimaryKeyConstraint("project", name=op.f("pk_redcap_projects")),
        comment="A REDCap project that a mapping is used with.",
    )
    op.create_table(
        "redcap_pulled",
        sa.Column("id", sa.BigInteger(), sa.Identity(always=True), nullable=False),
        sa.Column("project", sa.Text(), nullable=False),
        sa.Column("record", sa.Text(), nullable=False),
        sa.Column("participant", sa.Text(), nullable=True, comment="NULL = none was made"),
        sa.Column(
            "value",
            postgresql.JSONB(),
            nullable=False,
            comment="roster members as last taken; of contacts fingerprints",
        ),
        sa.Column("problem", sa.Text(), nullable=True, comment="why it was not taken, or not as a whole"),
        sa.Column(
            "conflicts", postgresql.JSONB(), nullable=True, comment="members that both sides have changed"
        ),
        sa.Column(
            "missing_since",
            sa.DateTime(timezone=True),
            nullable=True,
            comment="REDCap has the record no more",
        ),
        sa.Column("pulled_at", sa.DateTime(timezone=True), server_default=sa.text("now()"), nullable=False),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_redcap_pulled")),
        sa.UniqueConstraint("project", "record", name=op.f("uq_redcap_pulled_project_record")),
        comment="What REDCap last said of each record's participant.",
    )
    op.create_table(
        "redcap_connections",
        sa.Column("id", sa.BigInteger(), sa.Identity(always=True), nullable=False),
        sa.Column("study", sa.Text(), nullable=False),
        sa.Column(
            "site",
            sa.Text(),
            nullable=True,
            comment="NULL = every site of the study that has none of its own",
        ),
        sa.Column("url", sa.Text(), nullable=False, comment="of the API: https://…/api/"),
        sa.Column("token", sa.LargeBinary(), nullable=False, comment="sealed"),
        sa.Column("row_version", sa.Integer(), server_default="1", nullable=False),
        sa.Column("created_by", sa.Text(), nullable=False),
        sa.Column("created_at", sa.DateTime(timezone=True), server_default=sa.text("now()"), nullable=False),
        sa.Column("updated_at", sa.DateTime(timezone=True), server_default=sa.text("now()"), nullable=False),
        sa.ForeignKeyConstraint(["study"], ["studies.code"], name="fk_redcap_connections_study"),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_redcap_connections")),
        sa.UniqueConstraint(
            "study", "site", name=op.f("uq_redcap_connections_study_site"), postgresql_nulls_not_distinct=True
        ),
    )
    op.create_table(
        "redcap_mappings",
        sa.Column("study", sa.Text(), nullable=False),
        sa.Column("definition", postgresql.JSONB(), nullable=False),
        sa.Column("row_version", sa.Integer(), server_default="1", nullable=False),
        sa.Column("created_by", sa.Text(), nullable=False),
        sa.Column("created_at", sa.DateTime(timezone=True), server_default=sa.text("now()"), nullable=False),
        sa.Column("updated_by", sa.Text(), nullable=False),
        sa.Column("updated_at", sa.DateTime(timezone=True), server_default=sa.text("now()"), nullable=False),
        sa.ForeignKeyConstraint(["study"], ["studies.code"], name="fk_redcap_mappings_study"),
        sa.PrimaryKeyConstraint("study", name=op.f("pk_redcap_mappings")),
    )
    op.add_column(
        "participants",
        sa.Column(
            "redcap_id", sa.Text(), nullable=True, comment="their record in the study's REDCap project"
        ),
    )
    op.create_index(
        "ix_participants_study_redcap_id",
        "participants",
        ["study", "redcap_id"],
        unique=True,
        postgresql_where=sa.text("redcap_id IS NOT NULL"),
    )


def downgrade() -> None:
    op.drop_index(
        "ix_participants_study_redcap_id",
        table_name="participants",
        postgresql_where=sa.text("redcap_id IS NOT NULL"),
    )
    op.drop_column("participants", "redcap_id")
    op.drop_table("redcap_mappings")
    op.drop_table("redcap_connections")
    op.drop_table("redcap_pulled")
    op.drop_table("redcap_projects")
    op.drop_index(op.f("ix_redcap_attempts_ledger"), table_name="redcap_attempts")
    op.drop_table("redcap_attempts")
    op.drop_index(op.f("ix_redcap_ledger_study_state"), table_name="redcap_ledger")
    op.drop_index(
        "ix_redcap_ledger_session", table_name="redcap_ledger", postgresql_where=sa.text("state <> 'retired'")
    )
    op.drop_table("redcap_ledger")
    op.drop_table("redcap_hosts")
