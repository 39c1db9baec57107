"""Does a mapping fit a project, and what we score?"""

from typing import Any

import msgspec
import pytest

from reporting.redcap.checking import MOST_PROBLEMS, problems
from reporting.redcap.dictionary import Dictionary, Repeat
from reporting.redcap.known import Known
from reporting.redcap.known_rows import known_of
from reporting.redcap.mapping import CompleteMapping, EventChoice, Repeating
from reporting.redcap.problem import Problem
from tests.redcap.cases import CLASSIC, FORM, LONGITUDINAL, classic, instrument, mapping, rule

KNOWN = Known(
    batteries={
        "self-regulation": frozenset({"simple_reaction_time", "stroop"}),
        "attention": frozenset({"vocabulary"}),
        "unknown": None,
    },
    visits=frozenset({"baseline", "retest"}),
)
IT = "$.instruments[0]"


def found(changed: Any, dictionary: Dictionary = LONGITUDINAL) -> list[tuple[str, str, str | None]]:
    return [(each.path, each.message, each.hint) for each in problems(changed, dictionary, known=KNOWN)]


def test_a_mapping_that_fits_has_no_problem() -> None:
    assert found(mapping()) == []
    assert found(classic(), CLASSIC) == []
    assert found(mapping(instrument(dag="south"), withdrawn="flag", withdrawn_field="cog_gone")) == []
    assert found(mapping(instrument(visits=("baseline",)), instrument(visits=("retest",)))) == []


@pytest.mark.parametrize(
    ("changed", "path", "message", "hint"),
    [
        ({"form": "cog_sesion"}, ".form", "The project has no form cog_sesion.", "Did you mean cog_session?"),
        ({"battery": "self_regulation"}, ".battery", "There is no battery", "Did you mean self-regulation?"),
        ({"statuses": ()}, ".statuses", "No session has none", None),
        ({"visits": ("basline",)}, ".visits", "The study has no visit basline.", "Did you mean baseline?"),
        ({"event": None}, ".event", "The project is longitudinal", None),
        ({"event": EventChoice(by="visit")}, ".event", "The project is longitudinal", None),
        ({"event": EventChoice(map={"baseline": "baseline_arm_1"})}, ".event.by", "A map without", None),
        (
            {"event": EventChoice(always="baselin_arm_1")},
            ".event.always",
            "The project has no event baselin_arm_1.",
            "Did you mean baseline_arm_1?",
        ),
        (
            {"event": EventChoice(by="visit", map={"basline": "baseline_arm_1"})},
            ".event.map",
            "The study has no visit basline.",
            "Did you mean baseline?",
        ),
        (
            {"event": EventChoice(by="visit", map={"baseline": "baseline_arm_1"}), "visits": ("retest",)},
            ".event.map",
            "No event for the visit retest.",
            None,
        ),
        ({"repeat": Repeating()}, ".repeat.mode", "The form cog_session repeats in the event", None),
        ({"repeat": Repeating(mode="instrument")}, ".repeat.key_field", "Where a form repeats", None),
        ({"dag": "sout"}, ".dag", "The project has no data access group sout.", "Did you mean south?"),
        (
            {"complete": CompleteMapping(source="status", map={"abandoned": 0})},
            ".complete.map",
            "The status completed is not in the map.",
            None,
        ),
        (
            {"complete": CompleteMapping(source="state", map={"completed": 2})},
            ".complete.from",
            "There is no source 'state'.",
            "Did you mean status?",
        ),
    ],
)
def test_an_instrument_that_does_not_fit_says_what_and_what_there_is(
    changed: dict[str, Any], path: str, message: str, hint: str | None
) -> None:
    [(where, said, help_), *_] = found(mapping(instrument(**changed)))
    assert (where, said[: len(message)]) == (f"{IT}{path}", message)
    if hint is not None:
        assert help_ == hint


def test_an_event_where_the_form_is_not_collected_and_events_of_classic_projects_are_told() -> None:
    phone = instrument(event=EventChoice(always="phone_arm_1"))
    assert [(path, message) for path, message, _ in found(mapping(phone))] == [
        (f"{IT}.event.always", "The form cog_session is not designated for the event phone_arm_1."),
        (f"{IT}.repeat.mode", "The form cog_session does not repeat in the event phone_arm_1."),
    ]
    assert [path for path, _, _ in found(mapping(), CLASSIC)] == [f"{IT}.event"]


@pytest.mark.parametrize(
    ("repeats", "mode", "message"),
    [
        ((Repeat(event="baseline_arm_1"),), "event", None),
        ((Repeat(event="baseline_arm_1"),), "instrument", "The event baseline_arm_1 repeats as a whole."),
        ((Repeat(event="baseline_arm_1"),), "none", "The event baseline_arm_1 repeats as a whole."),
        ((), "none", None),
        ((), "instrument", "The form cog_session does not repeat in the event baseline_arm_1."),
        ((Repeat(event="retest_arm_1", form=FORM),), "none", None),
    ],
)
def test_the_mode_of_repeats_is_the_projects(
    repeats: tuple[Repeat, ...], mode: Any, message: str | None
) -> None:
    dictionary = msgspec.structs.replace(LONGITUDINAL, repeats=repeats)
    changed = mapping(
        instrument(
            event=EventChoice(always="baseline_arm_1"),
            repeat=Repeating(mode=mode, key_field="cog_session_uid"),
        )
    )
    assert [said for _, said, _ in found(changed, dictionary)] == ([] if message is None else [message])


@pytest.mark.parametrize(
    ("name", "message"),
    [
        ("cog_sesion_uid", "The project has no field"),
        ("cog_trials", "cog_trials (text, integer) cannot hold a uid."),
        ("cog_note", "cog_note (notes) cannot hold a uid."),
        ("record_id", "record_id is a field of enrolment, not of cog_session."),
        ("cog_text", "cog_text is filled by `fields` too."),
    ],
)
def test_the_key_field_is_a_text_field_of_the_form_that_nothing_else_fills(name: str, message: str) -> None:
    changed = instrument(
        repeat=Repeating(mode="instrument", key_field=name), fields={"cog_text": rule("visit")}
    )
    [(path, said, _), *_] = found(mapping(changed))
    assert (path, said[: len(message)]) == (f"{IT}.repeat.key_field", message)


def test_a_task_without_a_battery_is_any_that_is_known() -> None:
    fields = {"cog_text": rule("scores.vocabulary.n_trials")}
    closed = msgspec.structs.replace(KNOWN, batteries={"attention": frozenset({"vocabulary"})})
    anywhere = classic(battery=None, fields=fields)
    assert problems(anywhere, CLASSIC, known=closed) == []
    other = classic(battery=None, fields={"cog_text": rule("scores.cabulary.n_trials")})
    assert problems(other, CLASSIC, known=closed) == [
        Problem(f"{IT}.fields.cog_text.from", "There is no task cabulary.", "Did you mean vocabulary?")
    ]
    assert problems(other, CLASSIC, known=KNOWN) == [], "the tasks of one battery are not known"


def test_two_instruments_that_may_take_one_session_to_one_form_are_told() -> None:
    [(path, message, _)] = found(mapping(instrument(), instrument(battery=None)))
    assert (path, message) == (
        "$.instruments[1]",
        "Another instrument may take the same session to cog_session.",
    )
    assert (
        found(mapping(instrument(), instrument(battery="attention", fields={"cog_text": rule("visit")})))
        == []
    )
    both = (instrument(visits=("baseline",)), instrument(visits=("baseline", "retest")))
    assert [path for path, _, _ in found(mapping(*both))] == ["$.instruments[1]"]


@pytest.mark.parametrize(
    ("more", "message"),
    [
        ({"withdrawn_field": "cog_gone"}, "It says nothing without `withdrawn: flag`."),
        ({"withdrawn": "flag"}, "`withdrawn: flag` needs a field."),
        ({"withdrawn": "flag", "withdrawn_field": "cog_gon"}, "The project has no field cog_gon."),
        ({"withdrawn": "flag", "withdrawn_field": "cog_trials"}, "cog_trials is filled otherwise too."),
        ({"withdrawn": "flag", "withdrawn_field": "cog_sum"}, "cog_sum does not take 0 and 1."),
        ({"withdrawn": "flag", "withdrawn_field": "record_id"}, "record_id is a field of enrolment"),
    ],
)
def test_the_field_of_withdrawn_sessions_takes_a_flag(more: dict[str, Any], message: str) -> None:
    [(path, said, _), *_] = found(mapping(**more))
    assert (path, said[: len(message)]) == ("$.withdrawn_field", message)


def test_a_mapping_in_which_all_is_wrong_has_only_so_many_problems() -> None:
    fields = {f"nothing_{n}": rule("nowhere") for n in range(1000)}
    assert len(found(mapping(instrument(fields=fields)))) == MOST_PROBLEMS


def test_optional_tasks_are_known_and_where_one_version_is_not_known_nothing_is() -> None:
    definition = {"tasks": [{"task": "stroop", "optional": True}, {"task": "simon"}]}
    versions = [("a", ["simon"], definition), ("a", ["n_back"], None), ("b", [], definition)]
    unknown = [("c", ["stroop"], None), ("c", None, None)]
    found = known_of([*versions, *unknown], ["baseline"])
    assert found.batteries == {"a": {"stroop", "simon", "n_back"}, "b": {"stroop", "simon"}, "c": None}
    assert found.visits == {"baseline"}
