"""Consent: forms that people publish, consents that tablets sign, withdrawals that coordinators record."""

from sqlalchemy import (
    BigInteger,
    Boolean,
    Column,
    Identity,
    Index,
    Integer,
    PrimaryKeyConstraint,
    Table,
    Text,
    func,
)
from sqlalchemy.dialects.postgresql import ARRAY, JSONB

from reporting.tables.base import Timestamp, metadata

consent_forms = Table(
    "consent_forms",
    metadata,
    Column("study", Text, nullable=False),
    Column("id", Text, nullable=False),
    Column("version", Integer, nullable=False),
    Column("title", Text, nullable=False, server_default=""),
    Column("texts", JSONB, nullable=False, comment="Markdown by language"),
    Column("supersedes", Boolean, nullable=False, comment="consents to older versions do not count any more"),
    Column(
        "required",
        Boolean,
        nullable=False,
        server_default="true",
        comment="of the newest version: whether it is needed to take part",
    ),
    Column("published_by", Text),
    Column("created_at", Timestamp, nullable=False, server_default=func.now()),
    PrimaryKeyConstraint("study", "id", "version"),
    comment="Published versions: they never change.",
)

consent_form_drafts = Table(
    "consent_form_drafts",
    metadata,
    Column("study", Text, nullable=False),
    Column("id", Text, nullable=False),
    Column("title", Text, nullable=False, server_default=""),
    Column("texts", JSONB, nullable=False, comment="Markdown by language"),
    Column("required", Boolean, nullable=False, server_default="true"),
    Column("row_version", Integer, nullable=False, server_default="1"),
    Column("created_at", Timestamp, nullable=False, server_default=func.now()),
    Column("updated_at", Timestamp, nullable=False, server_default=func.now()),
    PrimaryKeyConstraint("study", "id"),
)

consents = Table(
    "consents",
    metadata,
    Column("site", Text, nullable=False),
    Column("id", Text, nullable=False, comment="document id without its `consent:` prefix"),
    Column("study", Text, comment="as sent; NULL where the tablet's app did not say"),
    Column("participant", Text, nullable=False, comment="participant code as sent"),
    Column("form", Text, comment="as sent"),
    Column("form_version", Integer, comment="as sent"),
    Column("language", Text),
    Column("device_id", Text, comment="as sent"),
    Column("signed_at", Timestamp, nullable=False, comment="the device's clock, UTC"),
    Column(
        "signed_at_corrected",
        Timestamp,
        comment="no later than it was received; NULL where signed_at is possible",
    ),
    Column(
        "has_signature", Boolean, nullable=False, comment="whether the attachment `signature.png` is there"
    ),
    Column(
        "flags", ARRAY(Text), nullable=False, comment="what to look at; see reporting.projection.consent_rows"
    ),
    Column("rev", Text, nullable=False, comment="of the leaf that counts: the earliest signature"),
    Column("received_at", Timestamp, comment="first receipt of that revision, the server's clock"),
    Column("projected_at", Timestamp, nullable=False, server_default=func.now()),
    Column("source_missing_at", Timestamp, comment="set when the document is gone from the site database"),
    PrimaryKeyConstraint("site", "id"),
    Index(None, "study", "participant"),
)

consent_withdrawals = Table(
    "consent_withdrawals",
    metadata,
    Column("id", BigInteger, Identity(always=True), primary_key=True),
    Column("study", Text, nullable=False),
    Column("participant", Text, nullable=False),
    Column("form", Text, comment="NULL = all forms of the study"),
    Column("withdrawn_at", Timestamp, nullable=False, comment="consents signed until then do not count"),
    Column("reason", Text, nullable=False),
    Column("recorded_by", Text, nullable=False),
    Column("recorded_at", Timestamp, nullable=False, server_default=func.now()),
    Index(None, "study", "participant"),
)

consent_changes = Table(
    "consent_changes",
    metadata,
    Column("id", BigInteger, Identity(always=True), primary_key=True),
    Column("study", Text, nullable=False),
    Column("participant", Text, comment="NULL = every participant of the study"),
    comment="Whose consent may have changed, until their flags are up to date. Written by triggers.",
)
