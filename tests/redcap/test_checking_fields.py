"""Does one field's mapping fit the field?"""

from typing import Any

import msgspec
import pytest

from reporting.redcap.checking import problems
from reporting.redcap.mapping import FieldMapping
from tests.redcap.cases import CLASSIC, classic, field, rule
from tests.redcap.test_checking import IT, KNOWN


def _of(name: str, field_rule: FieldMapping, *more: Any) -> list[tuple[str, str, str | None]]:
    dictionary = msgspec.structs.replace(CLASSIC, fields=(*CLASSIC.fields, *more))
    checked = problems(classic(fields={name: field_rule}), dictionary, known=KNOWN)
    return [(each.path, each.message, each.hint) for each in checked]


SRT = "scores.simple_reaction_time.avg_rt"


@pytest.mark.parametrize(
    ("name", "field_rule", "path", "message", "hint"),
    [
        ("cog_srt_m", rule(SRT), "", "The project has no field cog_srt_m.", "Did you mean cog_srt_ms?"),
        ("record_id", rule("visit"), "", "record_id names records", None),
        ("cog_session_complete", rule("visit"), "", "cog_session_complete is REDCap's own.", "`complete`"),
        ("redcap_event_name", rule("visit"), "", "redcap_event_name is REDCap's own.", None),
        ("cog_sum", rule(SRT), "", "cog_sum is a calc field: REDCap computes it", None),
        ("cog_text", rule("visits"), ".from", "There is no source 'visits'.", "Did you mean visit?"),
        ("cog_text", rule("scores.stroop"), ".from", "There is no source", "As in scores.<task>.<name>"),
        (
            "cog_text",
            rule("scores.strop.acc"),
            ".from",
            "The battery self-regulation has no task strop.",
            "Did you mean stroop?",
        ),
        (
            "cog_text",
            rule("tasks.simon.status"),
            ".from",
            "The battery self-regulation has no task simon.",
            None,
        ),
        (
            "cog_text",
            rule("scores.stroop.avg_rtt"),
            ".from",
            "The task stroop has no score avg_rtt.",
            "Did you mean avg_rt?",
        ),
        ("cog_text", rule("visit", dp=1), ".dp", "dp says nothing where it is written as text.", None),
        ("cog_text", rule("visit", codes={"a": 1}), ".codes", "codes says nothing", None),
        ("cog_day", rule("session.started_at", "date", map={"a": 1}), ".map", "map says nothing", None),
        ("cog_flags", rule("flags"), ".as", "cog_flags is a checkbox, and is written as text.", None),
        ("cog_text", rule("flags", "checkbox"), ".as", "cog_text is no checkbox", None),
        (
            "cog_flags",
            rule("flags", "checkbox", codes={"late": 1}),
            ".codes.late",
            "There is no 'late'.",
            None,
        ),
        (
            "cog_flags",
            rule("flags", "checkbox", codes={"clock_suspct": 1}),
            ".codes.clock_suspct",
            "There is no",
            "Did you mean clock_suspect?",
        ),
        (
            "cog_flags",
            rule("flags", "checkbox", codes={"timing_gap": 7}),
            ".codes.timing_gap",
            "7 is not a code of cog_flags.",
            "Its codes are 1, 2, -9.",
        ),
        (
            "cog_flags",
            rule("flags", "checkbox"),
            "",
            "No code of cog_flags is a value of flags.",
            "Say which in `codes`.",
        ),
        (
            "cog_srt_ms",
            rule(SRT, "integer"),
            ".as",
            "cog_srt_ms takes 1 decimals: 22 is refused",
            "as: number, dp: 1",
        ),
        (
            "cog_srt_ms",
            rule(SRT, "number", dp=2),
            ".as",
            "cog_srt_ms takes 1 decimals, and dp is 2.",
            "dp: 1",
        ),
        (
            "cog_srt_ms",
            rule(SRT, "number", missing=-99),
            ".missing",
            "cog_srt_ms (number_1dp) does not take '-99'",
            None,
        ),
        (
            "cog_srt_ms",
            rule("session.rev"),
            ".as",
            "cog_srt_ms takes numbers only, and session.rev has none.",
            None,
        ),
        ("cog_trials", rule(SRT, "number"), ".as", "cog_trials takes integers only.", "as: integer"),
        (
            "cog_trials",
            rule("session.started_at", "date"),
            ".as",
            "cog_trials (integer) takes no dates.",
            None,
        ),
        ("cog_status", rule("session.started_at", "date"), ".as", "cog_status (radio) takes no dates.", None),
        ("cog_day", rule("visit"), ".as", "cog_day (date_dmy) takes dates only.", "as: date"),
        ("cog_day", rule("visit", "date"), ".as", "visit is a text, and cannot be written as date.", None),
        (
            "cog_start",
            rule("session.started_at", "date"),
            ".as",
            "cog_start (datetime_seconds_mdy) takes dates with times only.",
            "as: datetime",
        ),
        (
            "cog_start",
            rule("participant.enrolled_on", "datetime"),
            ".as",
            "participant.enrolled_on is a date",
            None,
        ),
        ("cog_status", rule("status", "choice"), "", "'completed' is not a code of cog_status.", None),
        (
            "cog_status",
            rule("status", "choice", map={"completed": 3}),
            ".map.completed",
            "'3' is not a code of cog_status.",
            "Its codes are 1, 2, 9.",
        ),
        (
            "cog_status",
            rule("status", "choice", map={"complete": 1}, default=9),
            ".map.complete",
            "There is no 'complete'.",
            "Did you mean completed?",
        ),
        (
            "cog_status",
            rule("status", "choice", map={"abandoned": 2}),
            ".map",
            "The status completed is not in the map.",
            None,
        ),
        (
            "cog_status",
            rule("status", "choice", map={"completed": 1}, default=8),
            ".default",
            "'8' is not a code of cog_status.",
            None,
        ),
        (
            "cog_status",
            rule("flags", "choice"),
            ".as",
            "flags is a set, and cannot be written as choice.",
            None,
        ),
        ("cog_text", rule("visit", default="x"), ".default", "default says nothing without a map.", None),
        ("cog_gone", rule("scores.stroop.acc", "yesno"), ".as", "scores.stroop.acc is a number", None),
        ("cog_gone", rule("literal.perhaps", "yesno"), "", "'perhaps' is neither yes nor no.", None),
        ("cog_trials", rule("literal.many"), "", "cog_trials (integer) does not take 'many'.", None),
    ],
)
def test_a_field_that_does_not_fit_says_what_and_what_there_is(
    name: str, field_rule: FieldMapping, path: str, message: str, hint: str | None
) -> None:
    [(where, said, help_), *_] = _of(name, field_rule)
    assert (where, said[: len(message)]) == (f"{IT}.fields.{name}{path}", message)
    assert (help_ or "").startswith(hint or "")


@pytest.mark.parametrize(
    ("name", "field_rule", "more"),
    [
        ("cog_srt_ms", rule(SRT, "number"), ()),
        ("cog_x", rule(SRT, "number", dp=0), (field("cog_x", validation="integer"),)),
        ("cog_x", rule(SRT, "integer"), (field("cog_x", validation="number"),)),
        ("cog_x", rule("session.started_at", "datetime"), (field("cog_x", validation="date_ymd"),)),
        ("cog_x", rule(SRT, "number"), (field("cog_x", "slider"),)),
        ("cog_text", rule("flags"), ()),
        ("cog_text", rule("tasks.stroop.status"), ()),
        ("cog_status", rule("visit", "choice", map={"baseline": 1}, default=9, missing=9), ()),
        ("cog_status", rule("battery_version", "choice"), ()),
        ("cog_gone", rule("literal.1", "yesno"), ()),
        ("cog_gone", rule("status", "yesno", map={"completed": "no"}), ()),
        ("cog_trials", rule("literal.7"), ()),
        ("cog_x", rule("visit"), (field("cog_x", validation="some_new_validation"),)),
    ],
)
def test_a_field_that_fits_has_no_problem(name: str, field_rule: FieldMapping, more: tuple[Any, ...]) -> None:
    assert _of(name, field_rule, *more) == []
