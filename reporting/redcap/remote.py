"""Rows as REDCap exports them → what is at each place; and a target → the row that is imported. Pure.

    {"record_id": "7", "redcap_event_name": "baseline_arm_1", "redcap_repeat_instrument": "cog_session",
     "redcap_repeat_instance": "2", "cog_session_uid": "lima/a", …}
    ⇄  Place(Address("7", "baseline_arm_1", "cog_session"), 2)

| a form that | its rows name |
|---|---|
| repeats | itself and the instance |
| is in an event that repeats | the instance, no form |
| does not repeat | neither; it is instance 1 |
"""

from collections.abc import Iterable, Mapping
from typing import Final, NamedTuple

from reporting.redcap.comparison import is_same
from reporting.redcap.dictionary import Dictionary, Repeat
from reporting.redcap.target import Address

EVENT: Final = "redcap_event_name"
INSTRUMENT: Final = "redcap_repeat_instrument"
INSTANCE: Final = "redcap_repeat_instance"
GROUP: Final = "redcap_data_access_group"

Row = Mapping[str, str]


class Place(NamedTuple):
    """Where values are."""

    address: Address
    instance: int


def repeat_of(dictionary: Dictionary, event: str, form: str) -> str:
    """How the form repeats in the event: none, instrument or event."""
    if Repeat(event=event, form=form) in dictionary.repeats:
        return "instrument"
    return "event" if Repeat(event=event) in dictionary.repeats else "none"


def forms_beside(dictionary: Dictionary, event: str, form: str) -> list[str]:
    """The forms whose rows take instances away from this one: all of an event that repeats, else itself."""
    if repeat_of(dictionary, event, form) != "event":
        return [form]
    of_event = [each.forms for each in dictionary.events if each.name == event]
    return list(of_event[0]) if of_event else list(dictionary.forms)


def places(
    rows: Iterable[Row], dictionary: Dictionary, forms: Iterable[str], records: Iterable[str] = ()
) -> dict[Place, Row]:
    """What is at each place of these forms and records. A row that stands for several forms is at each place.
    REDCap takes `ab1` and `AB1` for one record: places have `records`' spelling.
    """
    wanted = list(forms)
    spelled = {record.casefold(): record for record in records}
    found: dict[Place, Row] = {}
    for row in rows:
        told = row.get(dictionary.record_id, "")
        record = spelled.get(told.casefold(), told)
        event = row.get(EVENT, "")
        instrument, number = row.get(INSTRUMENT, ""), row.get(INSTANCE, "")
        instance = int(number) if number.isascii() and number.isdecimal() else 1
        for form in wanted:
            repeat = repeat_of(dictionary, event, form)
            if instrument == (form if repeat == "instrument" else ""):
                found[Place(Address(record, event, form), instance)] = row
    return found


def import_row(
    dictionary: Dictionary, address: Address, repeat: str, instance: int, values: Row
) -> dict[str, str]:
    """The row that writes these values to that instance."""
    row = {dictionary.record_id: address.record}
    if dictionary.is_longitudinal:
        row[EVENT] = address.event
    if repeat != "none":
        row[INSTRUMENT] = address.form if repeat == "instrument" else ""
        row[INSTANCE] = str(instance)
    return {**row, **values}


def exported_fields(columns: Iterable[str]) -> list[str]:
    """The fields that have these columns: `cog_flags___1` is one of `cog_flags`."""
    return list(dict.fromkeys(name.partition("___")[0] for name in columns if name != GROUP))


def is_filled(row: Row, dictionary: Dictionary) -> bool:
    """Whether anything is in it that somebody may have entered."""
    return any(
        value not in ("", "0")
        for name, value in row.items()
        if name != dictionary.record_id and not name.startswith("redcap_")
    )


def differing(values: Row, found: Row) -> dict[str, str]:
    """The values that REDCap has otherwise, as it has them; empty: it has all of them as they were sent."""
    return {
        name: found.get(name, "")
        for name, value in values.items()
        if name != GROUP and not is_same(name, value, found.get(name, ""))
    }
