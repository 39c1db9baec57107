"""Whether a session's row is still where it has to be, and what is taken away of one that is not. Pure.

| the row | then |
|---|---|
| is at another record, event or form than the session | taken away |
| is not the first, of a form that does not repeat any more | taken away: REDCap shows it to nobody |
| is at a form or an event that the project has no more | nothing is written |
| has values in fields that the project has no more | the others are taken away |
| was sent with a key field that the mapping has no more | that one tells whose the instance is, and stays |
| repeats, and nothing tells whose the instance is | nothing is written |
"""

from reporting.redcap.dictionary import Dictionary
from reporting.redcap.field_rules import checkbox_column
from reporting.redcap.filling import withdrawal
from reporting.redcap.ledger import LedgerRow
from reporting.redcap.mapping import Mapping
from reporting.redcap.remote import repeat_of
from reporting.redcap.target import Address, Target


def is_in_place(row: LedgerRow, target: Target) -> bool:
    """Whether the target is written to the row."""
    return row.address == target.address and (target.repeat != "none" or row.instance == 1)


def has_place(dictionary: Dictionary, address: Address) -> bool:
    """Whether the project has the form, in the event."""
    if not dictionary.is_longitudinal:
        return address.event == "" and address.form in dictionary.forms
    return any(address.event == event.name and address.form in event.forms for event in dictionary.events)


def known_columns(row: LedgerRow, dictionary: Dictionary) -> list[str]:
    """Of what REDCap has, or may have, of the row: those that the project still has."""
    there = {f"{form}_complete" for form in dictionary.forms}
    for field in dictionary.fields:
        ticks = {checkbox_column(field.name, code) for code in field.choices}
        there |= ticks if field.type == "checkbox" else {field.name}
    return [column for column in {**(row.accepted or {}), **(row.payload or {})} if column in there]


def away(row: LedgerRow, mapping: Mapping, dictionary: Dictionary) -> Target | None:
    """What the row's instance has to become; None: nothing is written."""
    known = {**(row.accepted or {}), **(row.payload or {})}
    repeat = repeat_of(dictionary, row.event, row.form)
    if row.instance is None or not known or not has_place(dictionary, row.address):
        return None
    if repeat == "none" and row.instance != 1:
        return None
    columns = known_columns(row, dictionary)
    keys = [column for column in columns if known[column] == row.uid]
    mapped = [each.repeat.key_field for each in mapping.instruments if each.form == row.form]
    keys += [key for key in mapped if key is not None and key not in keys]
    if repeat != "none" and not keys:
        return None
    values = withdrawal(mapping, dictionary, row.form, {column: known[column] for column in columns})
    values = {column: value for column, value in values.items() if column not in keys}
    if not values:
        return None
    key_field = None if repeat == "none" else keys[0]
    return Target(address=row.address, repeat=repeat, key_field=key_field, values=values)
