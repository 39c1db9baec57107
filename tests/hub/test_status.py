"""How a hub shows itself: nothing of any participant, no secret."""

from datetime import timedelta
from pathlib import Path

import pytest

from replication.client import Unreachable
from replication.errors import BadRequest, CouchError, Unauthorized, Unavailable
from sync_server.hub.contact import Step, StepFailure, ended
from sync_server.hub.parts import now
from sync_server.hub.replicating import step_failures
from tests.hub.rig import RunningHub, running_hub, session, token

TABLET = token("tab-1")
NAME = "Rosa <b>Quispe</b>"


async def test_the_page_tells_how_the_hub_is_and_nothing_of_any_document(hub: RunningHub) -> None:
    fast = (now() + timedelta(minutes=5)).isoformat()
    await hub.push(
        TABLET,
        session(NAME, participant=NAME),
        {"_id": f"participant:{NAME}", "_rev": "1-a"},
        {"_id": "session:x", "_rev": "1-b", f"_{NAME}": 1},
        {"_id": "device:tab-1", "_rev": "1-a", "type": "device", "clock_at": fast},
    )
    away = StepFailure("away", "no answer <script>")
    hub.hub.state = ended(hub.hub.state, Step.STATUS, away, now())
    await hub.hub.tablets.write(hub.hub.records)

    status, told = await hub.call("GET", "/status.json")
    assert status == 200
    assert (told["site"], told["documents_waiting"], told["journal_waiting"]) == ("lima", 2, 2)
    assert (told["link"]["up"], told["link"]["last_error"]) == (False, "status: no answer <script>")
    [tablet] = told["tablets"]
    assert tablet["device"] == "tab-1"
    assert 290 < tablet["clock_offset_s"] < 310
    assert (tablet["refusals"], tablet["last_refusal"]) == (2, "doc_validation")

    stub = {f"{NAME}.txt": {"stub": True, "digest": "md5-AAAAAAAAAAAAAAAAAAAAAA==", "length": 3}}
    in_bulk = {"new_edits": False, "docs": [session("y", _attachments=stub)]}
    alone = session("z", _attachments=stub)
    for count, method, path, body in (
        (3, "POST", "_bulk_docs", in_bulk),
        (4, "PUT", "session:z?new_edits=false", alone),
    ):
        await hub.call(method, f"/db/site-lima/{path}", by=TABLET, body=body)
        _, shown = await hub.call("GET", "/status.json")
        assert shown["tablets"][0]["refusals"] == count
        assert "Rosa" not in str(shown), path

    async with hub.client.get("/") as answer:
        page = await answer.text()
        assert answer.headers["Content-Security-Policy"].startswith("default-src 'none'")
    assert "down; tablets sync on" in page
    assert "no answer &lt;script&gt;" in page
    for text in (page, str(told)):
        assert "Rosa" not in text
        assert "Quispe" not in text
        assert TABLET not in text


@pytest.mark.parametrize(
    ("error", "kind"),
    [
        (Unavailable("the target did not store participant:Rosa: not now"), "away"),
        (BadRequest("session:Rosa cannot be read"), "failed"),
        (Unreachable("no answer: ServerDisconnectedError"), "away"),
        (Unauthorized("the credential was revoked"), "refused"),
    ],
)
def test_a_failed_replication_is_shown_without_the_document(error: CouchError, kind: str) -> None:
    with pytest.raises(StepFailure) as found, step_failures():
        raise error
    assert found.value.kind == kind
    assert "Rosa" not in found.value.why


async def test_health_needs_no_credential_and_a_wrong_path_names_itself(hub: RunningHub) -> None:
    assert await hub.call("GET", "/api/health") == (
        200,
        {"status": "ok", "role": "hub", "site": "lima", "link_up": False},
    )
    assert (await hub.call("GET", "/ca.pem"))[0] == 404
    status, told = await hub.call("GET", "/api/sessions")
    assert (status, told["error"]["code"]) == (404, "not_found")


async def test_only_pages_of_allowed_origins_sync_from_a_browser(tmp_path: Path) -> None:
    app = "https://app.example.org"
    async with running_hub(tmp_path, allowed_origins=(app,)) as hub:
        for origin, allowed in ((app, app), ("https://other.example.org", None)):
            asked = {"Origin": origin, "Access-Control-Request-Method": "GET"}
            async with hub.client.options("/db/site-lima", headers=asked) as answer:
                assert (answer.status == 204) == (allowed is not None)
                assert answer.headers.get("Access-Control-Allow-Origin") == allowed
            async with hub.client.get("/db/site-lima", headers={"Origin": origin}) as answer:
                assert answer.status == 503
                assert answer.headers.get("Access-Control-Allow-Origin") == allowed
                assert "Origin" in answer.headers["Vary"]
