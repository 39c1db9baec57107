"""What the columns of data quality say: comments only.

Online: changes the catalogue and no row.

Revision ID: 0003
Revises: 0002
"""

from typing import Any

import sqlalchemy as sa
from alembic import op

revision = "0003"
down_revision = "0002"
branch_labels = None
depends_on = None

COMMENTS: tuple[tuple[str, str, dict[str, Any], str, str], ...] = (
    (
        "sessions",
        "clock_offset_s",
        {"existing_type": sa.Double()},
        "seconds to add to the device's clock; NULL = nothing suspect",
        "seconds to add to the device's clock; NULL = none known",
    ),
    (
        "sessions",
        "trials_digest",
        {"existing_type": sa.Text()},
        "equal for sessions with the same trials; NULL without trials",
        "equal for sessions with the same trials; NULL = too few",
    ),
    (
        "quarantine",
        "rules_version",
        {
            "existing_type": sa.Integer(),
            "existing_nullable": False,
            "existing_server_default": sa.text("'1'"),
        },
        "of the rules that judged it",
        "of the rules that judged it, or are to",
    ),
)
"""Table, column, what it is otherwise, comment before, comment after."""


def upgrade() -> None:
    for table, column, existing, before, after in COMMENTS:
        op.alter_column(table, column, comment=after, existing_comment=before, **existing)


def downgrade() -> None:
    for table, column, existing, before, after in COMMENTS:
        op.alter_column(table, column, comment=before, existing_comment=after, **existing)
