"""A value → the string that REDCap takes, by the mapping's `as`. A closed set; pure, and total.

    612.25, as number, dp 1                        → "612.3"     (half away from zero, on the decimal value)
    2026-03-29T01:30Z, as datetime, Europe/Berlin  → "2026-03-29 03:30"
    {late}, as checkbox, codes {late: 1, noisy: 2} → fl___1 "1", fl___2 "0"

| value | result |
|---|---|
| null, NaN, infinite | `missing`, or blank |
| `map` is given and has the value | what it says, then as below; a value that is not in it: `default` |
| `map` is given, has not the value, and there is no `default` | Unfit: the session is parked |
| not what `as` can write, or nothing the field takes | Unfit |
"""

import math
import re
from collections.abc import Callable
from datetime import UTC, date, datetime
from decimal import ROUND_HALF_UP, Context, Decimal
from typing import Any, Final
from zoneinfo import ZoneInfo

import msgspec

from reporting.redcap.dictionary import Field
from reporting.redcap.field_rules import (
    checkbox_column,
    decimal_places,
    is_comma_decimal,
    is_date,
    is_datetime,
    refused,
)
from reporting.redcap.mapping import FieldMapping

_EXACT: Final = Context(prec=1000, rounding=ROUND_HALF_UP)
_LARGEST: Final = 10**320
_DECIMAL: Final = re.compile(r"[-+]?[0-9]{1,300}(\.[0-9]{1,300})?")
_WORDS: Final = {"yes": "1", "true": "1", "1": "1", "no": "0", "false": "0", "0": "0"}
_NO_TEXT: Final = re.compile(r"[\x00-\x08\x0b\x0c\x0e-\x1f\x7f\ud800-\udfff]")


class Unfit(msgspec.Struct, frozen=True):
    """The value cannot be written; says why."""

    message: str


class Surroundings(msgspec.Struct, frozen=True):
    """What a transform depends on besides the value: None for a timezone that does not exist."""

    timezone: ZoneInfo | None = None
    missing_codes: frozenset[str] = frozenset()


def write(value: Any, rule: FieldMapping, field: Field, surroundings: Surroundings) -> dict[str, str] | Unfit:
    """The field's columns (one; for a checkbox, one a choice) with their strings."""
    if field.type == "checkbox":
        return _checkbox(value, rule, field)
    text = _text_of(value, rule, field, surroundings)
    if isinstance(text, Unfit):
        return text
    text = clean(text, lines=field.type == "notes")
    why = refused(field, text, surroundings.missing_codes)
    return {field.name: text} if why is None else Unfit(why)


def clean(text: str, *, lines: bool) -> str:
    """Without what REDCap or its database changes or refuses: NUL and other control characters, lone
    surrogates, space at the ends, carriage returns, and line feeds where a field has one line.
    """
    text = _NO_TEXT.sub("", text.replace("\r\n", "\n").replace("\r", "\n"))
    return (text if lines else text.replace("\n", " ")).strip()


def key_of(value: Any) -> str:
    """How `map` and `codes` name a value: `2` for 2.0, `true` for true, dates in ISO form."""
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, float) and value.is_integer() and abs(value) < 2**53:
        return str(int(value))
    if isinstance(value, int) and abs(value) >= _LARGEST:
        return "too large"
    return value.isoformat() if isinstance(value, date | datetime) else str(value)


def _text_of(value: Any, rule: FieldMapping, field: Field, surroundings: Surroundings) -> str | Unfit:
    if value is None or (isinstance(value, float) and not math.isfinite(value)):
        return "" if rule.missing is None else str(rule.missing)
    if rule.map is not None:
        code = rule.map.get(key_of(value), rule.default)
        if code is None:
            return Unfit(f"{key_of(value)[:100]!r} is not in the map, and there is no default")
        value = code
    return _KINDS[rule.kind](value, rule, field, surroundings)


def _checkbox(value: Any, rule: FieldMapping, field: Field) -> dict[str, str] | Unfit:
    if rule.kind != "checkbox":
        return Unfit(f"{field.name} is a checkbox: its mapping has to say `as: checkbox`")
    ticked = _ticked(value, rule, frozenset(field.choices))
    unknown = sorted(ticked - set(field.choices))
    if unknown:
        return Unfit(f"{unknown[0]!r} is not a code of {field.name}")
    return {checkbox_column(field.name, code): "1" if code in ticked else "0" for code in field.choices}


def _ticked(value: Any, rule: FieldMapping, choices: frozenset[str]) -> set[str]:
    """Codes of what is there. What has no code, and no default stands for it, is of no interest here."""
    if value is None:
        return set() if rule.missing is None else {str(rule.missing)}
    names = {key_of(one) for one in value} if isinstance(value, frozenset | set) else {key_of(value)}
    if rule.codes is None:
        codes: set[str | int | None] = {name if name in choices else rule.default for name in names}
    else:
        codes = {rule.codes.get(name, rule.default) for name in names}
    return {str(code) for code in codes if code is not None}


def _as_text(value: Any, rule: FieldMapping, field: Field, surroundings: Surroundings) -> str | Unfit:
    if isinstance(value, frozenset | set):
        text = ", ".join(sorted(str(one) for one in value))
    elif isinstance(value, bool):
        text = "1" if value else "0"
    elif isinstance(value, int | float):
        return _as_number(value, rule, field, surroundings)
    elif isinstance(value, datetime):
        return _as_datetime(value, rule, field, surroundings)
    elif isinstance(value, date):
        text = value.isoformat()
    elif isinstance(value, str):
        text = value
    else:
        return Unfit(f"a {type(value).__name__} is no text")
    return text


def _as_number(value: Any, rule: FieldMapping, field: Field, _: Surroundings) -> str | Unfit:
    places = decimal_places(field.validation) if rule.dp is None else rule.dp
    return _decimal_text(value, rule, places, comma=is_comma_decimal(field.validation))


def _as_integer(value: Any, rule: FieldMapping, _: Field, __: Surroundings) -> str | Unfit:
    return _decimal_text(value, rule, 0, comma=False)


def _decimal_text(value: Any, rule: FieldMapping, places: int | None, *, comma: bool) -> str | Unfit:
    number = _decimal(value)
    if number is None:
        return Unfit(f"{key_of(value)[:100]!r} is not a number")
    if rule.scale is not None:
        if not math.isfinite(rule.scale):
            return Unfit("the scale is not a number")
        number = _EXACT.multiply(number, Decimal(repr(rule.scale)))
    if places is not None:
        number = number.quantize(Decimal(1).scaleb(-places), context=_EXACT)
    text = format(number, "f")
    if places is None and "." in text:
        text = text.rstrip("0").rstrip(".")
    if not text.strip("-0."):
        text = text.removeprefix("-")
    return text.replace(".", ",") if comma else text


def _decimal(value: Any) -> Decimal | None:
    """The number that a person reads: 0.1 is a tenth, not what float64 makes of it."""
    if isinstance(value, int):
        return Decimal(value) if abs(value) < _LARGEST else None
    if isinstance(value, float):
        return Decimal(repr(value)) if math.isfinite(value) else None
    if isinstance(value, str) and _DECIMAL.fullmatch(value):
        return Decimal(value)
    return None


def _as_date(value: Any, _: FieldMapping, __: Field, surroundings: Surroundings) -> str | Unfit:
    if isinstance(value, datetime):
        local = _local(value, surroundings)
        return local if isinstance(local, Unfit) else local.date().isoformat()
    if isinstance(value, date):
        return value.isoformat()
    return Unfit(f"{key_of(value)[:100]!r} is not a date")


def _as_datetime(value: Any, _: FieldMapping, field: Field, surroundings: Surroundings) -> str | Unfit:
    if not isinstance(value, datetime):
        return Unfit(f"{key_of(value)[:100]!r} is not a moment")
    local = _local(value, surroundings)
    if isinstance(local, Unfit):
        return local
    if is_date(field.validation):
        return local.date().isoformat()
    seconds = not is_datetime(field.validation) or "_seconds_" in field.validation
    return local.replace(tzinfo=None).isoformat(sep=" ", timespec="seconds" if seconds else "minutes")


def _local(moment: datetime, surroundings: Surroundings) -> datetime | Unfit:
    """On the site's wall clock, summer time as on that day. Where the clock is set back, an hour's times
    come twice: REDCap's dates have no offset, so both are written alike.
    """
    if surroundings.timezone is None:
        return Unfit("the site has no timezone that is known here")
    aware = moment if moment.tzinfo is not None else moment.replace(tzinfo=UTC)
    try:
        return aware.astimezone(surroundings.timezone)
    except OverflowError:
        return Unfit(f"{moment.isoformat()} is no moment in the site's timezone")


def _as_choice(value: Any, _: FieldMapping, __: Field, ___: Surroundings) -> str | Unfit:
    if isinstance(value, frozenset | set):
        return Unfit("a set is no choice; a checkbox takes it")
    return key_of(value)


def _as_yesno(value: Any, _: FieldMapping, __: Field, ___: Surroundings) -> str | Unfit:
    written = _WORDS.get(key_of(value).lower())
    return Unfit(f"{key_of(value)[:100]!r} is neither yes nor no") if written is None else written


def _as_checkbox(_: Any, __: FieldMapping, field: Field, ___: Surroundings) -> str | Unfit:
    return Unfit(f"{field.name} is a {field.type} field, not a checkbox")


_KINDS: Final[dict[str, Callable[[Any, FieldMapping, Field, Surroundings], str | Unfit]]] = {
    "text": _as_text,
    "number": _as_number,
    "integer": _as_integer,
    "date": _as_date,
    "datetime": _as_datetime,
    "choice": _as_choice,
    "checkbox": _as_checkbox,
    "yesno": _as_yesno,
}
