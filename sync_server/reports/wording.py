"""How a report speaks one language: texts from the one table, numbers and dates as that language writes them.

| | English | French |
|---|---|---|
| 1234.5 ms | 1,234.5 ms | 1 234,5 ms (a narrow space that breaks no line) |
| 0.934 | 93.4% | 93,4 % |
| a day | 26 Nov 2026 | 26 nov. 2026 |
| missing | – | – |
"""

from collections.abc import Sequence
from datetime import UTC, date, datetime
from typing import Final

from babel.dates import format_date, format_datetime
from babel.numbers import format_decimal, format_percent

from reporting.research.variables import Language, Text, Unit
from sync_server.reports.texts import TEXTS

_LOCALES: Final = {"en": "en_GB", "fr": "fr_FR"}
MISSING: Final = "–"
_MINUS: Final = "−"
_SAME: Final = 1e-9


class Wording:
    """Everything that is written, in one language."""

    def __init__(self, language: Language) -> None:
        self.language = language
        self._locale = _LOCALES[language]

    def __call__(self, key: str, **filled: object) -> str:
        """The text of the table. KeyError for one that is not there."""
        text = TEXTS[key].in_language(self.language)
        return text.format(**filled) if filled else text

    def label(self, text: Text) -> str:
        """A label that comes with the data."""
        return text.in_language(self.language)

    def number(self, value: float, digits: int = 0) -> str:
        """A number with so many decimals."""
        pattern = "#,##0" + ("." + "0" * digits if digits else "")
        # Rounding to zero leaves no minus.
        shown = format_decimal(round(value, digits) + 0.0, format=pattern, locale=self._locale)
        return shown.replace("-", _MINUS)

    def share(self, value: float, digits: int = 0) -> str:
        """0 to 1 as percent."""
        pattern = "#,##0" + ("." + "0" * digits if digits else "")
        pattern += "%" if self.language == "en" else "\u00a0%"
        shown = format_percent(round(value, digits + 2) + 0.0, format=pattern, locale=self._locale)
        return shown.replace("-", _MINUS)

    def score(self, value: float | None, unit: Unit | None, *, sign: bool = False, bare: bool = False) -> str:
        """A score as people read it; `sign`: a change; `bare`: without its unit."""
        if value is None:
            return MISSING
        if unit is Unit.SHARE:
            if bare:
                shown = self.number(value * 100, 1)
            else:
                shown = (
                    f"{self.number(value * 100, 1)}\u00a0{self('points')}" if sign else self.share(value, 1)
                )
        elif unit is Unit.MILLISECONDS:
            shown = self.number(value) + ("" if bare else "\u00a0ms")
        else:
            shown = self.number(value, 1 if value == round(value, 1) else 2)
            if value == int(value):
                shown = self.number(value)
        is_zero = not any(digit in shown for digit in "123456789")
        return f"+{shown}" if sign and value > 0 and not is_zero else shown

    def day(self, value: date | None) -> str:
        """A day."""
        if value is None:
            return MISSING
        return format_date(value, "d MMM y", locale=self._locale)

    def month(self, value: date) -> str:
        """A month, short."""
        return format_date(value, "MMM y", locale=self._locale)

    def moment(self, value: datetime | None) -> str:
        """A moment, UTC."""
        if value is None:
            return MISSING
        return format_datetime(value.astimezone(UTC), "d MMM y, HH:mm", locale=self._locale) + "\u00a0UTC"

    def ticks(self, values: Sequence[float], unit: Unit | None) -> list[str]:
        """Labels of an axis, all with as many decimals as tell them apart."""
        if unit is Unit.SHARE:
            is_whole = all(abs(value * 100 - round(value * 100)) < _SAME for value in values)
            return [self.share(value, 0 if is_whole else 1) for value in values]
        digits = next(
            digits
            for digits in (0, 1, 2, 3)
            if digits == 3 or all(abs(value - round(value, digits)) < _SAME for value in values)
        )
        return [self.number(value, digits) for value in values]

    def of(self, part: int, whole: int) -> str:
        """`12 of 40 (30%)`."""
        if not whole:
            return self.number(part)
        return self(
            "part_of", part=self.number(part), whole=self.number(whole), share=self.share(part / whole)
        )
