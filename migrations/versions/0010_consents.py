"""Consent forms, signed consents, withdrawals.

Revision ID: 0010
Revises: 0009
"""

import sqlalchemy as sa
from alembic import op
from sqlalchemy.dialects import postgresql

revision = "0010"
down_revision = "0009"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.create_table(
        "consent_form_drafts",
        sa.Column("study", sa.Text(), nullable=False),
        sa.Column("id", sa.Text(), nullable=False),
        sa.Column("title", sa.Text(), server_default="", nullable=False),
        sa.Column("texts", postgresql.JSONB(), nullable=False),
        sa.Column("row_version", sa.Integer(), server_default="1", nullable=False),
        sa.Column("created_at", sa.DateTime(timezone=True), server_default=sa.text("now()"), nullable=False),
        sa.Column("updated_at", sa.DateTime(timezone=True), server_default=sa.text("now()"), nullable=False),
        sa.PrimaryKeyConstraint("study", "id", name=op.f("pk_consent_form_drafts")),
    )
    op.create_table(
        "consent_forms",
        sa.Column("study", sa.Text(), nullable=False),
        sa.Column("id", sa.Text(), nullable=False),
        sa.Column("version", sa.Integer(), nullable=False),
        sa.Column("title", sa.Text(), server_default="", nullable=False),
        sa.Column("texts", postgresql.JSONB(), nullable=False, comment="Markdown by language"),
        sa.Column(
            "supersedes",
            sa.Boolean(),
            nullable=False,
            comment="consents to older versions do not count any more",
        ),
        sa.Column("published_by", sa.Text()),
        sa.Column("created_at", sa.DateTime(timezone=True), server_default=sa.text("now()"), nullable=False),
        sa.PrimaryKeyConstraint("study", "id", "version", name=op.f("pk_consent_forms")),
        comment="Published versions: they never change.",
    )
    op.create_table(
        "consent_withdrawals",
        sa.Column("id", sa.BigInteger(), sa.Identity(always=True), nullable=False),
        sa.Column("study", sa.Text(), nullable=False),
        sa.Column("participant", sa.Text(), nullable=False),
        sa.Column("form", sa.Text(), nullable=False),
        sa.Column(
            "withdrawn_at",
            sa.DateTime(timezone=True),
            nullable=False,
            comment="consents signed until then do not count",
        ),
        sa.Column("reason", sa.Text(), nullable=False),
        sa.Column("recorded_by", sa.Text(), nullable=False),
        sa.Column("recorded_at", sa.DateTime(timezone=True), server_default=sa.text("now()"), nullable=False),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_consent_withdrawals")),
    )
    op.create_index(
        op.f("ix_consent_withdrawals_study_participant"),
        "consent_withdrawals",
        ["study", "participant"],
        unique=False,
    )
    op.create_table(
        "consents",
        sa.Column("site", sa.Text(), nullable=False),
        sa.Column("id", sa.Text(), nullable=False, comment="document id without its `consent:` prefix"),
        sa.Column(
            "study", sa.Text(), nullable=True, comment="as sent; NULL where the tablet's app did not say"
        ),
        sa.Column("participant", sa.Text(), nullable=False, comment="participant code as sent"),
        sa.Column("form", sa.Text(), nullable=True, comment="as sent"),
        sa.Column("form_version", sa.Integer(), nullable=True, comment="as sent"),
        sa.Column("language", sa.Text()),
        sa.Column("signed_at", sa.DateTime(timezone=True), nullable=False, comment="the device's clock, UTC"),
        sa.Column(
            "has_signature",
            sa.Boolean(),
            nullable=False,
            comment="whether the attachment `signature.png` is there",
        ),
        sa.Column("rev", sa.Text(), nullable=False, comment="winning revision"),
        sa.Column(
            "received_at",
            sa.DateTime(timezone=True),
            nullable=True,
            comment="first receipt of the winning revision, the server's clock",
        ),
        sa.Column(
            "projected_at", sa.DateTime(timezone=True), server_default=sa.text("now()"), nullable=False
        ),
        sa.Column(
            "source_missing_at",
            sa.DateTime(timezone=True),
            nullable=True,
            comment="set when the document is gone from the site database",
        ),
        sa.PrimaryKeyConstraint("site", "id", name=op.f("pk_consents")),
    )
    op.create_index(op.f("ix_consents_study_participant"), "consents", ["study", "participant"], unique=False)


def downgrade() -> None:
    op.drop_index(op.f("ix_consents_study_participant"), table_name="consents")
    op.drop_table("consents")
    op.drop_index(op.f("ix_consent_withdrawals_study_participant"), table_name="consent_withdrawals")
    op.drop_table("consent_withdrawals")
    op.drop_table("consent_forms")
    op.drop_table("consent_form_drafts")
