"""What a site's hub asks and tells at the centre."""

import asyncio
import json
from datetime import UTC, datetime
from typing import Any

import pytest

from reporting.engine import sync_engine
from reporting.hubs import (
    EVERY_LEAF,
    Hub,
    assign_purges,
    end_purge,
    everywhere_readable,
    hold_purge,
    name_purged,
)
from sync_server.keys import SETTINGS, SIGNING_KEY
from tests.administration.office import Office
from tests.administration.test_devices import invite, redeem
from tests.api.calls import Answer
from tests.gateway.gateway import session

AT = "2026-03-04T05:06:07Z"
REV = "1-aa"


class Lima:
    """A site with a hub, a tablet, and their credentials."""

    def __init__(self, office: Office, hub: str, tablet: str) -> None:
        self.office = office
        self.hub = hub
        self.tablet = tablet
        self.tablet_credential = self.credential("tab-1")

    def credential(self, device: str) -> str:
        ((found,),) = self.office.rows(
            "SELECT credential FROM devices WHERE site = 'lima' AND device = %s AND revoked_at IS NULL",
            device,
        )
        return str(found)

    async def ask(self, method: str, path: str, body: Any = None, *, token: str | None = None) -> Answer:
        api = self.office.api.sending(Authorization=f"Bearer {token or self.hub}")
        options = {} if body is None else {"json": body}
        return await api.call(method, f"/api/sync/hub/{path}", **options)

    def entry(self, name: str, **members: Any) -> dict[str, Any]:
        return {
            "doc_id": f"session:{name}",
            "rev": REV,
            "device": "tab-1",
            "role": "tablet",
            "credential": self.tablet_credential,
            "received_at": AT,
            **members,
        }

    async def tell(self, *entries: dict[str, Any]) -> int:
        answer = await self.ask("POST", "journal", {"entries": entries})
        assert answer.status == 200, answer.body
        return int(answer.body["recorded"])

    def log(self) -> list[tuple[Any, ...]]:
        return self.office.rows(
            "SELECT doc_id, device, role, via, hub_received_at FROM ingest_log ORDER BY doc_id, rev"
        )


@pytest.fixture
async def lima(office: Office) -> Lima:
    office.study("SRO", "lima")
    office.study("ABC", "quito")
    await office.gateway.open_site("lima")
    hub = await office.gateway.enrol("lima", "lima-hub", role="hub")
    return Lima(office, hub, await office.gateway.enrol("lima", "tab-1"))


BY_TABLET = ("tab-1", "tablet", "lima-hub", datetime(2026, 3, 4, 5, 6, 7, tzinfo=UTC))


async def test_ingest_log_names_the_tablet_whether_journal_or_document_comes_first(lima: Lima) -> None:
    assert await lima.tell(lima.entry("journal-first")) == 1
    documents = [session("journal-first"), session("document-first")]
    assert await lima.office.gateway.push("site-lima", *documents, token=lima.hub) == []
    assert lima.log()[0] == ("session:document-first", "lima-hub", "hub", None, None)
    # Again, twice in one request, and the rest of it.
    entries = [lima.entry("journal-first"), lima.entry("document-first"), lima.entry("document-first")]
    await lima.tell(*entries)
    assert lima.log() == [("session:document-first", *BY_TABLET), ("session:journal-first", *BY_TABLET)]


async def test_first_receipt_is_not_rewritten_by_a_hub_that_had_no_part_in_it(lima: Lima) -> None:
    other_hub = await lima.office.gateway.enrol("lima", "other-hub", role="hub")
    await lima.office.gateway.push("site-lima", session("direct"), token=lima.tablet)
    await lima.office.gateway.push("site-lima", session("by-other"), token=other_hub)
    await lima.tell(lima.entry("direct"), lima.entry("by-other"))
    assert lima.log() == [
        ("session:by-other", "other-hub", "hub", None, None),
        ("session:direct", "tab-1", "tablet", None, None),
    ]


async def test_hub_speaks_for_devices_of_its_own_site_only_and_by_the_name_they_have_here(lima: Lima) -> None:
    await lima.office.gateway.open_site("quito")
    await lima.office.gateway.enrol("quito", "tab-q")
    ((foreign,),) = lima.office.rows("SELECT credential FROM devices WHERE device = 'tab-q'")
    await lima.office.gateway.revoke("lima", "tab-1")
    await lima.tell(
        lima.entry("foreign", credential=foreign, device="tab-q"),
        lima.entry("invented", credential="x\x00y"),
        lima.entry("renamed", device="somebody-else", role="service"),
    )
    told = [row[:4] for row in lima.log()]
    assert told == [
        ("session:foreign", "lima-hub", "hub", "lima-hub"),
        ("session:invented", "lima-hub", "hub", "lima-hub"),
        ("session:renamed", "tab-1", "tablet", "lima-hub"),
    ]
    reasons = lima.office.rows("SELECT reason FROM ingest_log WHERE role = 'hub'")
    assert all("never enrolled here" in reason for (reason,) in reasons)


@pytest.mark.parametrize(
    ("sent", "read"),
    [
        ("0001-01-01T00:00:00+14:00", "0001-01-02T00:00:00+00:00"),
        ("9999-12-31T23:59:59-12:00", "9999-12-30T00:00:00+00:00"),
        ("1970-01-01T00:00:00Z", "1970-01-01T00:00:00+00:00"),
        ("2036-02-29T23:00:00-02:00", "2036-03-01T01:00:00+00:00"),
    ],
)
def test_time_of_a_clock_gone_wild_is_kept_as_one_that_can_be_read(sent: str, read: str) -> None:
    assert everywhere_readable(datetime.fromisoformat(sent)).isoformat() == read


async def test_clock_gone_wild_leaves_nothing_unreadable(lima: Lima) -> None:
    wild = "0001-01-01T00:00:00+14:00"
    await lima.tell(lima.entry("s", received_at=wild))
    tablets = [{"device": "tab-1", "last_seen": wild}]
    assert (await lima.ask("POST", "status", {**STATUS, "clock": wild, "tablets": tablets})).status == 200
    assert lima.log()[0][:2] == ("session:s", "tab-1")
    assert lima.office.rows("SELECT extract(year from clock_at)::int FROM hubs") == [(1,)]


async def test_hub_is_told_what_became_of_what_its_tablets_wrote(lima: Lima) -> None:
    await lima.tell(lima.entry("lost"), lima.entry("there"), lima.entry("wrong"))
    wrong = {**session("wrong"), "_id": "correction:wrong"}
    documents = [session("there"), wrong]
    refused = await lima.office.gateway.push("site-lima", *documents, token=lima.hub)
    assert [row["error"] for row in refused] == ["forbidden"]
    asked = [{"id": each, "rev": REV} for each in ("session:lost", "session:there", "correction:wrong")]
    hub = lima.office.api.sending(Authorization=f"Bearer {lima.hub}")
    receipts = (await hub.call("POST", "/api/sync/receipts", json={"docs": asked})).body["data"]
    assert [each["state"] for each in receipts] == ["unknown", "stored", "refused"]


async def test_thousand_entries_are_taken_and_one_more_is_not(lima: Lima) -> None:
    entries = [lima.entry(f"s{n:04}") for n in range(1000)]
    assert await lima.tell(*entries) == 1000
    assert len(lima.log()) == 1000
    refused = await lima.ask("POST", "journal", {"entries": [*entries, lima.entry("more")]})
    assert refused.error == (422, "invalid_request")


@pytest.mark.parametrize(
    "member",
    [{"received_at": "yesterday"}, {"received_at": "2026-01-01T00:00:00"}, {"doc_id": ""}, {"rev": 7}],
    ids=str,
)
async def test_entry_that_is_none_is_refused_with_its_place(lima: Lima, member: dict[str, Any]) -> None:
    answer = await lima.ask("POST", "journal", {"entries": [lima.entry("s"), lima.entry("t", **member)]})
    assert answer.error == (422, "invalid_request")
    assert answer.details["path"].startswith("$.entries[")
    assert lima.log() == []


async def test_site_list_has_the_sites_credentials_and_changes_its_version_with_them(lima: Lima) -> None:
    await lima.office.gateway.open_site("quito")
    await lima.office.gateway.enrol("quito", "tab-q")
    first = (await lima.ask("GET", "site")).body
    assert first["site"] == "lima"
    assert {(each["device"], each["role"], each["revoked"]) for each in first["credentials"]} == {
        ("lima-hub", "hub", False),
        ("tab-1", "tablet", False),
    }
    key = lima.office.gateway.app[SIGNING_KEY].verifier
    assert first["public_keys"] == [{"kid": key.key_id, "pem": key.public_pem.decode()}]
    same = await lima.ask("GET", f"site?since={first['version']}")
    assert (same.status, same.body) == (304, "")
    await lima.office.gateway.revoke("lima", "tab-1")
    second = (await lima.ask("GET", f"site?since={first['version']}")).body
    assert [each["revoked"] for each in second["credentials"] if each["device"] == "tab-1"] == [True]


@pytest.mark.parametrize(
    ("method", "path"),
    [
        ("GET", "site"),
        ("POST", "journal"),
        ("POST", "status"),
        ("GET", "erasures"),
        ("POST", "erasures/1/done"),
    ],
)
async def test_only_a_hub_in_force_is_answered(lima: Lima, method: str, path: str) -> None:
    for token in (lima.tablet, lima.office.gateway.service):
        assert (await lima.ask(method, path, {}, token=token)).error == (403, "not_allowed")
    await lima.office.gateway.revoke("lima", "lima-hub")
    assert (await lima.ask(method, path, {})).error == (401, "not_authenticated")


STATUS = {
    "urls": ["https://hub.lima.local:8443/"],
    "ca_fingerprint": "sha256:" + 32 * "ab",
    "app": "metricis-sync 0.1.0",
    "documents_waiting": 3,
    "tablets": [{"device": "tab-1", "last_seen": AT}],
    "storage_free_bytes": 10**12,
    "clock": AT,
}


async def test_tablet_that_enrols_is_told_the_hubs_of_its_site(lima: Lima) -> None:
    assert (await invite(lima.office, device="tab-0"))["hubs"] == []
    for _ in range(2):
        told = await lima.ask("POST", "status", STATUS)
        assert datetime.fromisoformat(told.body["now"]) <= datetime.now(UTC)
    hub = {"url": "https://hub.lima.local:8443", "ca": STATUS["ca_fingerprint"]}
    invited = await invite(lima.office, device="tab-2")
    assert invited["hubs"] == json.loads(invited["qr_text"])["hubs"] == [hub]
    enrolled = (await redeem(lima.office, invited["code"])).body
    assert enrolled["hubs"] == [{**hub, "url": f"{hub['url']}/db/site-lima"}]
    assert enrolled["url"].endswith("/db/site-lima")
    team = lima.office.as_("coordinator", study="SRO")
    listed = (await team.get("/api/sync/devices?role=hub&outstanding=true&sort=last_seen_at")).body["data"]
    assert [(each["device"], each["outstanding"], each["free_bytes"]) for each in listed] == [
        ("lima-hub", 3, 10**12)
    ]
    assert (listed[0]["app_version"], listed[0]["clock_at"]) == (STATUS["app"], AT)
    assert listed[0]["clock_offset_s"] > 0
    assert listed[0]["status_at"] <= listed[0]["last_seen_at"]
    await lima.office.gateway.revoke("lima", "lima-hub")
    assert (await invite(lima.office, device="tab-3"))["hubs"] == []


@pytest.mark.parametrize(
    "member",
    [
        {"urls": ["ftp://hub"]},
        {"urls": ["https://user:secret@hub"]},
        {"urls": ["javascript:alert(1)"]},
        {"ca_fingerprint": "md5:ab"},
        {"documents_waiting": -1},
        {"documents_waiting": 2**31},
        {"tablets": [{"device": "a b", "last_seen": AT}]},
        {"app": "a\x00b"},
    ],
    ids=str,
)
async def test_status_that_is_none_is_refused(lima: Lima, member: dict[str, Any]) -> None:
    assert (await lima.ask("POST", "status", {**STATUS, **member})).error == (422, "invalid_request")
    assert lima.office.rows("SELECT * FROM hubs") == []


async def test_purge_is_told_to_its_hub_until_it_is_done_and_to_nobody_else(lima: Lima) -> None:
    other_hub = await lima.office.gateway.enrol("lima", "other-hub", role="hub")
    lima.office.rows(
        "INSERT INTO erasure_hub_tasks (erasure, site, device) VALUES (1, 'lima', 'lima-hub'),"
        " (1, 'lima', 'other-hub'), (2, 'lima', 'lima-hub')"
    )
    lima.office.rows(
        "INSERT INTO erasure_hub_documents (task, doc_id, rev) VALUES"
        " (1, 'session:a', ''), (1, 'session:a', '1-a'), (1, 'session:b', '1-b'), (1, 'session:b', '1-c'),"
        " (2, 'session:a', '')"
    )
    (task,) = (await lima.ask("GET", "erasures")).body["tasks"]
    assert task["documents"] == {"session:a": [], "session:b": ["1-b", "1-c"]}
    assert (await lima.ask("POST", "erasures/2/done", {"version": task["version"]})).error == (
        404,
        "not_found",
    )
    assert (await lima.ask("POST", "erasures/1/done", {})).error == (422, "invalid_request")
    # More is named while the hub is at it.
    lima.office.rows("INSERT INTO erasure_hub_documents (task, doc_id, rev) VALUES (1, 'session:c', '')")
    assert (await lima.ask("POST", "erasures/1/done", {"version": task["version"]})).body == {"done": False}
    (again,) = (await lima.ask("GET", "erasures")).body["tasks"]
    assert again["documents"] == {**task["documents"], "session:c": []}
    for _ in range(2):
        assert (await lima.ask("POST", "erasures/1/done", {"version": again["version"]})).body == {
            "done": True
        }
    assert (await lima.ask("GET", "erasures")).body["tasks"] == []
    assert lima.office.rows("SELECT DISTINCT task FROM erasure_hub_documents") == [(2,)]
    (left,) = (await lima.ask("GET", "erasures", token=other_hub)).body["tasks"]
    assert (left["id"], left["documents"]) == (2, {"session:a": []})


async def test_what_is_named_while_a_hub_says_done_is_not_lost_whichever_commits_first(lima: Lima) -> None:
    engine = sync_engine(lima.office.gateway.app[SETTINGS].database_url)
    hub = Hub("lima", "lima-hub", lima.credential("lima-hub"))

    def name(doc_id: str) -> None:
        with engine.begin() as connection:
            connection.execute(name_purged(1, "lima", [(doc_id, EVERY_LEAF)]))

    async def waits_for_a_lock(begun: asyncio.Future[Any]) -> None:
        waiting = "SELECT pid FROM pg_locks WHERE NOT granted AND locktype = 'transactionid'"
        while not lima.office.rows(waiting):
            assert not begun.done()
            await asyncio.sleep(0.01)

    with engine.begin() as connection:
        connection.execute(assign_purges(1, "lima"))
    name("session:a")
    # The hub's done commits first: the task is open again.
    with engine.begin() as done:
        task = done.scalar(hold_purge(hub, 1))
        assert task == 1
        done.execute(end_purge(task))
        late = asyncio.ensure_future(asyncio.to_thread(name, "session:b"))
        await waits_for_a_lock(late)
    await late
    (told,) = (await lima.ask("GET", "erasures")).body["tasks"]
    assert told["documents"] == {"session:b": []}
    # What is named commits first: the hub's done is about less.
    with engine.begin() as naming:
        naming.execute(name_purged(1, "lima", [("session:c", EVERY_LEAF)]))
        answered = asyncio.ensure_future(lima.ask("POST", "erasures/1/done", {"version": told["version"]}))
        await waits_for_a_lock(answered)
    assert (await answered).body == {"done": False}
    (told,) = (await lima.ask("GET", "erasures")).body["tasks"]
    assert told["documents"] == {"session:b": [], "session:c": []}
    engine.dispose()


async def test_disk_of_a_hub_is_wiped_when_an_admin_says_so_of_one_that_is_revoked(lima: Lima) -> None:
    lima.office.rows("INSERT INTO erasure_hub_tasks (erasure, site, device) VALUES (1, 'lima', 'lima-hub')")
    lima.office.rows("INSERT INTO erasure_hub_documents (task, doc_id, rev) VALUES (1, 'session:a', '')")
    path, why = "/api/sync/devices/lima/{}/wiped", {"reason": "shredded"}
    admin = lima.office.as_("admin")
    for hub in ("lima-hub", "tab-1"):
        assert (await admin.post(path.format(hub), why)).error == (409, "not_possible")
    await lima.office.gateway.revoke("lima", "lima-hub")
    coordinator = lima.office.as_("coordinator", study="SRO")
    assert (await coordinator.post(path.format("lima-hub"), why)).error == (403, "not_allowed")
    assert lima.office.rows("SELECT doc_id FROM erasure_hub_documents") == [("session:a",)]
    for _ in range(2):
        assert (await admin.post(path.format("lima-hub"), why)).status == 204
    assert lima.office.rows("SELECT * FROM erasure_hub_tasks, erasure_hub_documents") == []
