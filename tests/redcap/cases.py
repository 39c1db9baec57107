"""A project, a mapping and a session, from which tests depart."""

from datetime import UTC, date, datetime
from typing import Any

from reporting.redcap.dictionary import Dictionary, Event, Field, Repeat
from reporting.redcap.mapping import (
    CompleteMapping,
    EventChoice,
    FieldMapping,
    InstrumentMapping,
    Mapping,
    ProjectChoice,
    Repeating,
)
from reporting.redcap.target import SessionFacts

FORM = "cog_session"


def field(name: str, type_: str = "text", validation: str = "", **more: Any) -> Field:
    return Field(name=name, form=more.pop("form", FORM), type=type_, validation=validation, **more)


FLAG_CHOICES = {"1": "Late", "2": "Noisy", "-9": "Not known"}
FIELDS = (
    Field(name="record_id", form="enrolment", type="text"),
    field("cog_session_uid"),
    field("cog_srt_ms", validation="number_1dp"),
    field("cog_trials", validation="integer"),
    field("cog_day", validation="date_dmy"),
    field("cog_start", validation="datetime_seconds_mdy"),
    field("cog_status", "radio", choices={"1": "Completed", "2": "Abandoned", "9": "Other"}),
    field("cog_flags", "checkbox", choices=FLAG_CHOICES),
    field("cog_note", "notes"),
    field("cog_text"),
    field("cog_gone", "yesno"),
    field("cog_sum", "calc"),
)
CLASSIC = Dictionary(
    record_id="record_id",
    fields=FIELDS,
    forms=("enrolment", FORM),
    repeats=(Repeat(form=FORM),),
)
LONGITUDINAL = Dictionary(
    record_id="record_id",
    fields=FIELDS,
    forms=("enrolment", FORM),
    events=(
        Event(name="baseline_arm_1", forms=("enrolment", FORM)),
        Event(name="retest_arm_1", forms=(FORM,)),
        Event(name="phone_arm_1", forms=("enrolment",)),
    ),
    repeats=(Repeat(event="baseline_arm_1", form=FORM), Repeat(event="retest_arm_1", form=FORM)),
    groups=("north", "south"),
)


def rule(source: str, kind: Any = "text", **more: Any) -> FieldMapping:
    return FieldMapping(source=source, kind=kind, **more)


def instrument(**more: Any) -> InstrumentMapping:
    values: dict[str, Any] = {
        "form": FORM,
        "battery": "self-regulation",
        "event": EventChoice(by="visit", map={"baseline": "baseline_arm_1", "retest": "retest_arm_1"}),
        "repeat": Repeating(mode="instrument", key_field="cog_session_uid"),
        "fields": {
            "cog_srt_ms": rule("scores.simple_reaction_time.avg_rt", "number", dp=1),
            "cog_trials": rule("tasks.simple_reaction_time.n_trials", "integer"),
            "cog_day": rule("session.started_at", "date"),
            "cog_start": rule("session.started_at", "datetime"),
            "cog_status": rule("status", "choice", map={"completed": 1, "abandoned": 2}, default=9),
            "cog_flags": rule("flags", "checkbox", codes={"clock_suspect": 1, "timing_gap": 2}),
        },
        "complete": CompleteMapping(source="status", map={"completed": 2, "abandoned": 0}),
    }
    return InstrumentMapping(**(values | more))


def mapping(*instruments: InstrumentMapping, **more: Any) -> Mapping:
    return Mapping(project=ProjectChoice(key="studyA"), instruments=instruments or (instrument(),), **more)


def classic(**more: Any) -> Mapping:
    return mapping(instrument(event=None, **more))


def facts(**more: Any) -> SessionFacts:
    values: dict[str, Any] = {
        "site": "south",
        "id": "s-1",
        "study": "A",
        "participant": "P001",
        "redcap_id": "17",
        "visit": "baseline",
        "status": "completed",
        "timezone": "Europe/Berlin",
        "columns": {
            "battery_id": "self-regulation",
            "battery_version": 2,
            "language": "de",
            "participant.enrolled_on": date(2026, 2, 1),
        },
        "scores": {
            ("simple_reaction_time", 1, "avg_rt"): 300.0,
            ("simple_reaction_time", 2, "avg_rt"): 312.25,
            ("simple_reaction_time", 2, "std_rt"): None,
        },
        "tasks": {
            ("simple_reaction_time", 1): ("completed", 20),
            ("simple_reaction_time", 2): ("completed", 50),
        },
        "flags": frozenset({"clock_suspect", "normalised"}),
        "started_at": datetime(2026, 3, 29, 1, 30, 15, tzinfo=UTC),
        "ended_at": None,
    }
    return SessionFacts(**(values | more))
