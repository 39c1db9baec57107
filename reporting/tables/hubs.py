"""Site hubs, as they last told of themselves; and what of the erased they still have."""

from sqlalchemy import (
    BigInteger,
    Column,
    ForeignKeyConstraint,
    Integer,
    PrimaryKeyConstraint,
    Table,
    Text,
    func,
)
from sqlalchemy.dialects.postgresql import ARRAY, JSONB

from reporting.tables.base import Timestamp, metadata

hubs = Table(
    "hubs",
    metadata,
    Column("site", Text, nullable=False),
    Column("device", Text, nullable=False),
    Column("urls", ARRAY(Text), nullable=False, comment="how tablets reach it in their own network"),
    Column("ca_fingerprint", Text, comment="sha256:…, of its own authority's certificate"),
    Column("app", Text, nullable=False),
    Column("documents_waiting", Integer, nullable=False, comment="not at the centre yet"),
    Column("tablets", JSONB, nullable=False, comment="device and last_seen of each, by the hub's clock"),
    Column("storage_free_bytes", BigInteger, nullable=False),
    Column("clock_at", Timestamp, nullable=False, comment="the hub's clock when it told"),
    Column("told_at", Timestamp, nullable=False, server_default=func.now()),
    PrimaryKeyConstraint("site", "device"),
    comment="What each hub last told of itself.",
)

erasure_hub_documents = Table(
    "erasure_hub_documents",
    metadata,
    Column("task", BigInteger, nullable=False),
    Column("doc_id", Text, nullable=False, comment="as the site database spells it"),
    Column("rev", Text, nullable=False, comment="empty: every leaf"),
    PrimaryKeyConstraint("task", "doc_id", "rev"),
    ForeignKeyConstraint(
        ["task"], ["erasure_hub_tasks.id"], name="fk_erasure_hub_documents_task", ondelete="CASCADE"
    ),
    comment="What a hub has to purge, by name; removed when the hub has done it or its disk was wiped.",
)
