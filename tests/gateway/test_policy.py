"""Every route, for every kind of caller, on every kind of database: what POLICY says is what happens.

A route without an entry in ALLOWED fails: whoever adds one decides who may use it.
"""

import re
from collections.abc import Iterator
from typing import Any, NamedTuple

import pytest

from replication.http.access import Operation
from replication.http.server import ROUTES
from replication.http.unsupported import PATTERN
from sync_server.identity.device_credentials import DeviceRole
from sync_server.policy import OPEN, POLICY
from tests.gateway.conftest import SITE
from tests.gateway.gateway import Gateway

ROLES: dict[str, DeviceRole | None] = {
    "nobody": None,
    "garbage": None,
    "revoked tablet": None,
    "tablet": "tablet",
    "hub": "hub",
    "service": "service",
}
"""Callers; None: no valid credential."""

DATABASES = {"own": "site-lima", "another site's": "site-other", "no site's": "patients"}
READABLE = {"_id": "study:SRO", "type": "study", "_attachments": {"a.txt": {"data": "aGk="}}}


class Sent(NamedTuple):
    """What a route is asked with, and the status that says that it was done."""

    status: int
    body: Any = None
    query: str = ""
    changes: bool = False
    """Whether what it leaves behind would change the answers to others."""


FUNCTION = "/{db}/_design/{design}/{function:" + PATTERN + "}"

ALLOWED: dict[tuple[str, str], Sent] = {
    ("GET", "/"): Sent(200),
    ("GET", "/_up"): Sent(200),
    ("GET", "/_all_dbs"): Sent(200),
    ("GET", "/_db_updates"): Sent(200),
    ("GET", "/_dbs_info"): Sent(200),
    ("POST", "/_dbs_info"): Sent(200, {"keys": ["site-lima"]}),
    ("GET", "/_uuids"): Sent(200),
    ("GET", "/_session"): Sent(200),
    ("POST", "/_session"): Sent(401, {"name": "tab-1", "password": "x"}),
    ("DELETE", "/_session"): Sent(200),
    ("POST", "/_replicate"): Sent(400, {"source": "site-lima"}),
    ("GET", "/_scheduler/jobs"): Sent(200),
    ("GET", "/_scheduler/jobs/{job}"): Sent(404),
    ("GET", "/_scheduler/docs"): Sent(200),
    ("GET", "/_scheduler/docs/{replicator}"): Sent(200),
    ("GET", "/_scheduler/docs/{replicator}/{doc:(?s:.+)}"): Sent(404),
    ("GET", "/_active_tasks"): Sent(200),
    ("GET", "/_node/{node}"): Sent(200),
    ("GET", "/_node/{node}/{detail:(?s:.+)}"): Sent(404),
    ("PUT", "/_node/{node}/{detail:(?s:.+)}"): Sent(404, "x"),
    ("DELETE", "/_node/{node}/{detail:(?s:.+)}"): Sent(404),
    ("GET", "/{db}"): Sent(200),
    ("PUT", "/{db}"): Sent(412),
    ("DELETE", "/{db}"): Sent(200, changes=True),
    ("POST", "/{db}"): Sent(201, {"_id": "visit:1"}, changes=True),
    ("POST", "/{db}/_ensure_full_commit"): Sent(201, {}),
    ("POST", "/{db}/_revs_diff"): Sent(200, {"session:1": ["1-aa"]}),
    ("POST", "/{db}/_missing_revs"): Sent(200, {"session:1": ["1-aa"]}),
    ("POST", "/{db}/_bulk_docs"): Sent(201, {"new_edits": False, "docs": []}),
    ("POST", "/{db}/_bulk_get"): Sent(200, {"docs": [{"id": "study:SRO"}]}),
    ("GET", "/{db}/_all_docs"): Sent(200),
    ("POST", "/{db}/_all_docs"): Sent(200, {"keys": ["study:SRO"]}),
    ("POST", "/{db}/_all_docs/queries"): Sent(200, {"queries": [{}]}),
    ("GET", "/{db}/_design_docs"): Sent(200),
    ("POST", "/{db}/_design_docs"): Sent(200, {}),
    ("POST", "/{db}/_design_docs/queries"): Sent(200, {"queries": [{}]}),
    ("GET", "/{db}/_local_docs"): Sent(200),
    ("POST", "/{db}/_local_docs"): Sent(200, {}),
    ("POST", "/{db}/_local_docs/queries"): Sent(200, {"queries": [{}]}),
    ("GET", "/{db}/_security"): Sent(200),
    ("PUT", "/{db}/_security"): Sent(200, {}),
    ("GET", "/{db}/_revs_limit"): Sent(200),
    ("PUT", "/{db}/_revs_limit"): Sent(200, 1000),
    ("POST", "/{db}/_purge"): Sent(201, {"study:SRO": ["1-aa"]}),
    ("GET", "/{db}/_purged_infos"): Sent(200),
    ("GET", "/{db}/_purged_infos_limit"): Sent(200),
    ("PUT", "/{db}/_purged_infos_limit"): Sent(200, 1000),
    ("POST", "/{db}/_compact"): Sent(202, {}),
    ("POST", "/{db}/_compact/{ddoc}"): Sent(404, {}),
    ("POST", "/{db}/_view_cleanup"): Sent(202, {}),
    ("GET", "/{db}/_changes"): Sent(200),
    ("POST", "/{db}/_changes"): Sent(200, {}),
    ("POST", "/{db}/_find"): Sent(200, {"selector": {}}),
    ("POST", "/{db}/_explain"): Sent(200, {"selector": {}}),
    ("GET", "/{db}/_index"): Sent(200),
    ("POST", "/{db}/_index"): Sent(200, {"index": {"fields": ["type"]}}, changes=True),
    ("POST", "/{db}/_index/_bulk_delete"): Sent(200, {"docids": []}),
    ("DELETE", "/{db}/_index/_design/{design}/json/{index}"): Sent(404),
    ("DELETE", "/{db}/_index/{design}/json/{index}"): Sent(404),
    ("GET", "/{db}/_local/{local}"): Sent(200),
    ("PUT", "/{db}/_local/{local}"): Sent(201, {"last_seq": 1}),
    ("DELETE", "/{db}/_local/{local}"): Sent(200, changes=True),
    ("GET", "/{db}/_design/{design}"): Sent(404),
    ("PUT", "/{db}/_design/{design}"): Sent(201, {}, changes=True),
    ("DELETE", "/{db}/_design/{design}"): Sent(404),
    ("COPY", "/{db}/_design/{design}"): Sent(404),
    ("GET", FUNCTION): Sent(501),
    ("POST", FUNCTION): Sent(501, {}),
    ("GET", FUNCTION + "/{rest:(?s:.+)}"): Sent(501),
    ("POST", FUNCTION + "/{rest:(?s:.+)}"): Sent(501, {}),
    ("PUT", FUNCTION + "/{rest:(?s:.+)}"): Sent(501, {}),
    ("GET", "/{db}/{doc}"): Sent(200),
    ("PUT", "/{db}/{doc}"): Sent(201, {"type": "study"}, "?rev={rev}", changes=True),
    ("DELETE", "/{db}/{doc}"): Sent(200, None, "?rev={rev}", changes=True),
    ("COPY", "/{db}/{doc}"): Sent(201, changes=True),
    ("GET", "/{db}/_design/{design}/{attachment:(?s:.+)}"): Sent(404),
    ("PUT", "/{db}/_design/{design}/{attachment:(?s:.+)}"): Sent(201, {}, changes=True),
    ("DELETE", "/{db}/_design/{design}/{attachment:(?s:.+)}"): Sent(404),
    ("GET", "/{db}/{doc}/{attachment:(?s:.+)}"): Sent(200),
    ("PUT", "/{db}/{doc}/{attachment:(?s:.+)}"): Sent(201, {}, "?rev={rev}", changes=True),
    ("DELETE", "/{db}/{doc}/{attachment:(?s:.+)}"): Sent(200, None, "?rev={rev}", changes=True),
}

NAMES = {
    "local": "checkpoint",
    "design": "views",
    "index": "by-type",
    "doc": "study:SRO",
    "attachment": "a.txt",
    "node": "_local",
    "detail": "_config/log",
    "ddoc": "views",
    "function": "_view",
    "rest": "all",
    "job": "nothing",
    "replicator": "_replicator",
}
HEADERS = {"COPY": {"Destination": "study:copied"}}

FORBIDDEN_IN_DETAIL = {
    ("GET", "/{db}/_design/{design}"): {"tablet", "hub"},
    ("GET", "/{db}/_design/{design}/{attachment:(?s:.+)}"): {"tablet", "hub"},
    ("PUT", "/{db}/_design/{design}"): {"tablet", "hub"},
    ("PUT", "/{db}/{doc}"): {"tablet", "hub"},
}
"""Reading is open to them, this document is not; replicated documents are, edits are not."""


class Cell(NamedTuple):
    """One request of the matrix and the status that POLICY asks for."""

    method: str
    route: tuple[str, str]
    caller: str
    database: str
    status: int


def _cells() -> Iterator[Cell]:
    for route_method, route, operation, _ in ROUTES:
        methods = ("GET", "HEAD") if route_method == "GET" else (route_method,)
        for database in DATABASES if "{db}" in route else ("own",):
            for caller in ROLES:
                for method in methods:
                    key = (route_method, route)
                    yield Cell(method, key, caller, database, _expected(key, operation, caller, database))


def _expected(route: tuple[str, str], operation: Operation, caller: str, database: str) -> int:
    role = ROLES[caller]
    if operation in OPEN:
        # Whoever says who it is has to be that.
        false = caller in ("garbage", "revoked tablet") and route == ("GET", "/_session")
        return 401 if false else ALLOWED[route].status
    if role is None:
        return 401
    if operation not in POLICY[role].operations:
        return 403
    if database == "no site's" or (database == "another site's" and role != "service"):
        return 403
    if caller in FORBIDDEN_IN_DETAIL.get(route, ()):
        return 403
    return ALLOWED[route].status


async def _prepare(gateway: Gateway, database: str) -> str:
    """An empty database but for the readable document and a checkpoint; the document's revision."""
    await gateway.call("DELETE", f"/{database}", token=gateway.service)
    made = await gateway.call("PUT", f"/{database}", token=gateway.service)
    saved = await gateway.call("POST", f"/{database}", token=gateway.service, body=READABLE)
    await gateway.call("PUT", f"/{database}/_local/checkpoint", token=gateway.service, body={"last_seq": 1})
    assert (made.status, saved.status) == (201, 201)
    return str(saved.json["rev"])


def _path(route: str, database: str, rev: str, sent: Sent) -> str:
    path = re.sub(r":[^}]*", "", route).format(db=database, **NAMES)
    return path + sent.query.format(rev=rev)


async def test_policy_holds_on_every_route_for_every_caller_and_database(
    gateway: Gateway, capsys: pytest.CaptureFixture[str]
) -> None:
    tokens = await _tokens(gateway)
    revs = {name: await _prepare(gateway, DATABASES[name]) for name in ("own", "another site's")}
    cells, wrong = 0, []
    for cell in _cells():
        sent = ALLOWED[cell.route]
        path = _path(cell.route[1], DATABASES[cell.database], revs.get(cell.database, "1-a"), sent)
        answer = await gateway.call(
            cell.method, path, token=tokens[cell.caller], body=sent.body, headers=HEADERS.get(cell.method)
        )
        cells += 1
        if answer.status != cell.status:
            wrong.append((cell, answer.status, answer.body))
        if answer.status in (401, 403) and cell.method != "HEAD":
            assert answer.error[0] == cell.status
        if sent.changes and answer.status == sent.status:
            revs[cell.database] = await _prepare(gateway, DATABASES[cell.database])
    assert wrong == []
    with capsys.disabled():
        print(f"\npolicy: {cells} cells ({len(ROUTES)} routes)")


async def _tokens(gateway: Gateway) -> dict[str, str | None]:
    revoked = await gateway.enrol(SITE, "tab-0")
    await gateway.revoke(SITE, "tab-0")
    tablet = await gateway.enrol(SITE, "tab-1")
    return {
        "nobody": None,
        "garbage": tablet[:-2] + ("AA" if tablet[-2:] != "AA" else "BB"),
        "revoked tablet": revoked,
        "tablet": tablet,
        "hub": await gateway.enrol(SITE, "hub-1", role="hub"),
        "service": gateway.service,
    }


def test_every_route_has_an_expectation_and_every_role_a_policy() -> None:
    assert {(method, route) for method, route, _, _ in ROUTES} == ALLOWED.keys()
    assert {role for role in ROLES.values() if role is not None} == POLICY.keys()


@pytest.mark.parametrize("role", ["tablet", "hub"])
def test_a_device_may_not_administer_edit_or_list(role: DeviceRole) -> None:
    closed = {
        Operation.LIST_DATABASES,
        Operation.CREATE_DATABASE,
        Operation.DELETE_DATABASE,
        Operation.DATABASE_UPDATES,
        Operation.EDIT,
        Operation.LIST_DOCUMENTS,
        Operation.MONITOR,
        Operation.ADMINISTER,
        Operation.PURGE,
        Operation.COMPACT,
        Operation.QUERY,
        Operation.RUN_REPLICATION,
    }
    assert POLICY[role].operations == set(Operation) - closed
