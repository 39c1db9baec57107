"""Erasures; the audit log as a chain.

Triggers are replaced: no row of the log is read or changed.

Revision ID: 0009
Revises: 0008
"""

import sqlalchemy as sa
from alembic import op
from sqlalchemy.dialects import postgresql

revision = "0009"
down_revision = "0008"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.create_table(
        "audit_chain",
        sa.Column(
            "position", sa.BigInteger(), autoincrement=False, nullable=False, comment="1, 2, 3, … without gap"
        ),
        sa.Column("entry", sa.BigInteger(), nullable=False, comment="audit_log.id"),
        sa.Column(
            "salt", sa.LargeBinary(), nullable=True, comment="of the details; NULL once they are erased"
        ),
        sa.Column("details_digest", sa.LargeBinary(), nullable=False, comment="SHA-256 of salt and details"),
        sa.Column(
            "digest", sa.LargeBinary(), nullable=False, comment="SHA-256 of the digest before and this entry"
        ),
        sa.Column("sealed_at", sa.DateTime(timezone=True), nullable=False),
        sa.PrimaryKeyConstraint("position", name=op.f("pk_audit_chain")),
        sa.UniqueConstraint("entry", name=op.f("uq_audit_chain_entry")),
        comment="Append-only, as the audit log: see `reporting.audit_chain`.",
    )
    op.create_table(
        "erased_documents",
        sa.Column("document", sa.LargeBinary(), nullable=False, comment="fingerprint of site and id"),
        sa.Column("erasure", sa.BigInteger(), nullable=False),
        sa.PrimaryKeyConstraint("document", name=op.f("pk_erased_documents")),
    )
    op.create_table(
        "erased_subjects",
        sa.Column(
            "subject", sa.LargeBinary(), nullable=False, comment="fingerprint; refused when it comes again"
        ),
        sa.Column("erasure", sa.BigInteger(), nullable=False),
        sa.Column("created_at", sa.DateTime(timezone=True), server_default=sa.text("now()"), nullable=False),
        sa.PrimaryKeyConstraint("subject", name=op.f("pk_erased_subjects")),
    )
    op.create_table(
        "erasure_hub_tasks",
        sa.Column("id", sa.BigInteger(), sa.Identity(always=True), nullable=False),
        sa.Column("erasure", sa.BigInteger(), nullable=False),
        sa.Column("site", sa.Text(), nullable=False),
        sa.Column("device", sa.Text(), nullable=False),
        sa.Column("created_at", sa.DateTime(timezone=True), server_default=sa.text("now()"), nullable=False),
        sa.Column(
            "done_at",
            sa.DateTime(timezone=True),
            nullable=True,
            comment="NULL = the hub still has to purge its replica",
        ),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_erasure_hub_tasks")),
        sa.UniqueConstraint(
            "erasure", "site", "device", name=op.f("uq_erasure_hub_tasks_erasure_site_device")
        ),
    )
    op.create_table(
        "erasures",
        sa.Column("id", sa.BigInteger(), sa.Identity(always=True), nullable=False),
        sa.Column("study", sa.Text(), nullable=False),
        sa.Column("participant", sa.Text(), nullable=True, comment="the code; NULL once it is done"),
        sa.Column("subject", sa.LargeBinary(), nullable=False, comment="fingerprint of study and code"),
        sa.Column("state", sa.Text(), server_default="requested", nullable=False),
        sa.Column("reason", sa.Text(), nullable=False),
        sa.Column("requested_by", sa.Text(), nullable=False),
        sa.Column(
            "requested_at", sa.DateTime(timezone=True), server_default=sa.text("now()"), nullable=False
        ),
        sa.Column("confirmed_by", sa.Text(), nullable=True),
        sa.Column("confirmed_at", sa.DateTime(timezone=True), nullable=True),
        sa.Column("started_at", sa.DateTime(timezone=True), nullable=True),
        sa.Column("ended_at", sa.DateTime(timezone=True), nullable=True),
        sa.Column("preview", postgresql.JSONB(), nullable=False, comment="what the request found"),
        sa.Column("counts", postgresql.JSONB(), nullable=True, comment="what was erased"),
        sa.Column("error", sa.Text(), nullable=True, comment="of the last attempt; names no participant"),
        sa.Column("row_version", sa.Integer(), server_default="1", nullable=False),
        sa.Column("updated_at", sa.DateTime(timezone=True), server_default=sa.text("now()"), nullable=False),
        sa.CheckConstraint(
            "state IN ('requested', 'confirmed', 'running', 'done', 'failed', 'cancelled')",
            name=op.f("ck_erasures_state_known"),
        ),
        sa.CheckConstraint("confirmed_by <> requested_by", name=op.f("ck_erasures_second_person")),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_erasures")),
    )
    op.create_index(op.f("ix_erasures_subject"), "erasures", ["subject"], unique=False)
    op.create_index(
        "uq_erasures_open",
        "erasures",
        ["study", "participant"],
        unique=True,
        postgresql_where=sa.text("state IN ('requested', 'confirmed', 'running', 'failed')"),
    )
    op.create_table(
        "erasure_steps",
        sa.Column("erasure", sa.BigInteger(), nullable=False),
        sa.Column("step", sa.Text(), nullable=False),
        sa.Column("counts", postgresql.JSONB(), nullable=False),
        sa.Column("finished_at", sa.DateTime(timezone=True), server_default=sa.text("now()"), nullable=False),
        sa.ForeignKeyConstraint(["erasure"], ["erasures.id"], name="fk_erasure_steps_erasure"),
        sa.PrimaryKeyConstraint("erasure", "step", name=op.f("pk_erasure_steps")),
        comment="The steps that are behind it: it goes on after the last one.",
    )
    op.create_table(
        "erasure_targets",
        sa.Column("erasure", sa.BigInteger(), nullable=False),
        sa.Column("site", sa.Text(), nullable=False),
        sa.Column("doc_id", sa.Text(), nullable=False, comment="as rows spell it"),
        sa.Column(
            "shared",
            sa.Boolean(),
            nullable=False,
            comment="other people's leaves stay; its rows are made anew",
        ),
        sa.ForeignKeyConstraint(["erasure"], ["erasures.id"], name="fk_erasure_targets_erasure"),
        sa.PrimaryKeyConstraint("erasure", "site", "doc_id", name=op.f("pk_erasure_targets")),
        comment="The documents of the subject, until the erasure is done or cancelled.",
    )
    op.create_index(
        op.f("ix_erasure_targets_site_doc_id"), "erasure_targets", ["site", "doc_id"], unique=False
    )
    op.add_column(
        "audit_log",
        sa.Column(
            "erasure",
            sa.BigInteger(),
            nullable=True,
            comment="which one took the details; NULL = they are here",
        ),
    )
    op.create_table_comment(
        "audit_log",
        "Append-only: a trigger refuses DELETE, and every UPDATE but an erasure of the details.",
        existing_comment="Append-only: a trigger refuses UPDATE and DELETE.",
        schema=None,
    )
    op.execute("DROP TRIGGER audit_log_is_append_only ON audit_log")
    op.execute(
        """
        CREATE TRIGGER audit_log_is_append_only BEFORE DELETE OR TRUNCATE ON audit_log
        FOR EACH STATEMENT EXECUTE FUNCTION refuse_change_of_record()
        """
    )
    op.execute(
        """
        CREATE FUNCTION refuse_change_of_audit_log() RETURNS trigger LANGUAGE plpgsql AS $$
        BEGIN
            IF OLD.erasure IS NULL AND NEW.erasure IS NOT NULL AND NEW.entity_id = 'erased'
                AND NEW.reason IS NULL AND NEW.before IS NULL AND NEW.after IS NULL
                AND NEW.request_id IS NULL AND NEW.address IS NULL AND NEW.source IS NULL
                AND (NEW.id, NEW.at, NEW.actor, NEW.actor_kind, NEW.role, NEW.action, NEW.entity, NEW.site,
                     NEW.study)
                IS NOT DISTINCT FROM
                    (OLD.id, OLD.at, OLD.actor, OLD.actor_kind, OLD.role, OLD.action, OLD.entity, OLD.site,
                     OLD.study)
            THEN
                RETURN NEW;
            END IF;
            RAISE EXCEPTION 'audit_log is append-only';
        END $$
        """
    )
    op.execute(
        """
        CREATE TRIGGER audit_log_changes_by_erasure_only BEFORE UPDATE ON audit_log
        FOR EACH ROW EXECUTE FUNCTION refuse_change_of_audit_log()
        """
    )
    op.execute(
        """
        CREATE FUNCTION refuse_change_of_audit_chain() RETURNS trigger LANGUAGE plpgsql AS $$
        BEGIN
            IF NEW.salt IS NULL
                AND (NEW.position, NEW.entry, NEW.details_digest, NEW.digest, NEW.sealed_at)
                IS NOT DISTINCT FROM
                    (OLD.position, OLD.entry, OLD.details_digest, OLD.digest, OLD.sealed_at)
            THEN
                RETURN NEW;
            END IF;
            RAISE EXCEPTION 'audit_chain is append-only';
        END $$
        """
    )
    op.execute(
        """
        CREATE TRIGGER audit_chain_is_append_only BEFORE DELETE OR TRUNCATE ON audit_chain
        FOR EACH STATEMENT EXECUTE FUNCTION refuse_change_of_record()
        """
    )
    op.execute(
        """
        CREATE TRIGGER audit_chain_changes_by_erasure_only BEFORE UPDATE ON audit_chain
        FOR EACH ROW EXECUTE FUNCTION refuse_change_of_audit_chain()
        """
    )


def downgrade() -> None:
    op.execute("DROP TRIGGER audit_log_changes_by_erasure_only ON audit_log")
    op.execute("DROP TRIGGER audit_log_is_append_only ON audit_log")
    op.execute(
        """
        CREATE TRIGGER audit_log_is_append_only BEFORE UPDATE OR DELETE OR TRUNCATE ON audit_log
        FOR EACH STATEMENT EXECUTE FUNCTION refuse_change_of_record()
        """
    )
    op.create_table_comment(
        "audit_log",
        "Append-only: a trigger refuses UPDATE and DELETE.",
        existing_comment="Append-only: a trigger refuses DELETE, and every UPDATE but an erasure of the"
        " details.",
        schema=None,
    )
    op.drop_column("audit_log", "erasure")
    op.drop_index(op.f("ix_erasure_targets_site_doc_id"), table_name="erasure_targets")
    op.drop_table("erasure_targets")
    op.drop_table("erasure_steps")
    op.drop_index(
        "uq_erasures_open",
        table_name="erasures",
        postgresql_where=sa.text("state IN ('requested', 'confirmed', 'running', 'failed')"),
    )
    op.drop_index(op.f("ix_erasures_subject"), table_name="erasures")
    op.drop_table("erasures")
    op.drop_table("erasure_hub_tasks")
    op.drop_table("erased_subjects")
    op.drop_table("erased_documents")
    op.drop_table("audit_chain")
    op.execute("DROP FUNCTION refuse_change_of_audit_log()")
    op.execute("DROP FUNCTION refuse_change_of_audit_chain()")
