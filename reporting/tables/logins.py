"""How people get in and stay in: logins with their refresh tokens, links by mail, second factors, attempts.

Whatever opens something (a refresh token, a link, a recovery code) is here as its SHA-256 only; the secret of
a second factor is sealed.
"""

from sqlalchemy import (
    BigInteger,
    CheckConstraint,
    Column,
    ForeignKeyConstraint,
    Identity,
    Index,
    Integer,
    LargeBinary,
    PrimaryKeyConstraint,
    Table,
    Text,
    func,
)

from reporting.tables.base import Timestamp, metadata

logins = Table(
    "logins",
    metadata,
    Column("id", Text, primary_key=True, comment="`sid` of its access tokens"),
    Column("person", BigInteger, nullable=False),
    Column("method", Text, nullable=False),
    Column("created_at", Timestamp, nullable=False, server_default=func.now()),
    Column("last_used_at", Timestamp, nullable=False, server_default=func.now(), comment="last refresh"),
    Column("address", Text, comment="of the last refresh"),
    Column("user_agent", Text),
    Column("expires_at", Timestamp, nullable=False, comment="when its newest refresh token does"),
    Column("ended_at", Timestamp),
    Column("end_reason", Text),
    ForeignKeyConstraint(["person"], ["users.id"], name="fk_logins_person"),
    CheckConstraint("method IN ('password', 'magic_link')", name="method_known"),
    CheckConstraint(
        "end_reason IN ('logged_out', 'ended', 'password_changed', 'password_reset', 'account_closed',"
        " 'refresh_token_reused')",
        name="end_reason_known",
    ),
    CheckConstraint("(ended_at IS NULL) = (end_reason IS NULL)", name="ended_for_a_reason"),
    Index(None, "person", "created_at"),
    comment="One act of logging in, and what it lasts: a family of refresh tokens.",
)

refresh_tokens = Table(
    "refresh_tokens",
    metadata,
    Column("sha256", LargeBinary, primary_key=True),
    Column("login", Text, nullable=False),
    Column("issued_at", Timestamp, nullable=False, server_default=func.now()),
    Column("expires_at", Timestamp, nullable=False),
    Column("used_at", Timestamp, comment="whoever shows it after that ends the login"),
    ForeignKeyConstraint(["login"], ["logins.id"], name="fk_refresh_tokens_login"),
    Index(None, "login"),
)

mail_links = Table(
    "mail_links",
    metadata,
    Column("sha256", LargeBinary, primary_key=True),
    Column("person", BigInteger, nullable=False),
    Column("purpose", Text, nullable=False),
    Column("created_at", Timestamp, nullable=False, server_default=func.now()),
    Column("expires_at", Timestamp, nullable=False),
    Column("used_at", Timestamp, comment="also: worth nothing any more"),
    ForeignKeyConstraint(["person"], ["users.id"], name="fk_mail_links_person"),
    CheckConstraint("purpose IN ('invitation', 'password_reset', 'magic_link')", name="purpose_known"),
    Index(None, "person"),
    comment="Tokens of links in mails; each opens once.",
)

address_changes = Table(
    "address_changes",
    metadata,
    Column("id", BigInteger, Identity(always=True), primary_key=True),
    Column("person", BigInteger, nullable=False),
    Column("email_before", Text, nullable=False),
    Column("email_after", Text, nullable=False),
    Column("changed_at", Timestamp, nullable=False, server_default=func.now()),
    ForeignKeyConstraint(["person"], ["users.id"], name="fk_address_changes_person"),
    Index(None, "changed_at"),
    comment="So that both addresses can be told.",
)

second_factors = Table(
    "second_factors",
    metadata,
    Column("person", BigInteger, primary_key=True, autoincrement=False),
    Column("secret", LargeBinary, nullable=False, comment="sealed"),
    Column("created_at", Timestamp, nullable=False, server_default=func.now()),
    Column("confirmed_at", Timestamp, comment="NULL = not asked for yet"),
    Column(
        "last_step", BigInteger, comment="time step of the last code taken: it and those before are spent"
    ),
    ForeignKeyConstraint(["person"], ["users.id"], name="fk_second_factors_person"),
)

recovery_codes = Table(
    "recovery_codes",
    metadata,
    Column("person", BigInteger, nullable=False),
    Column("sha256", LargeBinary, nullable=False),
    Column("used_at", Timestamp),
    PrimaryKeyConstraint("person", "sha256"),
    ForeignKeyConstraint(["person"], ["users.id"], name="fk_recovery_codes_person"),
)

attempts = Table(
    "attempts",
    metadata,
    Column("kind", Text, nullable=False),
    Column("subject", LargeBinary, nullable=False, comment="SHA-256 of the account or address"),
    Column("failures", Integer, nullable=False, comment="in a row"),
    Column("last_at", Timestamp, nullable=False, server_default=func.now()),
    Column("blocked_until", Timestamp),
    PrimaryKeyConstraint("kind", "subject"),
    CheckConstraint("kind IN ('account', 'address', 'mail')", name="kind_known"),
    Index(None, "last_at"),
    comment="Failed attempts to log in, and mails asked for; forgotten after a day.",
)
