"""Study administration: studies, sites, batteries, memberships, and the outbox.

Online: new tables, and columns with constant defaults on small ones.

Revision ID: 0006
Revises: 0005
"""

import sqlalchemy as sa
from alembic import op
from sqlalchemy.dialects import postgresql

revision = "0006"
down_revision = "0005"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.create_table(
        "battery_drafts",
        sa.Column("id", sa.Text(), nullable=False),
        sa.Column("title", sa.Text(), server_default="", nullable=False),
        sa.Column("definition", postgresql.JSONB(), nullable=False),
        sa.Column("row_version", sa.Integer(), server_default="1", nullable=False),
        sa.Column("created_at", sa.DateTime(timezone=True), server_default=sa.text("now()"), nullable=False),
        sa.Column("updated_at", sa.DateTime(timezone=True), server_default=sa.text("now()"), nullable=False),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_battery_drafts")),
        comment="What will be the next version of a battery.",
    )
    op.create_table(
        "item_bank_drafts",
        sa.Column("id", sa.Text(), nullable=False),
        sa.Column("title", sa.Text(), server_default="", nullable=False),
        sa.Column("definition", postgresql.JSONB(), nullable=False),
        sa.Column("row_version", sa.Integer(), server_default="1", nullable=False),
        sa.Column("created_at", sa.DateTime(timezone=True), server_default=sa.text("now()"), nullable=False),
        sa.Column("updated_at", sa.DateTime(timezone=True), server_default=sa.text("now()"), nullable=False),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_item_bank_drafts")),
    )
    op.create_table(
        "item_banks",
        sa.Column("id", sa.Text(), nullable=False),
        sa.Column("version", sa.Integer(), nullable=False),
        sa.Column("title", sa.Text(), server_default="", nullable=False),
        sa.Column(
            "definition",
            postgresql.JSONB(),
            nullable=False,
            comment="items with IRT parameters, calibration metadata",
        ),
        sa.Column("created_at", sa.DateTime(timezone=True), server_default=sa.text("now()"), nullable=False),
        sa.Column("published_by", sa.Text(), nullable=True),
        sa.PrimaryKeyConstraint("id", "version", name=op.f("pk_item_banks")),
        comment="Published versions: they never change.",
    )
    op.create_table(
        "outbox",
        sa.Column("id", sa.BigInteger(), sa.Identity(always=True), nullable=False),
        sa.Column("kind", sa.Text(), nullable=False, comment="what is done: publication, webhook, mail, …"),
        sa.Column("key", sa.Text(), nullable=False, comment="the effect: one row, whatever happens twice"),
        sa.Column(
            "ticket",
            sa.BigInteger(),
            server_default="1",
            nullable=False,
            comment="grows when it is asked for again",
        ),
        sa.Column("study", sa.Text(), nullable=True),
        sa.Column("site", sa.Text(), nullable=True),
        sa.Column(
            "payload",
            postgresql.JSONB(),
            nullable=False,
            comment="never a secret, never a contact",
        ),
        sa.Column("payload_sha256", sa.LargeBinary(), nullable=False),
        sa.Column("state", sa.Text(), server_default="pending", nullable=False),
        sa.Column("attempts", sa.Integer(), server_default="0", nullable=False),
        sa.Column(
            "next_attempt_at", sa.DateTime(timezone=True), server_default=sa.text("now()"), nullable=False
        ),
        sa.Column(
            "lease",
            sa.BigInteger(),
            server_default="0",
            nullable=False,
            comment="fencing token of the last claim",
        ),
        sa.Column("leased_until", sa.DateTime(timezone=True), nullable=True),
        sa.Column(
            "started_at",
            sa.DateTime(timezone=True),
            nullable=True,
            comment="when a worker began it; NULL while it is only claimed",
        ),
        sa.Column("error", sa.Text(), nullable=True, comment="of the last attempt"),
        sa.Column("created_at", sa.DateTime(timezone=True), server_default=sa.text("now()"), nullable=False),
        sa.Column("ended_at", sa.DateTime(timezone=True), nullable=True),
        sa.CheckConstraint(
            "state IN ('pending', 'leased', 'done', 'dead', 'discarded')", name=op.f("ck_outbox_state_known")
        ),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_outbox")),
        sa.UniqueConstraint("kind", "key", name=op.f("uq_outbox_kind_key")),
    )
    op.create_index(
        "ix_outbox_dead", "outbox", ["id"], unique=False, postgresql_where=sa.text("state = 'dead'")
    )
    op.create_index(
        "ix_outbox_due",
        "outbox",
        ["next_attempt_at"],
        unique=False,
        postgresql_where=sa.text("state IN ('pending', 'leased')"),
    )
    op.create_index(
        "ix_outbox_leased",
        "outbox",
        ["leased_until"],
        unique=False,
        postgresql_where=sa.text("state = 'leased'"),
    )
    op.create_table(
        "outbox_attempts",
        sa.Column("id", sa.BigInteger(), sa.Identity(always=True), nullable=False),
        sa.Column("entry", sa.BigInteger(), nullable=False, comment="outbox.id"),
        sa.Column("lease", sa.BigInteger(), nullable=False),
        sa.Column("started_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("ended_at", sa.DateTime(timezone=True), server_default=sa.text("now()"), nullable=False),
        sa.Column("outcome", sa.Text(), nullable=False),
        sa.Column("error", sa.Text(), nullable=True),
        sa.CheckConstraint(
            "outcome IN ('done', 'failed', 'given_up', 'discarded', 'retried')",
            name=op.f("ck_outbox_attempts_outcome_known"),
        ),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_outbox_attempts")),
        comment="What was tried, and what came of it.",
    )
    op.create_index(op.f("ix_outbox_attempts_entry"), "outbox_attempts", ["entry"], unique=False)
    op.create_table(
        "sites",
        sa.Column("code", sa.Text(), nullable=False, comment="its database is `site-<code>`"),
        sa.Column("name", sa.Text(), server_default="", nullable=False),
        sa.Column("timezone", sa.Text(), server_default="UTC", nullable=False, comment="IANA name"),
        sa.Column("status", sa.Text(), server_default="open", nullable=False),
        sa.Column("row_version", sa.Integer(), server_default="1", nullable=False),
        sa.Column("created_at", sa.DateTime(timezone=True), server_default=sa.text("now()"), nullable=False),
        sa.Column("updated_at", sa.DateTime(timezone=True), server_default=sa.text("now()"), nullable=False),
        sa.CheckConstraint("status IN ('open', 'archived')", name=op.f("ck_sites_status_known")),
        sa.PrimaryKeyConstraint("code", name=op.f("pk_sites")),
    )
    op.create_table(
        "task_modules",
        sa.Column("id", sa.Text(), nullable=False, comment="the name of the task in sessions"),
        sa.Column("title", sa.Text(), server_default="", nullable=False),
        sa.Column("description", sa.Text(), server_default="", nullable=False),
        sa.Column(
            "parameters",
            postgresql.JSONB(),
            nullable=False,
            comment="JSON Schema of its parameters",
        ),
        sa.Column(
            "defaults",
            postgresql.JSONB(),
            nullable=False,
            comment="parameters where a battery says nothing",
        ),
        sa.Column("row_version", sa.Integer(), server_default="1", nullable=False),
        sa.Column("created_at", sa.DateTime(timezone=True), server_default=sa.text("now()"), nullable=False),
        sa.Column("updated_at", sa.DateTime(timezone=True), server_default=sa.text("now()"), nullable=False),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_task_modules")),
    )
    op.create_table(
        "memberships",
        sa.Column("id", sa.BigInteger(), sa.Identity(always=True), nullable=False),
        sa.Column("person", sa.BigInteger(), nullable=False),
        sa.Column("study", sa.Text(), nullable=False),
        sa.Column("site", sa.Text(), nullable=True, comment="NULL = every site of the study"),
        sa.Column("role", sa.Text(), nullable=False),
        sa.Column("created_at", sa.DateTime(timezone=True), server_default=sa.text("now()"), nullable=False),
        sa.CheckConstraint(
            "role IN ('admin', 'coordinator', 'researcher', 'read-only')",
            name=op.f("ck_memberships_role_known"),
        ),
        sa.ForeignKeyConstraint(["person"], ["users.id"], name="fk_memberships_person"),
        sa.ForeignKeyConstraint(["site"], ["sites.code"], name="fk_memberships_site"),
        sa.ForeignKeyConstraint(["study"], ["studies.code"], name="fk_memberships_study"),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_memberships")),
    )
    op.create_index(
        "uq_memberships_person_study_site",
        "memberships",
        ["person", "study", "site"],
        unique=True,
        postgresql_nulls_not_distinct=True,
    )
    op.create_table(
        "study_batteries",
        sa.Column("study", sa.Text(), nullable=False),
        sa.Column("battery_id", sa.Text(), nullable=False),
        sa.Column("battery_version", sa.Integer(), nullable=False),
        sa.Column("added_at", sa.DateTime(timezone=True), server_default=sa.text("now()"), nullable=False),
        sa.ForeignKeyConstraint(
            ["battery_id", "battery_version"],
            ["batteries.id", "batteries.version"],
            name="fk_study_batteries_battery",
        ),
        sa.ForeignKeyConstraint(["study"], ["studies.code"], name="fk_study_batteries_study"),
        sa.PrimaryKeyConstraint("study", "battery_id", "battery_version", name=op.f("pk_study_batteries")),
        comment="Which published batteries tablets of a study's sites get.",
    )
    op.create_table(
        "study_sites",
        sa.Column("study", sa.Text(), nullable=False),
        sa.Column("site", sa.Text(), nullable=False),
        sa.Column("added_at", sa.DateTime(timezone=True), server_default=sa.text("now()"), nullable=False),
        sa.ForeignKeyConstraint(["site"], ["sites.code"], name="fk_study_sites_site"),
        sa.ForeignKeyConstraint(["study"], ["studies.code"], name="fk_study_sites_study"),
        sa.PrimaryKeyConstraint("study", "site", name=op.f("pk_study_sites")),
        comment="Which study runs where.",
    )
    op.create_index(op.f("ix_study_sites_site"), "study_sites", ["site"], unique=False)
    op.add_column("batteries", sa.Column("title", sa.Text(), server_default="", nullable=False))
    op.add_column(
        "batteries",
        sa.Column(
            "definition",
            postgresql.JSONB(),
            nullable=True,
            comment="as tablets get it; NULL = known by id only",
        ),
    )
    op.add_column("batteries", sa.Column("published_by", sa.Text(), nullable=True))
    op.create_table_comment(
        "batteries", "Published versions: they never change.", existing_comment=None, schema=None
    )
    op.add_column(
        "participants",
        sa.Column(
            "site", sa.Text(), nullable=True, comment="NULL = known by code only; published to no tablet"
        ),
    )
    op.add_column("participants", sa.Column("status", sa.Text(), server_default="enrolled", nullable=False))
    op.add_column("participants", sa.Column("language", sa.Text(), nullable=True))
    op.add_column(
        "participants",
        sa.Column(
            "contact", sa.LargeBinary(), nullable=True, comment="sealed: names, addresses; published nowhere"
        ),
    )
    op.add_column(
        "participants", sa.Column("enrolled_on", sa.Date(), nullable=True, comment="anchor of visits")
    )
    op.add_column("participants", sa.Column("row_version", sa.Integer(), server_default="1", nullable=False))
    op.add_column(
        "participants",
        sa.Column("updated_at", sa.DateTime(timezone=True), server_default=sa.text("now()"), nullable=False),
    )
    op.create_index(op.f("ix_participants_site"), "participants", ["site"], unique=False)
    op.add_column("studies", sa.Column("description", sa.Text(), server_default="", nullable=False))
    op.add_column("studies", sa.Column("status", sa.Text(), server_default="active", nullable=False))
    op.add_column(
        "studies", sa.Column("consent_required", sa.Boolean(), server_default="false", nullable=False)
    )
    op.add_column("studies", sa.Column("row_version", sa.Integer(), server_default="1", nullable=False))
    op.add_column(
        "studies",
        sa.Column("updated_at", sa.DateTime(timezone=True), server_default=sa.text("now()"), nullable=False),
    )
    op.add_column("users", sa.Column("name", sa.Text(), server_default="", nullable=False))
    op.add_column(
        "users", sa.Column("password_is_temporary", sa.Boolean(), server_default="false", nullable=False)
    )
    op.add_column("users", sa.Column("row_version", sa.Integer(), server_default="1", nullable=False))
    op.add_column(
        "users",
        sa.Column("updated_at", sa.DateTime(timezone=True), server_default=sa.text("now()"), nullable=False),
    )
    op.alter_column(
        "users",
        "password_hash",
        existing_type=sa.TEXT(),
        nullable=True,
        comment="NULL until a password is set",
    )
    op.alter_column(
        "users",
        "role",
        existing_type=sa.TEXT(),
        nullable=True,
        comment="in every study and site; NULL = as the memberships say",
    )

    op.create_check_constraint(
        op.f("ck_studies_status_known"), "studies", "status IN ('draft', 'active', 'paused', 'completed')"
    )
    op.create_check_constraint(
        op.f("ck_participants_status_known"),
        "participants",
        "status IN ('screened', 'enrolled', 'withdrawn', 'completed')",
    )
    # Every site that anything is known of, so that devices enrolled before have one.
    op.execute(
        "INSERT INTO sites (code) SELECT site FROM devices UNION SELECT site FROM checkpoints"
        " UNION SELECT site FROM site_states ON CONFLICT DO NOTHING"
    )


def downgrade() -> None:
    op.drop_constraint(op.f("ck_studies_status_known"), "studies", type_="check")
    op.drop_constraint(op.f("ck_participants_status_known"), "participants", type_="check")
    # People with roles in studies only, or without a password yet: before, nobody was one of them. They stay,
    # for the audit log names them, and cannot log in.
    op.execute(
        "UPDATE users SET active = false, role = coalesce(role, 'read-only'),"
        " password_hash = coalesce(password_hash, '') WHERE role IS NULL OR password_hash IS NULL"
    )
    op.alter_column(
        "users",
        "role",
        existing_type=sa.TEXT(),
        nullable=False,
        comment=None,
        existing_comment="in every study and site; NULL = as the memberships say",
    )
    op.alter_column(
        "users",
        "password_hash",
        existing_type=sa.TEXT(),
        nullable=False,
        comment=None,
        existing_comment="NULL until a password is set",
    )
    op.drop_column("users", "updated_at")
    op.drop_column("users", "row_version")
    op.drop_column("users", "password_is_temporary")
    op.drop_column("users", "name")
    op.drop_column("studies", "updated_at")
    op.drop_column("studies", "row_version")
    op.drop_column("studies", "consent_required")
    op.drop_column("studies", "status")
    op.drop_column("studies", "description")
    op.drop_index(op.f("ix_participants_site"), table_name="participants")
    op.drop_column("participants", "updated_at")
    op.drop_column("participants", "row_version")
    op.drop_column("participants", "enrolled_on")
    op.drop_column("participants", "contact")
    op.drop_column("participants", "language")
    op.drop_column("participants", "status")
    op.drop_column("participants", "site")
    op.drop_table_comment("batteries", existing_comment="Published versions: they never change.", schema=None)
    op.drop_column("batteries", "published_by")
    op.drop_column("batteries", "definition")
    op.drop_column("batteries", "title")
    op.drop_index(op.f("ix_study_sites_site"), table_name="study_sites")
    op.drop_table("study_sites")
    op.drop_table("study_batteries")
    op.drop_index(
        "uq_memberships_person_study_site", table_name="memberships", postgresql_nulls_not_distinct=True
    )
    op.drop_table("memberships")
    op.drop_table("task_modules")
    op.drop_table("sites")
    op.drop_index(op.f("ix_outbox_attempts_entry"), table_name="outbox_attempts")
    op.drop_table("outbox_attempts")
    op.drop_index(
        "ix_outbox_due", table_name="outbox", postgresql_where=sa.text("state IN ('pending', 'leased')")
    )
    op.drop_index("ix_outbox_leased", table_name="outbox", postgresql_where=sa.text("state = 'leased'"))
    op.drop_index("ix_outbox_dead", table_name="outbox", postgresql_where=sa.text("state = 'dead'"))
    op.drop_table("outbox")
    op.drop_table("item_banks")
    op.drop_table("item_bank_drafts")
    op.drop_table("battery_drafts")
