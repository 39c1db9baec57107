"""The look at a CouchDB, and the sentences for what cannot be provisioned at all."""

import re
from collections.abc import Mapping
from typing import Any, Final

from reporting.sites import database_of
from sync_server.provisioning.actual import (
    SYSTEM_DATABASES,
    Actual,
    ActualDatabase,
    ActualUser,
    security_of,
)
from sync_server.provisioning.desired import Desired, ServiceUser
from sync_server.provisioning.requests import INDEXES_ID
from sync_server.provisioning.server import (
    NotCouchDB,
    ProvisioningError,
    Refused,
    Server,
    WrongLogin,
)
from sync_server.provisioning.validation import DESIGN_ID

OLDEST: Final = (3, 3)
"""Before it a public key with a `=` could not be set, and logins were required for `_up` too."""

_SECTIONS: Final = frozenset({"couchdb", "chttpd", "jwt_auth", "jwt_keys"})
_NOT_SET_UP: Final = ("cluster_disabled", "single_node_disabled")


def check_server(server: Server) -> list[str]:
    """The names of the nodes. Raises ProvisioningError where this is nothing that can be provisioned."""
    told = server.information()
    vendor = str((told.get("vendor") or {}).get("name", "")) if isinstance(told.get("vendor"), dict) else ""
    version = re.match(r"(\d+)\.(\d+)", str(told.get("version", "")))
    if "couchdb" not in told or version is None or "Apache" not in vendor:
        name = vendor or ", ".join(str(key) for key in told)[:80] or "nothing that tells its name"
        raise NotCouchDB(f"What answers at {server.shown} is no Apache CouchDB, but {name}.")
    if (int(version[1]), int(version[2])) < OLDEST:
        oldest = ".".join(map(str, OLDEST))
        raise NotCouchDB(f"{server.shown} is CouchDB {told['version']}; this needs {oldest} or newer.")
    if "_admin" not in server.session().roles:
        raise ProvisioningError(
            f"{server.user!r} is no server admin of {server.shown}: give the login of one in "
            "COUCHDB_ADMIN_URL (the section [admins] of CouchDB's configuration has them)."
        )
    nodes, down = server.nodes()
    # A cluster whose nodes listen on loopback, behind proxies, calls itself disabled all the same.
    alone = len(nodes) == 1 and "_users" not in server.databases()
    if alone and server.setup_state() in _NOT_SET_UP:
        raise ProvisioningError(
            f"The cluster of {server.shown} is not set up: finish it first, with POST /_cluster_setup or the "
            "wizard at /_utils (one node: `single_node = true` in [couchdb])."
        )
    if down:
        raise ProvisioningError(
            f"Nodes that are down: {', '.join(down)}. Each node has a configuration of its own: bring them "
            "back, or take them out of the cluster, and run this again."
        )
    return nodes


def look(server: Server, nodes: list[str], desired: Desired) -> Actual:
    """What there is. Raises ProvisioningError."""
    configuration = {}
    server_admins: frozenset[str] = frozenset()
    for node in nodes:
        told = server.configuration(node)
        server_admins |= set(told.get("admins", {}))
        configuration[node] = {
            (section, key): value
            for section, values in told.items()
            if section in _SECTIONS
            for key, value in values.items()
        }
    databases = server.databases()
    systems = [name for name in SYSTEM_DATABASES if name in databases]
    there = [site for site in desired.sites if database_of(site) in databases]
    return Actual(
        configuration=configuration,
        server_admins=server_admins,
        handlers=server.session().handlers,
        databases=databases,
        system_security={name: security_of(server.security(name)) for name in systems},
        user=_user(server, desired.service) if "_users" in systems else None,
        sites={site: look_at_database(server, database_of(site)) for site in there},
    )


def _user(server: Server, service: ServiceUser) -> ActualUser | None:
    document = server.user_document(service.name)
    return None if document is None else ActualUser(document, _accepts(server, service))


def _accepts(server: Server, service: ServiceUser) -> bool:
    own = Server(server.shown, login=(service.name, service.password))
    try:
        own.session()
    except WrongLogin:
        return False
    except Refused as error:
        if error.status == 403:  # several failures lock a user out for a while
            return False
        raise
    finally:
        own.close()
    return True


def look_at_database(server: Server, name: str) -> ActualDatabase:
    """A site's database. Raises ProvisioningError."""
    cluster: Mapping[str, Any] = server.database(name)["cluster"]
    return ActualDatabase(
        q=int(cluster["q"]),
        n=int(cluster["n"]),
        security=security_of(server.security(name)),
        indexes={
            index["name"]: tuple(field for each in index["def"]["fields"] for field in each)
            for index in server.indexes(name)
            if index.get("ddoc") == INDEXES_ID
        },
        validation=server.design(name, DESIGN_ID),
    )
