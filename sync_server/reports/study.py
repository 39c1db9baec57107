"""The pages of a study's report."""

from collections.abc import Sequence
from dataclasses import replace
from itertools import groupby
from typing import Final

from reporting.reports.contents import (
    Distribution,
    ReasonCount,
    Retested,
    SiteLine,
    StatusCount,
    StudyReport,
    VisitCount,
)
from reporting.research.correlations import Correlation
from reporting.research.variables import Language
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
    make_pdf,
    provenance_section,
    score_name,
    site_title,
    task_name,
    visit_name,
    visits_total,
)
from sync_server.reports.curves import Band, title_of
from sync_server.reports.diagram import Step, flow_diagram
from sync_server.reports.flow import CONTENT_WIDTH, Block, space
from sync_server.reports.grid import Column, table
from sync_server.reports.histograms import Histogram, draw_histogram
from sync_server.reports.site import enrolment_chart, visits_section
from sync_server.reports.wording import MISSING, Wording

COLUMNS: Final = 4
_GAP: Final = 14.0
_WIDTH: Final = (CONTENT_WIDTH - _GAP * (COLUMNS - 1)) / COLUMNS
_HISTOGRAM_HEIGHT: Final = 88.0
"""Without its title."""
_MOST_REASONS: Final = 6


def study_pdf(report: StudyReport, language: Language) -> bytes:
    """The report as a PDF file."""
    say = Wording(language)
    blocks = [*_head(report, say), *_flow(report, say), *section(say("section_enrolment"))]
    blocks += enrolment_chart(report.months, say)
    blocks += [*_sites(report, say), *visits_section(report.visits, say), *_distributions(report, say)]
    blocks += [*_retests(report, say), *provenance_section(report.provenance, say, about="study")]
    return make_pdf(
        blocks, say, kind="study", subject=report.study.code, study=report.study, provenance=report.provenance
    )


def _head(report: StudyReport, say: Wording) -> list[Block]:
    completed, past = visits_total(report.visits)
    through = report.provenance.complete_through
    shown = say("whole_study") if report.sites_shown is None else ", ".join(report.sites_shown)
    flagged = sum(each.flagged for each in report.sites)
    return [
        title(say("kind_study"), report.study.title or report.study.code, f"{report.study.code} · {shown}"),
        space(6),
        *facts(
            [
                Fact(
                    say("participants"),
                    say.number(report.participants.ever_enrolled),
                    say("enrolled_of_screened", number=say.number(report.participants.total)),
                ),
                Fact(
                    say("sessions"),
                    say.number(report.provenance.sessions),
                ),
                Fact(say("visits_completed"), say.of(completed, past), say("visits_completed_detail")),
                Fact(
                    say("sessions_flagged"),
                    say.of(flagged, report.provenance.sessions),
                    say("flagged_detail"),
                ),
                Fact(say("complete_through"), say.moment(through) if through else say("not_complete")),
                Fact(say("status"), say(f"study_{report.study.status}")),
            ]
        ),
    ]


def _flow(report: StudyReport, say: Wording) -> list[Block]:
    people, number = report.participants, say.number
    known: tuple[str, ...] = ()
    if report.not_on_roster:
        known = (say("flow_not_on_roster", number=number(report.not_on_roster)),)
    stages = [
        Step(say("flow_enrolled", number=number(people.ever_enrolled))),
        Step(say("flow_measured", number=number(report.with_sessions)), known),
        *(_visit_step(each, say) for each in report.visits),
    ]
    # Who left did so somewhere on the way; beside the last stage, what follows is what was less who left.
    stages[-1] = replace(
        stages[-1],
        left_head=say("flow_withdrawn", number=number(people.withdrawn)),
        left_details=_reasons(report.reasons, say),
    )
    steps = [
        Step(
            say("flow_roster", number=number(people.total)),
            (),
            say("flow_not_enrolled", number=number(people.screened)),
        ),
        *stages,
        Step(
            say("flow_end", number=number(people.enrolled + people.completed)),
            (
                say("flow_completed", number=number(people.completed)),
                say("flow_going_on", number=number(people.enrolled)),
            ),
        ),
    ]
    alternative = say(
        "flow_alternative",
        roster=people.total,
        enrolled=people.ever_enrolled,
        withdrawn=people.withdrawn,
        completed=people.completed,
    )
    return [*section(say("section_flow")), *flow_diagram(steps, alternative), space(10)]


def _visit_step(visit: VisitCount, say: Wording) -> Step:
    number = say.number
    details = [say("flow_visit_in_window", number=number(visit.in_window))]
    if visit.due or visit.planned:
        details.append(say("flow_visit_open", due=number(visit.due), planned=number(visit.planned)))
    if visit.missed or visit.cancelled:
        missed, cancelled = number(visit.missed), number(visit.cancelled)
        details.append(say("flow_visit_not_done", missed=missed, cancelled=cancelled))
    head = say("flow_visit", visit=visit_name(visit.visit, visit.title), number=number(visit.completed))
    return Step(head, details)


def _reasons(reasons: Sequence[ReasonCount], say: Wording) -> list[str]:
    lines = []
    for each in reasons[:_MOST_REASONS]:
        number = say.number(each.participants)
        if each.reason is None:
            lines.append(say("reason_none", number=number))
        elif not each.reason:
            lines.append(say("reason_consent", number=number))
        else:
            lines.append(say("reason_text", number=number, reason=each.reason))
    others = sum(each.participants for each in reasons[_MOST_REASONS:])
    if others:
        lines.append(say("reason_others", number=say.number(others)))
    return lines


def _sites(report: StudyReport, say: Wording) -> list[Block]:
    columns = [
        Column(say("site"), 3.2),
        Column(say("roster"), 1, is_number=True),
        Column(say("enrolled"), 1.1, is_number=True),
        Column(say("withdrawn"), 1.2, is_number=True),
        Column(say("completed"), 1.3, is_number=True),
        Column(say("sessions"), 1.3, is_number=True),
        Column(say("flagged"), 1.2, is_number=True),
        Column(say("visits"), 1.1, is_number=True),
        Column(say("complete_through"), 2.5),
    ]
    rows = [_site_row(each, say) for each in report.sites]
    if len(report.sites) > 1:
        rows.append(_all_row(report, say))
    return section(say("section_sites")) + table(columns, rows, empty=say("no_sites"))


def _site_row(line: SiteLine, say: Wording) -> list[str]:
    return [
        site_title(line.site, line.name),
        *_people(line.participants, say),
        say.number(line.sessions),
        say.share(line.flagged / line.sessions) if line.sessions else MISSING,
        say.share(line.visits_completed / line.visits_past) if line.visits_past else MISSING,
        say.moment(line.complete_through) if line.complete_through else say("never"),
    ]


def _all_row(report: StudyReport, say: Wording) -> list[str]:
    whole = SiteLine(
        site=say("all_sites"),
        name="",
        participants=report.participants,
        sessions=sum(each.sessions for each in report.sites),
        visits_completed=sum(each.visits_completed for each in report.sites),
        visits_past=sum(each.visits_past for each in report.sites),
        flagged=sum(each.flagged for each in report.sites),
        complete_through=report.provenance.complete_through,
    )
    return _site_row(whole, say)


def _people(counts: StatusCount, say: Wording) -> list[str]:
    numbers = counts.total, counts.ever_enrolled, counts.withdrawn, counts.completed
    return [say.number(number) for number in numbers]


def _distributions(report: StudyReport, say: Wording) -> list[Block]:
    blocks = section(say("section_distributions"))
    if not report.distributions:
        return blocks + paragraph(say("no_distributions"))
    blocks += note(say("distributions_legend", least=report.least_sample))
    for task, group in groupby(report.distributions, lambda each: each.variable.task or ""):
        distributions = list(group)
        lines = max(len(title_of(score_name(each.variable, say), _WIDTH)) for each in distributions)
        charts = [_histogram(each, lines, say) for each in distributions]
        blocks += subsection(task_name(task, say))
        height = _HISTOGRAM_HEIGHT + lines * SMALL_STRONG.size * LEADING
        blocks += multiples(charts, COLUMNS, height, _GAP)
    return blocks


def _histogram(distribution: Distribution, title_lines: int, say: Wording) -> Figure:
    sample, unit = distribution.sample, distribution.variable.unit
    n = say.number(sample.n)
    band = None
    note_text = ""
    if sample.median is not None and sample.lower_quartile is not None and sample.upper_quartile is not None:
        band = Band(sample.lower_quartile, sample.median, sample.upper_quartile)
        note_text = say(
            "distribution_note",
            median=say.score(band.middle, unit),
            low=say.score(band.low, unit, bare=True),
            high=say.score(band.high, unit, bare=True),
            n=n,
        )
    chart = Histogram(
        title=score_name(distribution.variable, say),
        title_lines=title_lines,
        bins=distribution.bins,
        low=distribution.low,
        high=distribution.high,
        ends=(say.score(distribution.low, unit), say.score(distribution.high, unit)),
        band=band,
        note=note_text,
        empty=say("sample_small", n=n),
    )
    alternative = say(
        "distribution_alternative",
        title=say.label(distribution.variable.label),
        note=note_text or chart.empty,
    )
    return Figure(
        alternative,
        lambda sheets, area: draw_histogram(sheets, chart, area),
    )


def _retests(report: StudyReport, say: Wording) -> list[Block]:
    columns = [
        Column(say("score"), 3.6),
        Column(say("pairs"), 0.7, is_number=True),
        Column(say("pearson"), 2, is_number=True),
        Column(say("icc"), 2, is_number=True),
        Column(say("mean_change"), 2.7, is_number=True),
        Column(say("standardised"), 0.8, is_number=True),
    ]
    shown = [_retest_row(each, report.least_sample, say) for each in report.retests]
    return [
        *section(say("section_retest")),
        *note(say("retest_legend", least=report.least_sample)),
        *table(columns, shown, empty=say("no_pairs")),
    ]


def _retest_row(retested: Retested, least: int, say: Wording) -> list[str]:
    name, found = say.label(retested.variable.label), retested.retest
    practice = found.practice_effect
    if practice.n < least:
        return [name, say.number(practice.n), MISSING, MISSING, MISSING, MISSING]
    unit = retested.variable.unit
    change = say.score(practice.mean_change, unit, sign=True)
    if practice.interval is not None:
        low, high = (say.score(value, unit, sign=True, bare=True) for value in practice.interval)
        mark = "*" if practice.verdict in ("rise", "fall") else ""
        change = f"{change}{mark} [{low}; {high}]"
    return [
        name,
        say.number(practice.n),
        _coefficient(found.pearson, say),
        _coefficient(found.icc, say),
        change,
        MISSING if practice.standardised is None else say.number(practice.standardised, 2),
    ]


def _coefficient(correlation: Correlation, say: Wording) -> str:
    if correlation.value is None:
        return MISSING
    shown = say.number(correlation.value, 2)
    if correlation.interval is None:
        return shown
    low, high = (say.number(value, 2) for value in correlation.interval)
    return f"{shown} [{low}; {high}]"
