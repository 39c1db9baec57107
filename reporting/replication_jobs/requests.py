"""Asking for a look: the jobs' documents are brought to what Postgres says, then their states are read.

One entry of the outbox for all jobs: each look brings about the state of its own moment, so who asks while
one is at work has another one follow.
"""

from datetime import datetime
from typing import Final

from sqlalchemy.dialects.postgresql import Insert

from reporting.outbox.entry import Entry, enter_again

KIND: Final = "replication"
KEY: Final = "all"


def ask_for_look(not_before: datetime | None = None) -> Insert:
    """Statement: look at all jobs, at once or not before a moment."""
    return enter_again([Entry(kind=KIND, key=KEY, not_before=not_before)])
