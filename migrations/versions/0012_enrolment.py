"""One-time codes, names and refusals of devices.

Revision ID: 0012
Revises: 0011
"""

import sqlalchemy as sa
from alembic import op

revision = "0012"
down_revision = "0011"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.create_table(
        "device_activity",
        sa.Column("site", sa.Text(), nullable=False),
        sa.Column("device", sa.Text(), nullable=False),
        sa.Column(
            "last_seen_at", sa.DateTime(timezone=True), nullable=False, comment="its last request of any kind"
        ),
        sa.Column(
            "last_push_at", sa.DateTime(timezone=True), comment="the last request that handed in documents"
        ),
        sa.Column("address", sa.Text()),
        sa.Column("app", sa.Text(), comment="User-Agent of the last request"),
        sa.PrimaryKeyConstraint("site", "device", name=op.f("pk_device_activity")),
        comment="When devices were last seen, a few seconds behind.",
    )
    op.create_table(
        "device_labels",
        sa.Column("site", sa.Text(), nullable=False),
        sa.Column("device", sa.Text(), nullable=False),
        sa.Column("label", sa.Text(), server_default="", nullable=False),
        sa.Column("row_version", sa.Integer(), server_default="1", nullable=False),
        sa.Column("updated_at", sa.DateTime(timezone=True), server_default=sa.text("now()"), nullable=False),
        sa.PrimaryKeyConstraint("site", "device", name=op.f("pk_device_labels")),
        comment="What people call a device; its name is in its credential and never changes.",
    )
    op.create_table(
        "enrolment_codes",
        sa.Column("id", sa.BigInteger(), sa.Identity(always=True), nullable=False),
        sa.Column("code_sha256", sa.LargeBinary(), nullable=False),
        sa.Column("site", sa.Text(), nullable=False),
        sa.Column("device", sa.Text(), nullable=False),
        sa.Column("role", sa.Text(), nullable=False),
        sa.Column("label", sa.Text(), server_default="", nullable=False),
        sa.Column("created_by", sa.Text(), nullable=False),
        sa.Column("created_at", sa.DateTime(timezone=True), server_default=sa.text("now()"), nullable=False),
        sa.Column("expires_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("redeemed_at", sa.DateTime(timezone=True)),
        sa.Column("installation_sha256", sa.LargeBinary(), comment="the app that redeemed it, and may again"),
        sa.Column("cancelled_at", sa.DateTime(timezone=True)),
        sa.CheckConstraint("role IN ('tablet', 'hub')", name=op.f("ck_enrolment_codes_role_known")),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_enrolment_codes")),
        sa.UniqueConstraint("code_sha256", name=op.f("uq_enrolment_codes_code_sha256")),
    )
    op.create_index(
        op.f("ix_enrolment_codes_site_created_at"), "enrolment_codes", ["site", "created_at"], unique=False
    )
    op.create_index(
        "ix_ingest_log_refused",
        "ingest_log",
        ["site", "device"],
        unique=False,
        if_not_exists=True,
        postgresql_where=sa.text("outcome = 'refused'"),
    )


def downgrade() -> None:
    op.drop_index(
        "ix_ingest_log_refused", table_name="ingest_log", postgresql_where=sa.text("outcome = 'refused'")
    )
    op.drop_index(op.f("ix_enrolment_codes_site_created_at"), table_name="enrolment_codes")
    op.drop_table("enrolment_codes")
    op.drop_table("device_labels")
    op.drop_table("device_activity")
