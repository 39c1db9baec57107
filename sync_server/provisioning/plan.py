"""From what is and what shall be to the steps between them. Pure.

| what differs | what the plan says |
|---|---|
| something missing, or changed by hand | a step, with what is, what shall be, and why |
| something that shall be gone | a step |
| shards or copies of a database that is there | an obstacle: no step, and what a person can do |
| what is there and is not ours | nothing, or a note |
"""

from collections.abc import Iterator, Sequence
from typing import Any

import msgspec

from reporting.sites import database_of, site_of
from sync_server.identity.couch_roles import SERVICE
from sync_server.provisioning.actual import SYSTEM_DATABASES, Actual, ActualDatabase
from sync_server.provisioning.design import SiteDesign
from sync_server.provisioning.desired import (
    DIRECT_MODE_HAS_NOT,
    Desired,
    Wanted,
    configuration,
)
from sync_server.provisioning.requests import (
    INDEXES,
    Request,
    Security,
    create_database,
    path_of,
    put_index,
    put_security,
    put_validation,
    security,
    site_security,
)
from sync_server.provisioning.validation import design_document

ABSENT = "absent"


class Difference(msgspec.Struct, frozen=True, rename={"found": "is", "wanted": "shall"}):
    """One thing that is not as it shall be. No field holds a secret."""

    where: str
    what: str
    found: str
    wanted: str
    why: str


class Step(msgspec.Struct, frozen=True):
    """A difference, and the requests that mend it, in order; each may be made twice."""

    difference: Difference
    requests: tuple[Request, ...]


class Plan(msgspec.Struct, frozen=True):
    """`obstacles` are differences that no request mends; `notes` are for people."""

    steps: tuple[Step, ...]
    obstacles: tuple[Difference, ...]
    notes: tuple[str, ...]

    @property
    def differs(self) -> bool:
        """Whether anything is not as it shall be."""
        return bool(self.steps or self.obstacles)


def make_plan(desired: Desired, actual: Actual) -> Plan:
    """The way from `actual` to `desired`. System databases come first: without `_users` nobody logs in."""
    steps = [*_system_databases(actual), *_configuration(desired, actual), *_service_user(desired, actual)]
    obstacles = [*_of_the_server(desired, actual)]
    for site in sorted(desired.sites):
        there = actual.sites.get(site)
        steps += _site(site, desired, there)
        if there is not None:
            obstacles += _obstacles(database_of(site), desired.design, there, len(actual.configuration))
    return Plan(tuple(steps), tuple(obstacles), tuple(_notes(desired, actual)))


def too_many_copies(design: SiteDesign, nodes: int) -> str | None:
    """Why a database cannot have so many copies, in a sentence; None when it can."""
    if design.n is None or design.n <= nodes:
        return None
    have = "is one node" if nodes == 1 else f"are {nodes} nodes"
    return (
        f"COUCHDB_N={design.n}, and there {have}: CouchDB would silently keep {nodes} of each shard. "
        "Set COUCHDB_N to the number of nodes or less."
    )


def _system_databases(actual: Actual) -> Iterator[Step]:
    reasons = {
        "_users": (security(), "CouchDB keeps users there; admins alone may read it"),
        "_replicator": (
            security(members=frozenset({SERVICE})),
            "CouchDB keeps replication jobs there; the service makes some",
        ),
    }
    for name in SYSTEM_DATABASES:
        wanted, why = reasons[name]
        if name not in actual.databases:
            # Replicated to every node whatever COUCHDB_N says: CouchDB's default for its own databases.
            step = Difference(f"database {name}", "itself", ABSENT, "there", why)
            # CouchDB itself closes `_users` to all but admins, and lets nobody change that.
            locked = name == "_users"
            yield Step(step, (create_database(name), *([] if locked else [put_security(name, wanted)])))
        elif name != "_users" and (found := actual.system_security[name]) != wanted:
            yield _security_step(name, found, wanted, why)


def _configuration(desired: Desired, actual: Actual) -> Iterator[Step]:
    is_admin = desired.service.name in actual.server_admins
    for node, values in sorted(actual.configuration.items()):
        for key, wanted in configuration(desired, service_is_admin=is_admin).items():
            found = values.get(key)
            to_set = _value_to_set(found, wanted)
            if found == to_set:
                continue
            section, name = key
            difference = Difference(
                f"node {node}",
                f"[{section}] {name}",
                "not set" if found is None else _shortened(found),
                "not set" if to_set is None else _shortened(to_set),
                wanted.why,
            )
            path = path_of("_node", node, "_config", section, name)
            request = Request("DELETE", path, done=(404,)) if to_set is None else Request("PUT", path, to_set)
            yield Step(difference, (request,))


def _value_to_set(found: str | None, wanted: Wanted) -> str | None:
    if not wanted.includes or wanted.value is None:
        return wanted.value
    if found and wanted.value in found:
        return found
    return f"{wanted.value}, {found or wanted.otherwise}"


def _shortened(value: str) -> str:
    return value if len(value) <= 100 else f"{value[:80]}…"


def _service_user(desired: Desired, actual: Actual) -> Iterator[Step]:
    service = desired.service
    if service.name in actual.server_admins:
        return
    document: dict[str, Any] = {} if actual.user is None else dict(actual.user.document)
    roles = sorted(document.get("roles", ()))
    differences = []
    if actual.user is None:
        differences.append(("itself", ABSENT, f"there, with the role {SERVICE}", "the service logs in as it"))
    else:
        if roles != [SERVICE]:
            told = ", ".join(map(str, roles)) or "none"
            differences.append(("roles", told, SERVICE, "the role opens the site databases, and no more"))
        if not actual.user.accepted:
            differences.append(("password", "another", "that of COUCHDB_URL", "the service logs in with it"))
    if not differences:
        return
    document |= {"name": service.name, "type": "user", "roles": [SERVICE], "password": service.password}
    user_id = f"org.couchdb.user:{service.name}"
    request = Request("PUT", path_of("_users", user_id), body=document | {"_id": user_id})
    # One document: the first of them mends the others too.
    for number, (what, found, wanted, why) in enumerate(differences):
        difference = Difference(f"user {service.name}", what, found, wanted, why)
        yield Step(difference, () if number else (request,))


def _site(site: str, desired: Desired, there: ActualDatabase | None) -> Iterator[Step]:
    name = database_of(site)
    design, wanted = desired.design, site_security(desired.sites[site])
    members = "in direct mode its devices' credentials too" if desired.direct else "nobody past the gateway"
    if there is None:
        difference = Difference(
            f"database {name}", "itself", ABSENT, _shape(design), f"the site {site} is open"
        )
        yield Step(difference, (create_database(name, design),))
    if there is None or there.security != wanted:
        found = security() if there is None else there.security
        yield _security_step(name, found, wanted, f"the service is admitted, {members}")
    for index, fields in INDEXES.items():
        has = None if there is None else there.indexes.get(index)
        if has != fields:
            found_fields = ABSENT if has is None else f"on {', '.join(has)}"
            difference = Difference(
                f"database {name}",
                f"index {index}",
                found_fields,
                f"on {', '.join(fields)}",
                "an erasure finds a participant's documents by it",
            )
            yield Step(difference, (put_index(name, index),))
    yield from _validation(name, design, None if there is None else there.validation)


def _validation(name: str, design: SiteDesign, found: Any) -> Iterator[Step]:
    wanted = design_document()
    where = f"database {name}"
    if not design.validation:
        if found is not None:
            difference = Difference(
                where, "validate_doc_update", "there", ABSENT, "COUCHDB_VALIDATION is off"
            )
            path = path_of(name, "_design", wanted["_id"].partition("/")[2])
            yield Step(difference, (Request("DELETE", path, query={"rev": found["_rev"]}, done=(404,)),))
    elif found is None:
        difference = Difference(
            where, "validate_doc_update", ABSENT, "that of the policy", "nobody writes past the policy"
        )
        yield Step(difference, (put_validation(name, None),))
    elif {member: value for member, value in found.items() if member != "_rev"} != wanted:
        difference = Difference(
            where, "validate_doc_update", "another", "that of the policy", "nobody writes past the policy"
        )
        yield Step(difference, (put_validation(name, found["_rev"]),))


def _security_step(name: str, found: Security, wanted: Security, why: str) -> Step:
    shown = (_admitted(found, wanted), _admitted(wanted, found))
    return Step(Difference(f"database {name}", "_security", *shown, why), (put_security(name, wanted),))


def _admitted(one: Security, other: Security) -> str:
    """What `one` has and `other` has not, kind by kind."""
    told = []
    for kind, parts in one.items():
        for part, values in parts.items():
            only = sorted(values - other[kind][part])
            shown = ", ".join(only[:3]) + (f" and {len(only) - 3} more" if len(only) > 3 else "")
            told += [f"{kind} {part}: {shown}"] if only else []
    return "; ".join(told) or "without it"


def _shape(design: SiteDesign) -> str:
    told = [f"{name}={value}" for name, value in (("q", design.q), ("n", design.n)) if value is not None]
    return "there" + (f", {', '.join(told)}" if told else "")


def _of_the_server(desired: Desired, actual: Actual) -> Iterator[Difference]:
    users = actual.system_security.get("_users", security())
    if users != security():
        shown = (_admitted(users, security()), _admitted(security(), users))
        yield Difference("database _users", "_security", *shown, "users' passwords are for admins only")
    if desired.direct and "jwt" not in actual.handlers:
        at_work = ", ".join(sorted(actual.handlers)) or "none"
        why = "CouchDB reads its handlers when it starts: restart the nodes, one after the other"
        yield Difference("every node", "handlers at work", at_work, "jwt among them", why)


def _obstacles(name: str, design: SiteDesign, there: ActualDatabase, nodes: int) -> Iterator[Difference]:
    if design.q is not None and design.q != there.q:
        why = "COUCHDB_Q; shards are split with CouchDB's _reshard, or by replicating into a new database"
        yield Difference(f"database {name}", "shards (q)", str(there.q), str(design.q), why)
    if design.n is not None and min(design.n, nodes) != there.n:
        why = "COUCHDB_N; copies are moved by editing the database's document in _dbs (CouchDB: Sharding)"
        yield Difference(f"database {name}", "copies (n)", str(there.n), str(design.n), why)


def _notes(desired: Desired, actual: Actual) -> Iterator[str]:
    if desired.service.name in actual.server_admins:
        yield (
            f"COUCHDB_URL logs in as {desired.service.name}, a server admin: whoever takes the service over "
            "has all of CouchDB. A user of its own needs no such rights."
        )
    if not desired.chosen:
        known = {database_of(site) for site in desired.sites}
        strange = sorted(each for each in actual.databases if site_of(each) is not None and each not in known)
        if strange:
            yield f"Left alone, for Postgres has no open site of that name: {_listed(strange)}."
    if desired.direct:
        yield from DIRECT_MODE_HAS_NOT
    # Also without direct mode, for they open CouchDB then as well.
    others = _other_keys(desired, actual)
    if others and (desired.direct or "jwt" in actual.handlers):
        yield (
            f"Tokens of other keys are admitted too: {_listed(others)}. When no device needs one any "
            "more: `sync-server provision --retire-key ID`."
        )


def _other_keys(desired: Desired, actual: Actual) -> list[str]:
    keys = {
        name for values in actual.configuration.values() for section, name in values if section == "jwt_keys"
    }
    return sorted(keys - {f"ec:{each}" for each in (desired.key_id, *desired.retired_keys)})


def _listed(names: Sequence[str]) -> str:
    return ", ".join(names[:10]) + (f" and {len(names) - 10} more" if len(names) > 10 else "")
