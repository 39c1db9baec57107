"""Changes of people's addresses: both addresses are told, so that nobody loses an account unnoticed.

The mail's outbox entry names the change by id; the address that was left stands here until the change is
pruned. A mail that is delivered later than that is not sent.
"""

from datetime import datetime

from sqlalchemy import Delete, Select, delete, insert, select
from sqlalchemy.sql.dml import ReturningInsert

from reporting.tables import address_changes

_c = address_changes.c


def insert_address_change(person: int, *, before: str, after: str) -> ReturningInsert[int]:
    """Statement: a change of address → its id."""
    values = {"person": person, "email_before": before, "email_after": after}
    return insert(address_changes).values(values).returning(_c.id)


def select_address_change(change: int) -> Select[str, str]:
    """Statement: (before, after) of a change."""
    return select(_c.email_before, _c.email_after).where(_c.id == change)


def prune_address_changes(*, changed_before: datetime, limit: int) -> Delete:
    """Statement: changes of before then."""
    old = select(_c.id).where(_c.changed_at < changed_before).limit(limit)
    return delete(address_changes).where(_c.id.in_(old))
