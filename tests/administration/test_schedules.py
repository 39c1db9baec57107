"""Visit definitions: anchors, batteries, what a change moves, and who may."""

from typing import Any

from tests.administration.office import Office

WEEK = {"anchor": "baseline", "offset_days": 7, "window_before_days": 1, "window_after_days": 1}


async def planned(office: Office) -> Any:
    """SRO with a baseline and a visit a week later, and two participants; its coordinator."""
    office.study("SRO", "lima")
    office.study("ABC", "lima")
    office.rows(
        "INSERT INTO participants (study, code, site, enrolled_on, status) VALUES"
        " ('SRO', 'p1', 'lima', '2999-03-01', 'enrolled'), ('SRO', 'p2', 'lima', NULL, 'screened')"
    )
    team = office.as_("coordinator", study="SRO")
    made = await team.put("/api/schedules/SRO/baseline", {"title": "Baseline", "window_after_days": 3})
    assert (made.status, made.body["changed"]) == (200, 1)
    assert (await team.put("/api/schedules/SRO/week-1", {**WEEK, "position": 1})).status == 200
    return team


def dates(office: Office) -> list[tuple[Any, ...]]:
    return office.rows("SELECT participant, code, state, due_on::text FROM visits ORDER BY 1, 2")


async def test_a_definition_makes_visits_and_its_change_moves_them_after_a_dry_run(office: Office) -> None:
    team = await planned(office)
    assert dates(office) == [
        ("p1", "baseline", "planned", "2999-03-01"),
        ("p1", "week-1", "planned", None),
    ]
    office.rows("DELETE FROM outbox")
    later = {"title": "Baseline", "offset_days": 2}
    path = "/api/schedules/SRO/baseline"
    told = (await team.put(f"{path}?dry_run=true", later, If_Match='"1"')).body
    assert (told["dry_run"], told["changed"], told["definition"]["offset_days"]) == (True, 1, 2)
    assert told["changes"] == [
        {
            "participant": "p1",
            "visit": "baseline",
            "from_state": "planned",
            "from_due_on": "2999-03-01",
            "state": "planned",
            "due_on": "2999-03-03",
        }
    ]
    assert dates(office)[0][3] == "2999-03-01"
    assert office.rows("SELECT count(*) FROM outbox") == [(0,)]
    changed = await team.put(path, later, If_Match='"1"')
    assert (changed.body["dry_run"], changed.body["changes"]) == (False, told["changes"])
    assert changed.headers["ETag"] == '"2"'
    assert dates(office)[0][3] == "2999-03-03"
    assert ("lima/*",) in office.rows("SELECT key FROM outbox WHERE kind = 'publication'")
    acts = office.rows("SELECT action, actor, entity_id, study FROM audit_log ORDER BY id DESC LIMIT 1")
    assert acts == [("schedule.put", team.email, "SRO/baseline", "SRO")]
    listed = (await team.get("/api/schedules/SRO")).body["data"]
    assert [(row["code"], row["retired"], row["row_version"]) for row in listed] == [
        ("baseline", False, 2),
        ("week-1", False, 1),
    ]
    assert (await team.put(path, later)).status == 428
    assert (await team.put(path, later, If_Match='"1"')).status == 412
    assert (await team.put("/api/schedules/SRO/none", {}, If_Match='"1"')).status == 412


async def test_visits_that_can_get_no_date_are_refused_by_name(office: Office) -> None:
    team = await planned(office)
    path = "/api/schedules/SRO/baseline"
    circle = await team.put(path, {"anchor": "week-1"}, If_Match="*")
    assert (circle.status, circle.body["error"]["details"]["visits"]) == (
        422,
        ["baseline", "week-1", "baseline"],
    )
    assert "baseline → week-1 → baseline" in circle.body["error"]["message"]
    for code, body in (
        ("self", {"anchor": "self"}),
        ("new", {"anchor": "nowhere"}),
        ("new", {"battery": {"id": "none", "version": 1}}),
        ("new", {"window_after_days": -1}),
        ("new", {"offset_days": 10**9}),
        ("new", {"unknown": 1}),
        ("enrolment", {}),
        ("a%20b", {}),
        ("%00", {}),
    ):
        assert (await team.put(f"/api/schedules/SRO/{code}", body)).status == 422, (code, body)
    assert [row[1] for row in dates(office)] == ["baseline", "week-1"]


async def test_a_retired_visit_is_cancelled_where_it_is_open_and_comes_back(office: Office) -> None:
    team = await planned(office)
    why = {"reason": "left out from the second protocol on"}
    path = "/api/schedules/SRO/week-1"
    refused = await team.delete("/api/schedules/SRO/baseline", why, If_Match="*")
    assert (refused.status, refused.body["error"]["details"]) == (409, {"visits": ["week-1"]})
    assert (await team.delete(path, why)).status == 428
    dry = await team.delete(f"{path}?dry_run=true", why, If_Match="*")
    assert [(each["visit"], each["state"]) for each in dry.body["changes"]] == [("week-1", "cancelled")]
    assert (await team.delete(path, why, If_Match="*")).status == 200
    assert dates(office)[1][2] == "cancelled"
    assert office.rows("SELECT reason FROM audit_log WHERE action = 'schedule.retire'") == [(why["reason"],)]
    assert (await team.delete(path, why, If_Match="*")).status == 409
    assert (await team.put("/api/schedules/SRO/x", {"anchor": "week-1"})).status == 422
    assert (await team.put(path, WEEK, If_Match="*")).status == 200
    assert dates(office)[1][2] == "planned"
    assert (await team.delete("/api/schedules/SRO/none", why, If_Match="*")).status == 404


async def test_schedules_are_written_by_the_studys_team_and_seen_by_its_people(office: Office) -> None:
    await planned(office)
    stranger = office.as_("coordinator", study="ABC")
    assert (await stranger.get("/api/schedules/SRO")).status == 404
    assert (await stranger.put("/api/schedules/SRO/x", {})).status == 404
    at_site = office.as_("coordinator", study="SRO", site="lima")
    assert (await at_site.get("/api/schedules/SRO")).status == 200
    assert (await at_site.put("/api/schedules/SRO/x", {})).status == 403
    reader = office.as_("researcher", study="SRO")
    assert (await reader.put("/api/schedules/SRO/x", {})).status == 403
    assert (await office.as_("admin").put("/api/schedules/NONE/x", {})).status == 404
