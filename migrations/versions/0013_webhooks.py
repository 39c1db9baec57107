"""Webhooks; the relay's duties; new entries of the outbox wake the relay.

Online: new tables, and a trigger on one that no release had.

Revision ID: 0013
Revises: 0012
"""

import sqlalchemy as sa
from alembic import op
from sqlalchemy.dialects import postgresql

revision = "0013"
down_revision = "0012"
branch_labels = None
depends_on = None

NOTIFY = """
CREATE FUNCTION notify_outbox() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    PERFORM pg_notify('outbox', '');
    RETURN NULL;
END
$$
"""
TRIGGER = """
CREATE TRIGGER outbox_entered AFTER INSERT ON outbox
FOR EACH STATEMENT EXECUTE FUNCTION notify_outbox()
"""


def upgrade() -> None:
    op.create_table(
        "duties",
        sa.Column("name", sa.Text(), nullable=False),
        sa.Column("ran_at", sa.DateTime(timezone=True), nullable=False),
        sa.PrimaryKeyConstraint("name", name=op.f("pk_duties")),
        comment="What a relay does now and then, and when it was last done.",
    )
    op.create_table(
        "webhooks",
        sa.Column("id", sa.BigInteger(), sa.Identity(always=True), nullable=False),
        sa.Column("url", sa.Text(), nullable=False),
        sa.Column("description", sa.Text(), server_default="", nullable=False),
        sa.Column("events", postgresql.ARRAY(sa.Text()), nullable=False, comment="names of events"),
        sa.Column("study", sa.Text(), nullable=True, comment="NULL = of all studies, and those of none"),
        sa.Column(
            "secret",
            sa.LargeBinary(),
            nullable=False,
            comment="sealed: what deliveries are signed with",
        ),
        sa.Column("paused_at", sa.DateTime(timezone=True), nullable=True),
        sa.Column("paused_reason", sa.Text(), nullable=True),
        sa.Column("row_version", sa.Integer(), server_default="1", nullable=False),
        sa.Column("created_by", sa.Text(), nullable=False),
        sa.Column("created_at", sa.DateTime(timezone=True), server_default=sa.text("now()"), nullable=False),
        sa.Column("updated_at", sa.DateTime(timezone=True), server_default=sa.text("now()"), nullable=False),
        sa.ForeignKeyConstraint(["study"], ["studies.code"], name="fk_webhooks_study"),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_webhooks")),
    )
    op.execute(NOTIFY)
    op.execute(TRIGGER)


def downgrade() -> None:
    op.execute("DROP TRIGGER outbox_entered ON outbox")
    op.execute("DROP FUNCTION notify_outbox()")
    op.drop_table("webhooks")
    op.drop_table("duties")
