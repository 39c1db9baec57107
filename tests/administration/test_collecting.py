"""Sessions from a browser that is online, through the same pipeline as a tablet's."""

import asyncio
from typing import Any

import pytest

from tests.administration.office import Member, Office

TRIALS = [{"trial_index": n, "rt": 400 + n, "correct": True, "exp_stage": "test"} for n in range(4)]
RUN = {"task": "simple_reaction_time", "run": 1, "status": "completed", "trials": TRIALS}


@pytest.fixture
async def clinic(office: Office) -> Office:
    office.study("SRO", "lima")
    office.study("ABC", "quito")
    office.rows("INSERT INTO participants (study, code, site) VALUES ('SRO', 's1', 'lima')")
    await office.gateway.open_site("lima")
    return office


async def start(member: Member, **members: Any) -> dict[str, Any]:
    asked = {"study": "SRO", "participant": "s1", "id": "online-0001", "visit": "baseline", **members}
    answer = await member.post("/api/session/start", asked)
    assert answer.status == 201, answer.body
    body: dict[str, Any] = answer.body
    return body


async def test_session_from_a_browser_is_projected_like_a_tablets_and_each_call_may_be_repeated(
    clinic: Office,
) -> None:
    team = clinic.as_("coordinator", study="SRO")
    first = await start(team)
    assert (first["id"], first["site"], first["status"]) == ("online-0001", "lima", "in_progress")
    assert await start(team) == first
    about = {"site": "lima", "session": "online-0001"}
    saved = await team.post("/api/submit", {**about, "task_run": {**RUN, "trials": TRIALS[:2]}})
    assert (saved.status, saved.body["task_runs"]) == (200, 1)
    more = await team.post("/api/submit", {**about, "task_run": RUN})
    again = await team.post("/api/submit", {**about, "task_run": RUN})
    assert again.body == more.body
    end = await team.post("/api/session/end", about)
    assert (await team.post("/api/session/end", about)).body == end.body
    assert (end.status, end.body["status"]) == (200, "completed")
    other = await team.post("/api/submit", {**about, "task_run": {**RUN, "run": 2}})
    assert other.error == (409, "not_possible")
    assert (await team.post("/api/submit", {**about, "task_run": RUN})).body == end.body
    await clinic.project()
    rows = clinic.rows("SELECT site, id, study, visit, status, rev, received_at IS NULL FROM sessions")
    assert rows == [("lima", "online-0001", "SRO", "baseline", "completed", end.body["rev"], False)]
    assert clinic.rows("SELECT count(*) FROM trials") == [(4,)]
    assert clinic.rows("SELECT DISTINCT role, outcome FROM ingest_log") == [("person", "received")]
    seen = await team.get("/api/session/lima/online-0001")
    assert seen.body == end.body


async def test_task_runs_submitted_at_once_are_all_kept(clinic: Office) -> None:
    team = clinic.as_("coordinator", study="SRO")
    await start(team)
    about = {"site": "lima", "session": "online-0001"}
    runs = [{**RUN, "run": number} for number in range(1, 5)]
    answers = await asyncio.gather(*(team.post("/api/submit", {**about, "task_run": run}) for run in runs))
    assert {answer.status for answer in answers} == {200}
    await clinic.project()
    assert clinic.rows("SELECT run FROM task_runs ORDER BY run") == [(1,), (2,), (3,), (4,)]


@pytest.mark.parametrize(
    ("task_run", "path"),
    [
        ({**RUN, "trials": [{"rt": 3}]}, "$.tasks[0].trials[0].trial_index"),
        ({**RUN, "trials": [TRIALS[0], TRIALS[0]]}, "$.tasks[0].trials[1].trial_index"),
        ({**RUN, "started_at": "2026-01-02T00:00:00Z", "ended_at": "2026-01-01T00:00:00Z"}, "$.tasks[0]"),
        ({**RUN, "run": "1"}, "$.task_run.run"),
    ],
)
async def test_what_would_be_quarantined_is_refused_at_once(
    clinic: Office, task_run: dict[str, Any], path: str
) -> None:
    team = clinic.as_("coordinator", study="SRO")
    await start(team)
    answer = await team.post("/api/submit", {"site": "lima", "session": "online-0001", "task_run": task_run})
    assert answer.error == (422, "invalid_request")
    assert answer.details["path"].startswith(path)


async def test_who_may_not_collect_for_the_study_is_refused(clinic: Office) -> None:
    await start(clinic.as_("coordinator", study="SRO", site="lima"))
    asked = {"study": "SRO", "participant": "s1"}
    reader = clinic.as_("researcher", study="SRO")
    assert (await reader.post("/api/session/start", asked)).error == (403, "not_allowed")
    stranger = clinic.as_("coordinator", study="ABC")
    assert (await stranger.post("/api/session/start", asked)).error == (404, "not_found")
    end = {"site": "lima", "session": "online-0001"}
    assert (await stranger.post("/api/session/end", end)).error == (404, "not_found")
    assert (await stranger.get("/api/session/lima/online-0001")).error == (404, "not_found")
    team = clinic.as_("coordinator", study="SRO")
    nobody = await team.post("/api/session/start", {"study": "SRO", "participant": "s9"})
    assert (nobody.error, nobody.details) == ((422, "invalid_request"), {"path": "$.site"})
    taken = await team.post(
        "/api/session/start", {**asked, "participant": "s2", "site": "lima", "id": "online-0001"}
    )
    assert taken.error == (409, "taken")
    clinic.rows("UPDATE studies SET status = 'paused'")
    assert (await team.post("/api/session/start", asked)).error == (409, "not_possible")


async def test_idempotency_key_is_let_be_where_a_call_may_be_repeated_and_refused_where_it_would_be_relied_on(
    clinic: Office,
) -> None:
    team = clinic.as_("coordinator", study="SRO")
    asked = {"study": "SRO", "participant": "s1"}
    refused = await team.post("/api/session/start", asked, Idempotency_Key="k")
    assert refused.error == (422, "invalid_request")
    assert refused.body["error"]["details"] == {"header": "Idempotency-Key"}
    for _ in range(2):
        started = await team.post("/api/session/start", {**asked, "id": "online-0001"}, Idempotency_Key="k")
        assert started.status == 201
    about = {"site": "lima", "session": "online-0001"}
    assert (await team.post("/api/session/end", about, Idempotency_Key="k")).status == 200
    patch = await team.post("/api/quarantine/patch", {}, Idempotency_Key="k")
    assert patch.body["error"]["details"] == {"header": "Idempotency-Key"}


async def test_session_is_started_at_no_site_where_the_caller_could_not_go_on_with_it(clinic: Office) -> None:
    await clinic.gateway.open_site("quito")
    asked = {"study": "SRO", "participant": "s1", "site": "quito", "id": "online-0009"}
    team = clinic.as_("coordinator", study="SRO")
    assert (await team.post("/api/session/start", asked)).error == (404, "not_found")
    assert (await team.post("/api/session/start", {**asked, "site": "cusco"})).error == (404, "not_found")
    at_lima = clinic.as_("coordinator", study="SRO", site="lima")
    assert (await at_lima.post("/api/session/start", asked)).error == (404, "not_found")
    assert clinic.rows("SELECT count(*) FROM ingest_log") == [(0,)]
