"""Files made by jobs: exports and reports.

Online: a new table.

Revision ID: 0020
Revises: 0019
"""

import sqlalchemy as sa
from alembic import op
from sqlalchemy.dialects import postgresql

revision = "0020"
down_revision = "0019"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.create_table(
        "research_files",
        sa.Column("id", sa.BigInteger(), sa.Identity(always=True), nullable=False),
        sa.Column("kind", sa.Text(), nullable=False, comment="whose maker makes it: export, …"),
        sa.Column("study", sa.Text(), nullable=False),
        sa.Column(
            "sites",
            postgresql.ARRAY(sa.Text()),
            nullable=True,
            comment="what it is limited to; NULL = the whole study",
        ),
        sa.Column("identified", sa.Boolean(), nullable=False, comment="codes and dates as they are"),
        sa.Column(
            "request",
            postgresql.JSONB(),
            nullable=False,
            comment="what was asked for; of an erased participant: {}",
        ),
        sa.Column("state", sa.Text(), server_default="queued", nullable=False),
        sa.Column(
            "attempt",
            sa.Integer(),
            server_default="0",
            nullable=False,
            comment="grows; fences late workers off",
        ),
        sa.Column("stage", sa.Text(), nullable=True, comment="what its worker is at"),
        sa.Column("rows_done", sa.BigInteger(), server_default="0", nullable=False),
        sa.Column("rows_total", sa.BigInteger(), nullable=True, comment="as far as known"),
        sa.Column(
            "content_key",
            sa.Text(),
            nullable=True,
            comment="of the file in the folder; known once its data were looked at",
        ),
        sa.Column("file_name", sa.Text(), nullable=True, comment="for who downloads it"),
        sa.Column("media_type", sa.Text(), nullable=True),
        sa.Column("size", sa.BigInteger(), nullable=True, comment="bytes"),
        sa.Column("sha256", sa.Text(), nullable=True),
        sa.Column(
            "watermark", postgresql.JSONB(), nullable=True, comment="through when the data were complete"
        ),
        sa.Column(
            "error",
            sa.Text(),
            nullable=True,
            comment="why it failed, is tried again, or was removed; names no participant",
        ),
        sa.Column("person", sa.BigInteger(), nullable=False, comment="who asked for it: users.id"),
        sa.Column("asked_by", sa.Text(), nullable=False, comment="their address then"),
        sa.Column("asked_at", sa.DateTime(timezone=True), server_default=sa.text("now()"), nullable=False),
        sa.Column("started_at", sa.DateTime(timezone=True), nullable=True),
        sa.Column("ended_at", sa.DateTime(timezone=True), nullable=True),
        sa.Column("expires_at", sa.DateTime(timezone=True), nullable=True, comment="set when it is done"),
        sa.CheckConstraint(
            "state IN ('queued', 'running', 'done', 'failed', 'expired', 'removed')",
            name=op.f("ck_research_files_state_known"),
        ),
        sa.CheckConstraint(
            "state <> 'done' OR (content_key IS NOT NULL AND file_name IS NOT NULL AND media_type IS NOT NULL"
            " AND size IS NOT NULL AND sha256 IS NOT NULL AND expires_at IS NOT NULL)",
            name=op.f("ck_research_files_done_whole"),
        ),
        sa.ForeignKeyConstraint(["study"], ["studies.code"], name="fk_research_files_study"),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_research_files")),
    )
    op.create_index(op.f("ix_research_files_person_asked_at"), "research_files", ["person", "asked_at"])
    op.create_index(op.f("ix_research_files_study_asked_at"), "research_files", ["study", "asked_at"])
    op.create_index(
        "ix_research_files_content_key",
        "research_files",
        ["content_key"],
        postgresql_where=sa.text("state IN ('running', 'done')"),
    )
    op.create_index(
        "ix_research_files_open",
        "research_files",
        ["id"],
        postgresql_where=sa.text("state IN ('queued', 'running')"),
    )


def downgrade() -> None:
    op.drop_table("research_files")
