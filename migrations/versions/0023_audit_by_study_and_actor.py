"""Audit entries by study and by actor, the latest first: otherwise each such page reads the whole log.

Online: two indexes, which hold up every act while they are made. Where the log is large, make them before, with
CREATE INDEX CONCURRENTLY ix_audit_log_study_id ON audit_log (study, id) and
CREATE INDEX CONCURRENTLY ix_audit_log_actor_id ON audit_log (actor, id).
Seen with a million entries: 30 and 47 MB beside a table of 182 MB; each act writes two more index entries.

Revision ID: 0023
Revises: 0021
"""

from alembic import op

revision = "0023"
down_revision = "0021"
branch_labels = None
depends_on = None

COLUMNS = ("study", "actor")


def upgrade() -> None:
    for column in COLUMNS:
        op.create_index(op.f(f"ix_audit_log_{column}_id"), "audit_log", [column, "id"], if_not_exists=True)


def downgrade() -> None:
    for column in COLUMNS:
        op.drop_index(op.f(f"ix_audit_log_{column}_id"), table_name="audit_log")
