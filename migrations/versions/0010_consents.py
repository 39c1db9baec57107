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
        sa.Column("texts", postgresql.JSONB(), nullable=False, comment="Markdown by language"),
        sa.Column("required", sa.Boolean(), server_default="true", nullable=False),
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
        sa.Column(
            "required",
            sa.Boolean(),
            server_default="true",
            nullable=False,
            comment="of the newest version: whether it is needed to take part",
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
        sa.Column("form", sa.Text(), nullable=True, comment="NULL = all forms of the study"),
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
        sa.Column("device_id", sa.Text(), nullable=True, comment="as sent"),
        sa.Column("signed_at", sa.DateTime(timezone=True), nullable=False, comment="the device's clock, UTC"),
        sa.Column(
            "signed_at_corrected",
            sa.DateTime(timezone=True),
            nullable=True,
            comment="no later than it was received; NULL where signed_at is possible",
        ),
        sa.Column(
            "has_signature",
            sa.Boolean(),
            nullable=False,
            comment="whether the attachment `signature.png` is there",
        ),
        sa.Column(
            "flags",
            postgresql.ARRAY(sa.Text()),
            nullable=False,
            comment="what to look at; see reporting.projection.consent_rows",
        ),
        sa.Column(
            "rev",
            sa.Text(),
            nullable=False,
            comment="of the leaf that counts: the earliest signature",
        ),
        sa.Column(
            "received_at",
            sa.DateTime(timezone=True),
            nullable=True,
            comment="first receipt of that revision, the server's clock",
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
    op.create_table(
        "consent_changes",
        sa.Column("id", sa.BigInteger(), sa.Identity(always=True), nullable=False),
        sa.Column("study", sa.Text(), nullable=False),
        sa.Column("participant", sa.Text(), nullable=True, comment="NULL = every participant of the study"),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_consent_changes")),
        comment="Whose consent may have changed, until their flags are up to date. Written by triggers.",
    )
    op.execute(
        """
        CREATE TRIGGER consent_forms_never_change BEFORE UPDATE OR DELETE OR TRUNCATE ON consent_forms
        FOR EACH STATEMENT EXECUTE FUNCTION refuse_change_of_record()
        """
    )
    op.execute(
        """
        CREATE FUNCTION note_consent_of_participant() RETURNS trigger LANGUAGE plpgsql AS $$
        BEGIN
            IF TG_OP <> 'INSERT' AND OLD.study IS NOT NULL THEN
                INSERT INTO public.consent_changes (study, participant) VALUES (OLD.study, OLD.participant);
            END IF;
            IF TG_OP <> 'DELETE' AND NEW.study IS NOT NULL THEN
                INSERT INTO public.consent_changes (study, participant) VALUES (NEW.study, NEW.participant);
            END IF;
            RETURN NULL;
        END $$
        """
    )
    for table in ("consents", "consent_withdrawals"):
        op.execute(
            f"""
            CREATE TRIGGER {table}_are_noted AFTER INSERT OR UPDATE OR DELETE ON {table}
            FOR EACH ROW EXECUTE FUNCTION note_consent_of_participant()
            """
        )
    op.execute(
        """
        CREATE FUNCTION note_consent_of_study() RETURNS trigger LANGUAGE plpgsql AS $$
        BEGIN
            IF TG_TABLE_NAME = 'studies' THEN
                INSERT INTO public.consent_changes (study) VALUES (NEW.code);
            ELSE
                INSERT INTO public.consent_changes (study) VALUES (NEW.study);
            END IF;
            RETURN NULL;
        END $$
        """
    )
    op.execute(
        """
        CREATE TRIGGER consent_forms_are_noted AFTER INSERT ON consent_forms
        FOR EACH ROW EXECUTE FUNCTION note_consent_of_study()
        """
    )
    op.execute(
        """
        CREATE TRIGGER studies_that_require_consent_are_noted AFTER INSERT ON studies
        FOR EACH ROW WHEN (NEW.consent_required) EXECUTE FUNCTION note_consent_of_study()
        """
    )
    op.execute(
        """
        CREATE TRIGGER consent_required_is_noted AFTER UPDATE ON studies
        FOR EACH ROW WHEN (OLD.consent_required IS DISTINCT FROM NEW.consent_required)
        EXECUTE FUNCTION note_consent_of_study()
        """
    )


def downgrade() -> None:
    op.execute("DROP TRIGGER consent_required_is_noted ON studies")
    op.execute("DROP TRIGGER studies_that_require_consent_are_noted ON studies")
    op.drop_table("consent_changes")
    op.drop_index(op.f("ix_consents_study_participant"), table_name="consents")
    op.drop_table("consents")
    op.drop_index(op.f("ix_consent_withdrawals_study_participant"), table_name="consent_withdrawals")
    op.drop_table("consent_withdrawals")
    op.drop_table("consent_forms")
    op.drop_table("consent_form_drafts")
    op.execute("DROP FUNCTION note_consent_of_study()")
    op.execute("DROP FUNCTION note_consent_of_participant()")
