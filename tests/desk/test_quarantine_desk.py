"""The quarantine desk on the real service: what a coordinator does stays done."""

from typing import Any

import pytest

from tests.desk.desk import READERS, Desk
from tests.documents.examples import a_consent, a_session, a_task_run, a_trial

PATCH = "/api/quarantine/patch"
LOST = {"site": "lima", "doc_id": "session:s1", "code": "unknown_value", "path": "$.status"}


@pytest.fixture
async def quarantined(desk: Desk) -> Desk:
    """Session s1 with a status that nobody knows."""
    await desk.save(a_session("s1", status="lost"), "1-a")
    await desk.project()
    return desk


def a_patch(**members: Any) -> dict[str, Any]:
    return {
        "site": "lima",
        "doc_id": "session:s1",
        "rev": "1-a",
        "patch": {"status": "completed"},
        "reason": "phoned the site",
        **members,
    }


async def test_patch_is_tried_first_then_written_and_survives_the_tablets_next_save(
    quarantined: Desk,
) -> None:
    tried = await quarantined.post(PATCH, a_patch(dry_run=True))
    assert tried.status == 200
    assert tried.body["base"] == {"status": "lost"}
    assert tried.body["becomes"]["valid"] is True
    became = tried.body["becomes"]["session"]
    assert (became["participant"], became["status"], became["trials"]) == ("s012", "completed", 4)
    assert await quarantined.stored_corrections() == []
    written = await quarantined.post(PATCH, a_patch())
    assert (written.status, written.body["correction"]["id"]) == (201, "correction:s1:1")
    await quarantined.project()
    assert quarantined.state("session:s1") == "projected"
    await quarantined.save(a_session("s1", status="lost", language="es"), "2-b", "1-a")
    await quarantined.project()
    assert quarantined.rows("SELECT rev, status, language FROM sessions") == [("2-b", "completed", "es")]
    assert quarantined.rows("SELECT count(*) FROM conflicts") == [(0,)]
    await quarantined.save(a_session("s1", status="abandoned"), "3-c", "2-b", "1-a")
    await quarantined.project()
    assert quarantined.rows("SELECT rev, status FROM sessions") == [("3-c", "completed")]
    (row,) = (await quarantined.get("/api/conflicts/s1")).body["conflicts"]
    assert (row["path"], row["state"], row["other_rev"]) == ("$.status", "outdated", "correction:s1:1")
    assert (row["winner_value"], row["other_value"]) == ("completed", "abandoned")


async def test_who_decides_reads_the_document_itself_and_what_is_wrong_with_it(quarantined: Desk) -> None:
    url = "/api/quarantine/documents/lima"
    read = await quarantined.get(url, role="coordinator", document="session:s1")
    assert (read.body["code"], read.body["path"], read.body["rev"]) == ("unknown_value", "$.status", "1-a")
    assert read.body["document"]["status"] == "lost"
    told = await quarantined.get(url, role="coordinator", document="session:s1", content="false")
    assert told.body == {**read.body, "document": None}
    for role in READERS:
        assert (await quarantined.get(url, role=role, document="session:s1")).status == 403
    other = await quarantined.get(url, role="admin", document="session:s1", rev="1-b")
    assert other.error == (404, "not_found")
    assert (await quarantined.get(url, role="admin", document="session:s2")).error == (404, "not_found")
    quarantined.connection.execute("UPDATE quarantine SET rev = '1-f'")
    gone = await quarantined.get(url, role="admin", document="session:s1")
    assert (gone.status, gone.body["document"]) == (200, None)


@pytest.mark.parametrize(("choice", "status"), [("winner", "completed"), ("other", "abandoned")])
async def test_outdated_patch_is_decided_like_a_conflict(quarantined: Desk, choice: str, status: str) -> None:
    await quarantined.post(PATCH, a_patch())
    await quarantined.save(a_session("s1", status="abandoned"), "2-b", "1-a")
    await quarantined.project()
    assert quarantined.state("session:s1") == "conflicted"
    decided = {"rev": "2-b", "reason": "asked again", "choose": {"$.status": choice}}
    tried = await quarantined.post("/api/conflicts/s1/resolve", {**decided, "dry_run": True})
    assert (tried.status, tried.body) == (200, {"values": [{"path": "$.status", "value": status}]})
    answer = await quarantined.post("/api/conflicts/s1/resolve", decided)
    assert (answer.status, [each["id"] for each in answer.body["corrections"]]) == (201, ["correction:s1:2"])
    await quarantined.project()
    assert quarantined.rows("SELECT status FROM sessions") == [(status,)]
    assert quarantined.state("session:s1") == "projected"
    answer = await quarantined.post("/api/conflicts/s1/resolve", decided)
    assert answer.error == (404, "not_found")


async def test_outdated_values_of_two_leaves_are_each_taken_from_their_own(quarantined: Desk) -> None:
    await quarantined.post(PATCH, a_patch(patch={"status": "completed", "language": "de"}))
    await quarantined.save(a_session("s1", status="abandoned", language="en"), "2-b", "1-a")
    await quarantined.save(a_session("s1", status="lost", language="fr"), "2-c", "1-a")
    await quarantined.project()
    rows = (await quarantined.get("/api/conflicts/s1")).body["conflicts"]
    assert [(row["path"], row["winner_rev"], row["other_value"]) for row in rows] == [
        ("$.language", "2-c", "fr"),
        ("$.status", "2-b", "abandoned"),
    ]
    choose = {row["path"]: "other" for row in rows}
    decided = {"rev": "2-c", "reason": "asked again", "choose": choose}
    assert (await quarantined.post("/api/conflicts/s1/resolve", decided)).status == 201
    await quarantined.project()
    assert quarantined.rows("SELECT status, language FROM sessions") == [("abandoned", "fr")]
    assert quarantined.state("session:s1") == "projected"


async def test_patch_of_all_trials_mends_one(desk: Desk) -> None:
    runs = [{**a_task_run(), "trials": [a_trial(1), a_trial(2, rt="fast")]}]
    await desk.save(a_session("s1", tasks=runs), "1-a")
    await desk.project()
    mended = [{**a_task_run(), "trials": [a_trial(1), a_trial(2, rt=None)]}]
    assert (await desk.post(PATCH, a_patch(patch={"tasks": mended}))).body["becomes"]["valid"] is True
    await desk.project()
    assert desk.rows("SELECT trial_index, rt_ms FROM trials ORDER BY 1") == [(1, 401.0), (2, None)]


async def test_patch_that_mends_one_problem_of_two_tells_the_next(desk: Desk) -> None:
    await desk.save(a_session("s1", status="lost", participant=""), "1-a")
    await desk.project()
    answer = await desk.post(PATCH, a_patch(patch={"participant": "s012"}))
    assert answer.body["becomes"]["code"] == "unknown_value"
    assert answer.body["becomes"]["path"] == "$.status"
    assert (await desk.post(PATCH, a_patch())).error == (409, "changed")
    await desk.project()
    assert (await desk.post(PATCH, a_patch())).body["becomes"]["valid"] is True
    await desk.project()
    assert desk.state("session:s1") == "projected"


@pytest.mark.parametrize(
    ("members", "error"),
    [
        ({"patch": {}}, (422, "invalid_request")),
        ({"patch": []}, (422, "invalid_request")),
        ({"patch": {"status": "lost"}}, (422, "invalid_request")),
        ({"patch": {"_id": "session:s2"}}, (422, "invalid_request")),
        ({"patch": {"type": "consent"}}, (422, "invalid_request")),
        ({"patch": {"site": "nairobi"}}, (422, "invalid_request")),
        ({"reason": ""}, (422, "invalid_request")),
        ({"reason": None}, (422, "invalid_request")),
        ({"dry_run": "yes"}, (422, "invalid_request")),
        ({"doc_id": "consent:c1"}, (422, "invalid_request")),
        ({"doc_id": "session:\0"}, (422, "invalid_request")),
        ({"doc_id": "session:s2"}, (404, "not_found")),
        ({"site": "nairobi"}, (404, "not_found")),
        ({"rev": "9-z"}, (409, "changed")),
    ],
    ids=str,
)
async def test_patch_that_cannot_be_is_refused_and_writes_nothing(
    quarantined: Desk, members: dict[str, Any], error: tuple[int, str]
) -> None:
    assert (await quarantined.post(PATCH, a_patch(**members))).error == error
    assert await quarantined.stored_corrections() == []


async def test_same_patch_twice_at_once_is_one_correction(quarantined: Desk) -> None:
    first, second = await quarantined.post_twice(PATCH, a_patch())
    assert (first.status, second.error) == (201, (409, "changed"))
    assert await quarantined.stored_corrections() == ["correction:s1:1"]
    await quarantined.project()
    assert (await quarantined.post(PATCH, a_patch())).error == (404, "not_found")


async def test_number_of_a_deleted_correction_is_not_given_again(quarantined: Desk) -> None:
    written = (await quarantined.post(PATCH, a_patch())).body["correction"]
    await quarantined.project()
    path = f"/site-lima/{written['id']}"
    query = {"rev": written["rev"]}
    await quarantined.gateway.call("DELETE", path, token=quarantined.gateway.service, query=query)
    await quarantined.project()
    assert quarantined.state("session:s1") == "quarantined"
    assert (await quarantined.post(PATCH, a_patch())).body["correction"]["id"] == "correction:s1:2"


async def test_waived_problem_stays_waived_when_the_tablet_saves_it_again(quarantined: Desk) -> None:
    waiver = {**LOST, "reason": "a training session"}
    answer = await quarantined.post("/api/quarantine/waive", waiver)
    assert answer.body == {"waived": 1, "already_waived": 0, "not_found": 0}
    answer = await quarantined.post("/api/quarantine/waive", waiver)
    assert answer.body == {"waived": 0, "already_waived": 1, "not_found": 0}
    await quarantined.save(a_session("s1", status="lost", language="es"), "2-b", "1-a")
    await quarantined.project()
    (row,) = (await quarantined.get("/api/quarantine", waived="true")).body["data"]
    assert (row["rev"], row["waived"]) == ("2-b", True)
    assert (await quarantined.get("/api/quarantine", waived="false")).body["data"] == []
    for expected in (1, 0):
        answer = await quarantined.post("/api/quarantine/unwaive", {**LOST, "reason": "it was real"})
        assert answer.body == {"unwaived": expected}
    assert len((await quarantined.get("/api/quarantine", waived="false")).body["data"]) == 1
    entries = (await quarantined.get("/api/audit", role="admin", entity_id="session:s1")).body["data"]
    assert [entry["action"] for entry in entries] == ["quarantine.unwaive", "quarantine.waive"]
    assert entries[0]["before"]["reason"] == "a training session"


async def test_many_are_waived_at_once_and_twice_at_once_is_one_waiver(quarantined: Desk) -> None:
    await quarantined.save(a_consent("c1", signed_at="yesterday"), "1-a")
    await quarantined.project()
    consent = {"site": "lima", "doc_id": "consent:c1", "code": "bad_time", "path": "$.signed_at"}
    missing = {**consent, "doc_id": "consent:c2"}
    body = {"reason": "known", "problems": [LOST, consent, consent, missing]}
    answers = await quarantined.post_twice("/api/quarantine/waive", body)
    assert sum(answer.body["waived"] for answer in answers) == 2
    assert {answer.body["not_found"] for answer in answers} == {1}
    assert quarantined.rows("SELECT count(*) FROM audit_log") == [(2,)]
    answer = await quarantined.post("/api/quarantine/waive", {**missing, "reason": "known"})
    assert answer.error == (404, "not_found")


async def test_groups_show_causes_whatever_the_positions(quarantined: Desk) -> None:
    for name, at in (("t1", 0), ("t2", 2)):
        trials = [a_trial(number) for number in range(3)]
        trials[at]["rt"] = "fast"
        await quarantined.save(a_session(name, tasks=[{**a_task_run(), "trials": trials}]), "1-a")
    await quarantined.project()
    await quarantined.post("/api/quarantine/waive", {**LOST, "reason": "known"})
    groups = (await quarantined.get("/api/quarantine/groups")).body["data"]
    assert [(each["path"], each["code"], each["entries"], each["waived"]) for each in groups] == [
        ("$.tasks[*].trials[*].rt", "wrong_type", 2, 0),
        ("$.status", "unknown_value", 1, 1),
    ]
    assert groups[0]["example"].startswith("$.tasks[0].trials[0].rt")
    assert groups[0]["oldest"] <= groups[0]["newest"]
    assert {(each["site"], each["type"]) for each in groups} == {("lima", "session")}
    waived = (await quarantined.get("/api/quarantine/groups", waived="true")).body
    assert waived["pagination"]["total"] == 1


async def test_retry_after_a_rule_has_changed_projects_what_the_old_one_refused(
    desk: Desk, monkeypatch: pytest.MonkeyPatch
) -> None:
    with monkeypatch.context() as older:
        older.setattr("reporting.documents.validate._FIRST_YEAR", 2017)
        await desk.save(a_session("s1"), "1-a")
        await desk.save(a_session("s2", status="lost", started_at="2018-01-01T00:00:00Z"), "1-a")
        await desk.project()
    await desk.project()
    assert desk.state("session:s1") == desk.state("session:s2") == "quarantined"
    retry = {"site": "lima", "code": "out_of_range", "reason": "2016 is a year after all"}
    assert (await desk.post("/api/quarantine/retry", retry)).body == {"replays": 1}
    await desk.project()
    assert desk.state("session:s1") == "projected"
    assert desk.state("session:s2") == "quarantined"
    (entry,) = (await desk.get("/api/audit", role="admin")).body["data"]
    assert (entry["action"], entry["reason"]) == ("quarantine.retry", retry["reason"])
    assert entry["after"] == {"code": "out_of_range", "documents": 1, "doc_ids": ["session:s1"]}


async def test_retry_projects_again_what_is_named_or_has_the_code(quarantined: Desk) -> None:
    await quarantined.save(a_session("s2", participant=""), "1-a")
    await quarantined.project()
    # As if older rules had judged them: the documents are valid now.
    quarantined.connection.execute("DELETE FROM quarantine WHERE doc_id = 'session:s1'")
    quarantined.connection.execute("UPDATE quarantine SET message = 'old'")
    retry = {"site": "lima", "doc_ids": ["session:s1", "session:s2", "session:s3"], "reason": "new rules"}
    for answer in await quarantined.post_twice("/api/quarantine/retry", retry):
        assert (answer.status, answer.body) == (202, {"replays": 1})
    assert quarantined.rows("SELECT doc_id, cause, requested_by FROM replays") == [
        ("session:s2", "retry", "coordinator@clinic.example")
    ]
    await quarantined.project()
    assert quarantined.rows("SELECT count(*) FROM quarantine WHERE message = 'old'") == [(0,)]
    by_code = {"site": "lima", "code": "empty"}
    assert (await quarantined.post("/api/quarantine/retry", by_code)).body == {"replays": 1}
    by_code["code"] = "unknown_value"
    assert (await quarantined.post("/api/quarantine/retry", by_code)).body == {"replays": 0}
    assert (await quarantined.post("/api/quarantine/retry", {"site": "lima"})).error == (
        422,
        "invalid_request",
    )


@pytest.mark.parametrize("act", ["retry", "patch", "waive", "unwaive"])
async def test_only_coordinators_and_admins_act(desk: Desk, act: str) -> None:
    for role in READERS:
        answer = await desk.post(f"/api/quarantine/{act}", {}, role=role)
        assert answer.error == (403, "not_allowed")
    assert (await desk.post(f"/api/quarantine/{act}", {"no": "such"})).error == (422, "invalid_request")
