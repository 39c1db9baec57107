"""Reminders of visits: what a study says, what participants say, and what became of each reminder."""

from sqlalchemy import (
    BigInteger,
    Boolean,
    CheckConstraint,
    Column,
    Identity,
    Index,
    Integer,
    LargeBinary,
    PrimaryKeyConstraint,
    Table,
    Text,
    Time,
    UniqueConstraint,
    func,
    text,
)
from sqlalchemy.dialects.postgresql import ARRAY

from reporting.tables.base import Timestamp, metadata

_CHANNELS = "'email', 'sms', 'push'"

reminder_rules = Table(
    "reminder_rules",
    metadata,
    Column("study", Text, nullable=False),
    Column("code", Text, nullable=False),
    Column("moment", Text, nullable=False),
    Column("days", Integer, nullable=False, server_default="0", comment="before or after the due date"),
    Column("repeat_every_days", Integer, nullable=False, server_default="0"),
    Column("repeat_times", Integer, nullable=False, server_default="0", comment="after the first time"),
    Column("channel", Text, nullable=False),
    Column("send_at", Time, nullable=False, comment="local time"),
    Column("useful_hours", Integer, nullable=False, comment="how long after `send_at` it may be sent"),
    Column("visits", ARRAY(Text), comment="codes; NULL = all"),
    Column("retired", Boolean, nullable=False, server_default="false"),
    Column("row_version", Integer, nullable=False, server_default="1"),
    Column("created_at", Timestamp, nullable=False, server_default=func.now()),
    Column("updated_at", Timestamp, nullable=False, server_default=func.now()),
    PrimaryKeyConstraint("study", "code"),
    CheckConstraint("moment IN ('before_due', 'on_due', 'overdue')", name="moment_known"),
    CheckConstraint(f"channel IN ({_CHANNELS})", name="channel_known"),
)

reminder_settings = Table(
    "reminder_settings",
    metadata,
    Column("study", Text, primary_key=True),
    Column("quiet_from", Time, comment="local time; with `quiet_to`; NULL = no quiet hours"),
    Column("quiet_to", Time),
    Column("clock", Text, nullable=False, server_default="participant", comment="whose local time counts"),
    Column("most_per_day", Integer, nullable=False, server_default="3", comment="to one participant"),
    Column("sender_name", Text, nullable=False, server_default="", comment="of mails"),
    Column("language", Text, nullable=False, server_default="en", comment="where there is no template"),
    Column("gateway_url", Text, comment="what takes messages for sms and push"),
    Column("gateway_secret", LargeBinary, comment="sealed: what these are signed with"),
    Column("row_version", Integer, nullable=False, server_default="1"),
    Column("created_at", Timestamp, nullable=False, server_default=func.now()),
    Column("updated_at", Timestamp, nullable=False, server_default=func.now()),
    CheckConstraint("clock IN ('participant', 'site')", name="clock_known"),
    CheckConstraint("(quiet_from IS NULL) = (quiet_to IS NULL)", name="quiet_hours_whole"),
    comment="A study without a row has the defaults.",
)

reminder_templates = Table(
    "reminder_templates",
    metadata,
    Column("study", Text, nullable=False),
    Column("rule", Text, nullable=False),
    Column("language", Text, nullable=False),
    Column("subject", Text, nullable=False, server_default=""),
    Column("text", Text, nullable=False),
    Column("row_version", Integer, nullable=False, server_default="1"),
    Column("created_at", Timestamp, nullable=False, server_default=func.now()),
    Column("updated_at", Timestamp, nullable=False, server_default=func.now()),
    PrimaryKeyConstraint("study", "rule", "language"),
)

reminder_opt_outs = Table(
    "reminder_opt_outs",
    metadata,
    Column("study", Text, nullable=False),
    Column("participant", Text, nullable=False),
    Column("channel", Text, nullable=False, comment="or `all`"),
    Column("at", Timestamp, nullable=False, server_default=func.now()),
    Column("by_whom", Text, nullable=False, comment="`participant`, or a person's address"),
    PrimaryKeyConstraint("study", "participant", "channel"),
    CheckConstraint(f"channel IN ({_CHANNELS}, 'all')", name="channel_known"),
)

reminder_timezones = Table(
    "reminder_timezones",
    metadata,
    Column("study", Text, nullable=False),
    Column("participant", Text, nullable=False),
    Column("timezone", Text, nullable=False, comment="of their contact; nothing else of it is here"),
    PrimaryKeyConstraint("study", "participant"),
    comment="Who plans a reminder cannot open contacts.",
)

reminders = Table(
    "reminders",
    metadata,
    Column("id", BigInteger, Identity(always=True), primary_key=True),
    Column("study", Text, nullable=False),
    Column("participant", Text, nullable=False),
    Column("visit", Text, nullable=False),
    Column("rule", Text, nullable=False),
    Column("channel", Text, nullable=False),
    Column("occurrence", Integer, nullable=False, comment="0, and its repetitions"),
    Column("planned_at", Timestamp, nullable=False),
    Column("useful_until", Timestamp, nullable=False),
    Column("state", Text, nullable=False, server_default="planned"),
    Column("reason", Text, comment="why it was cancelled, or has failed"),
    Column("message_id", Text, comment="of the mail, or the webhook; the same at every attempt"),
    Column("sending_at", Timestamp, comment="when it was last handed over"),
    Column("sent_at", Timestamp, comment="when its receiver was known to have it"),
    Column(
        "repeats", Integer, nullable=False, server_default="0", comment="handed over again, answer unknown"
    ),
    Column("waits_until", Timestamp, comment="quiet hours, the day's limit, a paused study"),
    Column("cancelled_reason", Text, comment="in the person's words"),
    Column("created_at", Timestamp, nullable=False, server_default=func.now()),
    Column("updated_at", Timestamp, nullable=False, server_default=func.now()),
    UniqueConstraint("study", "participant", "visit", "rule", "channel", "occurrence"),
    CheckConstraint(
        "state IN ('planned', 'queued', 'sending', 'sent', 'cancelled', 'failed')", name="state_known"
    ),
    CheckConstraint(f"channel IN ({_CHANNELS})", name="channel_known"),
    Index("ix_reminders_planned_at", "planned_at", postgresql_where=text("state = 'planned'")),
    Index(
        "ix_reminders_open_useful_until",
        "useful_until",
        postgresql_where=text("state IN ('planned', 'queued', 'sending')"),
    ),
    Index(None, "study", "planned_at"),
)
