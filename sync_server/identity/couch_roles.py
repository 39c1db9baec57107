"""Names of the roles that Apache CouchDB knows this system's users and devices by.

A name has a colon: nothing that people name (a site, a device, a study) can be taken for one.
"""

from typing import Final

SERVICE: Final = "metricis:service"
"""The service's own user: admin and member of every site database."""

ROLES_CLAIM: Final = "_couchdb.roles"
"""The claim of a device's token that CouchDB reads roles from (its own default name)."""


def device_role(role: str) -> str:
    """What a device may write: `"tablet"` → `"metricis:tablet"`."""
    return f"metricis:{role}"


def credential_role(credential_id: str) -> str:
    """A role that one credential alone has. A site database admits credentials, not sites: what is revoked is
    taken out of its list, and CouchDB, which never asks Postgres, refuses it.
    """
    return f"metricis:credential:{credential_id}"
