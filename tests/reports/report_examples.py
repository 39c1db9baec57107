"""Reports' contents made up, as large and as strange as a test wants them."""

import math
from collections.abc import Sequence
from datetime import UTC, date, datetime, timedelta
from typing import Any

from reporting.reports.contents import (
    DeviceShown,
    FlagCount,
    MonthCount,
    Occasion,
    ParticipantReport,
    Provenance,
    ReasonCount,
    Retested,
    ScoreCourse,
    ScoringVersion,
    SessionShown,
    SiteCompleteness,
    SiteLine,
    SiteReport,
    StatusCount,
    StudyHeading,
    StudyReport,
    VisitCount,
    VisitShown,
)
from reporting.reports.measuring import course, distribution, retest
from reporting.reports.score_rows import SHOWN, ScoreSample
from reporting.research.measurements import LeftOut, Sample
from reporting.research.variables import Unit, Variable

THROUGH = datetime(2026, 3, 1, 6, 30, tzinfo=UTC)
FIRST_DAY = date(2025, 1, 6)


def standing(site: str = "lima", **changes: object) -> SiteCompleteness:
    known: dict[str, Any] = {
        "site": site,
        "name": f"Clinic of {site}",
        "complete_through": THROUGH,
        "devices_outstanding": 1,
        "documents_outstanding": 3,
        "quarantined": 2,
        "waived": 1,
        "conflicts": 0,
    }
    return SiteCompleteness(**{**known, **changes})


def provenance(policy: str = "identified", sites: Sequence[str] = ("lima",)) -> Provenance:
    return Provenance(
        standing=tuple(standing(site) for site in sites),
        scoring=(ScoringVersion("stroop", (1, 2)), ScoringVersion("simon", (1,))),
        sessions=7,
        revisions_digest="ab" * 32,
        is_identified=policy == "identified",
        policy=policy,
    )


def value_of(variable: Variable, place: int) -> float:
    """Something that such a score may be, different from place to place."""
    wave = math.sin(place * 1.7)
    if variable.unit is Unit.SHARE:
        return 0.9 + 0.09 * wave
    return 5 + wave if variable.unit is Unit.DIGITS else 500 + 90 * wave


def sample_of(variable: Variable, n: int) -> ScoreSample:
    """n participants at two visits, `P-0` the first of them."""
    before = {f"P-{place}": value_of(variable, place) for place in range(n)}
    after = {
        who: value + value_of(variable, place * 3) / 50 for place, (who, value) in enumerate(before.items())
    }
    sample = Sample({"base": before, "month-6": after}, LeftOut(0, 0, 0, 0), (1,))
    return ScoreSample(variable, sample, ("base", "month-6"))


def sessions_shown(number: int) -> tuple[SessionShown, ...]:
    return tuple(
        SessionShown(
            site="lima",
            on=FIRST_DAY + timedelta(days=7 * place),
            day=7 * place,
            visit=f"visit-{place + 1}",
            status="completed" if place % 5 != 3 else "abandoned",
            task_runs=7,
            flags=place % 3,
            serious=0,
            rev=f"{place + 1}-0123456789abcdef",
        )
        for place in range(number)
    )


def courses_shown(number: int, n: int, variables: Sequence[Variable] = SHOWN) -> tuple[ScoreCourse, ...]:
    """All scores of so many sessions, beside a sample of n."""
    return tuple(
        course(
            variable,
            [Occasion(place, value_of(variable, place)) for place in range(number)],
            0,
            sample_of(variable, n),
            "P-0",
        )
        for variable in variables
    )


def participant_report(number: int = 4, n: int = 60, **changes: object) -> ParticipantReport:
    """A participant with so many sessions, each with all tasks, beside a sample of n."""
    known: dict[str, Any] = {
        "study": StudyHeading("MEMO", "Memory after stroke", "active"),
        "participant": "P-0042",
        "site": "lima",
        "site_name": "Clinic of lima",
        "status": "enrolled",
        "language": "es",
        "enrolled": FIRST_DAY,
        "sessions": sessions_shown(number),
        "courses": courses_shown(number, n) if number else (),
        "flags": (FlagCount("missed_share", "serious", 2, 1), FlagCount("focus_lost", "info", 40, 3)),
        "visits": (
            VisitShown("base", "Baseline", "completed", FIRST_DAY, 0, FIRST_DAY, 0, True),
            VisitShown("month-6", "", "planned", None, None, None, None, None),
        ),
        "least_sample": 20,
        "provenance": provenance(),
    }
    return ParticipantReport(**{**known, **changes})


def months(number: int) -> tuple[MonthCount, ...]:
    return tuple(
        MonthCount(date(2020 + place // 12, place % 12 + 1, 1), place % 5, 3 * (place % 7))
        for place in range(number)
    )


def visit_counts(number: int) -> tuple[VisitCount, ...]:
    return tuple(
        VisitCount(f"v{place}", f"Visit {place}", 4, 3, 20 + place, 5, 1, 12) for place in range(number)
    )


def site_report(**changes: object) -> SiteReport:
    known: dict[str, Any] = {
        "study": StudyHeading("MEMO", "Memory after stroke", "active"),
        "site": "lima",
        "name": "Clinic of lima",
        "timezone": "America/Lima",
        "status": "open",
        "participants": StatusCount(4, 30, 3, 7),
        "months": months(14),
        "undated": 2,
        "visits": visit_counts(3),
        "sessions": 210,
        "sessions_flagged": 20,
        "sessions_serious": 4,
        "sessions_completed": 200,
        "flags": (FlagCount("missed_share", "serious", 5, 4),),
        "devices": (DeviceShown("tab-1", "Room 2", "1.4.0", 3, THROUGH),),
        "standing": standing(),
        "provenance": provenance(),
    }
    return SiteReport(**{**known, **changes})


def study_report(sites: Sequence[str] = ("lima", "nairobi"), n: int = 60, **changes: object) -> StudyReport:
    samples = [sample_of(variable, n) for variable in SHOWN] if n else []
    known: dict[str, Any] = {
        "study": StudyHeading("MEMO", "Memory after stroke", "active"),
        "sites_shown": None,
        "participants": StatusCount(12, 30, 5, 25),
        "with_sessions": 58,
        "not_on_roster": 1,
        "reasons": (ReasonCount("", 3), ReasonCount(None, 2)),
        "months": months(14),
        "visits": visit_counts(3),
        "distributions": tuple(distribution(each) for each in samples),
        "retests": tuple(
            Retested(each.variable, found) for each in samples if (found := retest(each)) is not None
        ),
        "sites": tuple(
            SiteLine(site, f"Clinic of {site}", StatusCount(6, 15, 2, 12), 100, 40, 50, 9, THROUGH)
            for site in sites
        ),
        "least_sample": 20,
        "provenance": provenance(sites=sites),
    }
    return StudyReport(**{**known, **changes})
