"""What reminders say: templates with a closed set of placeholders. Pure.

    Dear {name}, your visit "{visit}" is due on {due_on}. Come before {window_to}.   {stop}

| placeholder | is |
|---|---|
| `{name}` | the name in the contact, or nothing |
| `{visit}` | the visit's title, or its code |
| `{due_on}` `{window_to}` | days, written out in the template's language |
| `{site}` | the site's name, or its code |
| `{stop}` | the link that ends reminders; mails without it get it at their end |

Anything else in braces is refused when the template is saved, and fails the reminder if it is there all the
same. Values are put in as they are: what looks like a placeholder in a name is none.

    for fr-CA: its template in fr-CA, fr, the study's language, and without any the text below
"""

import re
from collections.abc import Iterable, Mapping
from datetime import date
from typing import Final, NamedTuple

from babel import Locale, UnknownLocaleError
from babel.dates import format_date

PLACEHOLDERS: Final = ("name", "visit", "due_on", "window_to", "site", "stop")

LONGEST_SUBJECT: Final = 200
LONGEST_TEXT: Final = 4000

_IN_BRACES: Final = re.compile(r"\{([^{}]*)\}")


class UnknownPlaceholder(ValueError):
    """The text has braces that are no placeholder."""

    def __init__(self, found: str) -> None:
        known = ", ".join(f"{{{name}}}" for name in PLACEHOLDERS)
        super().__init__(f"{found} is no placeholder; there are {known}.")


class Template(NamedTuple):
    """Subject (title, of a push) and text."""

    language: str
    subject: str
    text: str


class Words(NamedTuple):
    """What is put into a template."""

    name: str
    visit: str
    due_on: date | None
    window_to: date | None
    site: str
    stop: str


BUILT_IN: Final = (
    Template(
        "en",
        "Your visit on {due_on}",
        'Hello {name},\n\nthis reminds you of your visit "{visit}" ({site}). It is due on {due_on} and '
        "possible until {window_to}.",
    ),
    Template(
        "fr",
        "Votre visite du {due_on}",
        "Bonjour {name},\n\nnous vous rappelons votre visite « {visit} » ({site}). Elle est prévue le "
        "{due_on} et reste possible jusqu'au {window_to}.",
    ),
)

_STOP: Final = {
    "en": "To get no more reminders:",
    "fr": "Pour ne plus recevoir de rappels :",
}


def check(text: str) -> None:
    """Raises UnknownPlaceholder."""
    for found in _IN_BRACES.finditer(text):
        if found[1] not in PLACEHOLDERS:
            raise UnknownPlaceholder(found[0])
    if rest := re.search(r"[{}]", _IN_BRACES.sub("", text)):
        raise UnknownPlaceholder(rest[0])


def chosen(templates: Iterable[Template], language: str | None, fallback: str) -> Template:
    """The template for who speaks `language`, of a rule's templates; where there is none, a built-in one."""
    by_language = {each.language.lower(): each for each in templates}
    wished = [*_from_near(language), *_from_near(fallback)]
    for name in wished:
        if name in by_language:
            return by_language[name]
    built_in = {each.language: each for each in BUILT_IN}
    return next((built_in[name] for name in wished if name in built_in), BUILT_IN[0])


def filled_in(template: Template, words: Words, *, with_stop: bool) -> Template:
    """Subject and text as they are sent. `with_stop`: the link that ends reminders is in it in any case.

    Raises UnknownPlaceholder.
    """
    text = template.text
    if with_stop and "{stop}" not in text:
        ending = next((_STOP[name] for name in _from_near(template.language) if name in _STOP), _STOP["en"])
        text = f"{text.rstrip()}\n\n{ending}\n{{stop}}\n"
    values = {
        "name": " ".join(words.name.split()),
        "visit": words.visit,
        "due_on": written_out(words.due_on, template.language),
        "window_to": written_out(words.window_to, template.language),
        "site": words.site,
        "stop": words.stop,
    }
    subject = " ".join(_fill(template.subject, values).split())
    return Template(template.language, subject, _fill(text, values))


def written_out(day: date | None, language: str) -> str:
    """Tuesday, May 12, 2026; 2026-05-12 in a language that nobody knows; nothing where there is no day."""
    if day is None:
        return ""
    try:
        locale = Locale.parse(language, sep="-")
    except (UnknownLocaleError, ValueError):
        return day.isoformat()
    return format_date(day, format="full", locale=locale)


def _fill(text: str, values: Mapping[str, str]) -> str:
    check(text)
    if not values["name"]:
        text = text.replace(" {name}", "")
    return _IN_BRACES.sub(lambda found: values[found[1]], text)


def _from_near(language: str | None) -> list[str]:
    """`fr-ca`, `fr`."""
    if not language:
        return []
    parts = language.lower().split("-")
    return ["-".join(parts[:length]) for length in range(len(parts), 0, -1)]
