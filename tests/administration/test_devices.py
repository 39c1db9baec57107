"""Enrolling, watching, naming and revoking tablets."""

import asyncio
import json
from typing import Any

import aiohttp
import pytest

from sync_server.identity.enrolment_codes import code_digest
from sync_server.keys import ACTIVITY
from tests.administration.office import Member, Office
from tests.api.calls import Answer

WANTED = {"site": "lima", "device": "tab-1", "label": "Tablet in room 3"}
INSTALLATION = "installation-of-the-app-0001"


@pytest.fixture
async def lima(office: Office) -> Office:
    """Study SRO runs at lima, ABC at quito; both sites have their database."""
    office.study("SRO", "lima")
    office.study("ABC", "quito")
    await office.gateway.open_site("lima")
    return office


async def invite(office: Office, **members: Any) -> dict[str, Any]:
    answer = await office.as_("coordinator", study="SRO").post("/api/sync/enrolments", {**WANTED, **members})
    assert answer.status == 201, answer.body
    body: dict[str, Any] = answer.body
    return body


async def redeem(office: Office, code: str, installation: str = INSTALLATION) -> Answer:
    nobody = Member(office.api.sending(), "")
    return await nobody.post("/api/sync/enrol", {"code": code, "installation": installation})


async def test_code_is_redeemed_for_a_credential_that_opens_the_site(lima: Office) -> None:
    invited = await invite(lima)
    assert json.loads(invited["qr_text"]) == {"v": 1, "urls": invited["urls"], "code": invited["code"]}
    assert invited["qr_svg"].startswith("<svg")
    typed = invited["code"].lower().replace("-", " ")
    first = await redeem(lima, typed)
    assert first.status == 201, first.body
    assert (first.body["device"], first.body["database"]) == ("tab-1", "site-lima")
    opened = await lima.gateway.call("GET", "/site-lima", token=first.body["token"])
    assert opened.status == 200
    # The answer may have been lost: the same installation asks again, another one does not get it.
    again = await redeem(lima, invited["code"])
    assert again.status == 201
    other = await redeem(lima, invited["code"], "another-installation-0002")
    assert other.error == (403, "not_allowed")
    # Neither the code nor the token is kept anywhere.
    kept = lima.rows("SELECT code_sha256 FROM enrolment_codes")
    assert kept[0][0] == code_digest(invited["code"])
    for query in ("SELECT a::text FROM audit_log a", "SELECT o::text FROM outbox o"):
        dump = str(lima.rows(query))
        assert invited["code"] not in dump
        assert first.body["token"] not in dump
    assert lima.rows("SELECT count(*) FROM outbox WHERE key LIKE 'device.enrolled:%%'") == [(2,)]


async def test_code_is_worth_nothing_when_it_ran_out_was_cancelled_or_its_site_is_archived(
    lima: Office,
) -> None:
    coordinator = lima.as_("coordinator", study="SRO")
    late, cancelled, archived = await invite(lima), await invite(lima), await invite(lima)
    lima.rows("UPDATE enrolment_codes SET expires_at = now() WHERE id = %s", late["id"])
    assert (await redeem(lima, late["code"])).error == (403, "not_allowed")
    path = f"/api/sync/enrolments/{cancelled['id']}"
    assert (await coordinator.delete(path)).status == 204
    assert (await coordinator.delete(path)).error == (409, "not_possible")
    assert (await redeem(lima, cancelled["code"])).error == (403, "not_allowed")
    lima.rows("UPDATE sites SET status = 'archived' WHERE code = 'lima'")
    assert (await redeem(lima, archived["code"])).error == (403, "not_allowed")
    answer = await coordinator.post("/api/sync/enrolments", WANTED)
    assert answer.error == (409, "not_possible")
    assert (await redeem(lima, "K7QF-M2XD-9TBV")).error == (403, "not_allowed")
    listed = await coordinator.get("/api/sync/enrolments", site="lima", sort="created_at")
    assert [row["id"] for row in listed.body["data"]] == [late["id"], cancelled["id"], archived["id"]]
    assert "code" not in listed.body["data"][0]


async def test_two_tablets_that_redeem_one_code_at_once_get_one_credential(lima: Office) -> None:
    invited = await invite(lima)
    answers = await asyncio.gather(
        *(redeem(lima, invited["code"], f"installation-number-{n:04}") for n in range(4))
    )
    assert sorted(answer.status for answer in answers) == [201, 403, 403, 403]
    assert lima.rows("SELECT count(*) FROM devices") == [(1,)]


async def test_devices_are_seen_by_who_may_read_their_site_and_managed_by_its_team(lima: Office) -> None:
    await lima.gateway.enrol("lima", "tab-1")
    await lima.gateway.enrol("quito", "tab-9")
    path = "/api/sync/devices/lima/tab-1"
    assert [row["device"] for row in (await lima.as_("admin").get("/api/sync/devices")).body["data"]] == [
        "tab-1",
        "tab-9",
    ]
    own = lima.as_("read-only", study="SRO", site="lima")
    assert [row["device"] for row in (await own.get("/api/sync/devices")).body["data"]] == ["tab-1"]
    assert (await own.post(f"{path}/revoke", {"reason": "lost"})).error == (403, "not_allowed")
    stranger = lima.as_("coordinator", study="ABC")
    assert (await stranger.get(path)).error == (404, "not_found")
    assert (await stranger.post(f"{path}/revoke", {"reason": "lost"})).error == (404, "not_found")
    assert (await stranger.post("/api/sync/enrolments", WANTED)).error == (404, "not_found")
    team = lima.as_("coordinator", study="SRO", site="lima")
    assert (await team.get("/api/sync/devices/lima/tab-7")).error == (404, "not_found")
    unseen = await team.patch(path, {"label": "Room 3"})
    assert unseen.error == (428, "precondition_required")
    etag = (await team.get(path)).headers["ETag"]
    named = await team.patch(path, {"label": "Room 3"}, If_Match=etag)
    assert (named.status, named.body["label"]) == (200, "Room 3")
    assert (await team.patch(path, {"label": "4"}, If_Match=etag)).error == (412, "precondition_failed")
    assert lima.rows("SELECT action, before, after FROM audit_log") == [
        ("device.rename", {"label": ""}, {"label": "Room 3"})
    ]


async def test_device_tells_its_state_when_it_was_seen_and_what_was_refused(lima: Office) -> None:
    token = await lima.gateway.enrol("lima", "tab-1")
    status = {
        "_id": "device:tab-1",
        "_rev": "1-aa",
        "type": "device",
        "schema": 1,
        "app": "2.1.0",
        "outstanding": 7,
        "clock_at": "2026-01-01T00:00:00Z",
    }
    foreign = {"_id": "study:SRO", "_rev": "1-aa", "type": "study"}
    refused = await lima.gateway.push("site-lima", status, foreign, token=token)
    assert [row["error"] for row in refused] == ["forbidden"]
    await lima.project()
    await lima.gateway.app[ACTIVITY].write()
    team = lima.as_("coordinator", study="SRO")
    listed = await team.get("/api/sync/devices", outstanding="true", sort="outstanding", order="desc")
    (row,) = listed.body["data"]
    assert (row["app_version"], row["outstanding"], row["refused"]) == ("2.1.0", 7, 1)
    assert row["clock_offset_s"] > 0
    assert row["last_seen_at"]
    assert row["last_push_at"]
    assert (await team.get("/api/sync/devices", outstanding="false")).body["data"] == []
    told = (await team.get("/api/sync/devices/lima/tab-1/refused")).body["data"]
    assert [(each["doc_id"], "may not write" in each["reason"]) for each in told] == [("study:SRO", True)]


@pytest.mark.parametrize("feed", ["continuous", "longpoll"])
async def test_live_feed_of_a_revoked_device_ends_at_once(lima: Office, feed: str) -> None:
    token = await lima.gateway.enrol("lima", "tab-1")
    other = await lima.gateway.enrol("lima", "tab-2")
    host, port = lima.gateway.address
    base = f"http://{host}:{port}/db/site-lima/_changes?feed={feed}&heartbeat=30000"

    async def follow(session: aiohttp.ClientSession, token: str) -> None:
        async with session.get(base, headers={"Authorization": f"Bearer {token}"}) as response:
            assert response.status == 200
            await response.read()

    async with aiohttp.ClientSession() as session:
        cut = asyncio.create_task(follow(session, token))
        kept = asyncio.create_task(follow(session, other))
        await asyncio.sleep(0.3)
        assert not cut.done()
        answer = await lima.as_("admin").post("/api/sync/devices/lima/tab-1/revoke", {"reason": "stolen"})
        assert (answer.status, answer.body) == (200, {"revoked": 1})
        with pytest.raises(aiohttp.ClientError):
            await asyncio.wait_for(cut, timeout=5)
        assert not kept.done()
        kept.cancel()
        await asyncio.gather(kept, return_exceptions=True)
    refused = await lima.gateway.call("GET", "/site-lima", token=token)
    assert refused.status == 401
    again = await lima.as_("admin").post("/api/sync/devices/lima/tab-1/revoke", {"reason": "stolen"})
    assert again.error == (409, "not_possible")
    row = lima.rows("SELECT action, site, reason FROM audit_log")
    assert row == [("device.revoke", "lima", "stolen")]


async def test_tablets_checkpoints_are_small(lima: Office) -> None:
    token = await lima.gateway.enrol("lima", "tab-1")
    small = await lima.gateway.call("PUT", "/site-lima/_local/a", token=token, body={"history": "x" * 1000})
    assert small.status == 201
    large = await lima.gateway.call("PUT", "/site-lima/_local/a", token=token, body={"history": "x" * 70_000})
    assert large.status == 413


async def test_revoked_or_replaced_tablet_gets_no_credential_from_the_code_that_it_once_redeemed(
    lima: Office,
) -> None:
    stolen = await invite(lima, valid_minutes=60 * 24 * 14)
    assert (await redeem(lima, stolen["code"])).status == 201
    path = "/api/sync/devices/lima/tab-1/revoke"
    revoked = await lima.as_("coordinator", study="SRO").post(path, {"reason": "stolen"})
    assert revoked.status == 200, revoked.body
    assert (await redeem(lima, stolen["code"])).error == (403, "not_allowed")
    # Another tablet takes its name and is replaced in its turn; only the newest may ask again.
    second, third = await invite(lima), await invite(lima)
    assert (await redeem(lima, second["code"], "installation-number-0002")).status == 201
    assert (await redeem(lima, third["code"], "installation-number-0003")).status == 201
    assert (await redeem(lima, second["code"], "installation-number-0002")).error == (403, "not_allowed")
    assert (await redeem(lima, third["code"], "installation-number-0003")).status == 201
    assert lima.rows("SELECT count(*) FROM devices WHERE revoked_at IS NULL") == [(1,)]
