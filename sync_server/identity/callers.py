"""The person who calls, and what they may do where: their role everywhere, and their memberships.

Read anew at every request: a role that was taken away counts at once. Which role has which right stands in
`policy.RIGHTS`.
"""

import msgspec
from sqlalchemy import Select, func, select
from sqlalchemy.ext.asyncio import AsyncConnection

from reporting.scope import Part, Scope
from reporting.tables import logins, memberships, study_sites, users
from sync_server.errors import NotAllowed, NotFound
from sync_server.identity.access_tokens import Person, Role
from sync_server.policy import RIGHTS, Right


class Grant(msgspec.Struct, frozen=True):
    """A role, and where somebody has it."""

    role: Role
    part: Part


class Caller(msgspec.Struct, frozen=True):
    """Somebody who is logged in; `login` is the id of the login that the access token belongs to."""

    person: Person
    grants: tuple[Grant, ...] = ()
    login: str | None = None
    password_is_temporary: bool = False

    def scope(self, right: Right) -> Scope:
        """Where the caller has the right; without parts: nowhere."""
        return Scope(tuple(grant.part for grant in self.grants if grant.role in RIGHTS[right]))

    def may_somewhere(self, right: Right) -> bool:
        """Whether there is anything at all on which the caller has the right."""
        return bool(self.scope(right).parts)

    def require(self, right: Right, study: str, site: str | None = None) -> None:
        """The right on what belongs to a study (and site). Raises NotAllowed, or NotFound to who may not even
        know that there is such a study.
        """
        if self.scope(right).covers(study, site):
            return
        if not self.scope("studies.read").sees_study(study):
            raise NotFound(f"There is no study {study}.")
        where = study if site is None else f"{study} at {site}"
        raise NotAllowed(f"Your role in {where} does not allow this ({right}).")

    def require_at_site(self, right: Right, site: str) -> None:
        """The right on what belongs to a site and no study. Raises NotAllowed or NotFound."""
        if self.scope(right).covers_site(site):
            return
        if not self.scope("sites.read").covers_site(site):
            raise NotFound(f"There is no site {site}.")
        raise NotAllowed(f"Your role at {site} does not allow this ({right}).")

    def require_everywhere(self, right: Right) -> None:
        """The right without limits. Raises NotAllowed."""
        if not self.scope(right).is_everything:
            raise NotAllowed(f"This is for those whose role is not limited to studies ({right}).")


def select_account(person_id: int, login: str | None = None) -> Select[int, str, Role | None, bool]:
    """Statement: (id, email, role, password_is_temporary) of an active account; with a login: while that
    lasts.
    """
    statement = select(users.c.id, users.c.email, users.c.role, users.c.password_is_temporary).where(
        users.c.id == person_id, users.c.active
    )
    if login is None:
        return statement
    lasts = (logins.c.id == login, logins.c.person == users.c.id, logins.c.ended_at.is_(None))
    return statement.where(select(logins.c.id).where(*lasts, logins.c.expires_at > func.now()).exists())


def select_grants(person_id: int) -> Select[Role, str, str | None, list[str] | None]:
    """Statement: (role, study, site, sites of the study where `site` is NULL) of a person's memberships."""
    m = memberships.c
    sites = select(func.array_agg(study_sites.c.site)).where(study_sites.c.study == m.study).scalar_subquery()
    return select(m.role, m.study, m.site, sites).where(m.person == person_id).order_by(m.id)


async def read_caller(
    connection: AsyncConnection, person_id: int, *, login: str | None = None
) -> Caller | None:
    """The person with this id and their grants, as they are now; None where the account is closed, or the
    login has ended.
    """
    account = (await connection.execute(select_account(person_id, login))).one_or_none()
    if account is None:
        return None
    grants = [] if account.role is None else [Grant(account.role, Part())]
    for role, study, site, sites in await connection.execute(select_grants(person_id)):
        grants.append(Grant(role, Part(study, site, frozenset(sites or ()))))
    person = Person(id=account.id, email=account.email, role=account.role)
    return Caller(person, tuple(grants), login, account.password_is_temporary)
