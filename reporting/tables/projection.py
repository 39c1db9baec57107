"""How far the projection has come, what has to be projected again, and what was proved."""

from sqlalchemy import (
    BigInteger,
    Boolean,
    CheckConstraint,
    Column,
    Double,
    Identity,
    Index,
    Integer,
    PrimaryKeyConstraint,
    Table,
    Text,
    func,
)
from sqlalchemy.dialects.postgresql import JSONB

from reporting.tables.base import Timestamp, metadata

checkpoints = Table(
    "checkpoints",
    metadata,
    Column("site", Text, nullable=False),
    Column("database", Text, nullable=False),
    Column("epoch", Text, nullable=False, comment="new at every reading from the start"),
    Column("batch", BigInteger, nullable=False, comment="number of the last committed batch of this epoch"),
    Column("since", Text, nullable=False, comment="feed position, opaque"),
    Column("pending", BigInteger, comment="changes after this batch when it was read"),
    Column("rereading", Boolean, nullable=False, comment="true until an epoch has reached the feed's end"),
    Column("advanced_at", Timestamp, nullable=False, server_default=func.now()),
    Column("changed_at", Timestamp, comment="when the last change of the feed was committed"),
    Column("complete_through", Timestamp, comment="what was acknowledged before this moment is judged"),
    PrimaryKeyConstraint("site"),
)

site_states = Table(
    "site_states",
    metadata,
    Column("site", Text, primary_key=True),
    Column("state", Text, nullable=False),
    Column("since", Timestamp, nullable=False, comment="when it came into this state"),
    Column("failures", Integer, nullable=False, server_default="0", comment="in a row"),
    Column("error", Text, comment="the last failure; NULL while running"),
    Column("next_try_at", Timestamp),
    Column("projector", Text, nullable=False, comment="the process that said so"),
    CheckConstraint("state IN ('initializing', 'running', 'backing_off', 'error')", name="state_known"),
)

replays = Table(
    "replays",
    metadata,
    Column("site", Text, nullable=False),
    Column("doc_id", Text, nullable=False, comment="as rows spell it"),
    Column(
        "ticket", BigInteger, Identity(always=True), nullable=False, comment="another one at each request"
    ),
    Column("cause", Text, nullable=False),
    Column("requested_by", Text, nullable=False),
    Column("requested_at", Timestamp, nullable=False, server_default=func.now()),
    PrimaryKeyConstraint("site", "doc_id"),
    CheckConstraint("cause IN ('correction', 'retry', 'rules', 'rescore', 'reconcile')", name="cause_known"),
)

score_history = Table(
    "score_history",
    metadata,
    Column("id", BigInteger, Identity(always=True), primary_key=True),
    Column("site", Text, nullable=False),
    Column("session_id", Text, nullable=False),
    Column("task", Text, nullable=False),
    Column("run", Integer, nullable=False),
    Column("name", Text, nullable=False),
    Column("value", Double),
    Column("scoring_version", Integer, nullable=False),
    Column("replaced_at", Timestamp, nullable=False, server_default=func.now()),
    Index(None, "site", "session_id"),
)

rescorings = Table(
    "rescorings",
    metadata,
    Column("id", BigInteger, Identity(always=True), primary_key=True),
    Column("task", Text, nullable=False),
    Column("scoring_version", Integer, nullable=False),
    Column("requested_by", Text, nullable=False),
    Column("requested_at", Timestamp, nullable=False, server_default=func.now()),
    Column("sessions", Integer, nullable=False),
    Column("difference", JSONB, nullable=False, comment="before and after, by score"),
)

proofs = Table(
    "proofs",
    metadata,
    Column("id", BigInteger, Identity(always=True), primary_key=True),
    Column("site", Text, nullable=False),
    Column("kind", Text, nullable=False, comment="full, or since the last proof"),
    Column("started_at", Timestamp, nullable=False),
    Column("finished_at", Timestamp, nullable=False, server_default=func.now()),
    Column("epoch", Text, nullable=False, comment="of the checkpoint; another one asks for a full proof"),
    Column("update_seq", Text, nullable=False, comment="up to where the feed was compared"),
    Column("counts", JSONB, nullable=False, comment="documents, leaves, and how many are in which state"),
    Column("missing", Integer, nullable=False),
    Column("repaired", Integer, nullable=False),
    CheckConstraint("kind IN ('full', 'incremental')", name="kind_known"),
    Index(None, "site", "finished_at"),
)
