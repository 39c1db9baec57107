"""Studies over the API: made, changed, started and ended; where they run; what their tablets get."""

import asyncio
from typing import Any

import pytest

from reporting.studies.status import TRANSITIONS, changes_what_tablets_have, reachable
from tests.administration.office import Office


def asked_for(office: Office) -> list[str]:
    """What is to be published, and no more from now on."""
    keys = [row[0] for row in office.rows("SELECT key FROM outbox WHERE kind = 'publication' ORDER BY key")]
    office.rows("DELETE FROM outbox")
    return keys


def test_a_completed_study_comes_back_only_by_an_admin_with_a_reason() -> None:
    assert reachable("draft") == ["active"]
    assert reachable("completed") == ["active"]
    assert TRANSITIONS["completed", "active"] == (True, True)
    assert ("draft", "completed") not in TRANSITIONS
    assert changes_what_tablets_have("draft", "active")
    assert changes_what_tablets_have("paused", "completed")
    assert not changes_what_tablets_have("active", "paused")


async def test_an_admin_makes_a_study_and_nobody_makes_it_twice(office: Office) -> None:
    admin = office.as_("admin")
    made = await admin.post("/api/studies", {"code": "SRO", "title": "Self-regulation"})
    assert (made.status, made.headers["ETag"]) == (201, '"1"')
    assert (made.body["status"], made.body["sites"], made.body["batteries"]) == ("draft", [], [])
    twice = await admin.post("/api/studies", {"code": "SRO"})
    assert (twice.error, twice.details) == ((409, "taken"), {"code": "SRO"})
    for code in ("", "-a", "a b", "a\n", "x" * 65):
        assert (await admin.post("/api/studies", {"code": code})).status == 422
    unknown = await admin.post("/api/studies", {"code": "B", "template": "none"})
    assert (unknown.status, unknown.details) == (422, {"path": "$.template"})
    coordinator = office.as_("coordinator", study="SRO")
    assert (await coordinator.post("/api/studies", {"code": "C"})).error == (403, "not_allowed")
    study_admin = office.as_("admin", study="SRO")
    assert (await study_admin.post("/api/studies", {"code": "C"})).error == (403, "not_allowed")
    codes = [
        answer.status
        for answer in await asyncio.gather(*(admin.post("/api/studies", {"code": "R"}) for _ in range(3)))
    ]
    assert sorted(codes) == [201, 409, 409]
    assert office.rows("SELECT action, study FROM audit_log ORDER BY id") == [
        ("study.create", "SRO"),
        ("study.create", "R"),
    ]


async def test_everybody_sees_the_studies_of_their_scope_only(office: Office) -> None:
    office.study("SRO", "lima")
    office.study("ABC", "quito")
    member = office.as_("read-only", study="SRO", site="lima")
    assert [row["code"] for row in (await member.get("/api/studies")).body["data"]] == ["SRO"]
    assert (await member.get("/api/studies/SRO")).body["sites"] == ["lima"]
    assert (await member.get("/api/studies/ABC")).error == (404, "not_found")
    everywhere = office.as_("researcher")
    listed = await everywhere.get("/api/studies", sort="code", order="desc", fields="code")
    assert listed.body["data"] == [{"code": "SRO"}, {"code": "ABC"}]
    assert (await everywhere.get("/api/studies", q="ab", status="active")).body["pagination"]["total"] == 1
    assert (await everywhere.get("/api/studies", q="%")).body["pagination"]["total"] == 0
    assert (await everywhere.get("/api/studies/none")).error == (404, "not_found")
    for who, expected in (
        (office.as_("read-only", study="SRO", site="lima"), 403),
        (office.as_("researcher", study="SRO"), 403),
        (office.as_("coordinator", study="SRO", site="lima"), 403),
        (office.as_("coordinator", study="ABC"), 404),
    ):
        answer = await who.patch("/api/studies/SRO", {"title": "x"}, If_Match="*")
        assert answer.status == expected


async def test_a_study_is_started_paused_ended_and_brought_back_as_the_diagram_says(office: Office) -> None:
    office.study("SRO", "lima", "quito")
    office.rows("UPDATE studies SET status = 'draft'")
    coordinator, admin = office.as_("coordinator", study="SRO"), office.as_("admin")
    path = "/api/studies/SRO"

    async def bring(who: Any, status: str, **more: str) -> Any:
        return await who.patch(path, {"status": status, **more}, If_Match="*")

    refused = await bring(coordinator, "completed", reason="over")
    assert refused.error == (409, "not_possible")
    assert refused.details == {"status": "draft", "allowed": ["active"]}
    assert asked_for(office) == []
    assert (await bring(coordinator, "active")).body["status"] == "active"
    assert asked_for(office) == ["lima/*", "quito/*"]
    unexplained = await bring(coordinator, "paused")
    assert (unexplained.status, unexplained.details) == (422, {"path": "$.reason"})
    assert (await bring(coordinator, "paused", reason="flood")).status == 200
    assert asked_for(office) == ["lima/study:SRO", "quito/study:SRO"]
    assert (await bring(coordinator, "active")).status == 200
    asked_for(office)
    assert (await bring(coordinator, "completed", reason="all seen")).status == 200
    assert asked_for(office) == ["lima/*", "quito/*"]
    assert (await bring(coordinator, "active", reason="one more")).error == (403, "not_allowed")
    assert (await bring(admin, "active")).status == 422
    assert (await bring(admin, "active", reason="one more")).body["row_version"] == 6
    log = office.rows(
        "SELECT reason, before ->> 'status', after ->> 'status' FROM audit_log"
        " WHERE entity_id = 'SRO' ORDER BY id"
    )
    assert log == [
        (None, "draft", "active"),
        ("flood", "active", "paused"),
        (None, "paused", "active"),
        ("all seen", "active", "completed"),
        ("one more", "completed", "active"),
    ]


async def test_a_change_that_was_made_from_something_else_is_refused(office: Office) -> None:
    office.study("SRO", "lima")
    coordinator = office.as_("coordinator", study="SRO")
    path = "/api/studies/SRO"
    assert (await coordinator.patch(path, {"title": "A"})).error == (428, "precondition_required")
    assert (await coordinator.patch(path, {"title": "A"}, If_Match='"1"')).headers["ETag"] == '"2"'
    assert (await coordinator.patch(path, {"title": "B"}, If_Match='"1"')).error[0] == 412
    assert (await coordinator.patch(path, {"code": "B"}, If_Match="*")).status == 422
    assert asked_for(office) == ["lima/study:SRO"]
    same = await coordinator.patch(path, {"title": "A"}, If_Match='"2"')
    assert (same.body["row_version"], asked_for(office)) == (2, [])
    await coordinator.patch(path, {"consent_required": True}, If_Match="*")
    assert asked_for(office) == ["lima/*"]
    both = await asyncio.gather(
        *(coordinator.patch(path, {"title": text}, If_Match='"3"') for text in ("X", "Y"))
    )
    assert sorted(answer.status for answer in both) == [200, 412]


async def test_a_study_comes_to_a_site_only_by_who_reaches_it_and_leaves_it_empty(office: Office) -> None:
    office.study("SRO", "lima")
    office.study("ABC", "quito")
    office.rows("INSERT INTO sites (code, status) VALUES ('old', 'archived')")
    coordinator, admin = office.as_("coordinator", study="SRO"), office.as_("admin")
    here = office.as_("coordinator", study="SRO", site="lima")
    path = "/api/studies/SRO/sites"
    # By a study at the site one reaches its devices: so nobody takes in a site that they do not reach.
    assert (await coordinator.put(f"{path}/quito", None)).error == (404, "not_found")
    assert (await here.put(f"{path}/lima", None)).error == (403, "not_allowed")
    assert (await admin.put(f"{path}/none", None)).error == (404, "not_found")
    assert (await admin.put(f"{path}/old", None)).error == (409, "not_possible")
    assert asked_for(office) == []
    added = await admin.put(f"{path}/quito", None)
    assert (added.body["sites"], added.body["row_version"]) == (["lima", "quito"], 2)
    assert (await admin.put(f"{path}/quito", None)).body["row_version"] == 2
    assert asked_for(office) == ["quito/*"]

    office.as_("read-only", study="SRO", site="quito")
    office.rows(
        "INSERT INTO participants (study, code, site, status) VALUES ('SRO', 'p1', 'quito', 'enrolled'),"
        " ('SRO', 'p2', 'quito', 'withdrawn')"
    )
    why = {"reason": "closed"}
    busy = await coordinator.delete(f"{path}/quito", why)
    assert (busy.error, busy.details) == ((409, "not_possible"), {"participants": 1})
    office.rows("UPDATE participants SET status = 'completed'")
    assert (await coordinator.delete(f"{path}/quito", {})).status == 422
    assert (await coordinator.delete(f"{path}/quito", why)).body["sites"] == ["lima"]
    assert (await coordinator.delete(f"{path}/quito", why)).error == (404, "not_found")
    assert asked_for(office) == ["quito/*"]
    assert office.rows("SELECT count(*) FROM memberships WHERE site = 'quito'") == [(0,)]
    log = office.rows(
        "SELECT action, site, reason, before -> 'memberships' -> 0 ->> 'role' FROM audit_log ORDER BY id"
    )
    assert log == [
        ("study.add_site", "quito", None, None),
        ("study.remove_site", "quito", "closed", "read-only"),
    ]


async def test_tablets_of_a_study_get_published_batteries_until_no_visit_needs_them(office: Office) -> None:
    office.study("SRO", "lima")
    office.study("ABC", "quito")
    coordinator = office.as_("coordinator", study="SRO")
    items = {
        "model": "1PL",
        "items": [{"id": "w", "b": 0}],
        "calibration": {"sample": "x", "n": 9, "calibrated_on": "2026-01-01", "software": "mirt"},
    }
    await coordinator.put("/api/item-banks/words/draft", {"definition": items})
    await coordinator.post("/api/item-banks/words/publish", If_Match="*")
    task = {"task": "stroop", "item_bank": {"id": "words", "version": 1}}
    await coordinator.put("/api/batteries/short/draft", {"definition": {"tasks": [task]}})
    path = "/api/studies/SRO/batteries/short"
    assert (await coordinator.put(f"{path}/1", None)).error == (404, "not_found")
    await coordinator.post("/api/batteries/short/publish", If_Match="*")
    office.rows("INSERT INTO batteries (id, version) VALUES ('short', 7)")
    assert (await coordinator.put(f"{path}/7", None)).error == (409, "not_possible")
    stranger = office.as_("coordinator", study="ABC")
    assert (await stranger.put(f"{path}/1", None)).error == (404, "not_found")
    assert (await coordinator.put(f"{path}/1", None)).body["batteries"] == ["short@1"]
    assert (await coordinator.put(f"{path}/1", None)).body["row_version"] == 2
    documents = ["lima/battery:short@1", "lima/item_bank:words@1", "lima/study:SRO"]
    assert asked_for(office) == documents
    office.rows(
        "INSERT INTO visit_definitions (study, code, anchor, battery_id, battery_version)"
        " VALUES ('SRO', 'v1', 'enrolment', 'short', 1)"
    )
    refused = await coordinator.delete(f"{path}/1")
    assert (refused.error, refused.details) == ((409, "not_possible"), {"visits": ["v1"]})
    office.rows("UPDATE visit_definitions SET retired = true")
    assert (await coordinator.delete(f"{path}/1")).body["batteries"] == []
    assert asked_for(office) == documents
    assert (await coordinator.delete(f"{path}/1")).error == (404, "not_found")


@pytest.mark.parametrize("path", ["/api/studies/a%00b", "/api/studies/a%00b/sites/lima"])
async def test_a_path_that_no_text_can_be_is_nothing(office: Office, path: str) -> None:
    admin = office.as_("admin")
    answer = await (admin.put(path, None) if path.endswith("lima") else admin.get(path))
    assert answer.error == (404, "not_found")
