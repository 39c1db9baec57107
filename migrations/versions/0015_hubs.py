"""Site hubs: what they tell of themselves, who wrote through them, what they have to purge.

Online: new tables, and columns that may be empty.

Revision ID: 0015
Revises: 0014
"""

import sqlalchemy as sa
from alembic import op
from sqlalchemy.dialects import postgresql

revision = "0015"
down_revision = "0014"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.create_table(
        "hubs",
        sa.Column("site", sa.Text(), nullable=False),
        sa.Column("device", sa.Text(), nullable=False),
        sa.Column(
            "urls",
            postgresql.ARRAY(sa.Text()),
            nullable=False,
            comment="how tablets reach it in their own network",
        ),
        sa.Column("ca_fingerprint", sa.Text(), comment="sha256:…, of its own authority's certificate"),
        sa.Column("app", sa.Text(), nullable=False),
        sa.Column("documents_waiting", sa.Integer(), nullable=False, comment="not at the centre yet"),
        sa.Column(
            "tablets",
            postgresql.JSONB(),
            nullable=False,
            comment="device and last_seen of each, by the hub's clock",
        ),
        sa.Column("storage_free_bytes", sa.BigInteger(), nullable=False),
        sa.Column(
            "clock_at", sa.DateTime(timezone=True), nullable=False, comment="the hub's clock when it told"
        ),
        sa.Column("told_at", sa.DateTime(timezone=True), server_default=sa.text("now()"), nullable=False),
        sa.PrimaryKeyConstraint("site", "device", name=op.f("pk_hubs")),
        comment="What each hub last told of itself.",
    )
    op.create_table(
        "erasure_hub_documents",
        sa.Column("task", sa.BigInteger(), nullable=False),
        sa.Column("doc_id", sa.Text(), nullable=False, comment="as the site database spells it"),
        sa.Column("rev", sa.Text(), nullable=False, comment="empty: every leaf"),
        sa.ForeignKeyConstraint(
            ["task"], ["erasure_hub_tasks.id"], name="fk_erasure_hub_documents_task", ondelete="CASCADE"
        ),
        sa.PrimaryKeyConstraint("task", "doc_id", "rev", name=op.f("pk_erasure_hub_documents")),
        comment="What a hub has to purge, by name; removed when the hub has done it or its disk was wiped.",
    )
    op.add_column(
        "devices",
        sa.Column(
            "wiped_at",
            sa.DateTime(timezone=True),
            comment="a revoked hub's: its disk holds nothing any more",
        ),
    )
    op.add_column(
        "ingest_log",
        sa.Column(
            "via", sa.Text(), comment="the hub that handed it in for the device; NULL = the device itself"
        ),
    )
    op.add_column(
        "ingest_log",
        sa.Column(
            "hub_received_at",
            sa.DateTime(timezone=True),
            comment="when the hub had it, by the hub's clock",
        ),
    )


def downgrade() -> None:
    op.drop_column("ingest_log", "hub_received_at")
    op.drop_column("ingest_log", "via")
    op.drop_column("devices", "wiped_at")
    op.drop_table("erasure_hub_documents")
    op.drop_table("hubs")
