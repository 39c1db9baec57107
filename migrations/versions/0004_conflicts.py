"""Corrections that are deleted or gone from the site database are marked, as sessions are.

Online: one nullable column.

Revision ID: 0004
Revises: 0003
"""

import sqlalchemy as sa
from alembic import op

revision = "0004"
down_revision = "0003"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.add_column(
        "corrections",
        sa.Column(
            "source_missing_at",
            sa.DateTime(timezone=True),
            comment="deleted or gone at its source: not applied",
        ),
    )


def downgrade() -> None:
    op.drop_column("corrections", "source_missing_at")
