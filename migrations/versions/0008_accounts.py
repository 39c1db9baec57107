"""Logins, links by mail, second factors, failed attempts; the language of a person's mails.

Revision ID: 0008
Revises: 0007
"""

import sqlalchemy as sa
from alembic import op

revision = "0008"
down_revision = "0007"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.create_table(
        "attempts",
        sa.Column("kind", sa.Text(), nullable=False),
        sa.Column("subject", sa.LargeBinary(), nullable=False, comment="SHA-256 of the account or address"),
        sa.Column("failures", sa.Integer(), nullable=False, comment="in a row"),
        sa.Column("last_at", sa.DateTime(timezone=True), server_default=sa.text("now()"), nullable=False),
        sa.Column("blocked_until", sa.DateTime(timezone=True), nullable=True),
        sa.CheckConstraint("kind IN ('account', 'address', 'mail')", name=op.f("ck_attempts_kind_known")),
        sa.PrimaryKeyConstraint("kind", "subject", name=op.f("pk_attempts")),
        comment="Failed attempts to log in, and mails asked for; forgotten after a day.",
    )
    op.create_index(op.f("ix_attempts_last_at"), "attempts", ["last_at"], unique=False)
    op.create_table(
        "logins",
        sa.Column("id", sa.Text(), nullable=False, comment="`sid` of its access tokens"),
        sa.Column("person", sa.BigInteger(), nullable=False),
        sa.Column("method", sa.Text(), nullable=False),
        sa.Column("created_at", sa.DateTime(timezone=True), server_default=sa.text("now()"), nullable=False),
        sa.Column(
            "last_used_at",
            sa.DateTime(timezone=True),
            server_default=sa.text("now()"),
            nullable=False,
            comment="last refresh",
        ),
        sa.Column("address", sa.Text(), nullable=True, comment="of the last refresh"),
        sa.Column("user_agent", sa.Text(), nullable=True),
        sa.Column(
            "expires_at",
            sa.DateTime(timezone=True),
            nullable=False,
            comment="when its newest refresh token does",
        ),
        sa.Column("ended_at", sa.DateTime(timezone=True), nullable=True),
        sa.Column("end_reason", sa.Text(), nullable=True),
        sa.CheckConstraint(
            "end_reason IN ('logged_out', 'ended', 'password_changed', 'password_reset', 'account_closed',"
            " 'refresh_token_reused')",
            name=op.f("ck_logins_end_reason_known"),
        ),
        sa.CheckConstraint("method IN ('password', 'magic_link')", name=op.f("ck_logins_method_known")),
        sa.CheckConstraint(
            "(ended_at IS NULL) = (end_reason IS NULL)", name=op.f("ck_logins_ended_for_a_reason")
        ),
        sa.ForeignKeyConstraint(["person"], ["users.id"], name="fk_logins_person"),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_logins")),
        comment="One act of logging in, and what it lasts: a family of refresh tokens.",
    )
    op.create_index(op.f("ix_logins_person_created_at"), "logins", ["person", "created_at"], unique=False)
    op.create_table(
        "mail_links",
        sa.Column("sha256", sa.LargeBinary(), nullable=False),
        sa.Column("person", sa.BigInteger(), nullable=False),
        sa.Column("purpose", sa.Text(), nullable=False),
        sa.Column("created_at", sa.DateTime(timezone=True), server_default=sa.text("now()"), nullable=False),
        sa.Column("expires_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column(
            "used_at", sa.DateTime(timezone=True), nullable=True, comment="also: worth nothing any more"
        ),
        sa.CheckConstraint(
            "purpose IN ('invitation', 'password_reset', 'magic_link')",
            name=op.f("ck_mail_links_purpose_known"),
        ),
        sa.ForeignKeyConstraint(["person"], ["users.id"], name="fk_mail_links_person"),
        sa.PrimaryKeyConstraint("sha256", name=op.f("pk_mail_links")),
        comment="Tokens of links in mails; each opens once.",
    )
    op.create_index(op.f("ix_mail_links_person"), "mail_links", ["person"], unique=False)
    op.create_table(
        "address_changes",
        sa.Column("id", sa.BigInteger(), sa.Identity(always=True), nullable=False),
        sa.Column("person", sa.BigInteger(), nullable=False),
        sa.Column("email_before", sa.Text(), nullable=False),
        sa.Column("email_after", sa.Text(), nullable=False),
        sa.Column("changed_at", sa.DateTime(timezone=True), server_default=sa.text("now()"), nullable=False),
        sa.ForeignKeyConstraint(["person"], ["users.id"], name="fk_address_changes_person"),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_address_changes")),
        comment="So that both addresses can be told.",
    )
    op.create_index(op.f("ix_address_changes_changed_at"), "address_changes", ["changed_at"], unique=False)
    op.create_table(
        "recovery_codes",
        sa.Column("person", sa.BigInteger(), nullable=False),
        sa.Column("sha256", sa.LargeBinary(), nullable=False),
        sa.Column("used_at", sa.DateTime(timezone=True), nullable=True),
        sa.ForeignKeyConstraint(["person"], ["users.id"], name="fk_recovery_codes_person"),
        sa.PrimaryKeyConstraint("person", "sha256", name=op.f("pk_recovery_codes")),
    )
    op.create_table(
        "second_factors",
        sa.Column("person", sa.BigInteger(), autoincrement=False, nullable=False),
        sa.Column("secret", sa.LargeBinary(), nullable=False, comment="sealed"),
        sa.Column("created_at", sa.DateTime(timezone=True), server_default=sa.text("now()"), nullable=False),
        sa.Column(
            "confirmed_at", sa.DateTime(timezone=True), nullable=True, comment="NULL = not asked for yet"
        ),
        sa.Column(
            "last_step",
            sa.BigInteger(),
            nullable=True,
            comment="time step of the last code taken: it and those before are spent",
        ),
        sa.ForeignKeyConstraint(["person"], ["users.id"], name="fk_second_factors_person"),
        sa.PrimaryKeyConstraint("person", name=op.f("pk_second_factors")),
    )
    op.create_table(
        "refresh_tokens",
        sa.Column("sha256", sa.LargeBinary(), nullable=False),
        sa.Column("login", sa.Text(), nullable=False),
        sa.Column("issued_at", sa.DateTime(timezone=True), server_default=sa.text("now()"), nullable=False),
        sa.Column("expires_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column(
            "used_at",
            sa.DateTime(timezone=True),
            nullable=True,
            comment="whoever shows it after that ends the login",
        ),
        sa.ForeignKeyConstraint(["login"], ["logins.id"], name="fk_refresh_tokens_login"),
        sa.PrimaryKeyConstraint("sha256", name=op.f("pk_refresh_tokens")),
    )
    op.create_index(op.f("ix_refresh_tokens_login"), "refresh_tokens", ["login"], unique=False)
    op.add_column(
        "users", sa.Column("language", sa.Text(), server_default="en", nullable=False, comment="of mails")
    )
    op.create_check_constraint(op.f("ck_users_language_known"), "users", "language IN ('en', 'fr')")


def downgrade() -> None:
    op.drop_constraint(op.f("ck_users_language_known"), "users", type_="check")
    op.drop_column("users", "language")
    op.drop_index(op.f("ix_refresh_tokens_login"), table_name="refresh_tokens")
    op.drop_table("refresh_tokens")
    op.drop_table("second_factors")
    op.drop_table("recovery_codes")
    op.drop_index(op.f("ix_address_changes_changed_at"), table_name="address_changes")
    op.drop_table("address_changes")
    op.drop_index(op.f("ix_mail_links_person"), table_name="mail_links")
    op.drop_table("mail_links")
    op.drop_index(op.f("ix_logins_person_created_at"), table_name="logins")
    op.drop_table("logins")
    op.drop_index(op.f("ix_attempts_last_at"), table_name="attempts")
    op.drop_table("attempts")
