"""Trials as a view on narrow rows and on extras that lie together.

What `trials` was as a table lay in 767 bytes a row, index included, of which the new layout needs a quarter
(docs/PERFORMANCE.md, "Trials at scale"). Readers keep `trials` with the same columns.

Online: no release had the table before, so it holds what a trial installation has, and the rows move here, in
the migration's transaction, while writers wait. A large table would be moved by projecting it anew.

Revision ID: 0005
Revises: 0004
"""

import sqlalchemy as sa
from alembic import op
from sqlalchemy.dialects import postgresql

revision = "0005"
down_revision = "0004"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.execute("LOCK TABLE trials IN SHARE ROW EXCLUSIVE MODE")
    op.create_table(
        "trial_rows",
        sa.Column("site", sa.Text(), nullable=False),
        sa.Column("session_id", sa.Text(), nullable=False),
        sa.Column("task", sa.Text(), nullable=False),
        sa.Column("run", sa.Integer(), nullable=False),
        sa.Column("trial_index", sa.Integer(), nullable=False),
        sa.Column("stage", sa.Text(), nullable=False, comment="`phase` or `exp_stage`; absent means test"),
        sa.Column("rt_ms", sa.Double(), comment="reaction time, milliseconds; NULL = no response"),
        sa.Column("correct", sa.Boolean()),
        sa.Column("response", postgresql.JSONB(), comment="`response` or `key_press`, as logged"),
        sa.Column("condition", sa.Text()),
        sa.Column("time_elapsed_ms", sa.Double(), comment="milliseconds since the task began"),
        comment="The view `trials` without `extra`. Once a task run: the keys of task_runs and trial_extras.",
    )
    op.create_table(
        "trial_extras",
        sa.Column("site", sa.Text(), nullable=False),
        sa.Column("session_id", sa.Text(), nullable=False),
        sa.Column("task", sa.Text(), nullable=False),
        sa.Column("run", sa.Integer(), nullable=False),
        sa.Column(
            "part", sa.Integer(), nullable=False, comment="trial_index >> 6: up to 64 trials are one value"
        ),
        sa.Column(
            "extras",
            postgresql.JSONB(),
            nullable=False,
            comment="by trial_index: what `trials` shows as `extra`",
        ),
        sa.PrimaryKeyConstraint("site", "session_id", "task", "run", "part", name=op.f("pk_trial_extras")),
    )
    op.execute(
        """
        INSERT INTO trial_rows
        SELECT site, session_id, task, run, trial_index, stage, rt_ms, correct, response, condition,
               time_elapsed_ms
        FROM trials ORDER BY site, session_id, task, run, trial_index
        """
    )
    op.execute(
        """
        INSERT INTO trial_extras
        SELECT site, session_id, task, run, trial_index >> 6, jsonb_object_agg(trial_index::text, extra)
        FROM trials WHERE extra IS NOT NULL GROUP BY 1, 2, 3, 4, 5 ORDER BY 1, 2, 3, 4, 5
        """
    )
    op.create_index(op.f("ix_trial_rows_site_session_id"), "trial_rows", ["site", "session_id"])
    op.drop_table("trials")
    op.execute(
        """
        CREATE VIEW trials AS
        SELECT t.site, t.session_id, t.task, t.run, t.trial_index, t.stage, t.rt_ms, t.correct, t.response,
               t.condition, t.time_elapsed_ms, e.extras -> t.trial_index::text AS extra
        FROM trial_rows AS t
        LEFT JOIN trial_extras AS e
          ON e.site = t.site AND e.session_id = t.session_id AND e.task = t.task AND e.run = t.run
         AND e.part = t.trial_index >> 6
        """
    )


def downgrade() -> None:
    op.execute("ALTER VIEW trials RENAME TO trials_view")
    op.execute("CREATE TABLE trials AS SELECT * FROM trials_view")
    op.execute("DROP VIEW trials_view")
    for column in ("site", "session_id", "task", "run", "trial_index", "stage"):
        op.alter_column("trials", column, nullable=False)
    op.create_primary_key(op.f("pk_trials"), "trials", ["site", "session_id", "task", "run", "trial_index"])
    op.drop_table("trial_extras")
    op.drop_table("trial_rows")
