"""Modules and batteries over the API: drafted, published, never changed."""

import asyncio
from typing import Any

import psycopg
import pytest

from tests.administration.office import Member, Office

SPAN = {
    "id": "corsi",
    "title": "Corsi blocks",
    "parameters": {
        "type": "object",
        "properties": {"span": {"type": "integer", "minimum": 1}, "mode": {"enum": ["forward", "back"]}},
        "required": ["span"],
        "additionalProperties": False,
    },
    "defaults": {"mode": "forward"},
}


def battery(*tasks: dict[str, Any], title: str = "Short") -> dict[str, Any]:
    return {"title": title, "definition": {"tasks": list(tasks)}}


async def test_a_module_is_made_changed_and_deleted_unless_a_draft_uses_it(office: Office) -> None:
    office.study("SRO", "lima")
    coordinator, reader = office.as_("coordinator", study="SRO"), office.as_("researcher", study="SRO")
    made = await coordinator.post("/api/modules", SPAN)
    assert (made.status, made.headers["ETag"], made.body["built_in"]) == (201, '"1"', False)
    assert (await reader.post("/api/modules", SPAN)).error == (403, "not_allowed")
    assert (await coordinator.post("/api/modules", SPAN)).error == (409, "taken")
    assert (await coordinator.post("/api/modules", {**SPAN, "id": "stroop"})).error == (409, "taken")
    bad = await coordinator.post("/api/modules", {**SPAN, "id": "x", "defaults": {"mode": "sideways"}})
    assert (bad.status, bad.details) == (422, {"path": "$.defaults.mode"})

    listed = await reader.get("/api/modules", per_page="100")
    assert {row["id"] for row in listed.body["data"] if row["built_in"]} >= {"stroop", "digit_span"}
    mine = await reader.get("/api/modules", built_in="false", fields="id,row_version")
    assert mine.body["data"] == [{"id": "corsi", "row_version": 1}]
    assert (await reader.get("/api/modules/stroop")).body["defaults"]["test_trials"] == 96
    assert (await reader.get("/api/modules/none")).error == (404, "not_found")

    change = {"title": "Corsi"}
    assert (await coordinator.patch("/api/modules/corsi", change)).error == (428, "precondition_required")
    changed = await coordinator.patch("/api/modules/corsi", change, If_Match='"1"')
    assert (changed.status, changed.body["title"], changed.body["row_version"]) == (200, "Corsi", 2)
    stale = await coordinator.patch("/api/modules/corsi", change, If_Match='"1"')
    assert stale.error == (412, "precondition_failed")
    assert (await coordinator.patch("/api/modules/stroop", change, If_Match="*")).error == (
        409,
        "not_possible",
    )

    await coordinator.put("/api/batteries/short/draft", battery({"task": "corsi", "params": {"span": 2}}))
    refused = await coordinator.delete("/api/modules/corsi", If_Match="*")
    assert (refused.error, refused.details) == ((409, "not_possible"), {"batteries": ["short"]})
    await coordinator.delete("/api/batteries/short/draft", If_Match="*")
    assert (await coordinator.delete("/api/modules/corsi", If_Match='"2"')).status == 204
    actions = office.rows("SELECT action, actor FROM audit_log WHERE entity = 'module' ORDER BY id")
    assert actions == [(f"module.{verb}", coordinator.email) for verb in ("create", "change", "delete")]


async def test_a_battery_is_drafted_published_and_published_again_when_it_differs(office: Office) -> None:
    office.study("SRO", "lima")
    coordinator = office.as_("coordinator", study="SRO")
    path = "/api/batteries/short"
    tasks = ({"task": "stroop", "params": {"test_trials": 12}}, {"task": "simon", "optional": True})
    made = await coordinator.put(f"{path}/draft", battery(*tasks))
    assert (made.status, made.headers["ETag"]) == (200, '"1"')
    assert (await coordinator.put(f"{path}/draft", battery(*tasks))).error == (428, "precondition_required")
    assert (await coordinator.post(f"{path}/publish")).error == (428, "precondition_required")
    assert (await coordinator.post(f"{path}/publish", If_Match='"7"')).error == (412, "precondition_failed")
    first = await coordinator.post(f"{path}/publish", If_Match='"1"')
    assert (first.status, first.body["version"], first.body["tasks"]) == (201, 1, ["stroop"])
    params = first.body["definition"]["tasks"][0]["params"]
    assert params == {"test_trials": 12, "practice_trials": 24, "response_window_ms": 1500}
    same = await coordinator.post(f"{path}/publish", If_Match='"1"')
    assert (same.error, same.details) == ((409, "not_possible"), {"version": 1})

    await coordinator.put(f"{path}/draft", battery(*tasks, title="Shorter"), If_Match='"1"')
    lost = await coordinator.put(f"{path}/draft", battery(*tasks, title="Lost"), If_Match='"1"')
    assert lost.error == (412, "precondition_failed")
    assert (await coordinator.post(f"{path}/publish", If_Match="*")).body["version"] == 2
    reader = office.as_("read-only", study="SRO")
    whole = (await reader.get(path)).body
    assert [(row["version"], row["title"]) for row in whole["versions"]] == [(2, "Shorter"), (1, "Short")]
    assert whole["draft"]["row_version"] == 2
    assert (await reader.get(f"{path}/1")).body["definition"] == first.body["definition"]
    for missing in ("3", "0", "x", "²", "99999999999", "2147483648"):
        assert (await reader.get(f"{path}/{missing}")).error == (404, "not_found")
    row = (await reader.get("/api/batteries")).body["data"][0]
    assert (row["id"], row["version"], row["draft_row_version"]) == ("short", 2, 2)
    assert (await reader.post(f"{path}/publish", If_Match="*")).error == (403, "not_allowed")

    for statement in ("UPDATE batteries SET tasks = NULL", "DELETE FROM batteries"):
        with pytest.raises(psycopg.errors.RaiseException, match="never changes"):
            office.rows(statement)
    published = office.rows("SELECT entity_id FROM audit_log WHERE action = 'battery.publish' ORDER BY id")
    assert published == [("short@1",), ("short@2",)]


async def test_a_battery_that_cannot_be_done_is_refused_with_its_place(office: Office) -> None:
    admin = office.as_("admin")
    for task, place in (
        ({"task": "unheard"}, "$.definition.tasks[0].task"),
        ({"task": "stroop", "params": {"test_trials": 0}}, "$.definition.tasks[0].params.test_trials"),
        ({"task": "stroop", "params": {"trials": 1}}, "$.definition.tasks[0].params"),
        ({"task": "stroop", "item_bank": {"id": "w", "version": 1}}, "$.definition.tasks[0].item_bank"),
        ({"task": "stroop", "repetitions": 0}, "$.definition.tasks[0].repetitions"),
        ({"task": "stroop", "colour": "red"}, "$.definition.tasks[0]"),
    ):
        answer = await admin.put("/api/batteries/b/draft", battery(task))
        assert (answer.status, answer.details) == (422, {"path": place}), answer.body
    assert (await admin.put("/api/batteries/b/draft", battery())).status == 422
    assert (await admin.put("/api/batteries/ä b/draft", battery({"task": "stroop"}))).status == 422
    assert (await admin.post("/api/batteries/b/publish", If_Match="*")).error == (404, "not_found")
    gone = await admin.put("/api/batteries/b/draft", battery({"task": "stroop"}), If_Match='"3"')
    assert gone.error == (412, "precondition_failed")


async def test_what_is_known_by_id_only_may_become_known_and_is_numbered_on(office: Office) -> None:
    office.rows("INSERT INTO batteries (id, version) VALUES ('old', 4)")
    office.rows("UPDATE batteries SET tasks = '{stroop}'")
    admin = office.as_("admin")
    assert (await admin.get("/api/batteries/old/4")).body["definition"] is None
    await admin.put("/api/batteries/old/draft", battery({"task": "stroop"}))
    assert (await admin.post("/api/batteries/old/publish", If_Match="*")).body["version"] == 5


async def test_two_who_publish_at_once_publish_once(office: Office) -> None:
    admin = office.as_("admin")
    await admin.put("/api/batteries/b/draft", battery({"task": "stroop"}))

    async def publish(member: Member) -> int:
        return (await member.post("/api/batteries/b/publish", If_Match='"1"')).status

    assert sorted(await asyncio.gather(*(publish(admin) for _ in range(4)))) == [201, 409, 409, 409]
    assert office.rows("SELECT version FROM batteries") == [(1,)]
