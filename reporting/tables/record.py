"""What happened: nothing ever drops a row of these, an erasure request excepted."""

from sqlalchemy import (
    BigInteger,
    CheckConstraint,
    Column,
    Identity,
    Index,
    LargeBinary,
    PrimaryKeyConstraint,
    Table,
    Text,
    func,
    text,
)
from sqlalchemy.dialects.postgresql import JSONB

from reporting.tables.base import Timestamp, metadata

ingest_log = Table(
    "ingest_log",
    metadata,
    Column("site", Text, nullable=False),
    Column("doc_id", Text, nullable=False),
    Column("rev", Text, nullable=False, comment="empty where the writer sent none"),
    Column("outcome", Text, nullable=False),
    Column("received_at", Timestamp, nullable=False, server_default=func.now()),
    Column("device", Text, nullable=False, comment="the credential's device, not the document's"),
    Column("role", Text, nullable=False),
    Column("credential", Text, nullable=False, comment="the credential's id (jti)"),
    Column("request_id", Text, nullable=False),
    Column("reason", Text, comment="why it was refused, or what was normalised"),
    Column("original", LargeBinary, comment="bytes as sent, where they had to be normalised"),
    Column("via", Text, comment="the hub that handed it in for the device; NULL = the device itself"),
    Column("hub_received_at", Timestamp, comment="when the hub had it, by the hub's clock"),
    PrimaryKeyConstraint("site", "doc_id", "rev", "outcome"),
    CheckConstraint("outcome IN ('received', 'refused')", name="outcome_known"),
    Index(None, "received_at"),
    Index(None, "site", "received_at"),
    Index("ix_ingest_log_refused", "site", "device", postgresql_where=text("outcome = 'refused'")),
)

waivers = Table(
    "waivers",
    metadata,
    Column("site", Text, nullable=False),
    Column("doc_id", Text, nullable=False),
    Column("code", Text, nullable=False),
    Column("path", Text, nullable=False),
    Column("reason", Text, nullable=False),
    Column("waived_by", Text, nullable=False),
    Column("waived_at", Timestamp, nullable=False, server_default=func.now()),
    PrimaryKeyConstraint("site", "doc_id", "code", "path"),
    comment="Accepted problems of quarantined documents, whatever revision has them.",
)

audit_log = Table(
    "audit_log",
    metadata,
    Column("id", BigInteger, Identity(always=True), primary_key=True),
    Column("at", Timestamp, nullable=False, server_default=func.now()),
    Column("actor", Text, nullable=False, comment="email, device, or name of the process"),
    Column("actor_kind", Text, nullable=False),
    Column("role", Text, comment="the actor's role at that moment"),
    Column("action", Text, nullable=False, comment="noun and verb: quarantine.waive"),
    Column("entity", Text, nullable=False, comment="kind of what was acted on"),
    Column("entity_id", Text, nullable=False),
    Column("site", Text),
    Column("study", Text),
    Column("reason", Text),
    Column("before", JSONB),
    Column("after", JSONB),
    Column("request_id", Text),
    Column("address", Text, comment="where the request came from"),
    Column("source", Text, unique=True, comment="what it tells of, where that could be told twice"),
    Column("erasure", BigInteger, comment="which one took the details; NULL = they are here"),
    CheckConstraint("actor_kind IN ('person', 'device', 'process')", name="actor_kind_known"),
    Index(None, "at"),
    Index(None, "entity", "entity_id"),
    Index(None, "site", "at"),
    Index(None, "study", "id"),
    Index(None, "actor", "id"),
    comment="Append-only: a trigger refuses DELETE, and every UPDATE but an erasure of the details.",
)

audit_chain = Table(
    "audit_chain",
    metadata,
    Column("position", BigInteger, primary_key=True, autoincrement=False, comment="1, 2, 3, … without gap"),
    Column("entry", BigInteger, nullable=False, unique=True, comment="audit_log.id"),
    Column("salt", LargeBinary, comment="of the details; NULL once they are erased"),
    Column("details_digest", LargeBinary, nullable=False, comment="SHA-256 of salt and details"),
    Column("digest", LargeBinary, nullable=False, comment="SHA-256 of the digest before and this entry"),
    Column("sealed_at", Timestamp, nullable=False),
    comment="Append-only, as the audit log: see `reporting.audit_chain`.",
)
