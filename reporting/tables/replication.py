"""Replication jobs: which site database is kept alike with which other one, and what was seen of it.

What people want stands in the upper columns and has a version; what the watch has seen is beside it, and
changes without one.
"""

from sqlalchemy import (
    BigInteger,
    Boolean,
    CheckConstraint,
    Column,
    Float,
    ForeignKeyConstraint,
    Identity,
    Index,
    Integer,
    LargeBinary,
    Table,
    Text,
    func,
    text,
)
from sqlalchemy.dialects.postgresql import JSONB

from reporting.tables.base import Timestamp, metadata

replication_jobs = Table(
    "replication_jobs",
    metadata,
    Column("id", BigInteger, Identity(always=True), primary_key=True),
    Column("site", Text, nullable=False),
    Column("name", Text, nullable=False),
    Column("kind", Text, nullable=False, comment="which documents: collected, published, custom"),
    Column("direction", Text, nullable=False, comment="push or pull, as seen from this server"),
    Column("url", Text, nullable=False, comment="the other side's database, without a login"),
    Column("login_name", Text, comment="of the credential; NULL = a token, or none"),
    Column("credential", LargeBinary, comment="sealed, for this URL only"),
    Column("selector", JSONB(none_as_null=True), comment="of a custom job; NULL = every document"),
    Column("continuous", Boolean, nullable=False, server_default="true"),
    Column("desired", Text, nullable=False, server_default="running"),
    Column("generation", Integer, nullable=False, server_default="1", comment="grows: from the beginning"),
    Column("attempt", Integer, nullable=False, server_default="1", comment="grows: now, from where it was"),
    Column("row_version", Integer, nullable=False, server_default="1"),
    Column("created_by", Text, nullable=False),
    Column("created_at", Timestamp, nullable=False, server_default=func.now()),
    Column("updated_by", Text, nullable=False),
    Column("updated_at", Timestamp, nullable=False, server_default=func.now()),
    Column("state", Text, nullable=False, server_default="initializing", comment="as the scheduler names it"),
    Column("observed_at", Timestamp),
    Column("pending", BigInteger),
    Column("written", BigInteger),
    Column("failures", BigInteger),
    Column("per_second", Float(53), comment="documents written, between the last two looks"),
    Column("error", Text),
    Column("error_at", Timestamp),
    Column("next_retry_at", Timestamp),
    Column("stuck_since", Timestamp),
    Column("memory", JSONB(none_as_null=True), comment="what the watch remembers of its last look"),
    ForeignKeyConstraint(["site"], ["sites.code"], name="fk_replication_jobs_site"),
    CheckConstraint("kind IN ('collected', 'published', 'custom')", name="kind_known"),
    CheckConstraint("direction IN ('push', 'pull')", name="direction_known"),
    CheckConstraint("desired IN ('running', 'paused', 'cancelled')", name="desired_known"),
    Index(
        "ix_replication_jobs_name",
        "site",
        "name",
        unique=True,
        postgresql_where=text("desired <> 'cancelled'"),
    ),
)

replication_job_events = Table(
    "replication_job_events",
    metadata,
    Column("id", BigInteger, Identity(always=True), primary_key=True),
    Column("job", BigInteger, nullable=False, comment="replication_jobs.id"),
    Column("at", Timestamp, nullable=False),
    Column("state", Text, nullable=False),
    Column("detail", Text, comment="the error, or why"),
    Index(None, "job"),
    comment="What was seen of replication jobs; the last of each job are kept.",
)
