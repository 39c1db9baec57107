"""A document with a place marked: what is always shown, and how much is left out."""

from typing import Any

import pytest

from sync_server.errors import InvalidRequest
from sync_server.portal.excerpts import Line, Place, excerpt, place_of, steps_of, value_at, with_value
from sync_server.portal.mending import patch_request

SESSION: dict[str, Any] = {
    "type": "session",
    "study": 7,
    "tasks": [
        {"task": "simon", "trials": [{"rt": 400 + number, "correct": 1} for number in range(5000)]},
        {"task": "stroop", "trials": []},
    ],
}


def marked(lines: list[Line]) -> list[str]:
    return [line.text for line in lines if line.mark in ("here", "missing")]


@pytest.mark.parametrize(
    ("path", "steps"),
    [
        ("$", ()),
        ("$.study", ("study",)),
        ("$.tasks[0].trials[31].rt", ("tasks", 0, "trials", 31, "rt")),
        ('$["odd \\"name\\""].x', ('odd "name"', "x")),
        ("$.params[...].x", ("params",)),
        ("no path", ()),
    ],
)
def test_a_path_is_read_as_far_as_it_can_be(path: str, steps: tuple[str | int, ...]) -> None:
    assert steps_of(path) == steps


def test_the_offending_value_is_marked_with_its_neighbours_and_all_else_is_told_in_numbers() -> None:
    lines = excerpt(SESSION, "$.tasks[0].trials[3200].rt")
    assert marked(lines) == ['"rt": 3600,']
    assert len(lines) < 60
    positions = [line.position for line in lines if line.position is not None]
    assert {0, 3197, 3199, 3200, 3201, 3203} <= set(positions)
    assert sum(line.left_out for line in lines if line.text == "…") == 5000 - 14
    assert '"study": 7,' in [line.text for line in lines]


def test_what_is_missing_has_a_line_of_its_own() -> None:
    assert marked(excerpt(SESSION, "$.participant")) == ['"participant": ']
    assert marked(excerpt(SESSION, "$.tasks[9]")) == [""]
    assert marked(excerpt([], "$.study")) == ['"study": ']
    assert marked(excerpt("text", "$.study")) == ['"text"']


def test_long_texts_wide_objects_and_deep_ones_stay_short() -> None:
    deep: Any = 1
    for _ in range(400):
        deep = [deep]
    wide = {f"member{number}": {"x": "y" * 5000} for number in range(3000)}
    for document, path in ((wide, "$.member1500.x"), (wide, "$"), ({"a": deep}, "$.a" + "[0]" * 300)):
        lines = excerpt(document, path)
        assert len(lines) < 900
        assert all(len(line.text) < 300 for line in lines)
        assert len(marked(lines)) == 1
    assert marked(excerpt(wide, "$.member1500.x"))[0].endswith('…" (5000)')


def test_another_value_is_put_where_it_belongs_and_the_rest_stays() -> None:
    steps = steps_of("$.tasks[0].trials[2].rt")
    changed = with_value(SESSION, steps, 1)
    assert value_at(changed, steps) == 1
    assert value_at(SESSION, steps) == 402
    assert changed["tasks"][1] is SESSION["tasks"][1]
    assert with_value({"a": 1, "b": 2}, ("a",), None) == {"b": 2}
    with pytest.raises(LookupError):
        with_value(SESSION, ("tasks", 5, "x"), 1)
    with pytest.raises(LookupError):
        with_value({"a": "text"}, ("a", "b"), 1)


@pytest.mark.parametrize(
    ("path", "place"),
    [
        ("$.visit", Place(member="visit")),
        ("$.tasks[simon,1].trials[3]", Place("simon", "1", "3")),
        ("$.tasks[a,b],2].status", Place("a,b]", "2", None, "status")),
        ("$.device.os", Place()),
    ],
)
def test_the_place_of_a_contradiction_is_told_in_words(path: str, place: Place) -> None:
    assert place_of(path) == place


ABOUT = {"site": "lima", "doc_id": "session:s", "rev": "1-a", "reason": "why"}


@pytest.mark.parametrize(
    ("said", "patch"),
    [
        ({"path": "$.study", "how": "text", "value": "7"}, {"study": "7"}),
        ({"path": "$.a.b", "how": "number", "value": "7.5"}, {"a": {"b": 7.5}}),
        ({"path": "$.a", "how": "json", "value": "[true]"}, {"a": [True]}),
        ({"path": "$.a", "how": "away", "value": ""}, {"a": None}),
        (
            {"path": "$.t[1].x", "how": "number", "value": "2", "inside": '[{"x":0},{"x":1,"y":1}]'},
            {"t": [{"x": 0}, {"x": 2, "y": 1}]},
        ),
        ({"path": "$.a", "how": "text", "value": "no", "patch": '{"b": 1}'}, {"b": 1}),
    ],
)
def test_what_is_said_in_the_form_becomes_a_merge_patch(said: dict[str, str], patch: Any) -> None:
    assert patch_request({**ABOUT, **said}) == {**ABOUT, "patch": patch}


@pytest.mark.parametrize(
    ("said", "field"),
    [
        ({"path": "$.a", "how": "number", "value": "many"}, "value"),
        ({"path": "$.a", "how": "number", "value": "true"}, "value"),
        ({"path": "$.a", "how": "json", "value": "{"}, "value"),
        ({"path": "$.a", "how": "text", "value": ""}, "value"),
        ({"path": "$.a[3]", "how": "text", "value": "x", "inside": "[]"}, "value"),
        ({"path": "$.a[3]", "how": "text", "value": "x", "inside": "{"}, "value"),
        ({"path": "", "patch": "{\n  \n}"}, "patch"),
        ({"path": "", "patch": "[1]"}, "patch"),
        ({"path": "", "patch": "{"}, "patch"),
    ],
)
def test_what_cannot_be_read_is_told_beside_its_field(said: dict[str, str], field: str) -> None:
    with pytest.raises(InvalidRequest) as refused:
        patch_request({**ABOUT, **said})
    assert refused.value.details == {"path": f"$.{field}"}
