"""Conflicts over the API: listed, decided once, and decided for good."""

import asyncio
from typing import Any

import pytest

from sync_server.gateway.corrections import SiteCorrections
from sync_server.keys import CORRECTION_WRITER
from tests.desk.desk import READERS, Desk
from tests.documents.examples import a_session, a_task_run, a_trial

TRIAL = "$.tasks[simon,1].trials[1]"
URL = "/api/conflicts/s1/resolve"


def a_save(visit: str, rt: int) -> dict[str, Any]:
    return a_session("s1", visit=visit, tasks=[{**a_task_run(), "trials": [a_trial(1, rt=rt)]}])


@pytest.fixture
async def conflicted(desk: Desk) -> Desk:
    """Session s1, saved by two tablets that contradict each other in a visit and a trial."""
    await desk.save(a_save("baseline", 100), "1-a")
    await desk.save(a_save("followup", 200), "1-b")
    await desk.project()
    return desk


def decision(**members: Any) -> dict[str, Any]:
    return {"reason": "the paper form says so", "rev": "1-b", **members}


async def test_conflicts_are_listed_with_both_values_and_the_losing_revision(conflicted: Desk) -> None:
    listed = (await conflicted.get("/api/conflicts")).body
    expected = {
        "site": "lima",
        "session": "s1",
        "study": "SRO",
        "rev": "1-b",
        "state": "conflicted",
        "leaves": ["1-a", "1-b"],
        "conflicts": [
            {
                "path": path,
                "state": "open",
                "winner_rev": "1-b",
                "winner_value": ours,
                "other_rev": "1-a",
                "other_value": theirs,
                "correction": None,
            }
            for path, ours, theirs in ((TRIAL, {"rt": 200}, {"rt": 100}), ("$.visit", "followup", "baseline"))
        ],
        "losing_revisions": ["1-a"],
    }
    assert listed["data"] == [expected]
    assert (await conflicted.get("/api/conflicts/s1")).body == expected
    for query, total in (("state=resolved", 0), ("session=s2", 0), ("site=lima", 1)):
        assert (await conflicted.get(f"/api/conflicts?{query}")).body["pagination"]["total"] == total
    assert (await conflicted.get("/api/conflicts/s2")).error == (404, "not_found")
    assert (await conflicted.get("/api/conflicts/s1", site="nairobi")).error == (404, "not_found")


async def test_chosen_values_are_projected_and_survive_the_tablets_next_save(conflicted: Desk) -> None:
    chosen = decision(choose={TRIAL: "other", "$.visit": "1-b"})
    tried = await conflicted.post(URL, {**chosen, "dry_run": True})
    assert (tried.status, [each["path"] for each in tried.body["values"]]) == (200, [TRIAL, "$.visit"])
    assert tried.body["values"][1]["value"] == "followup"
    assert await conflicted.stored_corrections() == []
    answer = await conflicted.post(URL, chosen)
    assert (answer.status, answer.body["corrections"][0]["id"]) == (201, "correction:s1:1")
    await conflicted.project()
    assert conflicted.rows("SELECT visit FROM sessions") == [("followup",)]
    assert conflicted.rows("SELECT rt_ms FROM trials") == [(100.0,)]
    assert conflicted.state("session:s1") == "projected"
    assert (await conflicted.get("/api/conflicts")).body["data"] == []
    resolved = (await conflicted.get("/api/conflicts", state="resolved")).body["data"][0]["conflicts"]
    assert {row["correction"] for row in resolved} == {"correction:s1:1"}
    further = a_save("followup", 200)
    further["tasks"].append(a_task_run("stroop", trials=0))
    await conflicted.save(further, "2-c", "1-b")
    await conflicted.project()
    assert conflicted.rows("SELECT visit, rev FROM sessions") == [("followup", "2-c")]
    assert conflicted.rows("SELECT task FROM task_runs ORDER BY 1") == [("simon",), ("stroop",)]
    assert conflicted.rows("SELECT rt_ms FROM trials") == [(100.0,)]
    assert conflicted.state("session:s1") == "projected"
    await conflicted.save(a_save("followup", 300), "3-d", "2-c", "1-b")
    await conflicted.project()
    assert conflicted.rows("SELECT rt_ms FROM trials") == [(100.0,)]
    listed = (await conflicted.get("/api/conflicts/s1")).body
    assert [(row["path"], row["state"]) for row in listed["conflicts"] if row["path"] == TRIAL] == [
        (TRIAL, "outdated")
    ]
    answer = await conflicted.post(URL, decision(rev="3-d", choose={TRIAL: "winner"}))
    assert answer.body["corrections"][0]["id"] == "correction:s1:2"
    await conflicted.project()
    assert conflicted.rows("SELECT rt_ms FROM trials") == [(300.0,)]
    assert conflicted.state("session:s1") == "projected"


async def test_union_is_accepted_as_it_is(conflicted: Desk) -> None:
    assert (await conflicted.post(URL, decision(accept="union", leaves=["1-b", "1-a"]))).status == 201
    await conflicted.project()
    assert conflicted.rows("SELECT visit FROM sessions") == [("followup",)]
    assert conflicted.state("session:s1") == "projected"
    assert (await conflicted.post(URL, decision(accept="union"))).error == (409, "already_done")


async def test_same_decision_twice_is_one_correction(conflicted: Desk) -> None:
    first, second = await conflicted.post_twice(URL, decision(accept="union"))
    assert (first.status, second.error) == (201, (409, "changed"))
    assert (await conflicted.post(URL, decision(accept="union"))).error == (409, "changed")
    assert await conflicted.stored_corrections() == ["correction:s1:1"]
    await conflicted.project()
    assert (await conflicted.post(URL, decision(accept="union"))).error == (409, "already_done")
    assert len((await conflicted.get("/api/audit", role="admin")).body["data"]) == 1


async def test_decision_about_something_else_than_there_is_now_is_refused(conflicted: Desk) -> None:
    for looked_at in ({"rev": "1-a"}, {"leaves": ["1-b"]}):
        answer = await conflicted.post(URL, decision(accept="union", **looked_at))
        assert answer.error == (409, "changed")
        assert answer.details == {"rev": "1-b", "leaves": ["1-a", "1-b"]}
    assert await conflicted.stored_corrections() == []


@pytest.mark.parametrize(
    "body",
    [
        {"rev": "1-b", "accept": "union"},
        decision(),
        decision(accept="union", choose={TRIAL: "winner"}),
        decision(accept="mine"),
        decision(choose={}),
        decision(choose={"$.nothing": "winner"}),
        decision(choose={TRIAL: "9-z"}),
        decision(choose={TRIAL: 1}),
        decision(accept="union", reason=" "),
        decision(accept="union", unknown=1),
        decision(accept="union", leaves="1-a"),
        [],
    ],
    ids=str,
)
async def test_decision_that_is_not_understood_is_refused_and_writes_nothing(
    conflicted: Desk, body: Any
) -> None:
    assert (await conflicted.post(URL, body)).error == (422, "invalid_request")
    assert await conflicted.stored_corrections() == []


async def test_only_coordinators_and_admins_decide(conflicted: Desk) -> None:
    for role in READERS:
        assert (await conflicted.post(URL, decision(accept="union"), role=role)).error == (403, "not_allowed")
        assert (await conflicted.get("/api/audit", role=role)).error == (403, "not_allowed")
    assert (await conflicted.post(URL, decision(accept="union"), role="admin")).status == 201


async def test_decision_is_on_record_with_who_and_from_where(conflicted: Desk) -> None:
    await conflicted.post(URL, decision(choose={"$.visit": "other"}))
    await conflicted.project()
    (entry,) = (await conflicted.get("/api/audit", role="coordinator")).body["data"]
    assert (entry["actor"], entry["role"], entry["action"]) == (
        "coordinator@clinic.example",
        "coordinator",
        "conflict.resolve",
    )
    assert (entry["entity"], entry["entity_id"], entry["site"]) == ("document", "session:s1", "lima")
    assert entry["before"] == {"$.visit": ["followup", "baseline"]}
    assert entry["after"] == {"$.visit": "baseline"}
    assert (entry["request_id"], entry["address"]) == ("r-7", "127.0.0.1")
    for query, found in (
        ("entity=document&entity_id=session:s1", 1),
        ("actor=admin@clinic.example", 0),
        ("from=2000-01-01&site=lima", 1),
        ("to=2000-01-01", 0),
    ):
        answer = await conflicted.get(f"/api/audit?{query}", role="admin")
        assert answer.body["pagination"]["total"] == found


async def test_audit_entry_that_the_service_could_not_write_is_written_by_the_projector(
    conflicted: Desk, monkeypatch: pytest.MonkeyPatch
) -> None:
    def lost(_entry: object) -> None:
        raise asyncio.CancelledError  # the process dies between the two writes

    monkeypatch.setattr("sync_server.api.correcting.record_entry", lost)
    with pytest.raises(Exception):  # noqa: B017, PT011 (however the connection ends)
        await conflicted.post(URL, decision(accept="union"))
    assert await conflicted.stored_corrections() == ["correction:s1:1"]
    await conflicted.project()
    (entry,) = (await conflicted.get("/api/audit", role="coordinator")).body["data"]
    assert (entry["actor"], entry["role"], entry["address"]) == (
        "coordinator@clinic.example",
        "coordinator",
        None,
    )
    seen = (await conflicted.get("/api/conflicts/s1", role="coordinator")).body
    assert (seen["study"], entry["study"]) == (entry["study"], seen["study"])
    assert seen["study"] is not None


async def test_store_that_is_away_is_503_and_nothing_is_decided(
    conflicted: Desk, monkeypatch: pytest.MonkeyPatch
) -> None:
    writer = conflicted.gateway.app[CORRECTION_WRITER]
    assert isinstance(writer, SiteCorrections)
    monkeypatch.setattr(writer._client, "_base", "http://127.0.0.1:9")
    assert (await conflicted.post(URL, decision(accept="union"))).error == (503, "unavailable")
    assert conflicted.rows("SELECT count(*) FROM audit_log") == [(0,)]


async def test_same_session_id_in_two_sites_asks_which(conflicted: Desk) -> None:
    conflicted.connection.execute(
        "INSERT INTO conflicts (site, session_id, path, winner_rev, other_rev)"
        " VALUES ('nairobi', 's1', '$.visit', '1-x', '1-y')"
    )
    answer = await conflicted.get("/api/conflicts/s1")
    assert answer.error == (409, "ambiguous")
    assert answer.details == {"sites": ["lima", "nairobi"]}
    assert (await conflicted.post(URL, decision(accept="union"))).error == (409, "ambiguous")
    assert (await conflicted.post(URL, decision(accept="union", site="lima"))).status == 201
