"""Whatever a mapping, a project and a session are: filling answers, and what it fills REDCap takes."""

from datetime import UTC, date, datetime
from typing import Any

import msgspec
from hypothesis import given, settings
from hypothesis import strategies as st

from reporting.redcap.checking import problems
from reporting.redcap.dictionary import Dictionary, Field
from reporting.redcap.filling import targets, withdrawal
from reporting.redcap.known import Known
from reporting.redcap.mapping import FieldMapping, Mapping, Repeating
from reporting.redcap.target import NotWanted, SessionFacts, Target, Unmapped
from tests.redcap.cases import CLASSIC, FORM, classic, facts, field
from tests.redcap.redcap_rules import complaints

OTHER_TYPES = ["notes", "radio", "dropdown", "checkbox", "yesno", "truefalse", "calc"]
TIMEZONES = ["Europe/Berlin", "America/Lima", "UTC", "Nowhere", "", "/etc", "a\0b"]
VALIDATIONS = [
    "",
    "integer",
    "number",
    "number_1dp",
    "number_2dp",
    "number_comma_decimal",
    "number_1dp_comma_decimal",
    "date_ymd",
    "date_dmy",
    "datetime_mdy",
    "datetime_seconds_ymd",
    "never_heard_of",
]
SOURCES = [
    "flags",
    "status",
    "visit",
    "battery_version",
    "participant.code",
    "participant.enrolled_on",
    "participant.language",
    "session.started_at",
    "session.ended_at",
    "session.language",
    "scores.t.x",
    "scores.t[1].x",
    "scores.none.x",
    "tasks.t.status",
    "tasks.t.n_trials",
    "literal.1",
    "literal.yes",
    "nowhere",
]
KINDS = ["text", "number", "integer", "date", "datetime", "choice", "checkbox", "yesno"]
codes = st.sampled_from(["1", "2", "-1", "01", "a"])
written = st.one_of(codes, st.integers(-3, 3), st.text(max_size=3))
choices = st.dictionaries(codes, st.just("label"), min_size=1)
texts = st.one_of(st.none(), st.text(max_size=8), st.sampled_from(["baseline", "7", "2026-01-01"]))
moments = st.datetimes(timezones=st.just(UTC))


@st.composite
def fields_of_project(draw: st.DrawFn) -> Field:
    type_ = draw(st.sampled_from(["text"] * 4 + OTHER_TYPES))
    has_choices = type_ in {"radio", "dropdown", "checkbox"}
    return field(
        "cog_x",
        type_,
        draw(st.sampled_from(VALIDATIONS)) if type_ == "text" else "",
        choices=draw(choices) if has_choices else {},
    )


rules: st.SearchStrategy[FieldMapping] = st.builds(
    FieldMapping,
    source=st.sampled_from(SOURCES),
    kind=st.sampled_from(KINDS),
    dp=st.one_of(st.none(), st.integers(0, 10)),
    map=st.one_of(st.none(), st.dictionaries(st.sampled_from(["baseline", "completed", "1", "7"]), written)),
    codes=st.one_of(st.none(), st.dictionaries(st.sampled_from(["late", "noisy", "completed"]), written)),
    default=st.one_of(st.none(), written),
    missing=st.one_of(st.none(), written),
    scale=st.one_of(st.none(), st.floats()),
)


@st.composite
def sessions(draw: st.DrawFn) -> SessionFacts:
    return facts(
        id=draw(st.text(min_size=1, max_size=5)),
        visit=draw(texts),
        participant=draw(st.text(max_size=5)),
        redcap_id=draw(st.one_of(st.just("17"), texts)),
        timezone=draw(st.sampled_from(TIMEZONES)),
        columns={
            "battery_id": "self-regulation",
            "battery_version": draw(st.one_of(st.none(), st.integers(), st.just(10**400))),
            "language": draw(texts),
            "participant.language": draw(st.one_of(texts, st.just({"a": [1]}), st.booleans())),
            "participant.enrolled_on": draw(st.one_of(st.none(), st.dates())),
        },
        scores={("t", 1, "x"): draw(st.one_of(st.none(), st.floats()))},
        tasks={("t", 1): (draw(texts), draw(st.integers(0, 2**40)))},
        flags=draw(st.frozensets(st.sampled_from(["late", "noisy", "1", "clock_suspect"]))),
        started_at=draw(moments),
        ended_at=draw(st.one_of(st.none(), moments)),
    )


def _case(of_project: Field, rule: FieldMapping) -> tuple[Mapping, Dictionary]:
    dictionary = msgspec.structs.replace(
        CLASSIC, fields=(*CLASSIC.fields, of_project), missing_codes=("-3", "NA")
    )
    return classic(fields={"cog_x": rule}), dictionary


@given(fields_of_project(), rules, sessions())
@settings(max_examples=300)
def test_a_session_is_filled_with_what_redcap_takes_or_it_is_said_why_not(
    of_project: Field, rule: FieldMapping, session: SessionFacts
) -> None:
    mapping, dictionary = _case(of_project, rule)
    [answer] = targets(session, mapping, dictionary)
    assert targets(session, mapping, dictionary) == [answer]
    if isinstance(answer, Target):
        assert complaints(answer.values, dictionary) == []
        assert answer.values["cog_session_uid"] == session.uid
        blanked = withdrawal(
            msgspec.structs.replace(mapping, withdrawn="blank"), dictionary, FORM, answer.values
        )
        assert complaints(blanked, dictionary) == []
        assert {*blanked, "cog_session_uid"} == set(answer.values)
    else:
        assert isinstance(answer, Unmapped | NotWanted)
        assert answer.form == FORM
        assert "\n" not in getattr(answer, "path", "")


PLAIN: list[Any] = [
    ("status", "completed"),
    ("visit", "baseline"),
    ("scores.stroop.acc", 0.5),
    ("tasks.stroop.n_trials", 7),
    ("session.started_at", datetime(2026, 1, 2, 3, 4, 5, tzinfo=UTC)),
    ("participant.enrolled_on", date(2026, 1, 2)),
    ("flags", frozenset({"timing_gap"})),
]


@given(
    fields_of_project(),
    rules,
    st.sampled_from([source for source, _ in PLAIN]),
    st.one_of(st.none(), st.dictionaries(st.sampled_from(["baseline", "completed"]), codes)),
    st.one_of(st.none(), st.dictionaries(st.sampled_from(["timing_gap", "merged"]), codes)),
)
@settings(max_examples=300)
def test_a_mapping_without_problems_fills_an_ordinary_session(
    of_project: Field,
    rule: FieldMapping,
    source: str,
    map_: dict[str, str] | None,
    codes_: dict[str, str] | None,
) -> None:
    rule = msgspec.structs.replace(rule, source=source, map=map_, codes=codes_, scale=None)
    mapping, dictionary = _case(of_project, rule)
    known = Known(
        batteries={"self-regulation": frozenset({"stroop"})}, visits=frozenset({"baseline", "retest"})
    )
    is_open = map_ is not None and rule.default is None and source != "status"
    if problems(mapping, dictionary, known=known) or of_project.validation == "never_heard_of" or is_open:
        return
    session = facts(
        scores={("stroop", 1, "acc"): 0.5},
        tasks={("stroop", 1): ("completed", 7)},
        flags=frozenset({"timing_gap"}),
        started_at=datetime(2026, 1, 2, 3, 4, 5, tzinfo=UTC),
    )
    [answer] = targets(session, mapping, dictionary)
    if isinstance(answer, Unmapped):
        numbers_as_codes = of_project.type in {"radio", "dropdown", "yesno", "truefalse"}
        assert numbers_as_codes, (answer, of_project, rule)
        assert "is not a code" in answer.message
    else:
        assert isinstance(answer, Target)


def test_a_repeated_uid_field_is_what_finds_the_session() -> None:
    [answer] = targets(facts(), classic(repeat=Repeating(mode="instrument", key_field="cog_text")), CLASSIC)
    assert isinstance(answer, Target)
    assert answer.values["cog_text"] == facts().uid
