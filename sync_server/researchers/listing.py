"""Which logins of researchers there are, in which state, and what they may read.

| state | means |
|---|---|
| `open` | it may log in, and has a grant |
| `ended` | it may log in, and its grants have run out: its connections are ended |
| `shut` | its last grant was withdrawn: it may not log in |
| `missing` | it has grants and is no role of this Postgres, as after a restore: granting again makes it |
"""

from collections.abc import Iterable
from datetime import datetime
from typing import Literal

import msgspec
from sqlalchemy import Connection, Select, func, select, table
from sqlalchemy import column as column_of
from sqlalchemy.types import Boolean, Integer, Text

from reporting.research.grants import Grant, select_grants

State = Literal["open", "ended", "shut", "missing"]


class GrantView(msgspec.Struct, frozen=True):
    """A grant of a login; `site` None: every site of the study."""

    study: str
    site: str | None
    identified: bool
    expires_at: datetime | None


class Login(msgspec.Struct, frozen=True):
    """A login, its connections now and the most that it may have."""

    login: str
    state: State
    connections: int
    most_connections: int | None
    grants: list[GrantView]


_roles = table(
    "pg_roles",
    column_of("rolname", Text),
    column_of("rolcanlogin", Boolean),
    column_of("rolconnlimit", Integer),
    schema="pg_catalog",
)
_activity = table(
    "pg_stat_activity", column_of("usename", Text), column_of("datname", Text), schema="pg_catalog"
)


def list_logins(connection: Connection, now: datetime) -> list[Login]:
    """All logins that have a grant, or are let into this database; by name."""
    grants: dict[str, list[Grant]] = {}
    for row in connection.execute(select_grants()):
        grants.setdefault(row.login, []).append(Grant(*row))
    roles = {row.rolname: row for row in connection.execute(_select_roles())}
    return [
        Login(
            login,
            _state(roles[login].rolcanlogin if login in roles else None, grants.get(login, ()), now),
            roles[login].connections if login in roles else 0,
            roles[login].rolconnlimit if login in roles else None,
            [GrantView(*grant[1:]) for grant in grants.get(login, ())],
        )
        for login in sorted(roles.keys() | grants.keys())
    ]


def _state(may_log_in: bool | None, grants: Iterable[Grant], now: datetime) -> State:
    if may_log_in is None:
        return "missing"
    if not may_log_in:
        return "shut"
    valid = any(grant.expires_at is None or grant.expires_at > now for grant in grants)
    return "open" if valid else "ended"


def _select_roles() -> Select[tuple[str, bool, int, int]]:
    r, a = _roles.c, _activity.c
    connections = (
        select(func.count())
        .where(a.usename == r.rolname, a.datname == func.current_database())
        .scalar_subquery()
    )
    return (
        select(r.rolname, r.rolcanlogin, r.rolconnlimit, connections.label("connections"))
        .where(r.rolname.like(r"researcher\_%"))
        .where(func.has_database_privilege(r.rolname, func.current_database(), "CONNECT"))
    )
