"""The function of site databases and the gateway's policy say the same of who may write what."""

import json
from typing import Any, get_args

import pytest

from replication.errors import Forbidden
from replication.javascript.sandbox import Sandbox
from replication.wire.decode import decode_bulk_docs
from sync_server.identity.couch_roles import SERVICE, credential_role, device_role
from sync_server.identity.device_credentials import DeviceCredential, DeviceRole
from sync_server.policy import COLLECTED_TYPES, PUBLISHED_TYPES, refusal_of_write
from sync_server.provisioning.validation import design_document

IDS = [
    *(f"{kind}:one" for kind in (*COLLECTED_TYPES, *PUBLISHED_TYPES, "correction", "Session", "séssion")),
    *("device:tab-1", "device:tab-1:x", "device:", ":tab-1", "session", "session:a:b", "sessions:a"),
    *("toString:a", "constructor:a", "hasOwnProperty:a", "0:a"),
]
NEVER: dict[str, Any] = {"admins": {}, "members": {}}


@pytest.fixture(scope="module")
def function() -> Sandbox:
    return Sandbox(json.dumps(design_document()).encode())


def judged(function: Sandbox, document: dict[str, Any], user: str | None, *roles: str) -> str | None:
    """The reason for which the function refuses; None when it does not."""
    who = {"db": "site-lima", "name": user, "roles": list(roles)}
    try:
        function.validate(
            json.dumps(document).encode(), b"null", json.dumps(who).encode(), json.dumps(NEVER).encode()
        )
    except Forbidden as error:
        return error.reason
    return None


@pytest.mark.parametrize("role", get_args(DeviceRole))
def test_it_refuses_a_role_what_the_policy_refuses_and_nothing_else(
    function: Sandbox, role: DeviceRole
) -> None:
    credential = DeviceCredential("tab-1", None if role == "service" else "lima", role, "c1")
    for doc_id in IDS:
        for deleted in (False, True):
            document = {"_id": doc_id, "_rev": "1-a", **({"_deleted": True} if deleted else {})}
            revisions = {"_revisions": {"start": 1, "ids": ["a"]}}
            sent = json.dumps({"new_edits": False, "docs": [document | revisions]}).encode()
            policy = refusal_of_write(credential, decode_bulk_docs(sent).docs[0])
            said = judged(function, document, "tab-1", device_role(role), credential_role("c1"))
            assert (said is None) == (policy is None), (document, said, policy)
            if deleted and policy is not None and "not deleted" in policy:
                assert said == policy


def test_only_admins_and_the_service_write_everything_and_strangers_nothing(function: Sandbox) -> None:
    study = {"_id": "study:SRO", "_deleted": True}
    assert device_role("service") == SERVICE
    for roles in (["_admin"], ["x", SERVICE], [device_role("tablet"), "_admin"]):
        assert judged(function, study, "someone", *roles) is None
    for roles in ([], ["lima"], [credential_role("c1")], ["toString"], ["metricis:nurse"]):
        reason = judged(function, {"_id": "session:one"}, "someone", *roles)
        assert reason == "this login has no role that may write here"
