"""What a relay does now and then, whichever relay: each duty at most once in its interval.

The row of a duty says when it was last done, and changes in the duty's own transaction: a relay that dies in
the middle has not done it. Who finds another relay at it goes on (`pg_try_advisory_xact_lock`).
"""

from collections.abc import Callable
from datetime import datetime, timedelta
from typing import Any, Final

import msgspec
from sqlalchemy import Connection, Executable, Select, func, literal, select
from sqlalchemy.dialects.postgresql import insert

from reporting.tables import duties

_LOCK_SPACE: Final = 0x0D07
"""First half of the key of advisory locks on duties; the second is the name's hash."""


class Duty(msgspec.Struct, frozen=True):
    """`do` is called in a transaction with the database's clock."""

    name: str
    every: timedelta
    do: Callable[[Connection, datetime], Any]


def run_if_due(connection: Connection, duty: Duty) -> bool:
    """Do it, unless it was done within its interval or another relay is at it; whether it was done.
    `connection` must be in a transaction of its own, which its caller commits.
    """
    if not connection.execute(_try_lock(duty.name)).scalar_one():
        return False
    due_at = connection.execute(_take_turn(duty)).scalar_one_or_none()
    if due_at is None:
        return False
    duty.do(connection, due_at)
    return True


def _try_lock(name: str) -> Select[bool]:
    return select(func.pg_try_advisory_xact_lock(_LOCK_SPACE, func.hashtext(literal(name))))


def _take_turn(duty: Duty) -> Executable:
    taken = insert(duties).values(name=duty.name, ran_at=func.now())
    return taken.on_conflict_do_update(
        index_elements=["name"],
        set_={"ran_at": func.now()},
        where=duties.c.ran_at <= func.now() - duty.every,
    ).returning(duties.c.ran_at)
