"""REDCap is not any more what the ledger knows: restored, edited by its people, mapped otherwise."""

from typing import Any

from tests.redcap.conftest import Pushing
from tests.redcap.pushed import EVENT, FORM, MAPPING, instances_of, row_at, work
from tests.redcap_double.answers import Answer
from tests.redcap_double.dictionary import Dictionary, Field
from tests.redcap_double.faults import Call
from tests.redcap_double.project import Event

OTHER_FORM = {
    "event": {"always": EVENT},
    "form": "single",
    "fields": {"one_srt_ms": {"from": "scores.simple_reaction_time.avg_rt", "as": "number", "dp": 1}},
}


def with_instrument(**more: Any) -> dict[str, Any]:
    return {**MAPPING, "withdrawn": "blank", "instruments": [{**MAPPING["instruments"][0], **more}]}


def forget_dictionary(pushing: Pushing) -> None:
    """As when a mapping is saved: it is checked with the dictionary of now."""
    pushing.study.ask("UPDATE redcap_projects SET dictionary = NULL, paused_at = NULL")


async def test_an_instance_that_a_person_made_after_redcap_was_restored_is_theirs(pushing: Pushing) -> None:
    study, double = pushing.study, pushing.double
    study.write("a")
    study.write("b", srt=400.0)
    await pushing.drain()
    rows = double.project.records.rows
    backup = {place: dict(values) for place, values in rows.items() if place.instance == 1}
    rows.clear()
    rows.update(backup)
    double.person_writes(
        "1", {"cog_person": "by hand", "cog_srt_ms": "1.0"}, event=EVENT, form=FORM, instance=2
    )
    study.resync()
    await pushing.drain()
    assert row_at(double.project, "1", 2) == {"cog_person": "by hand", "cog_srt_ms": "1.0"}
    (a,), (b,) = instances_of(double.project, "a"), instances_of(double.project, "b")
    assert {a.instance, b.instance} == {1, 3}
    assert set(study.states().values()) == {"done"}


async def test_an_instance_whose_key_was_blanked_is_known_by_our_values(pushing: Pushing) -> None:
    study, double = pushing.study, pushing.double
    study.write("a", srt=300.0)
    await pushing.drain()
    double.person_writes("1", {"cog_session_uid": ""}, event=EVENT, form=FORM, instance=1)
    study.write("a", srt=301.0)
    await pushing.drain()
    (a,) = instances_of(double.project, "a")
    assert (a.instance, a.values["cog_srt_ms"]) == (1, "301.0")


async def test_sessions_that_go_while_the_key_field_changes_are_blanked_and_others_keep_their_instance(
    pushing: Pushing,
) -> None:
    study, double = pushing.study, pushing.double
    fields = (*double.project.dictionary.fields, Field("cog_uid2", FORM, label="Session"))
    double.project.dictionary = Dictionary(fields)
    study.map({**MAPPING, "withdrawn": "blank"})
    study.write("stays")
    study.write("goes", srt=400.0)
    await pushing.drain()
    (stays,), (goes,) = instances_of(double.project, "stays"), instances_of(double.project, "goes")
    study.map(
        with_instrument(
            repeat={"mode": "instrument", "key_field": "cog_uid2"},
            fields={"cog_status": {"from": "literal.1", "as": "choice"}},
        )
    )
    study.remove("goes")
    study.resync()
    await pushing.drain()
    assert "cog_srt_ms" not in row_at(double.project, "1", goes.instance)
    assert row_at(double.project, "1", stays.instance)["cog_uid2"] == "lima/stays"
    assert len([place for place in double.project.records.rows if place.instrument == FORM]) == 2


async def test_a_form_or_event_that_redcap_has_no_more_is_left_and_does_not_stop_the_project(
    pushing: Pushing,
) -> None:
    study, double = pushing.study, pushing.double
    study.map({**MAPPING, "withdrawn": "blank"})
    study.write("a")
    study.write("r", "2", visit="retest")
    await pushing.drain()
    assert set(study.states().values()) == {"done"}
    project = double.project
    project.dictionary = Dictionary(tuple(each for each in project.dictionary.fields if each.form != FORM))
    project.events = (Event(EVENT, "Baseline", 1, ("demographics", "single")), Event("third_arm_1", "Third"))
    project.repeating.clear()
    study.map({**MAPPING, "withdrawn": "blank", "instruments": [OTHER_FORM]})
    forget_dictionary(pushing)
    study.resync()
    await pushing.drain()
    assert (
        study.ask("SELECT paused_cause, paused_reason FROM redcap_projects WHERE paused_at IS NOT NULL") == []
    )
    assert set(study.states().values()) == {"done"}, study.errors()
    assert (double.values("1", event=EVENT) or {})["one_srt_ms"] == "300.0"


async def test_a_form_that_does_not_repeat_any_more_has_one_session_and_no_others_values(
    pushing: Pushing,
) -> None:
    study, double = pushing.study, pushing.double
    study.map({**MAPPING, "withdrawn": "blank"})
    study.write("a", srt=1.0)
    study.write("b", srt=2.0)
    await pushing.drain()
    at = {each: instances_of(double.project, each)[0].instance for each in "ab"}
    first = next(each for each, instance in at.items() if instance == 1)
    # What REDCap does: instance 1 becomes the form's, the others are not shown any more.
    rows = double.project.records.rows
    kept = {
        place._replace(instrument="", instance=0): values
        for place, values in rows.items()
        if place.instance == 1
    }
    rows.clear()
    rows.update(kept)
    double.project.repeating.clear()
    study.map(with_instrument(repeat={"mode": "none"}))
    forget_dictionary(pushing)
    study.resync()
    await pushing.drain()
    states = study.states()
    assert states.pop(first) == "done", study.errors()
    assert set(states.values()) == {"dead"}
    assert (double.values("1", event=EVENT) or {})["cog_srt_ms"] == {"a": "1.0", "b": "2.0"}[first]


async def test_an_instance_that_another_uid_has_when_it_is_read_back_is_left_and_another_one_chosen(
    pushing: Pushing,
) -> None:
    study, double = pushing.study, pushing.double

    def overtake(call: Call, answer: Answer) -> Answer:
        values = {"cog_session_uid": "other/x", "cog_srt_ms": "9.0"}
        call.write("1", values, event=EVENT, form=FORM, instance=1)
        return answer

    double.faults.hook(after=overtake, content="record", action="import")
    study.write("a")
    await pushing.drain()
    assert row_at(double.project, "1", 1)["cog_session_uid"] == "other/x"
    assert row_at(double.project, "1", 1)["cog_srt_ms"] == "9.0"
    assert [here.instance for here in instances_of(double.project, "a")] == [2]
    assert study.states() == {"a": "done"}


async def test_a_session_that_is_in_another_project_of_its_study_is_not_put_into_a_second_one(
    pushing: Pushing,
) -> None:
    study, double = pushing.study, pushing.double
    study.write("a")
    study.write("b", None)
    await pushing.drain()
    study.connect("lima")
    study.write("a", srt=1.0)
    study.write("new", "2")
    await pushing.drain()
    assert study.states() == {"a": "dead", "b": "discarded", "new": "done"}
    assert "studyA" in study.errors()["a"]
    assert [here.values["cog_srt_ms"] for here in instances_of(double.project, "a")] == ["300.0"]
    assert study.ask("SELECT project FROM redcap_ledger WHERE session_id = 'a'") == [("studyA",)]


async def test_two_spellings_of_what_redcap_takes_for_one_record_are_not_in_one_job(pushing: Pushing) -> None:
    study, double = pushing.study, pushing.double
    study.write("a", "ab1")
    study.write("b", "AB1")
    await work(study, pushing.resources)
    assert sorted(study.states().values()) == ["done", "pending"]
    assert "spelled" in "".join(study.errors().values())
    assert sum(len(instances_of(double.project, each)) for each in "ab") == 1
    study.hurry()
    await pushing.drain()
    assert set(study.states().values()) == {"done"}
