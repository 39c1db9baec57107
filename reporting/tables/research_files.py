"""Files made by jobs for who does research: exports and reports, one row each time one is asked for.

The file itself lies in a folder, named by `content_key`: what was asked for and of which data. Rows with one
key share one file, which goes when no row needs it any more.
"""

from sqlalchemy import (
    BigInteger,
    Boolean,
    CheckConstraint,
    Column,
    ForeignKeyConstraint,
    Identity,
    Index,
    Integer,
    Table,
    Text,
    func,
    text,
)
from sqlalchemy.dialects.postgresql import ARRAY, JSONB

from reporting.tables.base import Timestamp, metadata

research_files = Table(
    "research_files",
    metadata,
    Column("id", BigInteger, Identity(always=True), primary_key=True),
    Column("kind", Text, nullable=False, comment="whose maker makes it: export, …"),
    Column("study", Text, nullable=False),
    Column("sites", ARRAY(Text), comment="what it is limited to; NULL = the whole study"),
    Column("identified", Boolean, nullable=False, comment="codes and dates as they are"),
    Column("request", JSONB, nullable=False, comment="what was asked for; of an erased participant: {}"),
    Column("state", Text, nullable=False, server_default="queued"),
    Column("attempt", Integer, nullable=False, server_default="0", comment="grows; fences late workers off"),
    Column("stage", Text, comment="what its worker is at"),
    Column("rows_done", BigInteger, nullable=False, server_default="0"),
    Column("rows_total", BigInteger, comment="as far as known"),
    Column("content_key", Text, comment="of the file in the folder; known once its data were looked at"),
    Column("file_name", Text, comment="for who downloads it"),
    Column("media_type", Text),
    Column("size", BigInteger, comment="bytes"),
    Column("sha256", Text),
    Column("watermark", JSONB(none_as_null=True), comment="through when the data were complete"),
    Column("error", Text, comment="why it failed, is tried again, or was removed; names no participant"),
    Column("person", BigInteger, nullable=False, comment="who asked for it: users.id"),
    Column("asked_by", Text, nullable=False, comment="their address then"),
    Column("asked_at", Timestamp, nullable=False, server_default=func.now()),
    Column("started_at", Timestamp),
    Column("ended_at", Timestamp),
    Column("expires_at", Timestamp, comment="set when it is done"),
    ForeignKeyConstraint(["study"], ["studies.code"], name="fk_research_files_study"),
    CheckConstraint(
        "state IN ('queued', 'running', 'done', 'failed', 'expired', 'removed')", name="state_known"
    ),
    CheckConstraint(
        "state <> 'done' OR (content_key IS NOT NULL AND file_name IS NOT NULL AND media_type IS NOT NULL"
        " AND size IS NOT NULL AND sha256 IS NOT NULL AND expires_at IS NOT NULL)",
        name="done_whole",
    ),
    Index(None, "person", "asked_at"),
    Index(None, "study", "asked_at"),
    Index(
        "ix_research_files_content_key",
        "content_key",
        postgresql_where=text("state IN ('running', 'done')"),
    ),
    Index("ix_research_files_open", "id", postgresql_where=text("state IN ('queued', 'running')")),
)
