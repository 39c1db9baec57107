"""What a CouchDB is like, as far as `plan` asks."""

from collections.abc import Mapping
from typing import Any, NamedTuple

from sync_server.provisioning.desired import ConfigKey
from sync_server.provisioning.requests import Security

SYSTEM_DATABASES = ("_users", "_replicator")


class ActualUser(NamedTuple):
    """The service's user; `accepted`: whether CouchDB lets it in with the password of `COUCHDB_URL`."""

    document: Mapping[str, Any]
    accepted: bool


class ActualDatabase(NamedTuple):
    """A site's database. `indexes` has the fields of ours; `validation` is our design document."""

    q: int
    n: int
    security: Security
    indexes: Mapping[str, tuple[str, ...]]
    validation: Mapping[str, Any] | None


class Actual(NamedTuple):
    """All of it. `configuration`: for each node what is set of the sections that matter. `handlers`: names of
    the authentication handlers that are at work.
    """

    configuration: Mapping[str, Mapping[ConfigKey, str]]
    server_admins: frozenset[str]
    handlers: frozenset[str]
    databases: frozenset[str]
    system_security: Mapping[str, Security]
    user: ActualUser | None
    sites: Mapping[str, ActualDatabase]


def security_of(told: Mapping[str, Any]) -> Security:
    """A security object as CouchDB tells it; what is absent is empty."""
    return {
        kind: {part: frozenset((told.get(kind) or {}).get(part) or ()) for part in ("names", "roles")}
        for kind in ("admins", "members")
    }
