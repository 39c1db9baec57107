"""When participants are to be seen: a study's visit definitions, and each participant's visits."""

from sqlalchemy import (
    Boolean,
    CheckConstraint,
    Column,
    Date,
    Index,
    Integer,
    PrimaryKeyConstraint,
    Table,
    Text,
    func,
    text,
)

from reporting.tables.base import Timestamp, metadata

visit_definitions = Table(
    "visit_definitions",
    metadata,
    Column("study", Text, nullable=False),
    Column("code", Text, nullable=False, comment="the visit's name in sessions"),
    Column("title", Text, nullable=False, server_default=""),
    Column("anchor", Text, nullable=False, comment="`enrolment`, or the code of the visit it counts from"),
    Column(
        "offset_days", Integer, nullable=False, server_default="0", comment="from the anchor to the due date"
    ),
    Column("window_before_days", Integer, nullable=False, server_default="0"),
    Column("window_after_days", Integer, nullable=False, server_default="0"),
    Column("battery_id", Text),
    Column("battery_version", Integer),
    Column("position", Integer, nullable=False, server_default="0", comment="order in lists"),
    Column("retired", Boolean, nullable=False, server_default="false", comment="makes no visits any more"),
    Column("row_version", Integer, nullable=False, server_default="1"),
    Column("created_at", Timestamp, nullable=False, server_default=func.now()),
    Column("updated_at", Timestamp, nullable=False, server_default=func.now()),
    PrimaryKeyConstraint("study", "code"),
)

visits = Table(
    "visits",
    metadata,
    Column("study", Text, nullable=False),
    Column("participant", Text, nullable=False),
    Column("code", Text, nullable=False),
    Column("site", Text, comment="the participant's; NULL as theirs is"),
    Column("state", Text, nullable=False, server_default="planned"),
    Column("due_on", Date, comment="in the site's timezone; NULL until the anchor is known"),
    Column("window_from", Date),
    Column("window_to", Date, comment="included"),
    Column("completed_at", Timestamp, comment="when the session that completed it began, corrected"),
    Column("session_site", Text, comment="with `session_id`: what completed it"),
    Column("session_id", Text),
    Column("session_count", Integer, nullable=False, server_default="0", comment="completed sessions of it"),
    Column("cancelled_reason", Text),
    Column("row_version", Integer, nullable=False, server_default="1"),
    Column("created_at", Timestamp, nullable=False, server_default=func.now()),
    Column("updated_at", Timestamp, nullable=False, server_default=func.now()),
    PrimaryKeyConstraint("study", "participant", "code"),
    CheckConstraint("state IN ('planned', 'due', 'completed', 'missed', 'cancelled')", name="state_known"),
    Index("ix_visits_open", "window_to", postgresql_where=text("state IN ('planned', 'due')")),
    Index(None, "site", "due_on"),
)
