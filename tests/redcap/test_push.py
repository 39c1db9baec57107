"""Sessions come to REDCap: once each, with the values of now."""

import asyncio
from typing import Any

import pytest

from reporting.compiled import execute_in
from reporting.redcap.requests import push_participants
from tests.redcap.conftest import Pushing
from tests.redcap.pushed import EVENT, FORM, MAPPING, SITE, STUDY, instances_of, row_at, work


def with_instrument(**more: Any) -> dict[str, Any]:
    return {**MAPPING, "instruments": [{**MAPPING["instruments"][0], **more}]}


def imports(pushing: Pushing) -> int:
    return pushing.double.requests.count("record", "import")


async def test_sessions_of_two_records_get_an_instance_each_with_their_values(pushing: Pushing) -> None:
    study, double = pushing.study, pushing.double
    study.write("a", "1", srt=312.25)
    study.write("b", "1", srt=None, flags=["clock_suspect"])
    study.write("c", "2")
    await pushing.drain()
    assert study.states() == dict.fromkeys("abc", "done"), study.errors()
    (a,), (b,), (c,) = (instances_of(double.project, each) for each in "abc")
    assert {(each.record, each.instance) for each in (a, b, c)} == {("1", 1), ("1", 2), ("2", 1)}
    assert a.values["cog_srt_ms"] == "312.3"
    assert a.values["cog_session_complete"] == "2"
    assert b.values.get("cog_flags___1") == "1"
    assert "cog_srt_ms" not in b.values
    assert {state for _, state, _, _ in study.ledger()} == {"done"}


async def test_a_correction_goes_to_the_same_instance_and_what_is_unchanged_is_only_read(
    pushing: Pushing,
) -> None:
    study, double = pushing.study, pushing.double
    study.write("a", srt=300.0, flags=["clock_suspect"])
    study.write("b")
    await pushing.drain()
    study.write("a", srt=None, status="abandoned")
    study.map(with_instrument(statuses=["completed", "abandoned"], complete=None))
    before = imports(pushing)
    study.resync()
    await pushing.drain()
    assert imports(pushing) == before + 1
    (a,), (b,) = instances_of(double.project, "a"), instances_of(double.project, "b")
    assert a.values["cog_status"] == "2"
    assert not {"cog_srt_ms", "cog_flags___1"} & a.values.keys()
    assert {a.instance, b.instance} == {1, 2}
    study.resync()
    await pushing.drain()
    assert imports(pushing) == before + 1
    assert study.ask("SELECT count(*) FROM redcap_attempts WHERE action = 'import'") == [(3,)]


async def test_what_is_in_redcap_already_is_found_by_its_uid_though_the_ledger_is_lost(
    pushing: Pushing,
) -> None:
    study, double = pushing.study, pushing.double
    double.person_writes("1", {"cog_person": "by hand"}, event=EVENT, form=FORM)
    study.write("a")
    study.write("b")
    await pushing.drain()
    places = {(each, here.instance) for each in "ab" for here in instances_of(double.project, each)}
    study.ask("DELETE FROM redcap_ledger")
    study.write("b", srt=999.0)
    study.resync()
    await pushing.drain()
    assert {(each, here.instance) for each in "ab" for here in instances_of(double.project, each)} == places
    assert row_at(double.project, "1", 1) == {"cog_person": "by hand"}
    assert instances_of(double.project, "b")[0].values["cog_srt_ms"] == "999.0"


@pytest.mark.parametrize("policy", ["keep", "blank", "flag"])
async def test_a_session_that_is_gone_is_withdrawn_and_comes_back_to_its_instance(
    pushing: Pushing, policy: str
) -> None:
    study, double = pushing.study, pushing.double
    study.map(
        {**MAPPING, "withdrawn": policy, "withdrawn_field": "cog_withdrawn" if policy == "flag" else None}
    )
    study.write("a")
    study.write("b")
    await pushing.drain()
    (first,) = instances_of(double.project, "a")
    study.remove("a")
    await pushing.drain()
    values = row_at(double.project, "1", first.instance)
    assert values["cog_session_uid"] == "lima/a"
    assert values.get("cog_srt_ms") == (None if policy == "blank" else "300.0")
    assert values.get("cog_withdrawn") == {"flag": "1"}.get(policy)
    assert study.ask("SELECT state FROM redcap_ledger WHERE session_id = 'a'") == [("retired",)]
    assert study.states()["a"] == "discarded"
    study.write("a", srt=301.0)
    study.write("c")
    await pushing.drain()
    (back,) = instances_of(double.project, "a")
    assert (back.instance, back.values["cog_srt_ms"]) == (first.instance, "301.0")
    assert back.values.get("cog_withdrawn") == {"flag": "0"}.get(policy)
    assert sorted(here.instance for each in "abc" for here in instances_of(double.project, each)) == [1, 2, 3]


async def test_a_session_that_moves_to_another_record_retires_its_instance_there(pushing: Pushing) -> None:
    study, double = pushing.study, pushing.double
    study.map({**MAPPING, "withdrawn": "blank"})
    study.write("a", "1")
    study.write("b", "1")
    await pushing.drain()
    study.ask("UPDATE participants SET redcap_id = '9' WHERE code = 'p-1'")
    with study.rows.transaction():
        execute_in(study.rows, push_participants(STUDY, ["p-1"]))
    await pushing.drain()
    live = {
        (here.record, here.instance): here.values.get("cog_srt_ms")
        for each in "ab"
        for here in instances_of(double.project, each)
    }
    assert live == {("1", 1): None, ("1", 2): None, ("9", 1): "300.0", ("9", 2): "300.0"}
    states = study.ask("SELECT record, state FROM redcap_ledger ORDER BY record, id")
    assert states == [("1", "retired"), ("1", "retired"), ("9", "done"), ("9", "done")]


async def test_a_refused_value_parks_its_session_alone_and_the_next_change_mends_it(pushing: Pushing) -> None:
    study, double = pushing.study, pushing.double
    for number in range(6):
        study.write(f"s{number}", str(number))
    with double.lock:
        double.lock_record("2")
    study.write("none", "7", visit="unheard")
    study.write("away", None)
    study.write("other", "8", status="in_progress")
    await pushing.drain()
    states = study.states()
    assert {name for name, state in states.items() if state == "dead"} == {"s2", "none"}
    assert {name for name, state in states.items() if state == "discarded"} == {"away", "other"}
    assert "locked" in study.errors()["s2"]
    assert "unheard" in study.errors()["none"]
    assert study.ask("SELECT state FROM redcap_ledger WHERE session_id = 's2'") == [("parked",)]
    double.unlock("2")
    study.write("s2", "2", srt=1.0)
    study.ask("UPDATE participants SET redcap_id = '77' WHERE code = 'p-away'")
    with study.rows.transaction():
        execute_in(study.rows, push_participants(STUDY, ["p-away"]))
    await pushing.drain()
    assert [here.values["cog_srt_ms"] for here in instances_of(double.project, "s2")] == ["1.0"]
    assert [here.record for here in instances_of(double.project, "away")] == ["77"]


async def test_a_form_that_does_not_repeat_has_one_session_and_goes_to_the_next_one(pushing: Pushing) -> None:
    study, double = pushing.study, pushing.double
    study.map(
        {
            **MAPPING,
            "withdrawn": "blank",
            "instruments": [
                {
                    "event": {"always": EVENT},
                    "form": "single",
                    "fields": {
                        "one_srt_ms": {"from": "scores.simple_reaction_time.avg_rt", "as": "number", "dp": 1}
                    },
                }
            ],
        }
    )
    study.write("a", srt=1.0)
    await pushing.drain()
    study.write("b", srt=2.0)
    await pushing.drain()
    assert study.states() == {"a": "done", "b": "dead"}
    assert double.values("1", event=EVENT) == {"one_srt_ms": "1.0"}
    study.remove("a")
    # Nothing of b changes: it was parked for the one that leaves.
    await pushing.drain()
    assert study.states() == {"a": "discarded", "b": "done"}
    assert double.values("1", event=EVENT) == {"one_srt_ms": "2.0"}


async def test_two_workers_at_once_push_every_session_once(pushing: Pushing) -> None:
    study, double = pushing.study, pushing.double
    for number in range(12):
        study.write(f"s{number}", str(number % 3))
    for _ in range(20):
        jobs = [work(study, pushing.resources, limit=4) for _ in range(3)]
        if not any(await asyncio.gather(*jobs)):
            break
        study.hurry()
    found = [here for number in range(12) for here in instances_of(double.project, f"s{number}")]
    assert len({(here.record, here.instance) for here in found}) == len(found) == 12
    assert set(study.states().values()) == {"done"}


async def test_a_site_with_a_connection_of_its_own_is_a_project_of_its_own(pushing: Pushing) -> None:
    study = pushing.study
    study.connect(SITE)
    study.write("a")
    await pushing.drain()
    assert study.ask("SELECT project FROM redcap_ledger") == [("studyA@lima",)]
    assert study.ask("SELECT project, paused_cause FROM redcap_projects") == [("studyA@lima", None)]
    assert study.token not in str(study.ask("SELECT * FROM redcap_attempts"))
