"""Accounts, devices, and what sessions refer to: written by people and the command line."""

from sqlalchemy import (
    BigInteger,
    Boolean,
    CheckConstraint,
    Column,
    Index,
    Integer,
    LargeBinary,
    PrimaryKeyConstraint,
    Table,
    Text,
    UniqueConstraint,
    func,
)
from sqlalchemy.dialects.postgresql import ARRAY

from reporting.tables.base import Timestamp, metadata

studies = Table(
    "studies",
    metadata,
    Column("code", Text, primary_key=True),
    Column("title", Text, nullable=False, server_default=""),
    Column("created_at", Timestamp, nullable=False, server_default=func.now()),
)

participants = Table(
    "participants",
    metadata,
    Column("study", Text, nullable=False),
    Column("code", Text, nullable=False),
    Column("created_at", Timestamp, nullable=False, server_default=func.now()),
    PrimaryKeyConstraint("study", "code"),
)

batteries = Table(
    "batteries",
    metadata,
    Column("id", Text, nullable=False),
    Column("version", Integer, nullable=False),
    Column("tasks", ARRAY(Text), comment="the tasks of which it consists; NULL = not known here"),
    Column("created_at", Timestamp, nullable=False, server_default=func.now()),
    PrimaryKeyConstraint("id", "version"),
)

users = Table(
    "users",
    metadata,
    Column("id", BigInteger, primary_key=True, autoincrement=True),
    Column("email", Text, nullable=False, comment="lower case"),
    Column("password_hash", Text, nullable=False),
    Column("role", Text, nullable=False),
    Column("active", Boolean, nullable=False, server_default="true"),
    Column("created_at", Timestamp, nullable=False, server_default=func.now()),
    UniqueConstraint("email"),
    CheckConstraint("role IN ('admin', 'coordinator', 'researcher', 'read-only')", name="role_known"),
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
    CheckConstraint("role IN ('tablet', 'hub')", name="role_known"),
    Index(None, "site", "device"),
)
