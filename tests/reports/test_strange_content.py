"""Reports of nothing, of very much, and of hostile text."""

from datetime import date

import msgspec
import pytest

from reporting.reports.contents import (
    FlagCount,
    MonthCount,
    ReasonCount,
    SessionShown,
    StatusCount,
    StudyHeading,
)
from reporting.reports.score_rows import SHOWN
from sync_server.reports.flow import CONTENT_WIDTH, MARGIN
from sync_server.reports.participant import participant_pdf
from sync_server.reports.site import site_pdf
from sync_server.reports.study import study_pdf
from tests.reports.pdf_files import Pdf
from tests.reports.report_examples import (
    courses_shown,
    participant_report,
    provenance,
    sessions_shown,
    site_report,
    standing,
    study_report,
    visit_counts,
)

SCRIPTS = {
    "Latin": "Jürgen Groß-Ångström",
    "Greek": "Ελληνικός Όμιλος",
    "Cyrillic": "Клиника Святого",
    "Arabic": "مستشفى الملك",
    "Hebrew": "מרכז רפואי",
    "Japanese": "東京大学病院",
    "Korean": "서울대학교병원",
    "Chinese": "北京协和医院",
    "Devanagari": "आयुर्विज्ञान संस्थान",
}

HOSTILE = (
    "<b>bold</b>",
    "<font color='red'>&lt;para&gt;",
    "a\x00b\x1b[31m\r\nc",
    "P\u202e0042\u2066",
    ")Tj ET (",
    "\\001%PDF",
    "\U0001f600\U000f1234",
    "x" * 4_000,
    "word " * 800,
    "مرحبا" * 400,
)


def within_margins(pdf: Pdf) -> None:
    for page in range(len(pdf)):
        beyond = pdf.words_beyond(page, MARGIN - 2, MARGIN + CONTENT_WIDTH + 2)
        assert beyond == [], (page, beyond[:20])


@pytest.mark.parametrize("script", SCRIPTS)
def test_names_of_every_script_are_written_and_can_be_found(script: str) -> None:
    name = SCRIPTS[script]
    report = site_report(name=name, study=StudyHeading("MEMO", name, "active"), standing=standing(name=name))
    pdf = Pdf(site_pdf(report, "fr"))
    text = "".join(pdf.texts.split())
    assert "[U+" not in text.replace("[U+0007]", "")
    # PDFium gives Devanagari in the order of its glyphs, and turns some Arabic words round.
    if script != "Devanagari":
        words = [(word, word[::-1]) if script == "Arabic" else (word,) for word in name.split()]
        assert all(any(each in text for each in word) for word in words)
    assert pdf.metadata["Title"] == "Rapport de centre · MEMO · lima"
    within_margins(pdf)


def test_hostile_text_is_text_and_stays_within_the_margins() -> None:
    for number, text in enumerate(HOSTILE):
        report = participant_report(
            1,
            participant=text,
            site=text[:60],
            site_name=text,
            language=text,
            study=StudyHeading(text[:64], text, "active"),
            courses=(),
            flags=(FlagCount(text, "info", 1, 1),),
        )
        pdf = Pdf(participant_pdf(report, "en" if number % 2 else "fr"))
        within_margins(pdf)
        assert 1 <= len(pdf) <= 4
    pdf = Pdf(participant_pdf(participant_report(0, participant=HOSTILE[0]), "en"))
    assert "<b>bold</b>" in pdf.text(0)
    pdf = Pdf(participant_pdf(participant_report(0, participant="P\u202e0042"), "en"))
    assert "P[U+202E]0042" in pdf.text(0)


@pytest.mark.parametrize(("number", "pages"), [(0, (1, 1)), (1, (3, 4)), (200, (7, 9))])
def test_a_participant_with_no_one_or_two_hundred_sessions(number: int, pages: tuple[int, int]) -> None:
    pdf = Pdf(participant_pdf(participant_report(number), "en"))
    assert pages[0] <= len(pdf) <= pages[1]
    within_margins(pdf)
    text = pdf.texts
    if not number:
        assert "No session has arrived." in text
        assert "No session has a scored task yet." in text
    if number == 200:
        heads = [page for page in range(len(pdf)) if "Revision" in pdf.text(page)]
        assert len(heads) >= 4
        assert "200" in pdf.text(heads[-1])


def test_scores_that_are_missing_are_told() -> None:
    undefined = courses_shown(0, 60, SHOWN[:1])[0]
    small = courses_shown(2, 5, SHOWN[1:2])[0]
    report = participant_report(2, courses=(undefined, small))
    text = Pdf(participant_pdf(report, "en")).texts
    assert "do not define this score" in " ".join(text.split())
    assert "sample too small (n = 5)" in text
    assert "too few pairs (n = 5)" in text
    assert "Not done: Choice RT, Attention network" in text


def test_sessions_without_dates_stand_one_after_the_other() -> None:
    days = tuple(_without(each, on=None) for each in sessions_shown(3))
    text = Pdf(participant_pdf(participant_report(3, sessions=days), "en")).texts
    assert "day 0" in text
    assert "day 14" in text
    orders = tuple(_without(each, on=None, day=None) for each in sessions_shown(3))
    assert "session 3" in Pdf(participant_pdf(participant_report(3, sessions=orders), "en")).texts


def test_a_site_and_a_study_of_nobody() -> None:
    site = site_report(
        participants=StatusCount(),
        months=(),
        undated=0,
        visits=(),
        sessions=0,
        sessions_completed=0,
        sessions_flagged=0,
        sessions_serious=0,
        flags=(),
        devices=(),
        standing=standing(complete_through=None, name=None),
    )
    text = Pdf(site_pdf(site, "en")).texts
    for sentence in ("Nobody has been enrolled", "plans no visits", "Nothing was remarked", "No tablet has"):
        assert sentence in text
    study = study_report((), 0, months=(), visits=(), reasons=(), participants=StatusCount())
    text = Pdf(study_pdf(study, "en")).texts
    for sentence in ("runs at no site", "No score has arrived", "measured twice yet", "On the roster: 0"):
        assert sentence in text


def test_a_large_study_takes_the_pages_that_it_takes() -> None:
    sites = [f"site-{number:03}" for number in range(120)]
    study = study_report(
        sites,
        months=tuple(MonthCount(date(1990 + n // 12, n % 12 + 1, 1), n, n) for n in range(400)),
        visits=visit_counts(60),
        reasons=tuple(ReasonCount(f"reason {number} " * 12, 1) for number in range(40)),
        provenance=provenance(sites=sites),
    )
    pdf = Pdf(study_pdf(study, "fr"))
    assert 15 <= len(pdf) <= 32
    within_margins(pdf)
    assert len(pdf.content) < 400_000
    assert "34 : autres raisons" in " ".join(pdf.texts.split())


def test_what_a_flow_says_of_who_is_left_is_what_was_less_who_left() -> None:
    text = " ".join(Pdf(study_pdf(study_report(), "en")).texts.split())
    order = ("Enrolled: 60", "With a completed session: 58", "Visit 2 (v2): 22 completed", "Withdrawn: 5")
    places = [text.index(each) for each in (*order, "In the study: 55")]
    assert places == sorted(places)


def test_a_reason_in_the_words_of_a_person_is_shown_as_it_is() -> None:
    study = study_report(reasons=(ReasonCount("moved to <Paris>", 3), ReasonCount(None, 2)))
    assert "3: moved to <Paris>" in Pdf(study_pdf(study, "en")).texts


def _without(session: SessionShown, **changes: None) -> SessionShown:
    return msgspec.structs.replace(session, **changes)
