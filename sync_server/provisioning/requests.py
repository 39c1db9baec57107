"""The requests that change a CouchDB, as values: whoever makes them, they are the same."""

from collections.abc import Mapping
from typing import Any, Final, NamedTuple
from urllib.parse import quote

from reporting.sites import database_of
from sync_server.identity.couch_roles import SERVICE, credential_role
from sync_server.provisioning.design import SiteDesign
from sync_server.provisioning.validation import DESIGN_ID, design_document

INDEXES_ID: Final = "_design/metricis-indexes"
INDEXES: Final[Mapping[str, tuple[str, ...]]] = {"participant": ("participant",)}
"""Name and fields of each Mango index: an erasure finds the documents of a participant."""

Security = Mapping[str, Mapping[str, frozenset[str]]]
"""`admins` and `members`, each with its `names` and `roles`."""


class Request(NamedTuple):
    """One request. `path` is percent-encoded. `done`: statuses that say that it was done before."""

    method: str
    path: str
    body: Any = None
    query: Mapping[str, str] = {}
    done: tuple[int, ...] = ()

    def __repr__(self) -> str:
        # Bodies may hold a password, and a traceback shows what is in scope.
        return f"Request({self.method} {self.path})"


def path_of(*segments: str) -> str:
    """`("_users", "org.couchdb.user:a")` → `"/_users/org.couchdb.user%3Aa"`."""
    return "/" + "/".join(quote(segment, safe="") for segment in segments)


def design_path(database: str, design_id: str) -> str:
    """The path of a design document: its one slash is no part of a name."""
    return path_of(database, *design_id.split("/", 1))


def create_database(name: str, design: SiteDesign | None = None) -> Request:
    """Make a database; a site's with its shards and copies."""
    query = {}
    if design is not None and design.q is not None:
        query["q"] = str(design.q)
    if design is not None and design.n is not None:
        query["n"] = str(design.n)
    return Request("PUT", path_of(name), query=query, done=(412,))


def site_security(credentials: frozenset[str] = frozenset()) -> Security:
    """Who a site's database admits: the service, and in direct mode devices' credentials."""
    return security(
        admins=frozenset({SERVICE}),
        members=frozenset({SERVICE}) | {credential_role(each) for each in credentials},
    )


def security(*, admins: frozenset[str] = frozenset(), members: frozenset[str] = frozenset()) -> Security:
    """A security object that admits these roles and server admins, and no user by name."""
    return {
        "admins": {"names": frozenset(), "roles": admins | {"_admin"}},
        "members": {"names": frozenset(), "roles": members | {"_admin"}},
    }


def put_security(database: str, wanted: Security) -> Request:
    """Replace a database's security object."""
    body = {kind: {part: sorted(values) for part, values in parts.items()} for kind, parts in wanted.items()}
    return Request("PUT", path_of(database, "_security"), body=body)


def put_index(database: str, name: str) -> Request:
    """Make, or make anew, one of INDEXES. CouchDB builds it when it is first asked."""
    body = {
        "index": {"fields": list(INDEXES[name])},
        "ddoc": INDEXES_ID.removeprefix("_design/"),
        "name": name,
        "type": "json",
    }
    return Request("POST", path_of(database, "_index"), body=body)


def put_validation(database: str, rev: str | None) -> Request:
    """Write the design document over revision `rev`; None: there is none."""
    body = design_document() | ({} if rev is None else {"_rev": rev})
    return Request("PUT", design_path(database, DESIGN_ID), body=body)


def requests_for_new_site(site: str, design: SiteDesign) -> list[Request]:
    """All that makes a site's database which is not there."""
    database = database_of(site)
    return [
        create_database(database, design),
        put_security(database, site_security()),
        *(put_index(database, name) for name in INDEXES),
        *([put_validation(database, None)] if design.validation else []),
    ]
