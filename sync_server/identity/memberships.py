"""Who is a member where, and who may not stop being an admin.

Somebody has to be able to make accounts, so the last admin (active, with that role everywhere) can be neither
closed nor given another role. Two that do it to each other at once would both find the other one left: every
such change locks the rows of all admins first, in one order.
"""

from typing import Any

from sqlalchemy import Delete, Insert, Select, delete, select
from sqlalchemy.dialects.postgresql import insert
from sqlalchemy.ext.asyncio import AsyncConnection

from reporting.tables import memberships, studies, study_sites, users
from sync_server.identity.access_tokens import Role


class LastAdmin(Exception):
    """This is the last admin: make another one first."""

    def __init__(self) -> None:
        super().__init__(self.__doc__)


def lock_admins() -> Select[int]:
    """Statement: every active admin's id, locked."""
    u = users.c
    return select(u.id).where(u.role == "admin", u.active).order_by(u.id).with_for_update()


def put_membership(person: int, study: str, site: str | None, role: Role) -> Insert:
    """Statement: a member in this role, whatever role it was."""
    inserted = insert(memberships).values(person=person, study=study, site=site, role=role)
    return inserted.on_conflict_do_update(
        index_elements=["person", "study", "site"], set_={"role": inserted.excluded.role}
    )


def delete_membership(person: int, study: str, site: str | None) -> Delete:
    """Statement: no member any more. `site` None is the membership in the study as a whole."""
    return delete(memberships).where(*_one(person, study, site))


def select_role(person: int, study: str, site: str | None) -> Select[Role]:
    """Statement: the role of a member, locked."""
    return select(memberships.c.role).where(*_one(person, study, site)).with_for_update()


async def require_another_admin(connection: AsyncConnection, person: int) -> None:
    """Refuse what would leave no admin. Before the person's own row is locked. Raises LastAdmin."""
    admins = list((await connection.execute(lock_admins())).scalars())
    if admins == [person]:
        raise LastAdmin


async def what_is_missing(connection: AsyncConnection, study: str, site: str | None) -> str | None:
    """A sentence where nobody can be a member, because there is no such study, or not at that site."""
    if await connection.scalar(select(studies.c.code).where(studies.c.code == study)) is None:
        return f"There is no study {study}."
    if site is not None:
        runs = (study_sites.c.study == study) & (study_sites.c.site == site)
        if await connection.scalar(select(study_sites.c.site).where(runs)) is None:
            return f"{study} does not run at {site}."
    return None


def _one(person: int, study: str, site: str | None) -> tuple[Any, ...]:
    m = memberships.c
    at = m.site.is_(None) if site is None else m.site == site
    return m.person == person, m.study == study, at
