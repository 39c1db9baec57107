"""The open sites, and the credentials in force there, as Postgres has them."""

from sqlalchemy import Connection, Select, and_, select

from reporting.tables import devices, sites


def select_admitted() -> Select[str, str | None]:
    """Statement: each open site with its credentials in force; one without any is there once, with NULL."""
    in_force = and_(devices.c.site == sites.c.code, devices.c.revoked_at.is_(None))
    return (
        select(sites.c.code, devices.c.credential)
        .select_from(sites.outerjoin(devices, in_force))
        .where(sites.c.status == "open")
        .order_by(sites.c.code, devices.c.credential)
    )


def admitted_credentials(connection: Connection) -> dict[str, set[str]]:
    """Open sites, each with the ids of its credentials in force."""
    found: dict[str, set[str]] = {}
    for site, credential in connection.execute(select_admitted()):
        found.setdefault(site, set()).update(() if credential is None else (credential,))
    return found
