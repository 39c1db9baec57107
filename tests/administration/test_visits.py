"""Visits by the day, by participants, and by what people decide."""

import asyncio
from datetime import UTC, datetime, timedelta
from typing import Any

from reporting.engine import sync_engine
from reporting.visits.generation import advance_visits
from sync_server.keys import SETTINGS
from tests.administration.office import Office

ONE = "/api/visits/SRO/p1/baseline"
TODAY = datetime.now(UTC).date()


async def planned(office: Office, *, ago: int = 0) -> Any:
    """p1 of SRO at lima, enrolled so many days ago; baseline at once, week-1 after it; the coordinator."""
    office.study("SRO", "lima", "quito")
    office.study("ABC", "lima")
    team = office.as_("coordinator", study="SRO")
    window = {"window_before_days": 2, "window_after_days": 2}
    await team.put("/api/schedules/SRO/baseline", {**window, "title": "Baseline"})
    await team.put("/api/schedules/SRO/week-1", {**window, "anchor": "baseline", "offset_days": 7})
    enrolled_on = str(TODAY - timedelta(days=ago))
    person = {"study": "SRO", "code": "p1", "site": "lima", "status": "enrolled", "enrolled_on": enrolled_on}
    assert (await team.post("/api/participants", person)).status == 201
    return team


def advance(office: Office, days: int) -> int:
    engine = sync_engine(office.gateway.app[SETTINGS].database_url)
    with engine.begin() as connection:
        moved = advance_visits(connection, datetime.now(UTC) + timedelta(days=days))
    engine.dispose()
    return moved


def states(office: Office) -> list[tuple[Any, ...]]:
    return office.rows("SELECT code, state, cancelled_cause FROM visits ORDER BY code")


async def test_days_make_visits_due_and_missed_and_each_is_told_once(office: Office) -> None:
    team = await planned(office, ago=-10)
    assert states(office)[0] == ("baseline", "planned", None)
    assert (await team.get("/api/visits", overdue="true")).body["data"] == []
    assert advance(office, 0) == 0
    assert (advance(office, 8), advance(office, 8)) == (1, 0)
    assert states(office)[0][1] == "due"
    assert (advance(office, 13), advance(office, 13)) == (1, 0)
    assert states(office)[0][1] == "missed"
    events = office.rows("SELECT payload -> 'data' ->> 'visit' FROM outbox WHERE key LIKE 'visit.missed:%%'")
    assert events == [("baseline",)]


async def test_who_leaves_has_no_visits_and_who_comes_back_has_them_again(office: Office) -> None:
    team = await planned(office)
    path = "/api/participants/SRO/p1"
    gone = await team.patch(path, {"status": "withdrawn", "reason": "moved away"}, If_Match="*")
    assert gone.status == 200
    assert states(office) == [
        ("baseline", "cancelled", "participant"),
        ("week-1", "cancelled", "participant"),
    ]
    back = await team.patch(path, {"status": "enrolled", "reason": "a mistake"}, If_Match="*")
    assert back.status == 200
    assert states(office) == [("baseline", "due", None), ("week-1", "planned", None)]
    moved = await team.patch(path, {"site": "quito"}, If_Match="*")
    assert moved.status == 200
    assert office.rows("SELECT DISTINCT site FROM visits") == [("quito",)]
    keys = {key for (key,) in office.rows("SELECT key FROM outbox WHERE kind = 'publication'")}
    assert {"lima/visit:SRO/p1/baseline", "quito/visit:SRO/p1/baseline"} <= keys


async def test_a_person_moves_and_cancels_a_visit_with_a_reason_and_takes_it_back(office: Office) -> None:
    team = await planned(office, ago=1)
    seen = await team.get(ONE)
    assert (seen.body["state"], seen.body["overdue"], seen.body["title"]) == ("due", True, "Baseline")
    etag = seen.headers["ETag"]
    day = str(TODAY + timedelta(days=9))
    assert (await team.patch(ONE, {"due_on": day, "reason": "on holiday"})).status == 428
    moved = await team.patch(ONE, {"due_on": day, "reason": "on holiday"}, If_Match=etag)
    assert (moved.status, moved.body["state"], moved.body["due_on"]) == (200, "planned", day)
    assert (moved.body["moved_to"], moved.body["moved_reason"]) == (day, "on holiday")
    assert (await team.patch(ONE, {"due_on": day, "reason": "again"}, If_Match=etag)).status == 412
    # A change of the definition does not move what a person has moved.
    await team.put("/api/schedules/SRO/baseline", {"offset_days": 3, "window_after_days": 2}, If_Match="*")
    assert (await team.get(ONE)).body["due_on"] == day
    back = await team.patch(ONE, {"due_on": None, "reason": "is here"}, If_Match="*")
    assert (back.body["due_on"], back.body["moved_reason"]) == (str(TODAY + timedelta(days=2)), None)
    for body in ({"due_on": day}, {"reason": "x"}, {"reason": "x", "due_on": day, "state": "cancelled"}):
        assert (await team.patch(ONE, body, If_Match="*")).status == 422
    for path in ("/api/visits/SRO/p1/none", "/api/visits/SRO/none/baseline"):
        assert (await team.patch(path, {"due_on": day, "reason": "x"}, If_Match="*")).status == 404

    cancelled = await team.patch(ONE, {"state": "cancelled", "reason": "ill"}, If_Match="*")
    assert (cancelled.body["state"], cancelled.body["cancelled_reason"]) == ("cancelled", "ill")
    assert (await team.patch(ONE, {"due_on": day, "reason": "x"}, If_Match="*")).status == 409
    assert (await team.patch(ONE, {"state": "cancelled", "reason": "x"}, If_Match="*")).status == 409
    restored = await team.patch(ONE, {"state": "restored", "reason": "well again"}, If_Match="*")
    assert (restored.body["state"], restored.body["cancelled_reason"]) == ("planned", None)
    assert (await team.patch(ONE, {"state": "restored", "reason": "x"}, If_Match="*")).status == 409
    acts = office.rows("SELECT action, reason, site FROM audit_log WHERE entity = 'visit' ORDER BY id")
    assert acts == [
        ("visit.move", "on holiday", "lima"),
        ("visit.move", "is here", "lima"),
        ("visit.cancel", "ill", "lima"),
        ("visit.restore", "well again", "lima"),
    ]


async def test_of_two_who_decide_from_the_same_visit_one_is_told_of_the_other(office: Office) -> None:
    team = await planned(office)
    etag = (await team.get(ONE)).headers["ETag"]
    bodies = ({"state": "cancelled", "reason": "a"}, {"due_on": str(TODAY), "reason": "b"})
    answers = await asyncio.gather(*(team.patch(ONE, body, If_Match=etag) for body in bodies))
    assert sorted(answer.status for answer in answers) == [200, 412]
    assert office.rows("SELECT count(*) FROM audit_log WHERE entity = 'visit'") == [(1,)]


async def test_visits_are_listed_by_day_and_seen_within_study_and_site(office: Office) -> None:
    team = await planned(office, ago=1)
    timeline = (await team.get("/api/visits/SRO/p1")).body
    assert (timeline["status"], timeline["timezone"], timeline["today"]) == ("enrolled", "UTC", str(TODAY))
    assert [visit["code"] for visit in timeline["visits"]] == ["baseline", "week-1"]
    due_on = str(TODAY - timedelta(days=1))
    for expected, filters in (
        (["baseline"], {"state": "due"}),
        (["baseline"], {"overdue": "true"}),
        (["week-1"], {"overdue": "false"}),
        (["baseline"], {"due_from": due_on, "due_to": due_on}),
        ([], {"due_from": str(TODAY)}),
        (["baseline", "week-1"], {"study": "SRO", "site": "lima", "participant": "p1"}),
        ([], {"site": "quito"}),
    ):
        listed = (await team.get("/api/visits", **filters)).body["data"]
        assert [visit["code"] for visit in listed] == expected, filters
    assert (await team.get("/api/visits", state="done")).status == 422
    body = {"state": "cancelled", "reason": "x"}
    for stranger in (
        office.as_("coordinator", study="ABC"),
        office.as_("coordinator", study="SRO", site="quito"),
    ):
        assert (await stranger.get("/api/visits")).body["data"] == []
        for path in (ONE, "/api/visits/SRO/p1"):
            assert (await stranger.get(path)).status == 404
        assert (await stranger.patch(ONE, body, If_Match="*")).status == 404
    reader = office.as_("read-only", study="SRO", site="lima")
    assert (await reader.get(ONE)).status == 200
    assert (await reader.patch(ONE, body, If_Match="*")).status == 403


async def test_another_timezone_of_the_site_makes_other_days(office: Office) -> None:
    await planned(office)
    office.rows("UPDATE sites SET timezone = 'Pacific/Kiritimati' WHERE code = 'lima'")
    office.rows(
        "INSERT INTO sessions (site, id, study, participant, visit, status, started_at, rev)"
        " VALUES ('lima', 's1', 'SRO', 'p1', 'baseline', 'completed', '2026-03-04T12:00Z', '1-a')"
    )
    admin = office.as_("admin")
    assert (await admin.patch("/api/sites/lima", {"timezone": "America/Lima"}, If_Match="*")).status == 200
    query = "SELECT completed_on::text, (SELECT due_on::text FROM visits WHERE code = 'week-1') FROM visits"
    assert office.rows(f"{query} WHERE code = 'baseline'") == [("2026-03-04", "2026-03-11")]
    await admin.patch("/api/sites/lima", {"timezone": "Pacific/Kiritimati"}, If_Match="*")
    assert office.rows(f"{query} WHERE code = 'baseline'") == [("2026-03-05", "2026-03-12")]
