"""A session → the rows that it has to be in REDCap."""

from datetime import UTC, datetime
from typing import Any

import msgspec
import pytest

from reporting.redcap.filling import targets, withdrawal
from reporting.redcap.mapping import EventChoice, Mapping, Repeating
from reporting.redcap.target import Address, NotWanted, Target, Unmapped
from tests.redcap.cases import (
    CLASSIC,
    FORM,
    LONGITUDINAL,
    classic,
    facts,
    field,
    instrument,
    mapping,
    rule,
)
from tests.redcap.redcap_rules import complaints


def test_a_session_is_written_as_redcap_takes_it() -> None:
    [target] = targets(facts(), mapping(), LONGITUDINAL)
    assert target == Target(
        address=Address("17", "baseline_arm_1", FORM),
        repeat="instrument",
        key_field="cog_session_uid",
        values={
            "cog_srt_ms": "312.3",
            "cog_trials": "50",
            "cog_day": "2026-03-29",
            "cog_start": "2026-03-29 03:30:15",
            "cog_status": "1",
            "cog_flags___1": "1",
            "cog_flags___2": "0",
            "cog_flags____9": "0",
            "cog_session_complete": "2",
            "cog_session_uid": "south/s-1",
        },
    )
    assert complaints(target.values, LONGITUDINAL) == []
    assert targets(facts(), mapping(), LONGITUDINAL) == [target]


def written(name: str, field_rule: Any, dictionary: Any = CLASSIC, **more: Any) -> str:
    """The value of one field, or why there is none."""
    [found] = targets(facts(**more), classic(fields={name: field_rule}, complete=None), dictionary)
    if isinstance(found, Unmapped):
        assert found.path == f"$.instruments[0].fields.{name}"
        assert found.form == FORM
        return f"! {found.message}"
    assert isinstance(found, Target)
    assert complaints(found.values, dictionary) == []
    return found.values[name]


def numbers(value: float | None) -> dict[tuple[str, int, str], float | None]:
    return {("t", 1, "x"): value}


ONE_RUN: dict[str, Any] = {"tasks": {("t", 1): ("completed", 3)}}


@pytest.mark.parametrize(
    ("value", "validation", "more", "text"),
    [
        (22.0, "number_1dp", {}, "22.0"),
        (22.25, "number_1dp", {}, "22.3"),
        (22.35, "number_1dp", {}, "22.4"),
        (-22.25, "number_1dp", {}, "-22.3"),
        (-0.01, "number_1dp", {}, "0.0"),
        (22.25, "number_1dp_comma_decimal", {}, "22,3"),
        (22.25, "number_comma_decimal", {}, "22,25"),
        (22.25, "number", {}, "22.25"),
        (22.0, "number", {}, "22"),
        (1e-7, "number", {}, "0.0000001"),
        (1e21, "number", {}, "1" + "0" * 21),
        (0.1 + 0.2, "number", {"dp": 2}, "0.30"),
        (0.5, "number", {"dp": 0}, "1"),
        (0.987654, "number_2dp", {"scale": 100.0}, "98.77"),
        (None, "number", {}, ""),
        (float("nan"), "number_1dp", {}, ""),
        (float("inf"), "number", {"missing": -99}, "-99"),
        (22.0, "number_2dp", {"dp": 1}, "! "),
        (22.5, "integer", {}, "! "),
        (22.0, "date_ymd", {}, "! "),
    ],
)
def test_a_number_has_the_form_of_its_field(
    value: float | None, validation: str, more: dict[str, Any], text: str
) -> None:
    dictionary = msgspec.structs.replace(
        CLASSIC, fields=(*CLASSIC.fields, field("cog_x", validation=validation))
    )
    found = written(
        "cog_x", rule("scores.t.x", "number", **more), dictionary, scores=numbers(value), **ONE_RUN
    )
    assert found == text or (text == "! " and found.startswith("! cog_x"))


@pytest.mark.parametrize(
    ("value", "text"), [(2.5, "3"), (3.5, "4"), (-2.5, "-3"), (2.4999, "2"), (-0.2, "0"), (None, "")]
)
def test_an_integer_is_rounded_half_away_from_zero(value: float | None, text: str) -> None:
    assert written("cog_trials", rule("scores.t.x", "integer"), scores=numbers(value), **ONE_RUN) == text


@pytest.mark.parametrize(
    ("moment", "timezone", "text"),
    [
        (datetime(2026, 3, 29, 0, 59, 59, tzinfo=UTC), "Europe/Berlin", "2026-03-29 01:59:59"),
        (datetime(2026, 3, 29, 1, 0, tzinfo=UTC), "Europe/Berlin", "2026-03-29 03:00:00"),
        (datetime(2026, 10, 25, 0, 30, tzinfo=UTC), "Europe/Berlin", "2026-10-25 02:30:00"),
        (datetime(2026, 10, 25, 1, 30, tzinfo=UTC), "Europe/Berlin", "2026-10-25 02:30:00"),
        (datetime(2026, 1, 1, 23, 0, tzinfo=UTC), "Pacific/Auckland", "2026-01-02 12:00:00"),
        (datetime(9999, 12, 31, 23, 0, tzinfo=UTC), "Pacific/Auckland", "! 9999"),
        (datetime(2026, 1, 1, tzinfo=UTC), "Nowhere/At_All", "! the site has no timezone"),
        (datetime(2026, 1, 1, tzinfo=UTC), "../etc/passwd", "! the site has no timezone"),
    ],
)
def test_a_moment_is_on_the_sites_wall_clock(moment: datetime, timezone: str, text: str) -> None:
    found = written("cog_start", rule("session.started_at", "datetime"), started_at=moment, timezone=timezone)
    assert found.startswith(text)
    if not text.startswith("!"):
        day = written("cog_day", rule("session.started_at", "date"), started_at=moment, timezone=timezone)
        assert day == text[:10]


@pytest.mark.parametrize(
    ("name", "field_rule", "more", "text"),
    [
        ("cog_text", rule("session.ended_at", "datetime"), {}, ""),
        ("cog_day", rule("participant.enrolled_on", "date"), {}, "2026-02-01"),
        ("cog_start", rule("participant.enrolled_on", "datetime"), {}, "! '2026-02-01' is not a moment"),
        ("cog_day", rule("visit", "date"), {}, "! 'baseline' is not a date"),
        ("cog_text", rule("session.uid"), {}, "south/s-1"),
        ("cog_text", rule("participant.code"), {}, "P001"),
        ("cog_text", rule("literal.by tablet"), {}, "by tablet"),
        ("cog_text", rule("flags"), {}, "clock_suspect, normalised"),
        ("cog_text", rule("visit"), {"visit": " a\0b\r\nc\x07 "}, "ab c"),
        ("cog_note", rule("visit"), {"visit": " a\0b\r\nc\ud800 "}, "ab\nc"),
        ("cog_note", rule("visit"), {"visit": "x" * 64_999}, "x" * 64_999),
        ("cog_note", rule("visit"), {"visit": "x" * 65_000}, "! the value is longer"),
        ("cog_note", rule("visit"), {"visit": "é" * 32_500}, "! the value is longer"),
        ("cog_status", rule("status", "choice"), {}, "! 'completed' is not a code of cog_status"),
        ("cog_status", rule("visit", "choice", map={"baseline": "2"}), {}, "2"),
        ("cog_status", rule("visit", "choice", map={"x": "2"}), {}, "! 'baseline' is not in the map"),
        ("cog_status", rule("visit", "choice", map={"x": "2"}, default=9), {}, "9"),
        ("cog_status", rule("visit", "choice", map={"x": "2"}, default=9), {"visit": None}, ""),
        ("cog_status", rule("battery_version", "choice", map={"2": 1}), {}, "1"),
        ("cog_status", rule("flags", "choice"), {}, "! a set is no choice"),
        ("cog_gone", rule("literal.Yes", "yesno"), {}, "1"),
        ("cog_gone", rule("literal.maybe", "yesno"), {}, "! 'maybe' is neither yes nor no"),
        ("cog_gone", rule("status", "yesno", map={"completed": 0}), {}, "0"),
        ("cog_text", rule("scores.simple_reaction_time[1].avg_rt"), {}, "300"),
        ("cog_text", rule("scores.simple_reaction_time.std_rt"), {}, ""),
        ("cog_text", rule("scores.stroop.avg_rt"), {}, ""),
        ("cog_text", rule("tasks.simple_reaction_time.status"), {}, "completed"),
        ("cog_text", rule("session.shoe_size"), {}, "! there is no source"),
        ("cog_text", rule("flags", "checkbox"), {}, "! cog_text is a text field, not a checkbox"),
        ("cog_flags", rule("flags"), {}, "! cog_flags is a checkbox"),
        ("cog_flags", rule("flags", "checkbox", codes={"normalised": 7}), {}, "! '7' is not a code"),
        ("cog_sum", rule("visit"), {}, "! cog_sum is a calc field"),
        ("cog_nowhere", rule("visit"), {}, "! the project has no field"),
    ],
)
def test_a_value_is_written_or_the_session_is_parked_with_the_field(
    name: str, field_rule: Any, more: dict[str, Any], text: str
) -> None:
    found = written(name, field_rule, **more)
    assert found.startswith(text) if text.startswith("!") else found == text


def test_a_missing_data_code_of_the_project_fits_any_field() -> None:
    missing = rule("scores.stroop.avg_rt", "number", missing="NA")
    assert written("cog_srt_ms", missing).startswith("! cog_srt_ms (number_1dp) does not take")
    assert written("cog_srt_ms", missing, msgspec.structs.replace(CLASSIC, missing_codes=("NA",))) == "NA"


@pytest.mark.parametrize(
    ("more", "why", "waits"),
    [
        ({"columns": {}}, "its battery is not known", False),
        ({"status": "in_progress"}, "its status is in_progress", True),
        ({"status": "abandoned"}, "its status is abandoned", False),
        ({"redcap_id": None}, "the participant has no record in REDCap yet", True),
    ],
)
def test_a_session_that_no_instrument_takes_is_not_wanted(
    more: dict[str, Any], why: str, waits: bool
) -> None:
    assert targets(facts(**more), mapping(), LONGITUDINAL) == [NotWanted(why=why, waits=waits, form=FORM)]


@pytest.mark.parametrize(
    ("more", "changed", "path"),
    [
        ({"visit": "third"}, {}, "$.instruments[0].event"),
        ({"visit": None}, {}, "$.instruments[0].event"),
        ({}, {"event": None}, "$.instruments[0].event"),
        ({}, {"event": EventChoice(always="nowhere_arm_1")}, "$.instruments[0].event"),
        ({"redcap_id": "a\nb"}, {}, "$.project.record_id"),
        ({"redcap_id": "x" * 101}, {}, "$.project.record_id"),
        ({"id": "s\0"}, {}, "$.instruments[0].repeat.key_field"),
        ({"status": "abandoned"}, {"statuses": ("abandoned",), "complete": None}, None),
    ],
)
def test_a_session_without_an_address_is_parked(
    more: dict[str, Any], changed: dict[str, Any], path: str | None
) -> None:
    [found] = targets(facts(**more), mapping(instrument(**changed)), LONGITUDINAL)
    assert (found.path if isinstance(found, Unmapped) else None) == path


def test_a_session_has_one_answer_a_form() -> None:
    other = instrument(battery="other")
    everything = instrument(battery=None)
    assert [type(found) for found in targets(facts(), mapping(other, instrument()), LONGITUDINAL)] == [Target]
    assert [type(found) for found in targets(facts(), mapping(instrument(), other), LONGITUDINAL)] == [Target]
    [both] = targets(facts(), mapping(instrument(), everything), LONGITUDINAL)
    assert both == Unmapped(
        path="$.instruments[1]", message=f"another instrument takes the session to {FORM} too", form=FORM
    )


def test_a_form_that_does_not_repeat_has_no_key_but_the_uid_where_a_field_is_named() -> None:
    single = Repeating(mode="none", key_field="cog_session_uid")
    [found] = targets(facts(), mapping(instrument(repeat=single, dag="south")), LONGITUDINAL)
    assert isinstance(found, Target)
    assert (found.repeat, found.key_field) == ("none", None)
    assert found.values["cog_session_uid"] == "south/s-1"
    assert found.values["redcap_data_access_group"] == "south"


def _withdrawn(changed: Mapping) -> dict[str, str]:
    [target] = targets(facts(), changed, CLASSIC)
    assert isinstance(target, Target)
    return withdrawal(changed, CLASSIC, FORM, target.values)


def test_a_withdrawn_session_is_kept_blanked_or_flagged() -> None:
    kept, blank = classic(), msgspec.structs.replace(classic(), withdrawn="blank")
    assert _withdrawn(kept) == {}
    assert _withdrawn(blank) == {
        "cog_srt_ms": "",
        "cog_trials": "",
        "cog_day": "",
        "cog_start": "",
        "cog_status": "",
        "cog_flags___1": "0",
        "cog_flags___2": "0",
        "cog_flags____9": "0",
        "cog_session_complete": "0",
    }
    flagged = msgspec.structs.replace(classic(), withdrawn="flag", withdrawn_field="cog_gone")
    assert _withdrawn(flagged) == {"cog_gone": "1"}
    [back] = targets(facts(), flagged, CLASSIC)
    assert isinstance(back, Target)
    assert back.values["cog_gone"] == "0", "a session that comes back is not flagged any more"
