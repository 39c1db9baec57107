"""Who may call: people's accounts and what they may do where, devices and their credentials."""

from sqlalchemy import (
    BigInteger,
    Boolean,
    CheckConstraint,
    Column,
    ForeignKeyConstraint,
    Identity,
    Index,
    Integer,
    LargeBinary,
    Table,
    Text,
    UniqueConstraint,
    func,
)

from reporting.tables.base import Timestamp, metadata

users = Table(
    "users",
    metadata,
    Column("id", BigInteger, primary_key=True, autoincrement=True),
    Column("email", Text, nullable=False, comment="lower case"),
    Column("password_hash", Text, comment="NULL until a password is set"),
    Column("role", Text, comment="in every study and site; NULL = as the memberships say"),
    Column("active", Boolean, nullable=False, server_default="true"),
    Column("created_at", Timestamp, nullable=False, server_default=func.now()),
    Column("name", Text, nullable=False, server_default=""),
    Column("password_is_temporary", Boolean, nullable=False, server_default="false"),
    Column("row_version", Integer, nullable=False, server_default="1"),
    Column("updated_at", Timestamp, nullable=False, server_default=func.now()),
    Column("language", Text, nullable=False, server_default="en", comment="of mails"),
    UniqueConstraint("email"),
    CheckConstraint("role IN ('admin', 'coordinator', 'researcher', 'read-only')", name="role_known"),
    CheckConstraint("language IN ('en', 'fr')", name="language_known"),
)

memberships = Table(
    "memberships",
    metadata,
    Column("id", BigInteger, Identity(always=True), primary_key=True),
    Column("person", BigInteger, nullable=False),
    Column("study", Text, nullable=False),
    Column("site", Text, comment="NULL = every site of the study"),
    Column("role", Text, nullable=False),
    Column("created_at", Timestamp, nullable=False, server_default=func.now()),
    ForeignKeyConstraint(["person"], ["users.id"], name="fk_memberships_person"),
    ForeignKeyConstraint(["study"], ["studies.code"], name="fk_memberships_study"),
    ForeignKeyConstraint(["site"], ["sites.code"], name="fk_memberships_site"),
    CheckConstraint("role IN ('admin', 'coordinator', 'researcher', 'read-only')", name="role_known"),
    Index(
        "uq_memberships_person_study_site",
        "person",
        "study",
        "site",
        unique=True,
        postgresql_nulls_not_distinct=True,
    ),
)

devices = Table(
    "devices",
    metadata,
    Column("credential", Text, primary_key=True, comment="the token's id (jti)"),
    Column("device", Text, nullable=False),
    Column("site", Text, nullable=False),
    Column("role", Text, nullable=False),
    Column("token_sha256", LargeBinary, nullable=False),
    Column("enrolled_at", Timestamp, nullable=False, server_default=func.now()),
    Column("revoked_at", Timestamp),
    Column("wiped_at", Timestamp, comment="a revoked hub's: its disk holds nothing any more"),
    CheckConstraint("role IN ('tablet', 'hub')", name="role_known"),
    Index(None, "site", "device"),
)
