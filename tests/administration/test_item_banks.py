"""Item banks: items that fit their model, drafted and published."""

from typing import Any

import psycopg
import pytest

from tests.administration.office import Office

CALIBRATION = {"sample": "adults, Lima", "n": 812, "calibrated_on": "2026-03-01", "software": "mirt 1.41"}


def bank(model: str, *items: dict[str, Any]) -> dict[str, Any]:
    return {"title": "Words", "definition": {"model": model, "items": items, "calibration": CALIBRATION}}


async def test_an_item_bank_is_published_and_a_battery_may_name_that_version(office: Office) -> None:
    office.study("SRO", "lima")
    coordinator = office.as_("coordinator", study="SRO")
    items = ({"id": "w1", "a": 1.2, "b": -0.5, "content": {"word": "casa"}}, {"id": "w2", "a": 1, "b": 2})
    made = await coordinator.put("/api/item-banks/words/draft", bank("2PL", *items))
    assert (made.status, made.headers["ETag"]) == (200, '"1"')
    first = await coordinator.post("/api/item-banks/words/publish", If_Match='"1"')
    assert (first.status, first.body["version"]) == (201, 1)
    assert first.body["definition"]["items"] == [items[0], {"id": "w2", "a": 1.0, "b": 2.0}]
    assert first.body["definition"]["calibration"] == CALIBRATION
    again = await coordinator.post("/api/item-banks/words/publish", If_Match='"1"')
    assert (again.error, again.details) == ((409, "not_possible"), {"version": 1})
    task = {"task": "stroop", "item_bank": {"id": "words", "version": 1}}
    battery = {"definition": {"tasks": [task]}}
    assert (await coordinator.put("/api/batteries/b/draft", battery)).status == 200

    reader = office.as_("read-only", study="SRO")
    assert (await reader.get("/api/item-banks/words/1")).body["definition"] == first.body["definition"]
    assert [row["version"] for row in (await reader.get("/api/item-banks/words")).body["versions"]] == [1]
    assert (await reader.get("/api/item-banks")).body["data"][0]["version"] == 1
    assert (await reader.put("/api/item-banks/words/draft", bank("2PL", *items))).error[0] == 403
    assert (await coordinator.delete("/api/item-banks/words/draft", If_Match='"1"')).status == 204
    assert (await reader.get("/api/item-banks/words/draft")).error == (404, "not_found")
    with pytest.raises(psycopg.errors.RaiseException, match="never changes"):
        office.rows("UPDATE item_banks SET title = ''")
    logged = office.rows(
        "SELECT action, after ->> 'items' FROM audit_log WHERE entity = 'item_bank' ORDER BY id"
    )
    assert logged == [
        ("item_bank.draft", "2"),
        ("item_bank.publish", "2"),
        ("item_bank.drop_draft", None),
    ]


async def test_items_that_do_not_fit_are_refused_with_their_place(office: Office) -> None:
    admin = office.as_("admin")
    for model, items, place in (
        ("1PL", [{"id": "w", "a": 1, "b": 0}], "$.definition.items[0].a"),
        ("2PL", [{"id": "w", "b": 0}], "$.definition.items[0].a"),
        ("3PL", [{"id": "w", "a": 1, "b": 0, "c": 1}], "$.definition.items[0].c"),
        ("2PL", [{"id": "w", "a": 0, "b": 0}], "$.definition.items[0].a"),
        ("1PL", [{"id": "w", "b": 11}], "$.definition.items[0].b"),
        ("GRM", [{"id": "w", "a": 1, "thresholds": [0, 0]}], "$.definition.items[0].thresholds"),
        ("1PL", [{"id": "w", "b": 0}, {"id": "w", "b": 1}], "$.definition.items[1].id"),
        ("1PL", [{"id": "w", "b": 0, "content": {"n": 2**60}}], "$.definition.items[0].content.n"),
        ("4PL", [{"id": "w", "b": 0}], "$.definition.model"),
    ):
        answer = await admin.put("/api/item-banks/w/draft", bank(model, *items))
        assert (answer.status, answer.details) == (422, {"path": place}), answer.body
    assert (await admin.put("/api/item-banks/w/draft", bank("1PL"))).status == 422
    graded = bank("GRM", {"id": "w", "a": 1, "thresholds": [-1, 0, 1.5]})
    assert (await admin.put("/api/item-banks/w/draft", graded)).status == 200
