"""The words of the portal, and the rules that its templates keep."""

import re
from collections.abc import Iterator
from datetime import UTC, datetime
from importlib import resources
from pathlib import Path
from string import Formatter

import pytest

from sync_server.portal.readable import program
from sync_server.portal.routes import PAGES
from sync_server.portal.texts import LANGUAGES, preferred, texts_in

PORTAL = Path(str(resources.files("sync_server.portal")))
TEMPLATES = sorted((PORTAL / "templates").rglob("*.html"))
SOURCES = [*TEMPLATES, *sorted(PORTAL.glob("*.py"))]


def placeholders(text: str) -> set[str]:
    return {name for _, name, _, _ in Formatter().parse(text) if name is not None}


def test_both_languages_have_the_same_texts_with_the_same_placeholders() -> None:
    english, french = (texts_in(language).texts for language in LANGUAGES)
    assert sorted(english) == sorted(french)
    differing = [key for key in english if placeholders(english[key]) != placeholders(french[key])]
    assert differing == []
    blank = [key for texts in (english, french) for key, text in texts.items() if not text.strip()]
    assert blank == []


def test_both_languages_are_set_as_they_are_printed() -> None:
    """One apostrophe; in French, spaces that no line breaks at before `: ; ? ! % »` and after `«`."""
    english, french = (texts_in(language).texts for language in LANGUAGES)
    typed = [key for texts in (english, french) for key, text in texts.items() if "'" in text]
    assert typed == []
    breaks = re.compile(r" [:;?!%»]|« |\w[;?!»]|«\w")
    assert [key for key, text in french.items() if breaks.search(text)] == []


def test_every_text_is_used() -> None:
    source = "\n".join(path.read_text() for path in SOURCES)
    whole = set(re.findall(r'"([a-z_]+(?:\.[a-z0-9_]+)+)"', source))
    beginnings = set(re.findall(r'(?:named\()"([a-z_]+(?:\.[a-z_]+)?)"', source))
    beginnings |= {each.rstrip(".") for each in re.findall(r'"([a-z_]+\.)" ~', source)}
    beginnings |= set(re.findall(r'filter_choice\(.*?"([a-z_]+)", \(', source))
    beginnings |= {"problem", "form", "choice", "page"}
    unused = [
        key
        for key in texts_in("en").texts
        if key not in whole
        and key.removesuffix(".one").removesuffix(".other") not in whole
        and not any(key.startswith(f"{each}.") for each in beginnings)
    ]
    assert unused == []
    assert sorted(set(_of_forms()) ^ {key for key in texts_in("en").texts if key.startswith("form.")}) == [
        "form.confirm"
    ]


def _of_forms() -> Iterator[str]:
    texts = texts_in("en")
    for form in (form for page in PAGES for form in page.forms):
        own = f"form.{form.name}"
        if form.name != "language":
            yield f"{own}.do"
            yield from (
                f"{own}.{field.label or field.name}" for field in form.fields if field.kind != "hidden"
            )
        if form.tries is not None:
            yield f"{own}.try"
        if form.shows is None and not form.asks:
            yield f"{own}.done"
        yield from (f"{own}.{field.name}_hint" for field in form.fields if field.hint)
        maybe = (f"{own}.{field.name}{what}" for field in form.fields for what in ("_wrong", "_none"))
        yield from (key for key in maybe if key in texts)


def test_every_page_and_choice_has_a_name() -> None:
    texts = texts_in("en")
    for page in PAGES:
        assert f"page.{page.name}" in texts
        for field in (field for form in page.forms for field in form.fields):
            if field.name != "language":
                assert all(f"choice.{field.name}.{choice}" in texts for choice in field.choices)


@pytest.mark.parametrize("path", TEMPLATES, ids=lambda path: path.name)
def test_a_template_trusts_nothing_and_says_nothing_itself(path: Path) -> None:
    text = path.read_text()
    assert not re.search(r"\|\s*safe\b|Markup|autoescape", text)
    assert not re.search(r"<style|style=|<script(?! type=\"module\" src=)|\son\w+=", text)
    outside = re.sub(r"{%.*?%}|{{.*?}}|{#.*?#}", "", text, flags=re.DOTALL)
    outside = re.sub(r"<[^>]*>", " ", outside)
    words = set(re.findall(r"[A-Za-z]{3,}", outside)) - {"Metricis"}
    assert words == set()


def test_nothing_in_the_portal_marks_text_as_safe() -> None:
    trusting = [
        path.name for path in PORTAL.glob("*.py") if re.search(r"\bMarkup\b|\|safe", path.read_text())
    ]
    assert trusting == []


def test_numbers_times_and_plurals_are_as_the_language_has_them() -> None:
    english, french = texts_in("en"), texts_in("fr")
    moment = datetime(2026, 8, 3, 14, 5, tzinfo=UTC)
    assert english.moment(moment) == "3 Aug 2026, 14:05 UTC"
    assert french.moment(moment) == "3 août 2026, 14:05 UTC"
    assert english.number(12345.678) == "12,345.68"
    assert french.number(1.5) == "1,5"
    assert english("todo.holding", count=1) == "1 tablet still holds documents"
    assert english("todo.holding", count=0) == "0 tablets still hold documents"
    assert french("todo.holding", count=0) == "0 tablette détient encore des documents"
    assert french("todo.holding", count=2) == "2 tablettes détiennent encore des documents"
    assert (english.size(999), english.size(1_430_000_000)) == ("999\u00a0B", "1.4\u00a0GB")
    assert french.size(640_000_000) == "640\u00a0Mo"
    assert (english.duration(200), french.duration(172800)) == ("3\u00a0min", "2\u00a0j")
    assert (english.tongue("es"), french.tongue("es"), french.tongue("x-y")) == ("Spanish", "espagnol", "x-y")
    assert english.named("site_state", "made up") == "made up"
    with pytest.raises(LookupError):
        english("no.such.text")


@pytest.mark.parametrize(
    ("agent", "name"),
    [
        (
            "Mozilla/5.0 (X11; Linux x86_64) AppleWebKit/537.36 Chrome/153.0.0.0 Safari/537.36",
            "Chrome 153, Linux",
        ),
        ("Mozilla/5.0 (Windows NT 10.0) Chrome/153.0.0.0 Safari/537.36 Edg/153.0.1", "Edge 153, Windows"),
        ("Mozilla/5.0 (Macintosh; Intel Mac OS X 15_0) Version/19.1 Safari/605.1.15", "Safari 19, macOS"),
        ("Mozilla/5.0 (Android 14; Mobile; rv:140.0) Gecko/140.0 Firefox/140.0", "Firefox 140, Android"),
        ("curl/8.5.0", "curl/8.5.0"),
        ("<b>Chrome/1</b> Linux", "<b>Chrome/1</b> Linux"),
    ],
)
def test_a_browser_is_called_as_people_call_it_and_what_nobody_knows_as_it_says(
    agent: str, name: str
) -> None:
    assert program(agent) == name


@pytest.mark.parametrize(
    ("header", "language"),
    [("", "en"), ("fr", "fr"), ("fr-CA,en;q=0.8", "fr"), ("de,en-GB;q=0.9,fr;q=0.5", "en"), ("*", "en")],
)
def test_the_browsers_first_language_that_there_is_is_taken(header: str, language: str) -> None:
    assert preferred(header) == language
