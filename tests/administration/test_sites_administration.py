"""Sites over the API: made with their databases, changed, archived, opened again."""

import asyncio
from typing import Any

import pytest

from reporting.sites import database_of
from sync_server.enrolment import SiteArchived, enrol_device
from sync_server.keys import SETTINGS, SITE_DATABASES
from tests.administration.office import Office
from tests.couchdb.behind import DESIGN_DOCUMENTS


async def enrol(office: Office, device: str) -> Any:
    settings = office.gateway.app[SETTINGS]
    return await enrol_device(
        site="lima",
        device=device,
        role="tablet",
        feed_url=settings.feed_url,
        public_base="http://127.0.0.1",
        database_url=settings.database_url,
        data_dir=settings.data_dir,
    )


async def test_a_site_is_made_with_its_database_and_listed_before_anything_syncs(office: Office) -> None:
    admin = office.as_("admin")
    new = {"code": "lima", "name": "Lima", "timezone": "America/Lima"}
    store = office.gateway.app[SITE_DATABASES]
    # As an attempt leaves it that died before its commit.
    await store.create(database_of("lima"))
    made = await admin.post("/api/sites", new)
    assert (made.status, made.headers["ETag"], made.body["status"]) == (201, '"1"', "open")
    assert (await admin.post("/api/sites", new)).error == (409, "taken")
    assert (await admin.post("/api/sites", {"code": "quito"})).status == 201
    assert (await store.info(database_of("quito")))["doc_count"] == DESIGN_DOCUMENTS
    for code in ("Lima", "1a", "a b", "", "x" * 64, "a\n"):
        assert (await admin.post("/api/sites", {"code": code})).status == 422
    for timezone in ("Mars/Olympus", "", "../UTC", "EST5EDT\n"):
        assert (await admin.post("/api/sites", {"code": "x", "timezone": timezone})).status == 422
    both = await asyncio.gather(*(admin.post("/api/sites", {"code": "cusco"}) for _ in range(2)))
    assert sorted(answer.status for answer in both) == [201, 409]

    shown = (await admin.get("/api/sites/lima")).body
    assert (shown["name"], shown["timezone"], shown["status"], shown["row_version"]) == (
        "Lima",
        "America/Lima",
        "open",
        1,
    )
    assert [row["site"] for row in (await admin.get("/api/sites")).body["data"]] == ["cusco", "lima", "quito"]
    office.study("SRO", "lima")
    of_study = await admin.get("/api/sites", study="SRO")
    assert [row["site"] for row in of_study.body["data"]] == ["lima"]
    events = office.rows("SELECT key, site FROM outbox WHERE kind = 'event' ORDER BY key")
    assert events == [(f"site.created:{site}", site) for site in ("cusco", "lima", "quito")]
    assert office.rows("SELECT count(*) FROM audit_log WHERE action = 'site.create'") == [(3,)]


async def test_only_who_may_everywhere_makes_and_changes_sites(office: Office) -> None:
    office.study("SRO", "lima")
    for member in (office.as_("coordinator"), office.as_("admin", study="SRO")):
        assert (await member.post("/api/sites", {"code": "x"})).error == (403, "not_allowed")
        assert (await member.patch("/api/sites/lima", {"name": "x"}, If_Match="*")).error[0] == 403
        assert (await member.post("/api/sites/lima/archive", {"reason": "x"})).error[0] == 403
    admin = office.as_("admin")
    assert (await admin.patch("/api/sites/lima", {"name": "L"})).error == (428, "precondition_required")
    changed = await admin.patch("/api/sites/lima", {"timezone": "America/Lima"}, If_Match='"1"')
    assert (changed.body["timezone"], changed.headers["ETag"]) == ("America/Lima", '"2"')
    assert (await admin.patch("/api/sites/lima", {"name": "L"}, If_Match='"1"')).error[0] == 412
    wrong = await admin.patch("/api/sites/lima", {"timezone": "Lima"}, If_Match="*")
    assert (wrong.status, wrong.details) == (422, {"path": "$.timezone"})
    assert (await admin.patch("/api/sites/none", {"name": "x"}, If_Match="*")).error[0] == 404
    assert office.rows("SELECT key FROM outbox") == [("lima/*",)]


async def test_a_site_is_archived_only_when_nothing_is_lost_or_somebody_says_so(office: Office) -> None:
    admin = office.as_("admin")
    await enrol(office, "tab-1")
    assert office.rows("SELECT code, status FROM sites") == [("lima", "open")]
    office.rows(
        "INSERT INTO device_status (site, device, rev, outstanding) VALUES ('lima', 'tab-1', '1-a', 3)"
    )
    why = {"reason": "the clinic has closed"}
    refused = await admin.post("/api/sites/lima/archive", why)
    assert refused.error == (409, "not_possible")
    assert refused.details == {
        "devices": ["tab-1"],
        "outstanding": [{"device": "tab-1", "documents": 3}],
    }
    assert (await admin.post("/api/sites/lima/archive", {"reason": " "})).status == 422
    archived = await admin.post("/api/sites/lima/archive", {**why, "force": True})
    assert (archived.status, archived.body["status"]) == (200, "archived")
    assert office.rows("SELECT count(*) FROM devices WHERE revoked_at IS NULL") == [(0,)]
    assert (await office.gateway.app[SITE_DATABASES].info(database_of("lima")))["db_name"] == "site-lima"
    assert (await admin.post("/api/sites/lima/archive", why)).error == (409, "not_possible")
    with pytest.raises(SiteArchived, match="open it again"):
        await enrol(office, "tab-2")
    reopened = await admin.post("/api/sites/lima/reopen", why)
    assert (reopened.body["status"], reopened.body["row_version"]) == ("open", 3)
    assert (await admin.post("/api/sites/lima/reopen", why)).error == (409, "not_possible")
    await enrol(office, "tab-2")
    keys = [row[0] for row in office.rows("SELECT key FROM outbox ORDER BY key")]
    assert keys[0].startswith("device.revoked:lima/tab-1/")
    assert keys[1:] == ["lima/*", "site.archived:lima/1"]
    log = office.rows("SELECT action, reason, after ->> 'forced' FROM audit_log ORDER BY id")
    assert log == [("site.archive", why["reason"], "true"), ("site.reopen", why["reason"], None)]


async def test_no_site_without_its_database(office: Office) -> None:
    admin = office.as_("admin")
    client = office.gateway.app[SITE_DATABASES]
    base, client._base = client._base, "http://127.0.0.1:1"
    try:
        assert (await admin.post("/api/sites", {"code": "lima"})).error == (503, "unavailable")
    finally:
        client._base = base
    assert office.rows("SELECT count(*) FROM sites") == [(0,)]
    assert office.rows("SELECT count(*) FROM audit_log") == [(0,)]
    assert (await admin.post("/api/sites", {"code": "lima"})).status == 201
