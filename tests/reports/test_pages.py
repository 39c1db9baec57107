"""Reports as PDF files: what is written where, fonts, bookmarks, tags, and the same bytes twice."""

import subprocess
import sys
from collections.abc import Callable
from functools import cache
from typing import Any

import msgspec
import pytest

from reporting.reports.contents import Kind, StudyHeading
from reporting.research.variables import Language
from sync_server.reports.common import language_of
from sync_server.reports.participant import participant_pdf
from sync_server.reports.site import site_pdf
from sync_server.reports.study import study_pdf
from sync_server.reports.texts import TEXTS
from sync_server.reports.wording import Wording
from tests.reports.pdf_files import Pdf, count
from tests.reports.report_examples import participant_report, provenance, site_report, study_report

DRAWN: dict[Kind, tuple[Callable[..., bytes], Callable[..., Any]]] = {
    "participant": (participant_pdf, participant_report),
    "site": (site_pdf, site_report),
    "study": (study_pdf, study_report),
}
KINDS = list(DRAWN)
LANGUAGES: list[Language] = ["en", "fr"]

SECTIONS: dict[Kind, list[str]] = {
    "participant": ["scores", "sessions", "visits", "quality", "provenance"],
    "site": ["enrolment", "activity", "visits", "quality", "sync", "provenance"],
    "study": ["flow", "enrolment", "sites", "visits", "distributions", "retest", "provenance"],
}

WRITTEN = {
    ("participant", "en"): [
        "Page 1 of",
        "P-0042",
        "6 Jan 2025",
        "Data complete through 1 Mar 2026, 06:30 UTC",
    ],
    ("participant", "fr"): ["Page 1 sur", "P-0042", "6 janv. 2025", "percentile", "terminées : 3"],
    ("site", "en"): ["Clinic of lima", "63 of 78 (81%)", "America/Lima", "Room 2 (tab-1)", "20 of 210 (10%)"],
    ("site", "fr"): ["Fuseau horaire", "En attente sur les tablettes", "20 sur 210 (10 %)", "janv. 2020"],
    ("study", "en"): ["On the roster: 72", "Withdrawn: 5", "3: consent withdrawn", "2: no reason on record"],
    ("study", "fr"): ["Sur la liste : 72", "Retirés : 5", "3 : consentement retiré", "CCI(2,1)"],
}


@cache
def drawn(kind: Kind, language: Language) -> bytes:
    draw, example = DRAWN[kind]
    return draw(example(), language)


def compact(text: str) -> str:
    """Without white space: PDFium puts some between words as it sees fit."""
    return "".join(text.split())


@pytest.mark.parametrize("language", LANGUAGES)
@pytest.mark.parametrize("kind", KINDS)
def test_a_report_says_what_it_has_to_in_both_languages(kind: Kind, language: Language) -> None:
    pdf, say = Pdf(drawn(kind, language)), Wording(language)
    everything = compact(pdf.texts)
    for expected in WRITTEN[kind, language]:
        assert compact(expected) in everything, expected
    for page in range(len(pdf)):
        assert compact(say("page", number=page + 1, total=len(pdf))) in compact(pdf.text(page))
    assert "[U+" not in everything.replace("[U+0007]", "")
    assert pdf.metadata["Author"] == pdf.metadata["Producer"] == "Metricis Sync"
    assert pdf.metadata["Subject"] == say(f"subject_{kind}")
    assert pdf.metadata["Title"].startswith(say(f"kind_{kind}"))
    assert pdf.metadata["CreationDate"] == "D:20260301063000+00'00'"
    assert f"/Lang ({language})" in pdf.objects


@pytest.mark.parametrize("language", LANGUAGES)
@pytest.mark.parametrize("kind", KINDS)
def test_every_section_is_a_bookmark_of_its_page(kind: Kind, language: Language) -> None:
    pdf, say = Pdf(drawn(kind, language)), Wording(language)
    assert [title for level, title, _ in pdf.outline if level == 1] == [
        say(f"section_{name}") for name in SECTIONS[kind]
    ]
    for _, title, page in pdf.outline:
        assert compact(title) in compact(pdf.text(page)), title


@pytest.mark.parametrize("kind", KINDS)
def test_every_font_is_embedded_and_its_text_can_be_copied(kind: Kind) -> None:
    pdf = Pdf(drawn(kind, "fr"))
    assert {name.partition("+")[2] for name in pdf.fonts} == {"NotoSans-Regular", "NotoSans-Bold"}
    descriptors = count(pdf, r"/Type /FontDescriptor")
    assert descriptors == count(pdf, r"/FontFile[23] ") == count(pdf, r"/ToUnicode ") == 2
    assert count(pdf, r"/Subtype /Type0") == 2
    assert count(pdf, r"/Subtype /(Type1|TrueType)") == 0


@pytest.mark.parametrize("kind", KINDS)
def test_everything_on_a_page_has_a_tag_or_is_an_artifact(kind: Kind) -> None:
    pdf = Pdf(drawn(kind, "en"))
    assert "/Marked true" in pdf.objects
    assert count(pdf, r"/StructParents \d+") == len(pdf)
    assert count(pdf, r"/S /H1\b") == 1
    assert count(pdf, r"/S /H2\b") == len(SECTIONS[kind])
    assert count(pdf, r"/S /Figure\b") == count(pdf, r"/Alt \(") > 0
    assert count(pdf, r"/S /TD\b") > count(pdf, r"/S /TR\b") > count(pdf, r"/S /Table\b") > 0
    pages = [stream.decode("latin-1") for stream in pdf.streams() if b" BDC" in stream]
    assert len(pages) == len(pdf)
    for page in pages:
        depth = 0
        for operator in page.split("\n"):
            if operator.endswith((" BDC", " BMC")):
                depth += 1
            elif operator == "EMC":
                depth -= 1
            elif operator.endswith((" TJ", " S Q", " f Q", " b Q", " s Q")):
                assert depth > 0, operator
        assert depth == 0


@pytest.mark.parametrize("kind", KINDS)
def test_the_same_content_is_the_same_bytes_and_other_content_is_not(kind: Kind) -> None:
    draw, example = DRAWN[kind]
    assert draw(example(), "en") == drawn(kind, "en")
    other = msgspec.structs.replace(example(), study=StudyHeading("MEMO", "Another title", "active"))
    assert draw(other, "en") != drawn(kind, "en")


def test_another_process_at_another_time_makes_the_same_bytes() -> None:
    program = (
        "import hashlib;from sync_server.reports.study import study_pdf;"
        "from tests.reports.report_examples import study_report;"
        "print(hashlib.sha256(study_pdf(study_report(), 'en')).hexdigest())"
    )
    environment = {"PYTHONHASHSEED": "7", "TZ": "Asia/Tokyo", "SOURCE_DATE_EPOCH": "1", "LC_ALL": "C"}
    there = subprocess.run(
        [sys.executable, "-c", program], env=environment, capture_output=True, text=True, check=True
    )
    import hashlib  # noqa: PLC0415

    assert there.stdout.strip() == hashlib.sha256(drawn("study", "en")).hexdigest()


def test_charts_have_ink_where_they_stand() -> None:
    participant = Pdf(drawn("participant", "en"))
    # The first row of charts: its plots, and the gap between the first two.
    rows = [ink for ink in (participant.ink(0, 75, top, 205, top + 50) for top in range(330, 700, 25)) if ink]
    assert max(rows) > 0.3
    study = Pdf(drawn("study", "en"))
    page = next(page for _, title, page in study.outline if title == "Distributions of scores")
    assert study.ink(page + 1, 48, 60, 547, 780) > 0.05
    site = Pdf(drawn("site", "en"))
    assert site.ink(0, 60, 270, 540, 400) > 0.05


def test_a_pseudonym_is_called_one_and_shifted_dates_are_told() -> None:
    report = participant_report(provenance=provenance("pseudonym/shifted"))
    text = Pdf(participant_pdf(report, "en")).texts
    assert "Participant report · Pseudonym" in text
    assert "Dates are shifted" in text
    assert "participants by pseudonym, dates shifted" in text


def test_every_text_is_there_in_both_languages_with_the_same_places_to_fill() -> None:
    for key, text in TEXTS.items():
        assert text.en.strip(), key
        assert text.fr.strip(), key
        places = [{part.split("}")[0] for part in each.split("{")[1:]} for each in (text.en, text.fr)]
        assert places[0] == places[1], key
        # French has a space before these, and a comma in numbers.
        assert not any(f"{letter}{mark}" in text.fr for mark in ":;?!" for letter in "aeéirstx}"), key


@pytest.mark.parametrize("missing", ["uharfbuzz", "manimgx_fonts"])
def test_without_the_packages_that_draw_a_sentence_says_what_to_install(missing: str) -> None:
    program = (
        f"import sys; sys.modules['{missing}'] = sys.modules['manimgx_fonts_cjk'] = None;"
        "from sync_server.reports.making import draw_report;"
        "from sync_server.research_files.making import Wanted;"
        "from tests.reports.report_examples import site_report;"
        "draw_report(site_report(), Wanted(kind='site_report', study='MEMO', sites=None,"
        " identified=False, request={}))"
    )
    there = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=False)
    assert f"CannotMake: {missing} is not installed here: install metricis-sync[reports]." in there.stderr


def test_a_language_that_there_is_not_is_refused() -> None:
    assert [language_of(each) for each in LANGUAGES] == LANGUAGES
    with pytest.raises(ValueError, match="not 'de'"):
        language_of("de")
