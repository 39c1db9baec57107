"""Webhooks: who is told what happened. What was sent, and what waits, are entries of the outbox."""

from sqlalchemy import (
    BigInteger,
    Column,
    ForeignKeyConstraint,
    Identity,
    Integer,
    LargeBinary,
    Table,
    Text,
    func,
)
from sqlalchemy.dialects.postgresql import ARRAY

from reporting.tables.base import Timestamp, metadata

webhooks = Table(
    "webhooks",
    metadata,
    Column("id", BigInteger, Identity(always=True), primary_key=True),
    Column("url", Text, nullable=False),
    Column("description", Text, nullable=False, server_default=""),
    Column("events", ARRAY(Text), nullable=False, comment="names of events"),
    Column("study", Text, comment="NULL = of all studies, and those of none"),
    Column("secret", LargeBinary, nullable=False, comment="sealed: what deliveries are signed with"),
    Column("paused_at", Timestamp),
    Column("paused_reason", Text),
    Column("row_version", Integer, nullable=False, server_default="1"),
    Column("created_by", Text, nullable=False),
    Column("created_at", Timestamp, nullable=False, server_default=func.now()),
    Column("updated_at", Timestamp, nullable=False, server_default=func.now()),
    ForeignKeyConstraint(["study"], ["studies.code"], name="fk_webhooks_study"),
)
