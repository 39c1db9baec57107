"""Every sentence of the portal, in English and French: `texts/en.toml`, `texts/fr.toml`,
and those of an area.

    texts("todo.holding", count=3)       "3 tablets still hold documents": [todo.holding] one = …, other = …
    texts.named("site_state", "running") the name of a value, or the value where it has none

| asked for | answered |
|---|---|
| a text that is not there | LookupError: a test has walked all pages |
| a name of a value that is not there | the value: the API may know more states than the portal |
"""

import functools
import tomllib
from collections.abc import Mapping
from datetime import date, datetime
from importlib import resources
from typing import Any, Final, Literal, get_args

from babel import Locale
from babel.dates import format_date, format_datetime
from babel.numbers import format_decimal

Language = Literal["en", "fr"]
LANGUAGES: Final[tuple[Language, ...]] = get_args(Language)

# The day before the month, and 24 hours, in English too: sites are all over the world.
_LOCALES: Final[Mapping[Language, str]] = {"en": "en_GB", "fr": "fr_FR"}


class Texts:
    """The texts of one language."""

    def __init__(self, language: Language, texts: Mapping[str, str]) -> None:
        self.language: Language = language
        self.texts = texts
        self._locale = Locale.parse(_LOCALES[language])

    def __call__(self, key: str, **values: Any) -> str:
        """The text with its placeholders filled in; with a `count` that it has forms for, the one for it.

        Raises LookupError.
        """
        text = self.texts.get(key)
        if text is None and "count" in values:
            text = self.texts.get(f"{key}.{self._locale.plural_form(values['count'])}")
            text = self.texts.get(f"{key}.other") if text is None else text
            values["count"] = self.number(values["count"])
        if text is None:
            raise LookupError(f"there is no text {key} ({self.language})")
        return text.format(**values) if values else text

    def __contains__(self, key: str) -> bool:
        return key in self.texts

    def named(self, kind: str, value: Any) -> str:
        """The name of a value of the API, as a state."""
        return self.texts.get(f"{kind}.{value}", str(value))

    def number(self, value: float) -> str:
        """A number as people write it; at most two decimals."""
        return str(format_decimal(value, format="#,##0.##", locale=self._locale))

    def moment(self, value: datetime) -> str:
        """A moment in UTC, which is said: the browser makes it the reader's own time."""
        return f"{format_datetime(value, 'd MMM y, HH:mm', locale=self._locale)} UTC"

    def day(self, value: date) -> str:
        """A day: `26 Nov 2026`."""
        return str(format_date(value, "d MMM y", locale=self._locale))

    def weekday(self, value: date) -> str:
        """A day with its weekday: `Thursday 26 Nov 2026`."""
        return str(format_date(value, "EEEE d MMM y", locale=self._locale))

    def short_day(self, value: date) -> str:
        """A day without its year: `26 Nov`."""
        return str(format_date(value, "d MMM", locale=self._locale))

    def tongue(self, code: str) -> str:
        """A language's name: `Spanish`, `espagnol`; the code where it has none."""
        return str(self._locale.languages.get(code.replace("-", "_"), code))

    def size(self, number: float) -> str:
        """So many bytes, in words of the language: `1.4 GB`, `1,4 Go`."""
        units = ("B", "kB", "MB", "GB", "TB") if self.language == "en" else ("o", "ko", "Mo", "Go", "To")
        for unit in units[:-1]:
            if abs(number) < 1000:
                return f"{self.number(round(number, 1))}\u00a0{unit}"
            number /= 1000
        return f"{self.number(round(number, 1))}\u00a0{units[-1]}"

    def duration(self, seconds: float) -> str:
        """So many seconds, in the largest unit that fits: `3 min`, `2 h`, `5 d`."""
        days = "d" if self.language == "en" else "j"
        for length, unit in ((86400, days), (3600, "h"), (60, "min")):
            if abs(seconds) >= length:
                return f"{self.number(round(seconds / length))}\u00a0{unit}"
        return f"{self.number(round(seconds))}\u00a0s"


@functools.cache
def texts_in(language: Language) -> Texts:
    """All of a language's. Raises ValueError where two files have one text."""
    found: dict[str, str] = {}
    for source in sorted(resources.files("sync_server.portal").joinpath("texts").iterdir(), key=str):
        if f".{source.name}".endswith(f".{language}.toml"):
            texts = _flat(tomllib.loads(source.read_text(encoding="utf-8")))
            if twice := found.keys() & texts.keys():
                raise ValueError(f"{source.name} has what another file has: {', '.join(sorted(twice))}")
            found |= texts
    return Texts(language, found)


def preferred(accept_language: str) -> Language:
    """The first language of an `Accept-Language` header that there is; English otherwise."""
    for part in accept_language.split(","):
        for language in LANGUAGES:
            if part.strip().lower().startswith(language):
                return language
    return LANGUAGES[0]


def _flat(table: Mapping[str, Any], prefix: str = "") -> dict[str, str]:
    found: dict[str, str] = {}
    for name, value in table.items():
        if isinstance(value, str):
            found[prefix + name] = value
        else:
            found |= _flat(value, f"{prefix}{name}.")
    return found
