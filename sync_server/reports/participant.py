"""The pages of a participant's report."""

from collections.abc import Iterator, Sequence
from itertools import groupby
from typing import Final, NamedTuple

from reporting.reports.contents import ParticipantReport, ScoreCourse, SessionShown
from reporting.research.score_variables import TASK_LABELS
from reporting.research.shared_variables import PARTICIPANT_STATUS, SESSION_STATUS
from reporting.research.variables import Language, Text, Value
from sync_server.reports.blocks import (
    LEADING,
    SMALL_STRONG,
    Fact,
    Figure,
    facts,
    multiples,
    note,
    paragraph,
    section,
    subsection,
    title,
)
from sync_server.reports.common import (
    flags_table,
    make_pdf,
    provenance_section,
    score_name,
    short_revision,
    site_title,
    study_title,
    task_name,
    visit_name,
)
from sync_server.reports.curves import NOTES, Band, Curve, Point, draw_curve, title_of, values_of
from sync_server.reports.flow import CONTENT_WIDTH, Block, space
from sync_server.reports.grid import Column, table
from sync_server.reports.wording import MISSING, Wording

COLUMNS: Final = 3
_GAP: Final = 14.0
_WIDTH: Final = (CONTENT_WIDTH - _GAP * (COLUMNS - 1)) / COLUMNS
_CHART_HEIGHT: Final = 117.0
"""Without its title."""


def participant_pdf(report: ParticipantReport, language: Language) -> bytes:
    """The report as a PDF file."""
    say = Wording(language)
    blocks = [*_head(report, say), *_scores(report, say), *_sessions(report, say)]
    blocks += [
        *_visits(report, say),
        *_quality(report, say),
        *provenance_section(report.provenance, say, about="participant"),
    ]
    return make_pdf(
        blocks,
        say,
        kind="participant",
        subject=report.participant,
        study=report.study,
        provenance=report.provenance,
    )


def _head(report: ParticipantReport, say: Wording) -> list[Block]:
    done = sum(session.status == "completed" for session in report.sessions)
    through = report.provenance.complete_through
    kind = say("kind_participant")
    if report.provenance.policy.startswith("pseudonym/"):
        kind += " · " + say("pseudonym")
    return [
        title(kind, report.participant, study_title(report.study)),
        space(6),
        *facts(
            [
                Fact(
                    say("site"),
                    say("site_unknown") if report.site is None else site_title(report.site, report.site_name),
                ),
                Fact(say("status"), _status(report, say)),
                Fact(say("enrolled_on"), say.day(report.enrolled), _about_dates(report, say)),
                Fact(say("language"), report.language or MISSING),
                Fact(
                    say("sessions"),
                    say.number(len(report.sessions)),
                    say("completed_sessions", number=say.number(done)),
                ),
                Fact(
                    say("complete_through"),
                    say.moment(through) if through else say("not_complete"),
                ),
            ]
        ),
    ]


def _status(report: ParticipantReport, say: Wording) -> str:
    if report.status is None:
        return say("status_unknown")
    return _value(PARTICIPANT_STATUS, report.status, say)


def _value(values: Sequence[Value], code: str, say: Wording) -> str:
    known: dict[str, Text] = {value.code: value.label for value in values}
    return say.label(known[code]) if code in known else code


def _about_dates(report: ParticipantReport, say: Wording) -> str:
    policy = report.provenance.policy
    if policy == "none":
        return say("dates_withheld")
    dates = policy.partition("/")[2]
    return say(f"dates_{dates}") if dates in ("shifted", "days") else ""


class _Axis(NamedTuple):
    """Where each session stands, and the labels of both ends."""

    places: tuple[float, ...]
    ends: tuple[str, str]


def _axis(sessions: Sequence[SessionShown], say: Wording) -> _Axis:
    """By date, by day since enrolment, or one after the other: whichever all of them have."""
    if not sessions:
        return _Axis((), ("", ""))
    dates = [session.on for session in sessions if session.on is not None]
    days = [session.day for session in sessions if session.day is not None]
    if len(dates) == len(sessions):
        places = [float(day.toordinal()) for day in dates]
        return _Axis(tuple(places), (say.day(dates[0]), say.day(dates[-1])))
    if len(days) == len(sessions):
        places = [float(day) for day in days]
        ends = (say("day_number", number=days[0]), say("day_number", number=days[-1]))
        return _Axis(tuple(places), ends)
    ends = (say("session_number", number=1), say("session_number", number=len(sessions)))
    return _Axis(tuple(float(number) for number in range(len(sessions))), ends)


def _scores(report: ParticipantReport, say: Wording) -> list[Block]:
    blocks = section(say("section_scores"))
    if not report.courses:
        return blocks + paragraph(say("no_scores"))
    blocks += note(say("scores_legend", least=report.least_sample)) + note(say("change_legend"))
    axis = _axis(report.sessions, say)
    by_task = groupby(report.courses, lambda each: each.variable.task or "")
    done = []
    for task, courses in by_task:
        done.append(task)
        blocks += subsection(task_name(task, say))
        blocks += _charts(list(courses), report.sessions, axis, say)
    missing = [task_name(task, say) for task in TASK_LABELS if task not in done]
    if missing:
        blocks += note(say("tasks_not_done", tasks=", ".join(missing)))
    return blocks


def _charts(
    courses: Sequence[ScoreCourse], sessions: Sequence[SessionShown], axis: _Axis, say: Wording
) -> Iterator[Block]:
    """Rows of charts; all of a task leave the same room for their titles."""
    names = [score_name(each.variable, say) for each in courses]
    lines = max(len(title_of(name, _WIDTH)) for name in names)
    charts = [_figure(each, sessions, axis, lines, say) for each in courses]
    height = _CHART_HEIGHT + lines * SMALL_STRONG.size * LEADING
    return multiples(charts, COLUMNS, height, _GAP)


def _figure(
    course: ScoreCourse, sessions: Sequence[SessionShown], axis: _Axis, title_lines: int, say: Wording
) -> Figure:
    unit = course.variable.unit
    points = [
        Point(
            axis.places[occasion.session],
            occasion.value,
            sessions[occasion.session].status != "completed",
        )
        for occasion in course.occasions
    ]
    band = _band(course)
    values = values_of(points, band)
    curve = Curve(
        title=score_name(course.variable, say),
        title_lines=title_lines,
        points=points,
        span=(min(axis.places), max(axis.places)),
        ends=axis.ends,
        band=band,
        labels=say.ticks(values, unit),
        values=values,
        notes=_notes(course, say),
        empty=say("undefined_all"),
    )
    return Figure(
        _alternative(course, curve, say),
        lambda sheets, area: draw_curve(sheets, curve, area),
    )


def _band(course: ScoreCourse) -> Band | None:
    sample = course.sample
    if sample.lower_quartile is None or sample.median is None or sample.upper_quartile is None:
        return None
    return Band(sample.lower_quartile, sample.median, sample.upper_quartile)


def _notes(course: ScoreCourse, say: Wording) -> list[tuple[str, bool]]:
    """Three lines beneath a chart: where the last value stands, what changed, what practice does."""
    if not course.occasions:
        return []
    notes = [(_standing(course, say), False), *_change(course, say)]
    if course.undefined:
        notes.append((say("undefined_some", number=say.number(course.undefined)), False))
    return notes[:NOTES]


def _standing(course: ScoreCourse, say: Wording) -> str:
    standing, unit = course.standing, course.variable.unit
    if standing is None:
        return say("not_counted", value=say.score(course.occasions[-1].value, unit))
    value, n = say.score(standing.value, unit), say.number(standing.n)
    if standing.percentile is None:
        return say("standing_small", value=value, visit=standing.visit, n=n)
    percentile = say.number(standing.percentile)
    return say("standing", value=value, visit=standing.visit, percentile=percentile, n=n)


def _change(course: ScoreCourse, say: Wording) -> list[tuple[str, bool]]:
    """What the change between the visits is, and what practice does."""
    found, unit = course.change, course.variable.unit
    if found is None:
        return [(say("one_visit"), False)]
    if found.why_not == "no value":
        return [(say("change_missing", first=found.first, second=found.second), False)]
    if found.why_not == "too few participants":
        return [(say("change_small", n=say.number(found.n)), False)]
    lines = []
    if found.change is None:
        lines.append((say("change_undefined"), False))
    else:
        change = found.change.index * found.change.standard_error + (found.practice or 0.0)
        verdict = _VERDICTS[found.change.verdict]
        told = say(f"change_{verdict}", change=say.score(change, unit, sign=True))
        lines.append((told, verdict != "within"))
    practice = say.score(found.practice, unit, sign=True)
    return [*lines, (say("practice", change=practice, n=say.number(found.n)), False)]


_VERDICTS: Final = {"rise": "rise", "fall": "fall", "within error": "within"}


def _alternative(course: ScoreCourse, curve: Curve, say: Wording) -> str:
    name = say.label(course.variable.label)
    if not course.occasions:
        return say("curve_empty_alternative", title=name)
    unit = course.variable.unit
    return say(
        "curve_alternative",
        title=name,
        number=len(course.occasions),
        first=say.score(course.occasions[0].value, unit),
        last=say.score(course.occasions[-1].value, unit),
        notes="; ".join(text for text, _ in curve.notes),
    )


def _sessions(report: ParticipantReport, say: Wording) -> list[Block]:
    has_dates = any(session.on is not None for session in report.sessions)
    columns = [
        Column(say("number"), 0.6, is_number=True),
        Column(say("date" if has_dates else "day"), 1.5),
        Column(say("visit"), 1.7),
        Column(say("site"), 1.7),
        Column(say("status"), 1.4),
        Column(say("tasks"), 0.8, is_number=True),
        Column(say("flags"), 1.1, is_number=True),
        Column(say("serious"), 0.9, is_number=True),
        Column(say("revision"), 1.7),
    ]
    rows = [
        [
            say.number(number),
            say.day(session.on) if has_dates else _day(session.day, say),
            session.visit or MISSING,
            session.site,
            _value(SESSION_STATUS, session.status, say),
            say.number(session.task_runs),
            say.number(session.flags + session.serious),
            say.number(session.serious),
            short_revision(session.rev) or MISSING,
        ]
        for number, session in enumerate(report.sessions, start=1)
    ]
    return section(say("section_sessions")) + table(columns, rows, empty=say("no_sessions"))


def _day(day: int | None, say: Wording) -> str:
    return MISSING if day is None else say.number(day)


def _visits(report: ParticipantReport, say: Wording) -> list[Block]:
    has_dates = any(visit.due or visit.completed for visit in report.visits)
    columns = [
        Column(say("visit"), 3),
        Column(say("state"), 1.3),
        Column(say("due"), 1.3),
        Column(say("done"), 1.3),
        Column(say("in_window"), 1.3),
    ]
    rows = [
        [
            visit_name(visit.visit, visit.title),
            say(f"visit_{visit.state}"),
            say.day(visit.due) if has_dates else _day_number(visit.due_day, say),
            say.day(visit.completed) if has_dates else _day_number(visit.completed_day, say),
            MISSING if visit.in_window is None else say("yes" if visit.in_window else "no"),
        ]
        for visit in report.visits
    ]
    return section(say("section_visits")) + table(columns, rows, empty=say("no_visits"))


def _day_number(day: int | None, say: Wording) -> str:
    return MISSING if day is None else say("day_number", number=say.number(day))


def _quality(report: ParticipantReport, say: Wording) -> list[Block]:
    return section(say("section_quality")) + flags_table(report.flags, say)
