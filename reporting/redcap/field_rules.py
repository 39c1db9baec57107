"""What REDCap's import takes for a field, and what it refuses. Pure.

Only what an import really checks: codes of choices, validations, length. Minimum and maximum, "required" and
branching are for people at a screen. One value that is refused stops a whole request, so nothing is sent that
this file does not take.

Dates are sent and read with `dateFormat=YMD`, the API's default, however a field shows them.

| validation | taken |
|---|---|
| `integer` | `22`, `-3` |
| `number` | `22`, `22.5`; `number_comma_decimal`: `22,5` |
| `number_1dp` … `number_4dp` | exactly so many decimals: `22.0`, never `22`; `…_comma_decimal`: `22,0` |
| `date_…` | `2026-03-01` |
| `datetime_…`, `datetime_seconds_…` | `2026-03-01 14:05`, `2026-03-01 14:05:09` |
| `time`, `time_hh_mm_ss`, `time_mm_ss` | `14:05`, `14:05:09`, `05:09` |
| one that is not known here | anything: REDCap says |
"""

import re
from datetime import date, datetime
from typing import Final

from reporting.redcap.dictionary import Field

LONGEST_TEXT: Final = 65_000
"""Bytes of UTF-8; a value has to be shorter."""

WITH_CHOICES: Final = frozenset({"radio", "dropdown", "checkbox"})
NOT_WRITABLE: Final = {
    "calc": "REDCap computes it and ignores what is imported",
    "file": "a file cannot be imported as a value",
    "descriptive": "it has no value",
    "sql": "its choices come from a query that is not in the dictionary",
}
"""By field type."""

YES_NO: Final = {"1": "Yes", "0": "No"}
_PATTERNS: Final = {
    "integer": r"[-+]?[0-9]+",
    "number": r"[-+]?[0-9]*\.?[0-9]+([eE][-+]?[0-9]+)?",
    "number_comma_decimal": r"[-+]?[0-9]*,?[0-9]+([eE][-+]?[0-9]+)?",
    "alpha_only": r"[A-Za-z]+",
    "email": r"[^@\s,;]+@[^@\s,;.]+(\.[^@\s,;.]+)+",
    "time": r"([01]?[0-9]|2[0-3]):[0-5][0-9]",
    "time_hh_mm_ss": r"([01]?[0-9]|2[0-3]):[0-5][0-9]:[0-5][0-9]",
    "time_mm_ss": r"[0-5][0-9]:[0-5][0-9]",
    "zipcode": r"[0-9]{5}(-[0-9]{4})?",
    **{f"number_{places}dp": rf"[-+]?[0-9]+\.[0-9]{{{places}}}" for places in range(1, 5)},
    **{f"number_{places}dp_comma_decimal": rf"[-+]?[0-9]+,[0-9]{{{places}}}" for places in range(1, 5)},
}
_PLACES: Final = re.compile(r"number_([1-4])dp(_comma_decimal)?")


def decimal_places(validation: str) -> int | None:
    """How many decimals a number of this validation must have; None where it is free."""
    found = _PLACES.fullmatch(validation)
    return None if found is None else int(found[1])


def is_comma_decimal(validation: str) -> bool:
    """Whether numbers are written with a comma."""
    return validation.endswith("_comma_decimal")


def is_number(validation: str) -> bool:
    """Whether only numbers are taken, whole ones among them."""
    return validation == "integer" or validation.startswith("number")


def is_date(validation: str) -> bool:
    """Whether only dates without a time are taken."""
    return validation.startswith("date_")


def is_datetime(validation: str) -> bool:
    """Whether only dates with a time are taken."""
    return validation.startswith("datetime_")


def codes_of(field: Field) -> frozenset[str] | None:
    """The codes that the field takes; None where it takes more than codes."""
    if field.type in {"yesno", "truefalse"}:
        return frozenset(YES_NO)
    return frozenset(field.choices) if field.type in WITH_CHOICES else None


def checkbox_column(field: str, code: str) -> str:
    """The name under which one choice of a checkbox is imported and exported: `flags___2`, `flags____1`."""
    return f"{field}___{re.sub(r'[^0-9a-z_]', '', code.lower().replace('-', '_'))}"


def refused(field: Field, value: str, missing_codes: frozenset[str] = frozenset()) -> str | None:
    """Why REDCap would refuse `value` in a field that is no checkbox, or None. Blank is always taken."""
    if field.type in NOT_WRITABLE:
        return f"{field.name} is a {field.type} field: {NOT_WRITABLE[field.type]}"
    if value == "" or value in missing_codes:
        return None
    codes = codes_of(field)
    if codes is not None:
        return None if value in codes else f"{value!r} is not a code of {field.name}"
    if len(value.encode(errors="replace")) >= LONGEST_TEXT:
        return f"the value is longer than the {LONGEST_TEXT - 1} bytes that REDCap keeps"
    if field.type == "slider":
        return None if re.fullmatch(r"[0-9]{1,3}", value) else f"{value!r} is no position of the slider"
    return _refused_by_validation(field, value) if field.type == "text" else None


def _refused_by_validation(field: Field, value: str) -> str | None:
    if is_date(field.validation):
        taken = _is_date(value)
    elif is_datetime(field.validation):
        taken = _is_moment(value, with_seconds="_seconds_" in field.validation)
    else:
        pattern = _PATTERNS.get(field.validation)
        taken = pattern is None or re.fullmatch(pattern, value) is not None
    return None if taken else f"{field.name} ({field.validation}) does not take {value[:100]!r}"


def _is_date(value: str) -> bool:
    if re.fullmatch(r"[0-9]{4}-[0-9]{2}-[0-9]{2}", value) is None:
        return False
    try:
        date.fromisoformat(value)
    except ValueError:
        return False
    return True


def _is_moment(value: str, *, with_seconds: bool) -> bool:
    shape = r"[0-9]{4}-[0-9]{2}-[0-9]{2} [0-9]{2}:[0-9]{2}" + (r":[0-9]{2}" if with_seconds else "")
    if re.fullmatch(shape, value) is None:
        return False
    try:
        datetime.fromisoformat(value)
    except ValueError:
        return False
    return True
