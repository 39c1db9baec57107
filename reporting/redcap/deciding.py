"""What REDCap has at a row's address → what is to be done for the row. Pure.

The key field tells whose an instance is. What has to be told apart:

| at our instance there is | and the row | then |
|---|---|---|
| our uid, all values | | Equal |
| our uid, other values | | Write |
| nothing | | Write; to another instance where our uid is there: Moved |
| somebody else's uid | | Moved where our uid is elsewhere, else Lost: another instance |
| an instance without uid | has what we wrote else, all of it | Write: somebody has blanked the key |
| an instance without uid | any other | Lost: a person's, meanwhile or since REDCap was restored |
| (to be withdrawn) not ours, or nothing | | Gone: there is nothing to take away |

Forms that do not repeat have no key: what is there is ours.
"""

from collections.abc import Collection, Mapping

import msgspec

from reporting.redcap.comparison import is_same
from reporting.redcap.dictionary import Dictionary
from reporting.redcap.ledger import LedgerRow
from reporting.redcap.remote import Row, differing, is_filled
from reporting.redcap.target import Target


class Equal(msgspec.Struct, frozen=True):
    """It is there, with the values of now."""


class Write(msgspec.Struct, frozen=True):
    """The values go to the row's instance. `found`: what is there and differs, empty for nothing."""

    found: Mapping[str, str]


class Moved(msgspec.Struct, frozen=True):
    """Our uid is in another instance, which is ours from now on."""

    instance: int


class Lost(msgspec.Struct, frozen=True):
    """The instance is another's: a new one has to be chosen."""


class Gone(msgspec.Struct, frozen=True):
    """There is nothing of ours to take away."""


Decided = Equal | Write | Moved | Lost | Gone


def decide(
    row: LedgerRow,
    target: Target,
    there: Mapping[int, Row],
    given: Collection[int],
    dictionary: Dictionary,
    *,
    withdraws: bool = False,
) -> Decided:
    """What is to be done for a row that has an instance. `there`: what REDCap has at its address, by
    instance; `given`: the instances that the ledger has given there, to whomever.
    """
    instance = row.instance or 0
    found = there.get(instance)
    if target.key_field is not None:
        key = target.key_field
        uid = "" if found is None else found.get(key, "").strip()
        if uid != row.uid:
            if withdraws:
                return Gone()
            elsewhere = [
                number
                for number, values in sorted(there.items())
                if values.get(key, "").strip() == row.uid and number not in given
            ]
            if elsewhere:
                return Moved(elsewhere[0])
            if uid or _is_taken(row, found, target, dictionary):
                return Lost()
    elif withdraws and (found is None or not is_filled(found, dictionary)):
        return Gone()
    if found is None:
        return Write({})
    differs = differing(target.values, found)
    return Write(differs) if differs else Equal()


def _is_taken(row: LedgerRow, found: Row | None, target: Target, dictionary: Dictionary) -> bool:
    """An instance of a form is there for its values, whether or not they were asked for; one of an event may
    be there for another form.
    """
    if found is None or _is_as_left(row, found):
        return False
    return target.repeat == "instrument" or is_filled(found, dictionary)


def _is_as_left(row: LedgerRow, found: Row) -> bool:
    """Whether it has our uid under a former key field, or all that we have written but for the key. A form's
    status tells nothing: everybody's is 2 in the end.
    """
    ours = {
        column: value
        for column, value in (row.accepted or {}).items()
        if column in found and value not in ("", "0") and not column.endswith("_complete")
    }
    if any(value == row.uid and is_same(column, value, found[column]) for column, value in ours.items()):
        return True
    told = {column: value for column, value in ours.items() if value != row.uid}
    return bool(told) and all(is_same(column, value, found[column]) for column, value in told.items())
