"""People as others see them: their accounts, and where they are members.

Who manages a study sees its members, and of their memberships those in it. Who manages accounts sees all.
"""

from datetime import datetime
from typing import Any

import msgspec
from sqlalchemy import ColumnElement, Select, Update, func, literal_column, select, true, update
from sqlalchemy.dialects.postgresql import JSONB, aggregate_order_by
from sqlalchemy.ext.asyncio import AsyncConnection

from reporting.scope import EVERYTHING, Scope, within
from reporting.tables import memberships, second_factors, users
from sync_server.identity.access_tokens import Role


class Membership(msgspec.Struct, frozen=True):
    """A role in a study, or at one of its sites."""

    study: str
    site: str | None
    role: Role


class User(msgspec.Struct, frozen=True):
    """An account. `role` is the one that they have everywhere; null: as the memberships say. `has_password`:
    whether one was ever set.
    """

    id: int
    email: str
    name: str
    role: Role | None
    language: str
    active: bool
    has_password: bool
    password_is_temporary: bool
    second_factor: bool
    memberships: list[Membership]
    created_at: datetime
    updated_at: datetime
    row_version: int


class Self(msgspec.Struct, frozen=True):
    """What somebody is told of their own account beside what a request knows already."""

    name: str
    language: str
    second_factor: bool
    memberships: list[Membership]


def select_shown(person: int) -> Select[str, str]:
    """Statement: (name, language) of an account: how pages greet its owner."""
    return select(users.c.name, users.c.language).where(users.c.id == person)


def select_users(scope: Scope) -> Select[*tuple[Any, ...]]:
    """Statement: the fields of `User`, of those whom the scope covers."""
    u = users.c
    return select(
        u.id,
        u.email,
        u.name,
        u.role,
        u.language,
        u.active,
        u.password_hash.is_not(None),
        u.password_is_temporary,
        _second_factor(),
        _memberships(scope),
        u.created_at,
        u.updated_at,
        u.row_version,
    ).where(_covered(scope))


def member_of(study: str) -> ColumnElement[bool]:
    """Condition: a member of the study, in whatever role."""
    m = memberships.c
    return select(m.id).where(m.person == users.c.id, m.study == study).correlate(users).exists()


def lock_account(person: int) -> Select[str, bool, int]:
    """Statement: (email, active, row_version) of an account, which stays so until the transaction ends."""
    u = users.c
    return select(u.email, u.active, u.row_version).where(u.id == person).with_for_update()


def update_account(person: int, **values: Any) -> Update:
    """Statement: change an account."""
    u = users.c
    return (
        update(users)
        .where(u.id == person)
        .values(**values, row_version=u.row_version + 1, updated_at=func.now())
    )


async def read_user(connection: AsyncConnection, person: int, scope: Scope) -> User | None:
    """One of them; None where there is none, or not in the scope."""
    row = (await connection.execute(select_users(scope).where(users.c.id == person))).one_or_none()
    return None if row is None else msgspec.convert(_named(User, tuple(row)), User)


async def read_self(connection: AsyncConnection, person: int) -> Self:
    """What somebody is told of themselves."""
    u = users.c
    statement = select(u.name, u.language, _second_factor(), _memberships(EVERYTHING)).where(u.id == person)
    return msgspec.convert(_named(Self, tuple((await connection.execute(statement)).one())), Self)


def _named(kind: type[msgspec.Struct], row: tuple[Any, ...]) -> dict[str, Any]:
    return dict(zip(kind.__struct_fields__, row, strict=True))


def _second_factor() -> ColumnElement[bool]:
    f = second_factors.c
    return (
        select(f.person).where(f.person == users.c.id, f.confirmed_at.is_not(None)).correlate(users).exists()
    )


def _memberships(scope: Scope) -> ColumnElement[Any]:
    m = memberships.c
    each = func.jsonb_build_object("study", m.study, "site", m.site, "role", m.role)
    listed = func.jsonb_agg(aggregate_order_by(each, m.study, m.site, m.id), type_=JSONB)
    return (
        select(func.coalesce(listed, literal_column("'[]'::jsonb"), type_=JSONB))
        .where(m.person == users.c.id, within(scope, study=m.study, site=m.site))
        .correlate(users)
        .scalar_subquery()
    )


def _covered(scope: Scope) -> ColumnElement[bool]:
    if scope.is_everything:
        return true()
    m = memberships.c
    return (
        select(m.id)
        .where(m.person == users.c.id, within(scope, study=m.study, site=m.site))
        .correlate(users)
        .exists()
    )
