"""Replication jobs, and what was seen of them.

Online: new tables.

Revision ID: 0016
Revises: 0015
"""

import sqlalchemy as sa
from alembic import op
from sqlalchemy.dialects import postgresql

revision = "0016"
down_revision = "0015"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.create_table(
        "replication_jobs",
        sa.Column("id", sa.BigInteger(), sa.Identity(always=True), nullable=False),
        sa.Column("site", sa.Text(), nullable=False),
        sa.Column("name", sa.Text(), nullable=False),
        sa.Column("kind", sa.Text(), nullable=False, comment="which documents: collected, published, custom"),
        sa.Column("direction", sa.Text(), nullable=False, comment="push or pull, as seen from this server"),
        sa.Column("url", sa.Text(), nullable=False, comment="the other side's database, without a login"),
        sa.Column(
            "login_name", sa.Text(), nullable=True, comment="of the credential; NULL = a token, or none"
        ),
        sa.Column("credential", sa.LargeBinary(), nullable=True, comment="sealed, for this URL only"),
        sa.Column(
            "selector",
            postgresql.JSONB(),
            nullable=True,
            comment="of a custom job; NULL = every document",
        ),
        sa.Column("continuous", sa.Boolean(), server_default="true", nullable=False),
        sa.Column("desired", sa.Text(), server_default="running", nullable=False),
        sa.Column(
            "generation",
            sa.Integer(),
            server_default="1",
            nullable=False,
            comment="grows: from the beginning",
        ),
        sa.Column(
            "attempt",
            sa.Integer(),
            server_default="1",
            nullable=False,
            comment="grows: now, from where it was",
        ),
        sa.Column("row_version", sa.Integer(), server_default="1", nullable=False),
        sa.Column("created_by", sa.Text(), nullable=False),
        sa.Column("created_at", sa.DateTime(timezone=True), server_default=sa.text("now()"), nullable=False),
        sa.Column("updated_by", sa.Text(), nullable=False),
        sa.Column("updated_at", sa.DateTime(timezone=True), server_default=sa.text("now()"), nullable=False),
        sa.Column(
            "state",
            sa.Text(),
            server_default="initializing",
            nullable=False,
            comment="as the scheduler names it",
        ),
        sa.Column("observed_at", sa.DateTime(timezone=True), nullable=True),
        sa.Column("pending", sa.BigInteger(), nullable=True),
        sa.Column("written", sa.BigInteger(), nullable=True),
        sa.Column("failures", sa.BigInteger(), nullable=True),
        sa.Column(
            "per_second",
            sa.Float(53),
            nullable=True,
            comment="documents written, between the last two looks",
        ),
        sa.Column("error", sa.Text(), nullable=True),
        sa.Column("error_at", sa.DateTime(timezone=True), nullable=True),
        sa.Column("next_retry_at", sa.DateTime(timezone=True), nullable=True),
        sa.Column("stuck_since", sa.DateTime(timezone=True), nullable=True),
        sa.Column(
            "memory", postgresql.JSONB(), nullable=True, comment="what the watch remembers of its last look"
        ),
        sa.CheckConstraint(
            "kind IN ('collected', 'published', 'custom')", name=op.f("ck_replication_jobs_kind_known")
        ),
        sa.CheckConstraint("direction IN ('push', 'pull')", name=op.f("ck_replication_jobs_direction_known")),
        sa.CheckConstraint(
            "desired IN ('running', 'paused', 'cancelled')",
            name=op.f("ck_replication_jobs_desired_known"),
        ),
        sa.ForeignKeyConstraint(["site"], ["sites.code"], name="fk_replication_jobs_site"),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_replication_jobs")),
    )
    op.create_index(
        "ix_replication_jobs_name",
        "replication_jobs",
        ["site", "name"],
        unique=True,
        postgresql_where=sa.text("desired <> 'cancelled'"),
    )
    op.create_table(
        "replication_job_events",
        sa.Column("id", sa.BigInteger(), sa.Identity(always=True), nullable=False),
        sa.Column("job", sa.BigInteger(), nullable=False, comment="replication_jobs.id"),
        sa.Column("at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("state", sa.Text(), nullable=False),
        sa.Column("detail", sa.Text(), nullable=True, comment="the error, or why"),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_replication_job_events")),
        comment="What was seen of replication jobs; the last of each job are kept.",
    )
    op.create_index(op.f("ix_replication_job_events_job"), "replication_job_events", ["job"])


def downgrade() -> None:
    op.drop_table("replication_job_events")
    op.drop_table("replication_jobs")
