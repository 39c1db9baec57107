"""What an export is asked for: columns, conditions, and what is said of those that are not understood."""

from typing import Any

import pytest

from reporting.research.filters import NoSuchFilter, Operator
from sync_server.exports.request import DoesNotGo, ExportRequest, asked_of, check, on_record


def _request(*datasets: str, **more: Any) -> ExportRequest:
    named: Any = datasets or ("trials",)
    return ExportRequest(datasets=named, **more)


def test_columns_are_of_one_dataset_and_conditions_of_each() -> None:
    request = _request(
        "trials",
        "scores_long",
        columns={"trials": ("rt_ms", "task")},
        where=("task.in=stroop,simon", "from=2016-07-01"),
    )
    check(request)
    asked = asked_of(request)
    assert list(asked) == ["scores_long", "trials"]
    assert [each.name for each in asked["trials"].columns] == ["rt_ms", "task"]
    assert len(asked["scores_long"].columns) > 5
    for each in asked.values():
        told = [(one.variable.name, one.operator) for one in each.filters]
        assert told == [("task", Operator.IN), ("started_at", Operator.GTE)]
        assert each.filters[0].values == ("stroop", "simon")


def test_the_same_request_is_the_same_json_and_the_record_has_no_values() -> None:
    one = _request(where=("visit=a", "participant=p=1"), columns={"trials": ("task",)}).as_json()
    other = _request("trials", "trials", where=("participant=p=1", "visit=a"), columns={"trials": ("task",)})
    assert one == other.as_json()
    assert one["where"] == ["participant=p=1", "visit=a"]
    recorded = on_record(one)
    assert recorded["where"] == ["participant", "visit"]
    assert recorded["columns"] == {"trials": ["task"]}


def test_what_names_records_and_files_is_read_whether_it_is_chosen_or_not() -> None:
    bids = asked_of(_request(format="bids", columns={"trials": ("rt_ms", "task")}))["trials"]
    assert [each.name for each in bids.columns] == ["participant", "session_id", "task", "run", "rt_ms"]
    redcap = _request("sessions_wide", format="redcap", columns={"sessions_wide": ("visit",)})
    assert [each.name for each in asked_of(redcap)["sessions_wide"].columns] == ["participant", "visit"]


@pytest.mark.parametrize(
    ("more", "said", "details"),
    [
        ({"columns": {"trials": ("rt",)}}, "trials has no column rt.", {"parameter": "columns"}),
        ({"columns": {"trials": ()}}, "columns names each column once, and one at least.", {}),
        ({"columns": {"trials": ("task", "task")}}, "columns names each column once", {}),
        ({"columns": {"visits": ("due_on",)}}, "columns: visits is no dataset of this export.", {}),
        ({"columns": {"trials": ("task",)}, "format": "bids"}, "name a column besides", {}),
        ({"where": ("rt_ms",)}, "as in rt_ms.gte=200", {"parameter": "rt_ms"}),
        ({"where": ("rt.gte=200",)}, "trials has no column rt.", {"parameter": "rt.gte"}),
        ({"where": ("rt_ms.gte=fast",)}, "rt_ms.gte: 'fast' is not a number.", {"parameter": "rt_ms.gte"}),
        ({"where": ("task.gte=a",)}, "a column of type text is filtered by", {"parameter": "task.gte"}),
        ({"where": ("task=a", "task.eq=b")}, "is given twice", {}),
        ({"where": ("from=2016-07-01", "from=2016-07-02")}, "from is given twice.", {"parameter": "from"}),
        ({"where": ("to=soon",)}, "to: 'soon' is not a time", {"parameter": "to"}),
    ],
)
def test_what_is_not_understood_is_named(more: dict[str, Any], said: str, details: dict[str, Any]) -> None:
    with pytest.raises(NoSuchFilter) as refused:
        check(_request(**more))
    assert said in str(refused.value)
    assert details.items() <= refused.value.details.items()


def test_a_condition_that_one_dataset_of_several_does_not_know_names_it() -> None:
    with pytest.raises(NoSuchFilter, match="participants has no column task"):
        check(_request("trials", "participants", where=("task=stroop",)))
    with pytest.raises(DoesNotGo, match="trials alone"):
        check(_request("visits", format="bids"))
