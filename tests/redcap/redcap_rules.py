"""REDCap's rules for imported values, written from its public help, not from the code that is tested.

Deliberately another way of saying it: by characters and parts, without a regular expression.
"""

from collections.abc import Mapping
from datetime import date

from reporting.redcap.dictionary import Dictionary, Field


def complaints(values: Mapping[str, str], dictionary: Dictionary) -> list[str]:
    """What an import would refuse, or leave out in silence, of a row's columns."""
    fields = {field.name: field for field in dictionary.fields}
    return [
        f"{column}={value!r}"
        for column, value in values.items()
        if not _is_taken(column, value, fields, dictionary)
    ]


def _is_taken(column: str, value: str, fields: Mapping[str, Field], dictionary: Dictionary) -> bool:
    if column == "redcap_data_access_group":
        return True
    if column.endswith("_complete") and column.removesuffix("_complete") in dictionary.forms:
        return value in ("0", "1", "2")
    name, is_choice, code = column.partition("___")
    field = fields.get(name)
    if field is None:
        return False
    if is_choice:
        codes = [known.lower().replace("-", "_") for known in field.choices]
        return field.type == "checkbox" and code in codes and value in ("0", "1")
    if field.type in ("checkbox", "calc", "file", "descriptive", "sql"):
        return False
    return value == "" or value in dictionary.missing_codes or _is_value(value, field)


def _is_value(value: str, field: Field) -> bool:
    if len(value.encode()) >= 65_000 or any(ord(c) < 32 and c not in "\t\n" for c in value):
        return False
    if field.type in ("radio", "dropdown"):
        return value in field.choices
    if field.type in ("yesno", "truefalse"):
        return value in ("0", "1")
    if field.type == "notes":
        return True
    return "\n" not in value and _is_validated(value, field.validation)


def _is_validated(value: str, validation: str) -> bool:
    if validation == "integer":
        return _is_digits(value.removeprefix("-"))
    if validation.startswith("number"):
        point = "," if validation.endswith("_comma_decimal") else "."
        whole, has_point, rest = value.removeprefix("-").partition(point)
        places = [int(part[0]) for part in validation.split("_") if part.endswith("dp")]
        if places and len(rest) != places[0]:
            return False
        return _is_digits(whole) and (_is_digits(rest) if has_point else not places)
    if validation.startswith("date_"):
        return _is_day(value)
    if validation.startswith("datetime_"):
        day, _, time = value.partition(" ")
        parts = time.split(":")
        wanted = 3 if "seconds" in validation else 2
        in_range = all(len(part) == 2 and _is_digits(part) and int(part) < 60 for part in parts)
        return _is_day(day) and len(parts) == wanted and in_range and int(parts[0]) < 24
    return True


def _is_digits(text: str) -> bool:
    return text != "" and all(c in "0123456789" for c in text)


def _is_day(text: str) -> bool:
    parts = text.split("-")
    if [len(part) for part in parts] != [4, 2, 2] or not all(_is_digits(part) for part in parts):
        return False
    try:
        date(*(int(part) for part in parts))
    except ValueError:
        return False
    return True
