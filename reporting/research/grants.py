"""Grants: which login may read a study, or a study at a site."""

from datetime import datetime
from typing import Any, NamedTuple

from sqlalchemy import Delete, Select, delete, exists, func, select
from sqlalchemy.dialects.postgresql import Insert, insert
from sqlalchemy.sql.selectable import Exists

from reporting.tables import research_grants


class Grant(NamedTuple):
    """`site` None: every site of the study; `expires_at` None: until it is withdrawn."""

    login: str
    study: str
    site: str | None
    identified: bool
    expires_at: datetime | None


def put_grant(grant: Grant, by: str) -> Insert:
    """Make the grant, or change the one of the same login, study and site."""
    new = insert(research_grants).values(**grant._asdict(), granted_by=by)
    changed = {name: new.excluded[name] for name in ("identified", "expires_at", "granted_by")}
    return new.on_conflict_do_update(
        index_elements=["login", "study", "site"], set_=changed | {"granted_at": func.now()}
    )


def withdraw(login: str, study: str | None, site: str | None) -> Delete:
    """Withdraw the grant of this study and site; of the study without `site`; all without `study`."""
    g = research_grants.c
    statement = delete(research_grants).where(g.login == login)
    if study is not None:
        statement = statement.where(g.study == study)
    if site is not None:
        statement = statement.where(g.site == site)
    return statement


def has_grant(login: str) -> Select[tuple[bool]]:
    """Whether the login has any grant that has not run out."""
    return select(valid_grant().where(research_grants.c.login == login))


def valid_grant() -> Exists:
    """A grant that has not run out; to be narrowed."""
    g = research_grants.c
    return exists().where(g.expires_at.is_(None) | (g.expires_at > func.now()))


def select_grants() -> Select[Any]:
    """All of them, as `Grant`."""
    g = research_grants.c
    columns = (g.login, g.study, g.site, g.identified, g.expires_at)
    return select(*columns).order_by(g.login, g.study, g.site)
