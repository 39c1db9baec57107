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
    Column("completed_at", Timestamp, comment="when the session that completed it began; NULL = not known"),
    Column("completed_on", Date, comment="that day in the site's timezone; anchor of what counts from it"),
    Column("in_window", Boolean, comment="whether it was completed in its window; NULL = not known"),
    Column("session_site", Text, comment="with `session_id`: what completed it"),
    Column("session_id", Text),
    Column("session_count", Integer, nullable=False, server_default="0", comment="completed sessions of it"),
    Column(
        "anchor",
        Text,
        nullable=False,
        server_default="enrolment",
        comment="what it was planned by, with the next three",
    ),
    Column("offset_days", Integer, nullable=False, server_default="0"),
    Column("window_before_days", Integer, nullable=False, server_default="0"),
    Column("window_after_days", Integer, nullable=False, server_default="0"),
    Column("moved_to", Date, comment="the due date that a person has chosen"),
    Column("moved_reason", Text),
    Column("cancelled_cause", Text, comment="a person's stays until they take it back"),
    Column("cancelled_reason", Text, comment="in the person's words"),
    Column("row_version", Integer, nullable=False, server_default="1"),
    Column("created_at", Timestamp, nullable=False, server_default=func.now()),
    Column("updated_at", Timestamp, nullable=False, server_default=func.now()),
    PrimaryKeyConstraint("study", "participant", "code"),
    CheckConstraint("state IN ('planned', 'due', 'completed', 'missed', 'cancelled')", name="state_known"),
    CheckConstraint(
        "cancelled_cause IN ('person', 'participant', 'definition')", name="cancelled_cause_known"
    ),
    Index("ix_visits_open_window_to", "window_to", postgresql_where=text("state IN ('planned', 'due')")),
    Index("ix_visits_open_due_on", "due_on", postgresql_where=text("state IN ('planned', 'due')")),
    Index("ix_visits_planned_window_from", "window_from", postgresql_where=text("state = 'planned'")),
    Index(None, "site", "due_on"),
    # A study's visits in the order of its list, which is also what the list's total is counted by.
    Index(None, "study", "due_on", "participant", "code"),
    # Those in a state: on the way to the first that is due, the other one passes all that are done.
    Index(None, "study", "state", "due_on", "participant", "code"),
    # What the dashboard counts.
    Index(None, "study", "state", "completed_on", "site"),
)
