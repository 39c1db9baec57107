"""Does one field's mapping fit the field? Pure.

What can be seen beforehand: codes, decimals, kinds of values. What depends on a session's values is found
when it is filled, and parks that session only.

| field | `as` that fits |
|---|---|
| text without validation, notes | anything but checkbox |
| `integer` | integer, number with dp 0 |
| `number` | number, integer |
| `number_1dp` … | number, with that dp or none |
| `date_…` / `datetime_…` | date, datetime / datetime |
| radio, dropdown, yesno, truefalse | choice, yesno, integer, text, with values that are codes |
| checkbox | checkbox |
| slider | number, integer |
| calc, file, descriptive, sql | nothing |
"""

from collections.abc import Iterable, Iterator
from typing import Any, Final, NamedTuple

import msgspec

from reporting.redcap.checking_sources import domain_of, kind_of, names_of, source_problems
from reporting.redcap.dictionary import Dictionary, Field
from reporting.redcap.field_rules import (
    NOT_WRITABLE,
    YES_NO,
    checkbox_column,
    codes_of,
    decimal_places,
    is_date,
    is_datetime,
    is_number,
    refused,
)
from reporting.redcap.known import Known
from reporting.redcap.mapping import FieldMapping, InstrumentMapping
from reporting.redcap.problem import Problem, near
from reporting.redcap.sources import ParsedSource, parse_source
from reporting.redcap.transforms import Surroundings, Unfit, write

_MEMBER_OF: Final = {
    "dp": ("number",),
    "scale": ("number", "integer"),
    "codes": ("checkbox",),
    "map": ("text", "number", "integer", "choice", "yesno"),
}
"""Which `as` a member says something for."""

_FROM: Final = {
    "number": ("number", "whole", "text"),
    "integer": ("number", "whole", "text"),
    "date": ("moment", "date"),
    "datetime": ("moment",),
    "choice": ("text", "whole", "number", "date"),
    "yesno": ("text",),
}
"""Which kinds of values an `as` can write, where no map stands between."""

_NO_NUMBERS: Final = frozenset({"text", "set", "date", "moment"})


class Setting(NamedTuple):
    """What a field's mapping is checked with."""

    instrument: InstrumentMapping
    dictionary: Dictionary
    known: Known


def field_problems(rule: FieldMapping, field: Field, path: str, setting: Setting) -> Iterator[Problem]:
    """What is wrong with the mapping of a field that exists, and is of the form."""
    if field.type in NOT_WRITABLE:
        yield Problem(path, f"{field.name} is a {field.type} field: {NOT_WRITABLE[field.type]}.")
        return
    wrong_source = list(
        source_problems(rule.source, f"{path}.from", setting.instrument.battery, setting.known)
    )
    yield from wrong_source
    for member, kinds in _MEMBER_OF.items():
        if getattr(rule, member) is not None and rule.kind not in kinds:
            yield Problem(f"{path}.{member}", f"{member} says nothing where it is written as {rule.kind}.")
    source = parse_source(rule.source)
    if source is None or wrong_source:
        return
    if (field.type == "checkbox") != (rule.kind == "checkbox"):
        what = "a checkbox" if field.type == "checkbox" else "no checkbox"
        yield Problem(f"{path}.as", f"{field.name} is {what}, and is written as {rule.kind}.")
    elif field.type == "checkbox":
        yield from _checkbox(rule, field, path, source, setting)
    else:
        yield from _single(rule, field, path, source, setting)


def _checkbox(
    rule: FieldMapping, field: Field, path: str, source: ParsedSource, setting: Setting
) -> Iterator[Problem]:
    columns: dict[str, str] = {}
    for code in field.choices:
        other = columns.setdefault(checkbox_column(field.name, code), code)
        if other != code:
            yield Problem(path, f"REDCap has one column for the codes {other} and {code} of {field.name}.")
    yield from _unknown_keys(rule.codes or {}, f"{path}.codes", names_of(source, setting.known))
    for name, value in (*(rule.codes or {}).items(), ("default", rule.default), ("missing", rule.missing)):
        where = f"{path}.{name}" if name in {"default", "missing"} else f"{path}.codes.{name}"
        if value is not None and str(value) not in field.choices:
            yield Problem(where, f"{value!s:.100} is not a code of {field.name}.", _codes(field))
    domain = domain_of(source, setting.instrument, setting.known)
    if rule.codes is None and domain is not None and not domain & frozenset(field.choices):
        yield Problem(path, f"No code of {field.name} is a value of {rule.source}.", "Say which in `codes`.")


def _single(
    rule: FieldMapping, field: Field, path: str, source: ParsedSource, setting: Setting
) -> Iterator[Problem]:
    missing_codes = frozenset(setting.dictionary.missing_codes)
    if rule.missing is not None and (why := refused(field, str(rule.missing), missing_codes)):
        yield Problem(f"{path}.missing", f"{why}.", "Blank, or a missing data code of the project.")
    unfit = _unfit_kind(rule, field)
    if unfit is not None:
        yield Problem(f"{path}.as", *unfit)
        return
    if rule.map is not None:
        yield from _unknown_keys(rule.map, f"{path}.map", names_of(source, setting.known))
        yield from _mapped_values(rule, field, path, setting)
        domain = domain_of(source, setting.instrument, setting.known)
        if rule.default is None and rule.source in {"status", "session.status"} and domain is not None:
            for status in sorted(domain - rule.map.keys()):
                hint = "Add it, or a default; sessions with it would be parked."
                yield Problem(f"{path}.map", f"The status {status} is not in the map.", hint)
        return
    kind = kind_of(source)
    if rule.kind in _FROM and kind not in _FROM[rule.kind]:
        yield Problem(f"{path}.as", f"{rule.source[:100]} is a {kind}, and cannot be written as {rule.kind}.")
        return
    yield from _unmapped_values(rule, field, path, source, setting)


def _unfit_kind(rule: FieldMapping, field: Field) -> tuple[str, str | None] | None:
    """Why nothing that this `as` writes is taken."""
    validation = field.validation if field.type == "text" else ""
    places = decimal_places(validation)
    is_text = field.type in {"text", "notes"}
    writes_date = rule.kind in {"date", "datetime"}
    is_number_unlike = rule.kind == "number" and places is not None and rule.dp not in {None, places}
    name, has_map = field.name, rule.map is not None
    reasons: tuple[tuple[bool, str, str | None], ...] = (
        (
            rule.kind == "integer" and places is not None,
            f"{name} takes {places} decimals: 22 is refused, 22.0 is not.",
            f"as: number, dp: {places}",
        ),
        (is_number_unlike, f"{name} takes {places} decimals, and dp is {rule.dp}.", f"dp: {places}"),
        (
            rule.kind == "number" and validation == "integer" and rule.dp != 0,
            f"{name} takes integers only.",
            "as: integer",
        ),
        (
            writes_date and (not is_text or is_number(validation)),
            f"{name} ({validation or field.type}) takes no dates.",
            None,
        ),
        (
            is_datetime(validation) and rule.kind != "datetime" and not has_map,
            f"{name} ({validation}) takes dates with times only.",
            "as: datetime",
        ),
        (
            is_date(validation) and not writes_date and not has_map,
            f"{name} ({validation}) takes dates only.",
            "as: date",
        ),
    )
    return next(((message, hint) for holds, message, hint in reasons if holds), None)


def _mapped_values(rule: FieldMapping, field: Field, path: str, setting: Setting) -> Iterator[Problem]:
    """What a map and its default give, by the transform itself."""
    named = [(f"{path}.map.{key[:100]}", {key: value}) for key, value in (rule.map or {}).items()]
    if rule.default is not None:
        named.append((f"{path}.default", {"": rule.default}))
    for where, only in named:
        why = _why_unfit(next(iter(only)), msgspec.structs.replace(rule, map=only), field, setting)
        if why is not None:
            yield Problem(where, f"{why}.", _codes(field))


def _unmapped_values(
    rule: FieldMapping, field: Field, path: str, source: ParsedSource, setting: Setting
) -> Iterator[Problem]:
    """Without a map the values themselves are written: those that are known beforehand are tried."""
    if rule.default is not None:
        yield Problem(f"{path}.default", "default says nothing without a map.")
    kind = kind_of(source)
    domain = domain_of(source, setting.instrument, setting.known)
    for value in sorted(domain or ()):
        why = _why_unfit(frozenset({value}) if kind == "set" else value, rule, field, setting)
        if why is not None:
            yield Problem(path, f"{why}.", "A `map` says what stands for it.")
    has_numbers = field.type == "text" and is_number(field.validation)
    if domain is None and has_numbers and rule.kind in {"text", "choice"} and kind in _NO_NUMBERS:
        yield Problem(f"{path}.as", f"{field.name} takes numbers only, and {rule.source} has none.")


def _why_unfit(value: Any, rule: FieldMapping, field: Field, setting: Setting) -> str | None:
    surroundings = Surroundings(None, frozenset(setting.dictionary.missing_codes))
    found = write(value, rule, field, surroundings)
    return found.message if isinstance(found, Unfit) else None


def _unknown_keys(keys: Iterable[str], path: str, names: Iterable[str] | None) -> Iterator[Problem]:
    if names is None:
        return
    there = sorted(names)
    for key in keys:
        if key not in there:
            yield Problem(f"{path}.{key[:100]}", f"There is no {key[:100]!r}.", near(key, there))


def _codes(field: Field) -> str | None:
    codes = codes_of(field) and (field.choices or sorted(YES_NO))
    return f"Its codes are {', '.join(list(codes)[:30])}." if codes else None
