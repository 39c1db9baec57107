"""Research access: grants of logins, and the de-identification of studies.

Online: new tables. Roles, schema and views of research are made by `sync_server.researchers`: they need more
rights than a migration has.

Revision ID: 0019
Revises: 0018
"""

import sqlalchemy as sa
from alembic import op

revision = "0019"
down_revision = "0018"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.create_table(
        "research_grants",
        sa.Column("id", sa.BigInteger(), sa.Identity(always=True), nullable=False),
        sa.Column("login", sa.Text(), nullable=False, comment="role of Postgres: `researcher_…`"),
        sa.Column("study", sa.Text(), nullable=False),
        sa.Column("site", sa.Text(), nullable=True, comment="NULL = every site of the study"),
        sa.Column(
            "identified",
            sa.Boolean(),
            server_default="false",
            nullable=False,
            comment="sees codes and dates",
        ),
        sa.Column(
            "expires_at",
            sa.DateTime(timezone=True),
            nullable=True,
            comment="NULL = until it is withdrawn",
        ),
        sa.Column("granted_by", sa.Text(), nullable=False),
        sa.Column("granted_at", sa.DateTime(timezone=True), server_default=sa.text("now()"), nullable=False),
        sa.CheckConstraint("login LIKE 'researcher\\_%'", name=op.f("ck_research_grants_login_known")),
        sa.ForeignKeyConstraint(["study"], ["studies.code"], name="fk_research_grants_study"),
        sa.ForeignKeyConstraint(["site"], ["sites.code"], name="fk_research_grants_site"),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_research_grants")),
    )
    op.create_index(
        "uq_research_grants_login_study_site",
        "research_grants",
        ["login", "study", "site"],
        unique=True,
        postgresql_nulls_not_distinct=True,
    )
    op.create_table(
        "research_policies",
        sa.Column("study", sa.Text(), nullable=False),
        sa.Column("participants", sa.Text(), server_default="pseudonym", nullable=False),
        sa.Column("dates", sa.Text(), server_default="shifted", nullable=False),
        sa.Column(
            "shift_days",
            sa.Integer(),
            server_default="180",
            nullable=False,
            comment="the most, back or forth",
        ),
        sa.Column(
            "secret",
            sa.LargeBinary(),
            server_default=sa.text("sha256((uuid_send(gen_random_uuid()) || uuid_send(gen_random_uuid())))"),
            nullable=False,
            comment="of pseudonyms and shifts; never leaves Postgres",
        ),
        sa.Column(
            "pseudonyms_since", sa.DateTime(timezone=True), server_default=sa.text("now()"), nullable=False
        ),
        sa.Column("row_version", sa.Integer(), server_default="1", nullable=False),
        sa.Column("updated_at", sa.DateTime(timezone=True), server_default=sa.text("now()"), nullable=False),
        sa.CheckConstraint(
            "participants IN ('code', 'pseudonym')", name=op.f("ck_research_policies_participants_known")
        ),
        sa.CheckConstraint(
            "dates IN ('actual', 'shifted', 'days')", name=op.f("ck_research_policies_dates_known")
        ),
        sa.CheckConstraint(
            "shift_days BETWEEN 1 AND 3650", name=op.f("ck_research_policies_shift_days_sensible")
        ),
        sa.CheckConstraint("octet_length(secret) >= 32", name=op.f("ck_research_policies_secret_long")),
        sa.ForeignKeyConstraint(
            ["study"], ["studies.code"], name="fk_research_policies_study", ondelete="CASCADE"
        ),
        sa.PrimaryKeyConstraint("study", name=op.f("pk_research_policies")),
        comment="A study without a row shows codes and dates to `identified` grants only.",
    )
    op.execute("INSERT INTO research_policies (study) SELECT code FROM studies")


def downgrade() -> None:
    op.drop_table("research_policies")
    # With the policies of row-level security, which whoever prepared the database has made.
    op.execute("DROP TABLE research_grants CASCADE")
    for table in ("sessions", "participants", "visits"):
        op.execute(f"ALTER TABLE {table} DISABLE ROW LEVEL SECURITY")
