"""From what is and what shall be to steps: what is said of each difference, and what is left alone."""

import json
from typing import Any

import msgspec
import pytest

from sync_server.identity.couch_roles import SERVICE, credential_role
from sync_server.provisioning.actual import Actual, ActualDatabase, ActualUser
from sync_server.provisioning.design import SiteDesign
from sync_server.provisioning.desired import (
    JWT_HANDLER,
    USUAL_HANDLERS,
    Desired,
    ServiceUser,
    configuration,
)
from sync_server.provisioning.plan import Plan, make_plan, too_many_copies
from sync_server.provisioning.requests import Request, security, site_security
from sync_server.provisioning.validation import design_document

NODE = "couchdb@one"
PEM = "-----BEGIN PUBLIC KEY-----\nAAAA\n-----END PUBLIC KEY-----\n"
DESIRED = Desired(
    service=ServiceUser("sync", "s3cret"),
    design=SiteDesign(),
    sites={"lima": frozenset()},
    direct=False,
    key_id="kid",
    public_pem=PEM,
)
DIRECT = DESIRED._replace(direct=True, sites={"lima": frozenset({"c1", "c2"})})


def after(desired: Desired, *nodes: str) -> Actual:
    """What there is when all of it was done."""
    set_values = {}
    for key, wanted in configuration(desired).items():
        if wanted.value is not None:
            set_values[key] = f"{wanted.value}, {wanted.otherwise}" if wanted.includes else wanted.value
    return Actual(
        configuration=dict.fromkeys(nodes or (NODE,), set_values),
        server_admins=frozenset({"admin"}),
        handlers=frozenset({"jwt", "cookie", "default"}),
        databases=frozenset({"_users", "_replicator", "site-lima", "other"}),
        system_security={"_users": security(), "_replicator": security(members=frozenset({SERVICE}))},
        user=ActualUser({"_id": "org.couchdb.user:sync", "_rev": "1-a", "roles": [SERVICE]}, accepted=True),
        sites={
            "lima": ActualDatabase(
                2,
                1,
                site_security(desired.sites["lima"]),
                {"participant": ("participant",)},
                design_document() | {"_rev": "1-a"},
            )
        },
    )


def steps(plan: Plan) -> list[tuple[str, str, str, str]]:
    return [
        (each.difference.where, each.difference.what, each.difference.found, each.difference.wanted)
        for each in plan.steps
    ]


def requests(plan: Plan) -> list[Request]:
    return [request for step in plan.steps for request in step.requests]


@pytest.mark.parametrize("desired", [DESIRED, DIRECT])
def test_nothing_is_to_do_where_all_is_as_it_shall_be(desired: Desired) -> None:
    plan = make_plan(desired, after(desired, NODE, "couchdb@two"))
    assert (plan.steps, plan.obstacles, plan.differs) == ((), (), False)


def test_an_empty_server_gets_all_of_it_users_first_and_no_secret_is_told() -> None:
    empty = Actual({NODE: {}}, frozenset({"admin"}), frozenset(), frozenset(), {}, None, {})
    plan = make_plan(DIRECT._replace(design=SiteDesign(q=4, n=1)), empty)
    made = [(request.method, request.path, dict(request.query)) for request in requests(plan)]
    assert made[:3] == [
        ("PUT", "/_users", {}),
        ("PUT", "/_replicator", {}),
        ("PUT", "/_replicator/_security", {}),
    ]
    assert made[-5:] == [
        ("PUT", "/_users/org.couchdb.user%3Async", {}),
        ("PUT", "/site-lima", {"q": "4", "n": "1"}),
        ("PUT", "/site-lima/_security", {}),
        ("POST", "/site-lima/_index", {}),
        ("PUT", "/site-lima/_design/metricis", {}),
    ]
    names = [path.rpartition("/")[2] for _, path, _ in made[3:-5]]
    # Whoever has no login is kept out before databases can be listed; tokens are looked at last.
    assert names.index("require_valid_user_except_for_up") < names.index("admin_only_all_dbs")
    assert names[-1] == "authentication_handlers"
    told = msgspec.json.encode([step.difference for step in plan.steps]).decode()
    assert "s3cret" not in told + repr(plan) + repr(DIRECT)
    assert json.loads(told)[0].keys() == {"where", "what", "is", "shall", "why"}
    assert "READ EVERYTHING" in plan.notes[0]


@pytest.mark.parametrize(
    ("changed", "told", "path"),
    [
        (
            {"couchdb": {"max_document_size": "8000000"}},
            (f"node {NODE}", "[couchdb] max_document_size", "8000000", "67108864"),
            "/_node/couchdb%40one/_config/couchdb/max_document_size",
        ),
        (
            {"chttpd": {"admin_only_all_dbs": "true"}},
            (f"node {NODE}", "[chttpd] admin_only_all_dbs", "true", "false"),
            "/_node/couchdb%40one/_config/chttpd/admin_only_all_dbs",
        ),
        (
            {"jwt_keys": {"ec:kid": "old"}},
            (f"node {NODE}", "[jwt_keys] ec:kid", "old", "not set"),
            "/_node/couchdb%40one/_config/jwt_keys/ec%3Akid",
        ),
    ],
)
def test_a_value_that_was_set_by_hand_is_told_and_put_back(
    changed: dict[str, dict[str, str]], told: tuple[str, ...], path: str
) -> None:
    actual = after(DESIRED, NODE, "couchdb@two")
    by_hand = {(section, key): value for section, of in changed.items() for key, value in of.items()}
    nodes = {NODE: {**actual.configuration[NODE], **by_hand}}
    plan = make_plan(DESIRED, actual._replace(configuration={**actual.configuration, **nodes}))
    assert steps(plan) == [told]
    assert [request.path for request in requests(plan)] == [path]


def changed_database(**fields: Any) -> Actual:
    actual = after(DESIRED)
    return actual._replace(sites={"lima": actual.sites["lima"]._replace(**fields)})


@pytest.mark.parametrize(
    ("fields", "told"),
    [
        (
            {"security": security(admins=frozenset({SERVICE}), members=frozenset({SERVICE, "nurses"}))},
            ("_security", "members roles: nurses", "without it"),
        ),
        (
            {"security": security()},
            ("_security", "without it", f"admins roles: {SERVICE}; members roles: {SERVICE}"),
        ),
        ({"indexes": {}}, ("index participant", "absent", "on participant")),
        ({"indexes": {"participant": ("study",)}}, ("index participant", "on study", "on participant")),
        ({"validation": None}, ("validate_doc_update", "absent", "that of the policy")),
        (
            {"validation": design_document() | {"_rev": "7-x", "validate_doc_update": "function () {}"}},
            ("validate_doc_update", "another", "that of the policy"),
        ),
    ],
)
def test_what_was_changed_in_a_site_database_is_told_and_mended(
    fields: dict[str, Any], told: tuple[str, str, str]
) -> None:
    plan = make_plan(DESIRED, changed_database(**fields))
    assert steps(plan) == [("database site-lima", *told)]
    rev = (fields.get("validation") or {}).get("_rev")
    assert (requests(plan)[0].body or {}).get("_rev") == rev


def test_validation_that_is_off_is_taken_away() -> None:
    desired = DESIRED._replace(design=SiteDesign(validation=False))
    plan = make_plan(desired, after(DESIRED))
    assert steps(plan) == [("database site-lima", "validate_doc_update", "there", "absent")]
    assert requests(plan)[0][:2] == ("DELETE", "/site-lima/_design/metricis")
    assert not make_plan(desired, changed_database(validation=None)).differs


@pytest.mark.parametrize(
    ("roles", "accepted", "told"),
    [
        ([SERVICE], False, [("password", "another", "that of COUCHDB_URL")]),
        (["x"], True, [("roles", "x", SERVICE)]),
        ([], False, [("roles", "none", SERVICE), ("password", "another", "that of COUCHDB_URL")]),
    ],
)
def test_the_service_user_is_mended_by_one_request(
    roles: list[str], accepted: bool, told: list[tuple[str, str, str]]
) -> None:
    document = {"_id": "org.couchdb.user:sync", "_rev": "3-c", "roles": roles, "theme": "dark"}
    plan = make_plan(DESIRED, after(DESIRED)._replace(user=ActualUser(document, accepted)))
    assert steps(plan) == [("user sync", *each) for each in told]
    (request,) = requests(plan)
    assert request.body == document | {
        "name": "sync",
        "type": "user",
        "roles": [SERVICE],
        "password": "s3cret",
    }


def test_a_service_that_is_a_server_admin_needs_no_user_and_is_warned_of() -> None:
    actual = after(DESIRED)._replace(server_admins=frozenset({"sync"}), user=None)
    plan = make_plan(DESIRED, actual)
    assert plan.steps == ()
    assert "sync, a server admin" in plan.notes[0]


def test_shards_and_copies_of_a_database_that_is_there_are_told_and_left_alone() -> None:
    plan = make_plan(DESIRED._replace(design=SiteDesign(q=8, n=2)), after(DESIRED, NODE, "couchdb@two"))
    assert plan.steps == ()
    assert [(each.what, each.found, each.wanted) for each in plan.obstacles] == [
        ("shards (q)", "2", "8"),
        ("copies (n)", "1", "2"),
    ]
    assert plan.differs
    assert too_many_copies(SiteDesign(n=2), 2) is None
    assert too_many_copies(SiteDesign(), 1) is None
    assert "COUCHDB_N=3, and there is one node" in (too_many_copies(SiteDesign(n=3), 1) or "")


def test_direct_mode_admits_credentials_in_force_and_keeps_other_handlers_and_keys() -> None:
    mine = "{chttpd_auth, proxy_authentication_handler}"
    actual = after(DIRECT)
    values = {
        **actual.configuration[NODE],
        ("chttpd", "authentication_handlers"): mine,
        ("jwt_keys", "ec:old"): "x",
    }
    actual = actual._replace(
        configuration={NODE: values},
        sites={"lima": actual.sites["lima"]._replace(security=site_security(frozenset({"c0", "c1"})))},
    )
    plan = make_plan(DIRECT, actual)
    assert steps(plan) == [
        (f"node {NODE}", "[chttpd] authentication_handlers", mine, f"{JWT_HANDLER}, {mine}"),
        (
            "database site-lima",
            "_security",
            f"members roles: {credential_role('c0')}",
            f"members roles: {credential_role('c2')}",
        ),
    ]
    assert "ec:old" in plan.notes[-1]
    retired = make_plan(DIRECT._replace(retired_keys=frozenset({"old"})), actual)
    assert (f"node {NODE}", "[jwt_keys] ec:old", "x", "not set") in steps(retired)
    fresh = make_plan(DIRECT, after(DIRECT)._replace(configuration={NODE: {}}))
    assert requests(fresh)[-1].body == f"{JWT_HANDLER}, {USUAL_HANDLERS}"


def test_keys_that_stay_in_force_when_direct_mode_is_off_are_told_and_can_be_retired() -> None:
    actual = after(DESIRED)
    values = {**actual.configuration[NODE], ("jwt_keys", "ec:old"): "x", ("jwt_keys", "ec:kid"): "y"}
    actual = actual._replace(configuration={NODE: values})
    plan = make_plan(DESIRED, actual)
    assert steps(plan) == [(f"node {NODE}", "[jwt_keys] ec:kid", "y", "not set")]
    assert "ec:old" in plan.notes[-1]
    retired = make_plan(DESIRED._replace(retired_keys=frozenset({"old"})), actual)
    assert (f"node {NODE}", "[jwt_keys] ec:old", "x", "not set") in steps(retired)
    assert not retired.notes
    assert not make_plan(DESIRED, actual._replace(handlers=frozenset({"cookie"}))).notes


def test_what_only_a_person_can_mend_of_the_server_is_told() -> None:
    actual = after(DIRECT)._replace(
        handlers=frozenset({"cookie", "default"}),
        system_security={
            "_users": security(members=frozenset({"nurses"})),
            "_replicator": security(members=frozenset({SERVICE})),
        },
    )
    plan = make_plan(DIRECT, actual)
    assert plan.steps == ()
    assert [(each.where, each.found, each.wanted) for each in plan.obstacles] == [
        ("database _users", "members roles: nurses", "without it"),
        ("every node", "cookie, default", "jwt among them"),
    ]
    assert "restart the nodes" in plan.obstacles[1].why


def test_databases_without_a_site_are_left_alone_and_told_unless_only_some_are_meant() -> None:
    actual = after(DESIRED)._replace(
        databases=frozenset({"_users", "_replicator", "site-lima", "site-old", "other"})
    )
    plan = make_plan(DESIRED, actual)
    assert not plan.differs
    assert "site-old" in plan.notes[0]
    assert make_plan(DESIRED._replace(chosen=True), actual).notes == ()
