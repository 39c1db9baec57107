"""What reminders say: the nearest language, closed placeholders, values as they are."""

from datetime import date

import pytest
from hypothesis import given
from hypothesis import strategies as st

from reporting.reminders.texts import (
    BUILT_IN,
    PLACEHOLDERS,
    Template,
    UnknownPlaceholder,
    Words,
    check,
    chosen,
    filled_in,
    written_out,
)

WORDS = Words("Ada", "Baseline", date(2026, 5, 10), date(2026, 5, 17), "Lima", "https://x.example/?token=1.a")
TEMPLATES = [Template(language, language, "x") for language in ("fr", "fr-CA", "pt-BR", "en")]


@pytest.mark.parametrize(
    ("language", "fallback", "expected"),
    [
        ("fr-CA", "en", "fr-CA"),
        ("fr-BE", "en", "fr"),
        ("FR-ca", "en", "fr-CA"),
        ("pt", "en", "en"),
        ("es", "pt-BR", "pt-BR"),
        (None, "fr-FR", "fr"),
    ],
)
def test_the_nearest_language_is_chosen(language: str | None, fallback: str, expected: str) -> None:
    assert chosen(TEMPLATES, language, fallback).language == expected


def test_without_templates_there_is_a_text_in_any_language() -> None:
    assert chosen([], "fr-CA", "en") == BUILT_IN[1]
    assert chosen([], "qu", "es") == BUILT_IN[0]
    for template in BUILT_IN:
        check(template.subject)
        check(template.text)
    said = filled_in(BUILT_IN[0], WORDS._replace(name=""), with_stop=True)
    assert said.text.startswith("Hello,\n")
    assert WORDS.stop in said.text
    assert said.subject == "Your visit on Sunday, May 10, 2026"


@pytest.mark.parametrize(
    ("language", "expected"),
    [("fr", "dimanche 10 mai 2026"), ("xx", "2026-05-10"), ("pt-BR", "domingo, 10 de maio de 2026")],
)
def test_days_are_written_out(language: str, expected: str) -> None:
    assert written_out(date(2026, 5, 10), language) == expected


@given(st.text(), st.text(), st.text())
def test_whatever_a_value_is_it_is_put_in_and_nothing_in_it_is_filled_in(
    name: str, visit: str, site: str
) -> None:
    words = WORDS._replace(name=name, visit=visit, site=site)
    said = filled_in(Template("en", "{visit}", "<{visit}|{site}>"), words, with_stop=False)
    assert said.text == f"<{visit}|{site}>"
    assert "\n" not in said.subject
    assert "\r" not in said.subject


@given(st.text(alphabet="{}abnme "))
def test_a_text_is_either_refused_or_filled_in_wholly(text: str) -> None:
    try:
        check(text)
    except UnknownPlaceholder:
        with pytest.raises(UnknownPlaceholder):
            filled_in(Template("en", "", text), WORDS, with_stop=False)
    else:
        said = filled_in(Template("en", "", text), WORDS, with_stop=False).text
        assert not any(f"{{{name}}}" in said for name in PLACEHOLDERS)
        assert "{" not in said
