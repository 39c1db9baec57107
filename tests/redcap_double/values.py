"""One value of an import: what the API takes, what it rejects, and what it stores of it.

Enforced are codes of choices and the formats of validated text. Not enforced are minimum and maximum,
required fields and branching logic. Dates are sent in the request's `dateFormat` and stored as
year-month-day.
"""

import re
from datetime import datetime

from tests.redcap_double.dictionary import Column

LONGEST_VALUE = 65_000
WRONG_FORMAT = (
    "The value you provided could not be validated because it does not follow the expected format. "
    "Please try again."
)
TOO_LONG = f"The value is too long: it must have fewer than {LONGEST_VALUE:,} characters."
WRONG_DATE = "Invalid date format."

IGNORED_TYPES = {"calc", "file"}
"""Fields whose values an import drops without a word."""

_PATTERNS = {
    "integer": r"[-+]?\d+",
    "number": r"[-+]?(\d+(\.\d*)?|\.\d+)([eE][-+]?\d+)?",
    "number_1dp": r"-?\d+\.\d",
    "number_2dp": r"-?\d+\.\d{2}",
    "number_3dp": r"-?\d+\.\d{3}",
    "number_4dp": r"-?\d+\.\d{4}",
    "number_comma_decimal": r"[-+]?(\d+(,\d*)?|,\d+)",
    "number_1dp_comma_decimal": r"-?\d+,\d",
    "email": r"[^@\s,;]+@[A-Za-z0-9-]+(\.[A-Za-z0-9-]+)+",
    "phone": r"(\+?1[-. ]?)?\(?[2-9]\d{2}\)?[-. ]?\d{3}[-. ]?\d{4}(\s*(x|ext\.?)\s*\d+)?",
    "time": r"([01]?\d|2[0-3]):[0-5]\d",
    "time_hh_mm_ss": r"([01]?\d|2[0-3]):[0-5]\d:[0-5]\d",
    "time_mm_ss": r"[0-5]?\d:[0-5]\d",
    "alpha_only": r"[A-Za-z]+",
    "zipcode": r"\d{5}(-\d{4})?",
}
_SYNONYMS = {"int": "integer", "float": "number"}
_DATE_FORMATS = {
    "YMD": ("%Y-%m-%d", "%Y/%m/%d"),
    "DMY": ("%d/%m/%Y", "%d-%m-%Y"),
    "MDY": ("%m/%d/%Y", "%m-%d-%Y"),
}
DATE_FORMATS = tuple(_DATE_FORMATS)
_TIMES = {"date": ("",), "datetime": (" %H:%M",), "datetime_seconds": (" %H:%M:%S",)}
_STORED = {"date": "%Y-%m-%d", "datetime": "%Y-%m-%d %H:%M", "datetime_seconds": "%Y-%m-%d %H:%M:%S"}


class Invalid(ValueError):
    """The value is not taken; its text is the API's message."""


def stored(column: Column, value: str, date_format: str) -> str:
    """What is stored for a sent value that is not blank. Raises `Invalid`."""
    if len(value) >= LONGEST_VALUE:
        raise Invalid(TOO_LONG)
    if column.choices:
        if value not in column.choices:
            raise Invalid(f"The value is not a valid category for {column.name}")
        return value
    if column.field_type == "slider" and not re.fullmatch(r"-?\d+", value):
        raise Invalid(WRONG_FORMAT)
    if column.field_type != "text" or not column.validation:
        return value
    validation = _SYNONYMS.get(column.validation, column.validation)
    kind = validation.rsplit("_", 1)[0]
    if kind in _STORED:
        return _stored_date(kind, value, date_format)
    pattern = _PATTERNS.get(validation)
    if pattern is not None and not re.fullmatch(pattern, value, re.ASCII):
        raise Invalid(WRONG_FORMAT)
    return value


def _stored_date(kind: str, value: str, date_format: str) -> str:
    for date in _DATE_FORMATS[date_format]:
        for time in _TIMES[kind]:
            try:
                # It has no zone.
                moment = datetime.strptime(value.replace("T", " "), date + time)  # noqa: DTZ007
            except ValueError:
                continue
            return moment.strftime(_STORED[kind])
    raise Invalid(WRONG_DATE)
