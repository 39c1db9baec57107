"""Reminders of visits: rules, settings, templates, opt-outs, and what became of each.

Online: new tables.

Revision ID: 0018
Revises: 0017
"""

import sqlalchemy as sa
from alembic import op
from sqlalchemy.dialects import postgresql

revision = "0018"
down_revision = "0017"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.create_table(
        "reminder_opt_outs",
        sa.Column("study", sa.Text(), nullable=False),
        sa.Column("participant", sa.Text(), nullable=False),
        sa.Column("channel", sa.Text(), nullable=False, comment="or `all`"),
        sa.Column("at", sa.DateTime(timezone=True), server_default=sa.text("now()"), nullable=False),
        sa.Column("by_whom", sa.Text(), nullable=False, comment="`participant`, or a person's address"),
        sa.CheckConstraint(
            "channel IN ('email', 'sms', 'push', 'all')", name=op.f("ck_reminder_opt_outs_channel_known")
        ),
        sa.PrimaryKeyConstraint("study", "participant", "channel", name=op.f("pk_reminder_opt_outs")),
    )
    op.create_table(
        "reminder_rules",
        sa.Column("study", sa.Text(), nullable=False),
        sa.Column("code", sa.Text(), nullable=False),
        sa.Column("moment", sa.Text(), nullable=False),
        sa.Column(
            "days", sa.Integer(), server_default="0", nullable=False, comment="before or after the due date"
        ),
        sa.Column("repeat_every_days", sa.Integer(), server_default="0", nullable=False),
        sa.Column(
            "repeat_times", sa.Integer(), server_default="0", nullable=False, comment="after the first time"
        ),
        sa.Column("channel", sa.Text(), nullable=False),
        sa.Column("send_at", sa.Time(), nullable=False, comment="local time"),
        sa.Column(
            "useful_hours", sa.Integer(), nullable=False, comment="how long after `send_at` it may be sent"
        ),
        sa.Column("visits", postgresql.ARRAY(sa.Text()), nullable=True, comment="codes; NULL = all"),
        sa.Column("retired", sa.Boolean(), server_default="false", nullable=False),
        sa.Column("row_version", sa.Integer(), server_default="1", nullable=False),
        sa.Column("created_at", sa.DateTime(timezone=True), server_default=sa.text("now()"), nullable=False),
        sa.Column("updated_at", sa.DateTime(timezone=True), server_default=sa.text("now()"), nullable=False),
        sa.CheckConstraint(
            "channel IN ('email', 'sms', 'push')", name=op.f("ck_reminder_rules_channel_known")
        ),
        sa.CheckConstraint(
            "moment IN ('before_due', 'on_due', 'overdue')", name=op.f("ck_reminder_rules_moment_known")
        ),
        sa.PrimaryKeyConstraint("study", "code", name=op.f("pk_reminder_rules")),
    )
    op.create_table(
        "reminder_settings",
        sa.Column("study", sa.Text(), nullable=False),
        sa.Column(
            "quiet_from",
            sa.Time(),
            nullable=True,
            comment="local time; with `quiet_to`; NULL = no quiet hours",
        ),
        sa.Column("quiet_to", sa.Time(), nullable=True),
        sa.Column(
            "clock",
            sa.Text(),
            server_default="participant",
            nullable=False,
            comment="whose local time counts",
        ),
        sa.Column(
            "most_per_day", sa.Integer(), server_default="3", nullable=False, comment="to one participant"
        ),
        sa.Column("sender_name", sa.Text(), server_default="", nullable=False, comment="of mails"),
        sa.Column(
            "language", sa.Text(), server_default="en", nullable=False, comment="where there is no template"
        ),
        sa.Column("gateway_url", sa.Text(), nullable=True, comment="what takes messages for sms and push"),
        sa.Column(
            "gateway_secret", sa.LargeBinary(), nullable=True, comment="sealed: what these are signed with"
        ),
        sa.Column("row_version", sa.Integer(), server_default="1", nullable=False),
        sa.Column("created_at", sa.DateTime(timezone=True), server_default=sa.text("now()"), nullable=False),
        sa.Column("updated_at", sa.DateTime(timezone=True), server_default=sa.text("now()"), nullable=False),
        sa.CheckConstraint("clock IN ('participant', 'site')", name=op.f("ck_reminder_settings_clock_known")),
        sa.CheckConstraint(
            "(quiet_from IS NULL) = (quiet_to IS NULL)", name=op.f("ck_reminder_settings_quiet_hours_whole")
        ),
        sa.PrimaryKeyConstraint("study", name=op.f("pk_reminder_settings")),
        comment="A study without a row has the defaults.",
    )
    op.create_table(
        "reminder_templates",
        sa.Column("study", sa.Text(), nullable=False),
        sa.Column("rule", sa.Text(), nullable=False),
        sa.Column("language", sa.Text(), nullable=False),
        sa.Column("subject", sa.Text(), server_default="", nullable=False),
        sa.Column("text", sa.Text(), nullable=False),
        sa.Column("row_version", sa.Integer(), server_default="1", nullable=False),
        sa.Column("created_at", sa.DateTime(timezone=True), server_default=sa.text("now()"), nullable=False),
        sa.Column("updated_at", sa.DateTime(timezone=True), server_default=sa.text("now()"), nullable=False),
        sa.PrimaryKeyConstraint("study", "rule", "language", name=op.f("pk_reminder_templates")),
    )
    op.create_table(
        "reminder_timezones",
        sa.Column("study", sa.Text(), nullable=False),
        sa.Column("participant", sa.Text(), nullable=False),
        sa.Column(
            "timezone", sa.Text(), nullable=False, comment="of their contact; nothing else of it is here"
        ),
        sa.PrimaryKeyConstraint("study", "participant", name=op.f("pk_reminder_timezones")),
        comment="Who plans a reminder cannot open contacts.",
    )
    op.create_table(
        "reminders",
        sa.Column("id", sa.BigInteger(), sa.Identity(always=True), nullable=False),
        sa.Column("study", sa.Text(), nullable=False),
        sa.Column("participant", sa.Text(), nullable=False),
        sa.Column("visit", sa.Text(), nullable=False),
        sa.Column("rule", sa.Text(), nullable=False),
        sa.Column("channel", sa.Text(), nullable=False),
        sa.Column("occurrence", sa.Integer(), nullable=False, comment="0, and its repetitions"),
        sa.Column("planned_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("useful_until", sa.DateTime(timezone=True), nullable=False),
        sa.Column("state", sa.Text(), server_default="planned", nullable=False),
        sa.Column("reason", sa.Text(), nullable=True, comment="why it was cancelled, or has failed"),
        sa.Column(
            "message_id",
            sa.Text(),
            nullable=True,
            comment="of the mail, or the webhook; the same at every attempt",
        ),
        sa.Column(
            "sending_at", sa.DateTime(timezone=True), nullable=True, comment="when it was last handed over"
        ),
        sa.Column(
            "sent_at",
            sa.DateTime(timezone=True),
            nullable=True,
            comment="when its receiver was known to have it",
        ),
        sa.Column(
            "repeats",
            sa.Integer(),
            server_default="0",
            nullable=False,
            comment="handed over again, answer unknown",
        ),
        sa.Column(
            "waits_until",
            sa.DateTime(timezone=True),
            nullable=True,
            comment="quiet hours, the day's limit, a paused study",
        ),
        sa.Column("cancelled_reason", sa.Text(), nullable=True, comment="in the person's words"),
        sa.Column("created_at", sa.DateTime(timezone=True), server_default=sa.text("now()"), nullable=False),
        sa.Column("updated_at", sa.DateTime(timezone=True), server_default=sa.text("now()"), nullable=False),
        sa.CheckConstraint("channel IN ('email', 'sms', 'push')", name=op.f("ck_reminders_channel_known")),
        sa.CheckConstraint(
            "state IN ('planned', 'queued', 'sending', 'sent', 'cancelled', 'failed')",
            name=op.f("ck_reminders_state_known"),
        ),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_reminders")),
        sa.UniqueConstraint(
            "study",
            "participant",
            "visit",
            "rule",
            "channel",
            "occurrence",
            name=op.f("uq_reminders_study_participant_visit_rule_channel_occurrence"),
        ),
    )
    op.create_index(
        "ix_reminders_open_useful_until",
        "reminders",
        ["useful_until"],
        unique=False,
        postgresql_where=sa.text("state IN ('planned', 'queued', 'sending')"),
    )
    op.create_index(
        "ix_reminders_planned_at",
        "reminders",
        ["planned_at"],
        unique=False,
        postgresql_where=sa.text("state = 'planned'"),
    )
    op.create_index(op.f("ix_reminders_study_planned_at"), "reminders", ["study", "planned_at"], unique=False)


def downgrade() -> None:
    op.drop_index(op.f("ix_reminders_study_planned_at"), table_name="reminders")
    op.drop_index(
        "ix_reminders_planned_at", table_name="reminders", postgresql_where=sa.text("state = 'planned'")
    )
    op.drop_index(
        "ix_reminders_open_useful_until",
        table_name="reminders",
        postgresql_where=sa.text("state IN ('planned', 'queued', 'sending')"),
    )
    op.drop_table("reminders")
    op.drop_table("reminder_timezones")
    op.drop_table("reminder_templates")
    op.drop_table("reminder_settings")
    op.drop_table("reminder_rules")
    op.drop_table("reminder_opt_outs")
