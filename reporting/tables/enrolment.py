"""Around devices: codes to enrol them with, what people call them, when they were last seen."""

from sqlalchemy import (
    BigInteger,
    CheckConstraint,
    Column,
    Identity,
    Index,
    Integer,
    LargeBinary,
    PrimaryKeyConstraint,
    Table,
    Text,
    UniqueConstraint,
    func,
)

from reporting.tables.base import Timestamp, metadata

enrolment_codes = Table(
    "enrolment_codes",
    metadata,
    Column("id", BigInteger, Identity(always=True), primary_key=True),
    Column("code_sha256", LargeBinary, nullable=False),
    Column("site", Text, nullable=False),
    Column("device", Text, nullable=False),
    Column("role", Text, nullable=False),
    Column("label", Text, nullable=False, server_default=""),
    Column("created_by", Text, nullable=False),
    Column("created_at", Timestamp, nullable=False, server_default=func.now()),
    Column("expires_at", Timestamp, nullable=False),
    Column("redeemed_at", Timestamp),
    Column("installation_sha256", LargeBinary, comment="the app that redeemed it, and may again"),
    Column("cancelled_at", Timestamp),
    UniqueConstraint("code_sha256"),
    CheckConstraint("role IN ('tablet', 'hub')", name="role_known"),
    Index(None, "site", "created_at"),
)

device_labels = Table(
    "device_labels",
    metadata,
    Column("site", Text, nullable=False),
    Column("device", Text, nullable=False),
    Column("label", Text, nullable=False, server_default=""),
    Column("row_version", Integer, nullable=False, server_default="1"),
    Column("updated_at", Timestamp, nullable=False, server_default=func.now()),
    PrimaryKeyConstraint("site", "device"),
    comment="What people call a device; its name is in its credential and never changes.",
)

device_activity = Table(
    "device_activity",
    metadata,
    Column("site", Text, nullable=False),
    Column("device", Text, nullable=False),
    Column("last_seen_at", Timestamp, nullable=False, comment="its last request of any kind"),
    Column("last_push_at", Timestamp, comment="the last request that handed in documents"),
    Column("address", Text),
    Column("app", Text, comment="User-Agent of the last request"),
    PrimaryKeyConstraint("site", "device"),
    comment="When devices were last seen, a few seconds behind.",
)
