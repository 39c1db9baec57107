"""Erasures: who asked for one, who confirmed it, how far it has come, and what stays blocked after it.

What stays after the end names nobody: fingerprints (HMAC with a key that is not in the database) and counts.
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
    LargeBinary,
    PrimaryKeyConstraint,
    Table,
    Text,
    UniqueConstraint,
    func,
    text,
)
from sqlalchemy.dialects.postgresql import JSONB

from reporting.tables.base import Timestamp, metadata

erasures = Table(
    "erasures",
    metadata,
    Column("id", BigInteger, Identity(always=True), primary_key=True),
    Column("study", Text, nullable=False),
    Column("participant", Text, comment="the code; NULL once it is done"),
    Column("subject", LargeBinary, nullable=False, comment="fingerprint of study and code"),
    Column("state", Text, nullable=False, server_default="requested"),
    Column("reason", Text, nullable=False),
    Column("requested_by", Text, nullable=False),
    Column("requested_at", Timestamp, nullable=False, server_default=func.now()),
    Column("confirmed_by", Text),
    Column("confirmed_at", Timestamp),
    Column("started_at", Timestamp),
    Column("ended_at", Timestamp),
    Column("preview", JSONB, nullable=False, comment="what the request found"),
    Column("counts", JSONB, comment="what was erased"),
    Column("error", Text, comment="of the last attempt; names no participant"),
    Column("row_version", Integer, nullable=False, server_default="1"),
    Column("updated_at", Timestamp, nullable=False, server_default=func.now()),
    CheckConstraint(
        "state IN ('requested', 'confirmed', 'running', 'done', 'failed', 'cancelled')", name="state_known"
    ),
    CheckConstraint("confirmed_by <> requested_by", name="second_person"),
    Index(
        "uq_erasures_open",
        "study",
        "participant",
        unique=True,
        postgresql_where=text("state IN ('requested', 'confirmed', 'running', 'failed')"),
    ),
    Index(None, "subject"),
)

erasure_steps = Table(
    "erasure_steps",
    metadata,
    Column("erasure", BigInteger, nullable=False),
    Column("step", Text, nullable=False),
    Column("counts", JSONB, nullable=False),
    Column("finished_at", Timestamp, nullable=False, server_default=func.now()),
    PrimaryKeyConstraint("erasure", "step"),
    ForeignKeyConstraint(["erasure"], ["erasures.id"], name="fk_erasure_steps_erasure"),
    comment="The steps that are behind it: it goes on after the last one.",
)

erasure_targets = Table(
    "erasure_targets",
    metadata,
    Column("erasure", BigInteger, nullable=False),
    Column("site", Text, nullable=False),
    Column("doc_id", Text, nullable=False, comment="as rows spell it"),
    Column("shared", Boolean, nullable=False, comment="other people's leaves stay; its rows are made anew"),
    PrimaryKeyConstraint("erasure", "site", "doc_id"),
    ForeignKeyConstraint(["erasure"], ["erasures.id"], name="fk_erasure_targets_erasure"),
    Index(None, "site", "doc_id"),
    comment="The documents of the subject, until the erasure is done or cancelled.",
)

erased_subjects = Table(
    "erased_subjects",
    metadata,
    Column("subject", LargeBinary, primary_key=True, comment="fingerprint; refused when it comes again"),
    Column("erasure", BigInteger, nullable=False),
    Column("created_at", Timestamp, nullable=False, server_default=func.now()),
)

erased_documents = Table(
    "erased_documents",
    metadata,
    Column("document", LargeBinary, primary_key=True, comment="fingerprint of site and id"),
    Column("erasure", BigInteger, nullable=False),
)

erasure_hub_tasks = Table(
    "erasure_hub_tasks",
    metadata,
    Column("id", BigInteger, Identity(always=True), primary_key=True),
    Column("erasure", BigInteger, nullable=False),
    Column("site", Text, nullable=False),
    Column("device", Text, nullable=False),
    Column("created_at", Timestamp, nullable=False, server_default=func.now()),
    Column("done_at", Timestamp, comment="NULL = the hub still has to purge its replica"),
    UniqueConstraint("erasure", "site", "device"),
)
