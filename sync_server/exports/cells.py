"""Cells as text, the same in every format that is text. Pure.

| value | text |
|---|---|
| null | what the format says (CSV: nothing between the commas; BIDS: `n/a`) |
| number | the shortest text that reads back as the same double; `NaN`, `Inf`, `-Inf` |
| boolean | `true`, `false` |
| date, timestamp | ISO 8601; timestamps in UTC with microseconds and `Z` |

**Formulas.** A spreadsheet takes a text that begins with `= + - @`, a tab or a line break for a formula.
Data that go on to R, Python or SPSS must stay what they are, so a CSV is written as it is unless it is asked
to be guarded: then such texts (and those that begin with apostrophes before such a character) get an
apostrophe before them. The Excel writer needs none of it: its cells are typed.
"""

import math
import re
from datetime import date, datetime
from typing import Final

from reporting.research import exporting
from sync_server.exports.described import Value

FORMULA: Final = re.compile(exporting.FORMULA)
_NEEDS_QUOTES: Final = re.compile(r'[",\r\n]|^\s|\s$|^$')


def text_of(value: str | float | bool | date | datetime) -> str:
    """The text of a value that is not null."""
    if isinstance(value, str):
        return value
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, float):
        return number_text(value)
    if isinstance(value, datetime):
        return value.isoformat(timespec="microseconds").replace("+00:00", "Z")
    if isinstance(value, date):
        return value.isoformat()
    return str(value)


def number_text(value: float) -> str:
    """The shortest decimal text that reads back as `value`."""
    if math.isnan(value):
        return "NaN"
    if math.isinf(value):
        return "Inf" if value > 0 else "-Inf"
    return repr(value)


def guarded(text: str) -> str:
    """The text with an apostrophe before what a spreadsheet would compute."""
    return f"'{text}" if FORMULA.match(text) else text


def csv_cell(value: Value, *, guard: bool = False) -> str:
    """The cell between commas (RFC 4180): null is nothing, empty text is `""`."""
    if value is None:
        return ""
    text = text_of(value)
    if guard and isinstance(value, str):
        text = guarded(text)
    if isinstance(value, str) and _NEEDS_QUOTES.search(text):
        return '"' + text.replace('"', '""') + '"'
    return text


def cut_to_bytes(text: str, most: int) -> str:
    """The beginning of `text` of at most `most` bytes of UTF-8, no character halved."""
    return text.encode()[:most].decode(errors="ignore")
