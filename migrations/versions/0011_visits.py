"""Visit definitions and visits.

Revision ID: 0011
Revises: 0010
"""

import sqlalchemy as sa
from alembic import op

revision = "0011"
down_revision = "0010"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.create_table(
        "visit_definitions",
        sa.Column("study", sa.Text(), nullable=False),
        sa.Column("code", sa.Text(), nullable=False, comment="the visit's name in sessions"),
        sa.Column("title", sa.Text(), server_default="", nullable=False),
        sa.Column(
            "anchor",
            sa.Text(),
            nullable=False,
            comment="`enrolment`, or the code of the visit it counts from",
        ),
        sa.Column(
            "offset_days",
            sa.Integer(),
            server_default="0",
            nullable=False,
            comment="from the anchor to the due date",
        ),
        sa.Column("window_before_days", sa.Integer(), server_default="0", nullable=False),
        sa.Column("window_after_days", sa.Integer(), server_default="0", nullable=False),
        sa.Column("battery_id", sa.Text()),
        sa.Column("battery_version", sa.Integer()),
        sa.Column("position", sa.Integer(), server_default="0", nullable=False, comment="order in lists"),
        sa.Column(
            "retired",
            sa.Boolean(),
            server_default="false",
            nullable=False,
            comment="makes no visits any more",
        ),
        sa.Column("row_version", sa.Integer(), server_default="1", nullable=False),
        sa.Column("created_at", sa.DateTime(timezone=True), server_default=sa.text("now()"), nullable=False),
        sa.Column("updated_at", sa.DateTime(timezone=True), server_default=sa.text("now()"), nullable=False),
        sa.PrimaryKeyConstraint("study", "code", name=op.f("pk_visit_definitions")),
    )
    op.create_table(
        "visits",
        sa.Column("study", sa.Text(), nullable=False),
        sa.Column("participant", sa.Text(), nullable=False),
        sa.Column("code", sa.Text(), nullable=False),
        sa.Column("site", sa.Text(), nullable=True, comment="the participant's; NULL as theirs is"),
        sa.Column("state", sa.Text(), server_default="planned", nullable=False),
        sa.Column(
            "due_on",
            sa.Date(),
            nullable=True,
            comment="in the site's timezone; NULL until the anchor is known",
        ),
        sa.Column("window_from", sa.Date()),
        sa.Column("window_to", sa.Date(), nullable=True, comment="included"),
        sa.Column(
            "completed_at",
            sa.DateTime(timezone=True),
            comment="when the session that completed it began; NULL = not known",
        ),
        sa.Column(
            "completed_on",
            sa.Date(),
            comment="that day in the site's timezone; anchor of what counts from it",
        ),
        sa.Column(
            "in_window", sa.Boolean(), comment="whether it was completed in its window; NULL = not known"
        ),
        sa.Column("session_site", sa.Text(), comment="with `session_id`: what completed it"),
        sa.Column("session_id", sa.Text()),
        sa.Column(
            "session_count",
            sa.Integer(),
            server_default="0",
            nullable=False,
            comment="completed sessions of it",
        ),
        sa.Column(
            "anchor",
            sa.Text(),
            server_default="enrolment",
            nullable=False,
            comment="what it was planned by, with the next three",
        ),
        sa.Column("offset_days", sa.Integer(), server_default="0", nullable=False),
        sa.Column("window_before_days", sa.Integer(), server_default="0", nullable=False),
        sa.Column("window_after_days", sa.Integer(), server_default="0", nullable=False),
        sa.Column("moved_to", sa.Date(), comment="the due date that a person has chosen"),
        sa.Column("moved_reason", sa.Text()),
        sa.Column("cancelled_cause", sa.Text(), comment="a person's stays until they take it back"),
        sa.Column("cancelled_reason", sa.Text(), comment="in the person's words"),
        sa.Column("row_version", sa.Integer(), server_default="1", nullable=False),
        sa.Column("created_at", sa.DateTime(timezone=True), server_default=sa.text("now()"), nullable=False),
        sa.Column("updated_at", sa.DateTime(timezone=True), server_default=sa.text("now()"), nullable=False),
        sa.CheckConstraint(
            "state IN ('planned', 'due', 'completed', 'missed', 'cancelled')",
            name=op.f("ck_visits_state_known"),
        ),
        sa.CheckConstraint(
            "cancelled_cause IN ('person', 'participant', 'definition')",
            name=op.f("ck_visits_cancelled_cause_known"),
        ),
        sa.PrimaryKeyConstraint("study", "participant", "code", name=op.f("pk_visits")),
    )
    op.create_index(
        "ix_visits_open_window_to",
        "visits",
        ["window_to"],
        postgresql_where=sa.text("state IN ('planned', 'due')"),
    )
    op.create_index(
        "ix_visits_open_due_on",
        "visits",
        ["due_on"],
        postgresql_where=sa.text("state IN ('planned', 'due')"),
    )
    op.create_index(
        "ix_visits_planned_window_from",
        "visits",
        ["window_from"],
        postgresql_where=sa.text("state = 'planned'"),
    )
    op.create_index(op.f("ix_visits_site_due_on"), "visits", ["site", "due_on"], unique=False)
    op.create_index(
        op.f("ix_sessions_received_at"), "sessions", ["received_at"], unique=False, if_not_exists=True
    )


def downgrade() -> None:
    op.drop_index(op.f("ix_sessions_received_at"), table_name="sessions")
    op.drop_table("visits")
    op.drop_table("visit_definitions")
