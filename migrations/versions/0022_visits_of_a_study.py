"""Visits of a study in the order of their list: a page of it, and how many there are, read the index alone.

Online: an index, which holds up the projector and the roster while it is made (a second for each million
visits). Where that is too long, make it before, with
CREATE INDEX CONCURRENTLY ix_visits_study_due_on_participant_code
ON visits (study, due_on, participant, code).

Revision ID: 0022
Revises: 0021
"""

from alembic import op

revision = "0022"
down_revision = "0021"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.create_index(
        op.f("ix_visits_study_due_on_participant_code"),
        "visits",
        ["study", "due_on", "participant", "code"],
        if_not_exists=True,
    )


def downgrade() -> None:
    op.drop_index(op.f("ix_visits_study_due_on_participant_code"), table_name="visits")
