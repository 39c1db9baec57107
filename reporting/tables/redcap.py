"""REDCap: whose projects, what goes where, and how far each session has come. See docs/REDCAP.md.

`redcap_ledger` is what makes a session have one instance: it is written before any request.
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
    Table,
    Text,
    UniqueConstraint,
    func,
    text,
)
from sqlalchemy.dialects.postgresql import JSONB

from reporting.tables.base import Timestamp, metadata

redcap_connections = Table(
    "redcap_connections",
    metadata,
    Column("id", BigInteger, Identity(always=True), primary_key=True),
    Column("study", Text, nullable=False),
    Column("site", Text, comment="NULL = every site of the study that has none of its own"),
    Column("url", Text, nullable=False, comment="of the API: https://…/api/"),
    Column("token", LargeBinary, nullable=False, comment="sealed"),
    Column("row_version", Integer, nullable=False, server_default="1"),
    Column("created_by", Text, nullable=False),
    Column("created_at", Timestamp, nullable=False, server_default=func.now()),
    Column("updated_at", Timestamp, nullable=False, server_default=func.now()),
    ForeignKeyConstraint(["study"], ["studies.code"], name="fk_redcap_connections_study"),
    UniqueConstraint("study", "site", postgresql_nulls_not_distinct=True),
)

redcap_mappings = Table(
    "redcap_mappings",
    metadata,
    Column("study", Text, primary_key=True),
    Column("definition", JSONB, nullable=False),
    Column("row_version", Integer, nullable=False, server_default="1"),
    Column("created_by", Text, nullable=False),
    Column("created_at", Timestamp, nullable=False, server_default=func.now()),
    Column("updated_by", Text, nullable=False),
    Column("updated_at", Timestamp, nullable=False, server_default=func.now()),
    ForeignKeyConstraint(["study"], ["studies.code"], name="fk_redcap_mappings_study"),
)

redcap_projects = Table(
    "redcap_projects",
    metadata,
    Column("project", Text, primary_key=True, comment="the mapping's project key, `@<site>` behind a site's"),
    Column("study", Text, nullable=False),
    Column("title", Text, nullable=False, server_default="", comment="as REDCap has it"),
    Column("redcap_version", Text),
    Column("dictionary", JSONB, comment="fields, forms, events and repeats, as last read"),
    Column("dictionary_sha256", LargeBinary, comment="of the dictionary that the mapping was checked with"),
    Column("checked_at", Timestamp),
    Column("paused_at", Timestamp, comment="nothing is pushed or pulled until a person resumes it"),
    Column("paused_cause", Text),
    Column("paused_reason", Text),
    Column("pulled_until", Timestamp, comment="REDCap's clock, read as UTC; NULL = everything"),
    Column("pulled_at", Timestamp),
    Column("reconciled_at", Timestamp, comment="last pull of all ids"),
    CheckConstraint(
        "paused_cause IN ('person', 'rights', 'dictionary', 'mapping')", name="paused_cause_known"
    ),
    comment="A REDCap project that a mapping is used with.",
)

redcap_hosts = Table(
    "redcap_hosts",
    metadata,
    Column("host", Text, primary_key=True, comment="with its port"),
    Column("free_at", Timestamp, nullable=False, server_default=func.now(), comment="of the next request"),
    Column("failures", Integer, nullable=False, server_default="0", comment="in a row"),
    Column("open_until", Timestamp, comment="the circuit breaker: no request before then"),
    Column("banned_at", Timestamp, comment="no request until a person says so"),
    Column("ban", Text, comment="in the host's words"),
    comment="One throttle, one breaker a host, for all workers.",
)

redcap_ledger = Table(
    "redcap_ledger",
    metadata,
    Column("id", BigInteger, Identity(always=True), primary_key=True),
    Column("project", Text, nullable=False),
    Column("study", Text, nullable=False),
    Column("site", Text, nullable=False),
    Column("session_id", Text, nullable=False),
    Column("form", Text, nullable=False),
    Column("record", Text, nullable=False),
    Column("event", Text, nullable=False, server_default="", comment="unique event name"),
    Column("instance", Integer, comment="1 where the form does not repeat; NULL until it is allocated"),
    Column("state", Text, nullable=False, server_default="pending"),
    Column("reason", Text, comment="why it is parked, or retired"),
    Column("payload", JSONB, comment="what was last sent, REDCap's strings by field"),
    Column("payload_sha256", LargeBinary),
    Column(
        "accepted",
        JSONB,
        comment="payload last read back as sent",
    ),
    Column("fence", BigInteger, nullable=False, server_default="0", comment="grows with each take"),
    Column("created_at", Timestamp, nullable=False, server_default=func.now()),
    Column("updated_at", Timestamp, nullable=False, server_default=func.now()),
    CheckConstraint(
        "state IN ('pending', 'allocated', 'sent', 'accepted', 'done', 'parked', 'retired')",
        name="state_known",
    ),
    UniqueConstraint("project", "record", "event", "form", "instance"),
    Index(
        "ix_redcap_ledger_session",
        "project",
        "site",
        "session_id",
        "form",
        unique=True,
        postgresql_where=text("state <> 'retired'"),
    ),
    Index(None, "study", "state"),
    comment="Which session has which instance.",
)

redcap_attempts = Table(
    "redcap_attempts",
    metadata,
    Column("id", BigInteger, Identity(always=True), primary_key=True),
    Column("ledger", BigInteger, nullable=False),
    Column("at", Timestamp, nullable=False, server_default=func.clock_timestamp()),
    Column("entry", BigInteger, comment="outbox.id"),
    Column("action", Text, nullable=False),
    Column("outcome", Text, nullable=False),
    Column("http_status", Integer),
    Column("before", JSONB, comment="what REDCap had, where it was read"),
    Column("after", JSONB, comment="what was sent"),
    Column("payload_sha256", LargeBinary),
    Column("error", Text),
    # An attempt that is recorded while its row is erased goes with it.
    ForeignKeyConstraint(
        ["ledger"], ["redcap_ledger.id"], ondelete="CASCADE", name="fk_redcap_attempts_ledger"
    ),
    CheckConstraint("action IN ('allocate', 'import', 'read_back', 'withdraw')", name="action_known"),
    Index(None, "ledger"),
    comment="What was tried, never changed. Never a token.",
)

redcap_pulled = Table(
    "redcap_pulled",
    metadata,
    Column("id", BigInteger, Identity(always=True), primary_key=True),
    Column("project", Text, nullable=False),
    Column("record", Text, nullable=False),
    Column("participant", Text, comment="NULL = none was made"),
    Column("value", JSONB, nullable=False, comment="roster members as last taken; of contacts fingerprints"),
    Column("problem", Text, comment="why it was not taken, or not as a whole"),
    Column("conflicts", JSONB, comment="members that both sides have changed"),
    Column("missing_since", Timestamp, comment="REDCap has the record no more"),
    Column("pulled_at", Timestamp, nullable=False, server_default=func.now()),
    UniqueConstraint("project", "record"),
    comment="What REDCap last said of each record's participant.",
)
