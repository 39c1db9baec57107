"""The pages of a site's report."""

from collections.abc import Sequence
from dataclasses import replace

from reporting.reports.contents import MonthCount, SiteReport, VisitCount
from reporting.research.variables import Language
from sync_server.reports.bars import BAR, Months, Part, Stacked, draw_months, draw_stacked, sum_ticks
from sync_server.reports.blocks import Fact, Figure, facts, figure, note, paragraph, section, title
from sync_server.reports.common import (
    flags_table,
    make_pdf,
    provenance_section,
    site_title,
    study_title,
    visit_name,
    visits_total,
)
from sync_server.reports.flow import TALLEST, Block, space
from sync_server.reports.grid import Column, table
from sync_server.reports.sheets import BAND, BLUE, FAINT, INK, WHITE
from sync_server.reports.wording import MISSING, Wording

_CHART_HEIGHT = 150.0


def site_pdf(report: SiteReport, language: Language) -> bytes:
    """The report as a PDF file."""
    say = Wording(language)
    blocks = [*_head(report, say), *_enrolment(report, say)]
    blocks += [*visits_section(report.visits, say), *_quality(report, say), *_sync(report, say)]
    blocks += provenance_section(report.provenance, say, about="site")
    return make_pdf(
        blocks, say, kind="site", subject=report.site, study=report.study, provenance=report.provenance
    )


def _head(report: SiteReport, say: Wording) -> list[Block]:
    completed, past = visits_total(report.visits)
    through = report.standing.complete_through
    return [
        title(say("kind_site"), site_title(report.site, report.name), study_title(report.study)),
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
                    say.number(report.sessions),
                    say("completed_sessions", number=say.number(report.sessions_completed)),
                ),
                Fact(say("visits_completed"), say.of(completed, past), say("visits_completed_detail")),
                Fact(
                    say("sessions_flagged"),
                    say.of(report.sessions_flagged, report.sessions),
                    say("flagged_detail"),
                ),
                Fact(say("complete_through"), say.moment(through) if through else say("never")),
                Fact(say("timezone"), report.timezone, say(f"site_{report.status}")),
            ]
        ),
    ]


def _enrolment(report: SiteReport, say: Wording) -> list[Block]:
    blocks = section(say("section_enrolment"))
    blocks += enrolment_chart(report.months, say)
    if report.undated:
        blocks += note(say("undated", number=say.number(report.undated)))
    if any(month.sessions for month in report.months):
        blocks += section(say("section_activity"))
        blocks.append(_months(report.months, [each.sessions for each in report.months], "sessions", say))
    return blocks


def enrolment_chart(months: Sequence[MonthCount], say: Wording) -> list[Block]:
    """Enrolled by month, and how many so far; a sentence where there is nobody."""
    if not any(month.enrolled for month in months):
        return paragraph(say("no_enrolment"))
    return [_months(months, [each.enrolled for each in months], "enrolled", say)]


def _months(months: Sequence[MonthCount], counts: list[int], what: str, say: Wording) -> Block:
    total = sum(counts)
    chart = Months(
        labels=[say.month(each.month) for each in months],
        counts=counts,
        counts_name=say(f"{what}_by_month"),
        sum_name=say("enrolled_so_far"),
        tick_labels=[say.number(tick) for tick in sum_ticks(counts)],
        sum_label=say.number(total),
    )
    alternative = say(
        "months_alternative",
        first=chart.labels[0],
        last=chart.labels[-1],
        what=chart.counts_name,
        total=chart.sum_label,
    )
    return figure(
        Figure(
            alternative,
            lambda sheets, area: draw_months(sheets, chart, area),
        ),
        _CHART_HEIGHT,
    )


def visits_section(visits: Sequence[VisitCount], say: Wording) -> list[Block]:
    """Visits by state, a bar a visit definition."""
    blocks = section(say("section_visits"))
    if not visits:
        return blocks + paragraph(say("no_visits"))
    # Three greys and a blue that differ in lightness: read in black and white too.
    looks = {
        "completed": (BLUE, WHITE),
        "due": (BAND, INK),
        "planned": (WHITE, INK),
        "missed": (FAINT, INK),
    }
    key = [(say(f"visit_{state}"), Part(0, *look)) for state, look in looks.items()]
    most = int(TALLEST / BAR) - 4
    for start in range(0, len(visits), most):
        part = visits[start : start + most]
        bars = [
            Stacked(
                visit_name(each.visit, each.title),
                [Part(getattr(each, state), *look) for state, look in looks.items()],
                _completion(each, say),
            )
            for each in part
        ]
        blocks.append(_bars(part, bars, key, say))
    cancelled = sum(each.cancelled for each in visits)
    return blocks + note(say("visits_note", number=say.number(cancelled)))


def _bars(
    visits: Sequence[VisitCount], bars: list[Stacked], key: list[tuple[str, Part]], say: Wording
) -> Block:
    rows = "; ".join(
        say("visits_row", visit=each.visit, completed=each.completed, total=each.total) for each in visits
    )
    chart = Figure(
        say("visits_alternative", rows=rows),
        lambda sheets, area: draw_stacked(sheets, bars, key, area),
    )
    return figure(chart, 18 + BAR * len(bars) + 10)


def _completion(visit: VisitCount, say: Wording) -> str:
    past = visit.completed + visit.missed
    if not past or not visit.completed:
        return MISSING
    return say(
        "of_completed",
        share=say.share(visit.completed / past),
        window=say.share(visit.in_window / visit.completed),
    )


def _quality(report: SiteReport, say: Wording) -> list[Block]:
    summary = paragraph(
        say(
            "quality_summary",
            flagged=say.of(report.sessions_flagged, report.sessions),
            serious=say.of(report.sessions_serious, report.sessions),
        )
    )
    return [
        *section(say("section_quality")),
        *(replace(each, with_next=True) for each in summary),
        *flags_table(report.flags, say),
    ]


def _sync(report: SiteReport, say: Wording) -> list[Block]:
    standing = report.standing
    columns = [
        Column(say("device"), 3),
        Column(say("app"), 1.4),
        Column(say("waiting"), 1, is_number=True),
        Column(say("told_at"), 2.2),
    ]
    rows = [
        [
            f"{each.label} ({each.device})" if each.label else each.device,
            each.app_version or MISSING,
            MISSING if each.outstanding is None else say.number(each.outstanding),
            say.moment(each.told_at),
        ]
        for each in report.devices
    ]
    return [
        *section(say("section_sync")),
        *facts(
            [
                Fact(
                    say("outstanding"),
                    say.number(standing.documents_outstanding),
                    say("outstanding_detail", number=say.number(standing.devices_outstanding)),
                ),
                Fact(
                    say("quarantined"),
                    say.number(standing.quarantined),
                    say("quarantined_detail", number=say.number(standing.waived)),
                ),
                Fact(say("conflicts"), say.number(standing.conflicts), say("conflicts_detail")),
            ]
        ),
        *table(columns, rows, empty=say("no_devices")),
    ]
