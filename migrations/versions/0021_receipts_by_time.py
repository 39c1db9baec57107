"""Receipts of a site by their time: how long the oldest waits is asked of each site that is shown.

Online: an index, which holds up pushes while it is made. Where the ingest log is large, make it before, with
CREATE INDEX CONCURRENTLY ix_ingest_log_site_received_at ON ingest_log (site, received_at).

Revision ID: 0021
Revises: 0020
"""

from alembic import op

revision = "0021"
down_revision = "0020"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.create_index(
        op.f("ix_ingest_log_site_received_at"), "ingest_log", ["site", "received_at"], if_not_exists=True
    )


def downgrade() -> None:
    op.drop_index(op.f("ix_ingest_log_site_received_at"), table_name="ingest_log")
