"""What a tablet and a hub may hand in. A refusal is one document's; the others of its batch are stored."""

import base64
import itertools
from typing import Any

from tests.gateway.conftest import SITE
from tests.gateway.gateway import Gateway, session

GOOD = [session("before"), session("after")]


async def test_a_tablet_hands_in_sessions_consents_and_its_own_status(
    gateway: Gateway, lima: str, tablet: str
) -> None:
    ids = ["consent:x", "device:tab-1", "session:x"]
    docs = [{"_id": doc_id, "_rev": "1-aa"} for doc_id in ids]
    assert await gateway.push(lima, *docs, token=tablet) == []
    assert await gateway.stored(lima) == ids


REFUSED_TO_TABLETS: list[dict[str, Any]] = [
    {"_id": "device:tab-2", "_rev": "1-aa"},
    {"_id": "device:TAB-1", "_rev": "1-aa"},
    {"_id": "device:tab-1:2", "_rev": "1-aa"},
    {"_id": "device:", "_rev": "1-aa"},
]
REFUSED_TO_DEVICES: list[dict[str, Any]] = [
    {"_id": "study:SRO", "_rev": "1-aa", "type": "study"},
    {"_id": "battery:memory@1", "_rev": "1-aa"},
    {"_id": "item_bank:i@1", "_rev": "1-aa"},
    {"_id": "consent_form:f@1", "_rev": "1-aa"},
    {"_id": "participant:s1", "_rev": "1-aa"},
    {"_id": "visit:v1", "_rev": "1-aa"},
    {"_id": "correction:one:1", "_rev": "1-aa"},
    {"_id": "_design/views", "_rev": "1-aa"},
    {"_id": "_local/projector", "_rev": "1-aa"},
    {"_id": "_local/x", "_rev": "1-aa"},
    {"_id": "_users", "_rev": "1-aa"},
    {"_id": "session", "_rev": "1-aa", "type": "session"},
    {"_id": "session:", "_rev": "1-aa", "type": "session"},
    {"_id": "Session:x", "_rev": "1-aa", "type": "session"},
    {"_id": "free", "_rev": "1-aa", "type": "session"},
    {"_id": "", "_rev": "1-aa"},
    {"_id": 7, "_rev": "1-aa"},
    {"_rev": "1-aa", "type": "session"},
    {"_id": "session:x", "type": "session"},
    {"_id": "session:x", "_rev": "x"},
    {"_id": "session:x", "_rev": 1},
    {"_id": "session:x", "_rev": "1-aa", "_secret": 1},
    {"_id": "session:x", "_rev": "2-bb", "_deleted": True},
    {"_id": "session:x", "_rev": "2-bb", "_deleted": True, "_revisions": {"start": 2, "ids": ["bb", "aa"]}},
    {"_id": "consent:x", "_rev": "1-aa", "_deleted": True},
    {"_id": "device:tab-1", "_rev": "1-aa", "_deleted": True},
]


async def test_a_tablet_is_refused_such_documents_and_nothing_else(
    gateway: Gateway, lima: str, tablet: str
) -> None:
    for document in (*REFUSED_TO_TABLETS, *REFUSED_TO_DEVICES):
        rows = await gateway.push(lima, GOOD[0], document, GOOD[1], token=tablet)
        assert [row["error"] for row in rows] == ["forbidden"], document
        assert rows[0]["reason"]
    assert await gateway.stored(lima) == ["session:after", "session:before"]


async def test_a_hub_is_refused_the_same_but_for_devices(gateway: Gateway, lima: str, hub: str) -> None:
    rows = await gateway.push(lima, GOOD[0], *REFUSED_TO_DEVICES, GOOD[1], token=hub)
    assert [row["error"] for row in rows] == ["forbidden"] * len(REFUSED_TO_DEVICES)
    assert await gateway.stored(lima) == ["session:after", "session:before"]


async def test_a_hub_hands_in_the_status_of_any_tablet(gateway: Gateway, lima: str, hub: str) -> None:
    devices = [{"_id": f"device:tab-{n}", "_rev": "1-aa"} for n in range(3)]
    assert await gateway.push(lima, *devices, token=hub) == []


async def test_a_tablet_that_was_enrolled_again_hands_in_sessions_of_its_old_self(
    gateway: Gateway, lima: str, tablet: str
) -> None:
    again = await gateway.enrol(SITE, "tab-9")
    assert await gateway.push(lima, session("x", device={"id": "tab-1"}), token=again) == []
    assert [(receipt.doc_id, receipt.device) for receipt in gateway.receipts(SITE)] == [
        ("session:x", "tab-9")
    ]


EDITS: list[tuple[str, str, Any]] = [
    ("PUT", "/session:x", {}),
    ("POST", "", {"_id": "session:x"}),
    ("DELETE", "/session:x?rev=1-aa", None),
    ("PUT", "/session:x/a.txt", {}),
    ("DELETE", "/session:x/a.txt?rev=1-aa", None),
    ("PUT", "/_design/x", {}),
    ("POST", "/_bulk_docs", {"docs": [session("x")]}),
    ("POST", "/_bulk_docs", {"docs": [session("x")], "new_edits": True}),
]


async def test_devices_replicate_and_do_not_edit(gateway: Gateway, lima: str, tablet: str, hub: str) -> None:
    for token, (method, path, body) in itertools.product((tablet, hub), EDITS):
        answer = await gateway.call(method, f"/{lima}{path}", token=token, body=body)
        assert answer.error == (403, "forbidden"), path
    assert await gateway.stored(lima) == []
    assert gateway.receipts(SITE) == []


async def test_a_revoked_tablet_is_cut_off_in_the_middle_of_its_sync(
    gateway: Gateway, lima: str, tablet: str
) -> None:
    assert await gateway.push(lima, session("one"), token=tablet) == []
    await gateway.revoke(SITE, "tab-1")
    body = {"new_edits": False, "docs": [session("two")]}
    answer = await gateway.call("POST", f"/{lima}/_bulk_docs", token=tablet, body=body)
    assert answer.error == (401, "unauthorized")
    assert await gateway.stored(lima) == ["session:one"]


async def test_credentials_are_taken_as_bearer_and_as_the_devices_basic_password(
    gateway: Gateway, lima: str, tablet: str
) -> None:
    def basic(user: str) -> dict[str, str]:
        return {"Authorization": "Basic " + base64.b64encode(f"{user}:{tablet}".encode()).decode()}

    assert (await gateway.call("GET", f"/{lima}", headers=basic("tab-1"))).status == 200
    other = await gateway.call("GET", f"/{lima}", headers=basic("tab-2"))
    assert other.error == (401, "unauthorized")
    assert other.headers["WWW-Authenticate"].startswith("Basic")
