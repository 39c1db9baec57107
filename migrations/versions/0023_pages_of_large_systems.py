"""Audit entries by study and by actor, the latest first; visits counted without reading them.

Otherwise each such page reads the whole log, and each look at the dashboard all visits twice.

Online: three indexes, which hold up acts and the projection while they are made. Where a table is large, make
its indexes before:
CREATE INDEX CONCURRENTLY ix_audit_log_study_id ON audit_log (study, id);
CREATE INDEX CONCURRENTLY ix_audit_log_actor_id ON audit_log (actor, id);
CREATE INDEX CONCURRENTLY ix_visits_study_state_completed_on_site
    ON visits (study, state, completed_on, site).
Seen: 30 and 47 MB with a million audit entries, 10 MB with 319,000 visits. From then on each act writes two
more index entries, each change of a visit one more; tablets' pushes write none.

Revision ID: 0023
Revises: 0022
"""

from alembic import op

revision = "0023"
down_revision = "0022"
branch_labels = None
depends_on = None

INDEXES = {
    "ix_audit_log_study_id": ("audit_log", ["study", "id"]),
    "ix_audit_log_actor_id": ("audit_log", ["actor", "id"]),
    "ix_visits_study_state_completed_on_site": ("visits", ["study", "state", "completed_on", "site"]),
}


def upgrade() -> None:
    for name, (table, columns) in INDEXES.items():
        op.create_index(op.f(name), table, columns, if_not_exists=True)


def downgrade() -> None:
    for name, (table, _) in INDEXES.items():
        op.drop_index(op.f(name), table_name=table)
