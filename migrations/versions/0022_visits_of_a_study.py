"""Visits of a study in the order of their list: a page of it, and how many there are, read the index alone.

Those in a state have an index of their own: on the way to what is due the other one passes all that is done.

Online: two indexes, which hold up the projector and the roster while they are made (some seconds for each
million visits). Where that is too long, make them before, with
CREATE INDEX CONCURRENTLY ix_visits_study_due_on_participant_code
ON visits (study, due_on, participant, code);
CREATE INDEX CONCURRENTLY ix_visits_study_state_due_on_participant_code
ON visits (study, state, due_on, participant, code);

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
    op.create_index(
        op.f("ix_visits_study_state_due_on_participant_code"),
        "visits",
        ["study", "state", "due_on", "participant", "code"],
        if_not_exists=True,
    )


def downgrade() -> None:
    op.drop_index(op.f("ix_visits_study_state_due_on_participant_code"), table_name="visits")
    op.drop_index(op.f("ix_visits_study_due_on_participant_code"), table_name="visits")
