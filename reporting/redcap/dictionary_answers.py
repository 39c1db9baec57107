"""What REDCap answers about a project → `Dictionary`. Pure.

| asked for | gives |
|---|---|
| project | whether it is longitudinal, whether anything repeats, its title, its missing data codes |
| metadata | fields and forms, in order; the first field names records |
| formEventMapping | events and their forms (longitudinal only: it is refused otherwise) |
| repeatingFormsEvents | what repeats (only where something does) |
"""

import re
from collections.abc import Iterable, Mapping, Sequence
from typing import Any, Final, cast, get_args

from reporting.redcap.dictionary import Dictionary, Event, Field, FieldType, Repeat

Row = Mapping[str, Any]

_TYPES: Final = frozenset(get_args(FieldType))
_CODED: Final = frozenset({"radio", "dropdown", "checkbox"})
_BREAK: Final = re.compile(r"\s*\|\s*")


def is_set(value: Any) -> bool:
    """REDCap's 1, "1", true."""
    return str(value).lower() in ("1", "true")


def dictionary_of(
    info: Row, metadata: Sequence[Row], event_forms: Sequence[Row], repeating: Sequence[Row]
) -> Dictionary | None:
    """The project; None where the answers are no such thing."""
    fields = [_field(row) for row in metadata]
    if not fields or not fields[0].name:
        return None
    forms = tuple(dict.fromkeys(field.form for field in fields))
    events: dict[str, list[str]] = {}
    if is_set(info.get("is_longitudinal")):
        for row in event_forms:
            events.setdefault(_text(row, "unique_event_name"), []).append(_text(row, "form"))
    repeats = [
        Repeat(event=_text(row, "event_name") if events else "", form=_text(row, "form_name"))
        for row in repeating
    ]
    return Dictionary(
        record_id=fields[0].name,
        fields=fields,
        forms=forms,
        events=[Event(name=name, forms=tuple(of_event)) for name, of_event in events.items()],
        repeats=repeats,
        missing_codes=tuple(_choices(_text(info, "missing_data_codes"))),
    )


def _field(row: Row) -> Field:
    given = _text(row, "field_type")
    type_ = cast(FieldType, given if given in _TYPES else "text")
    choices = _choices(_text(row, "select_choices_or_calculations")) if type_ in _CODED else {}
    validation = _text(row, "text_validation_type_or_show_slider_number") if type_ == "text" else ""
    return Field(
        name=_text(row, "field_name"),
        form=_text(row, "form_name"),
        type=type_,
        label=_text(row, "field_label"),
        choices=choices,
        validation=validation,
    )


def _choices(text: str) -> dict[str, str]:
    """`1, Late | 2, Noisy`"""
    found: dict[str, str] = {}
    for part in _parts(text):
        code, comma, label = part.partition(",")
        if comma or code.strip():
            found[code.strip()] = label.strip()
    return found


def _parts(text: str) -> Iterable[str]:
    return [part for part in _BREAK.split(text.strip()) if part]


def _text(row: Row, name: str) -> str:
    value = row.get(name)
    return "" if value is None else str(value)
