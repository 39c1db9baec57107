"""Where a sent row belongs: which repeating form, which instance.

| the row | where it goes |
|---|---|
| no instrument, no instance | the row of what does not repeat; instance 1 of a repeating event |
| a form that repeats in the event, an instance | that instance of the form |
| a form that repeats, no instance | instance 1, as long as the row says which form |
| instance `new` | one more than the highest, counting the rows before it in the request |
| a form that does not repeat, or an instance where nothing repeats | bad |
"""

from tests.redcap_double.dictionary import Column
from tests.redcap_double.project import Project
from tests.redcap_double.records import Place
from tests.redcap_double.refusals import BadValue

NOT_A_REPEATING_FORM = (
    "redcap_repeat_instrument must be the unique form name of a Repeating Instrument. It currently does not "
    "match the unique form name of any Repeating Instruments. Please fix this in the data import file and "
    "try again."
)
NOTHING_REPEATS = (
    "redcap_repeat_instance cannot have a value since this instrument or event is not a repeating instrument "
    "or repeating event, respectively. The redcap_repeat_instance field must be left blank for this row of "
    "data."
)
NOT_AN_INSTANCE = "redcap_repeat_instance must be a positive whole number, or 'new'."
LARGEST_INSTANCE = 32_767


class Placing:
    """Places the rows of one request in their order; what is bad is added to the list given."""

    def __init__(self, project: Project, bad: list[BadValue]) -> None:
        self._project = project
        self._bad = bad
        self._highest: dict[tuple[str, str, str], int] = {}

    def place(self, record: str, event: str, instrument: str, instance: str) -> Place | None:
        """The row's address, or None where it has none."""
        repeats_as_a_whole = self._project.event_repeats(event)
        found: list[tuple[str, str, str]] = []
        if instrument and instrument not in self._project.repeating_forms(event):
            # An instrument that the rows of a repeating event name is passed over.
            if not repeats_as_a_whole:
                found.append(("redcap_repeat_instrument", instrument, NOT_A_REPEATING_FORM))
            instrument = ""
        repeats = bool(instrument) or repeats_as_a_whole
        if instance and not repeats:
            found.append(("redcap_repeat_instance", instance, NOTHING_REPEATS))
        elif instance not in ("", "new") and not self._is_instance(instance):
            found.append(("redcap_repeat_instance", instance, NOT_AN_INSTANCE))
        if found:
            named = event if self._project.is_longitudinal else ""
            self._bad += [BadValue(record, name, value, why, named) for name, value, why in found]
            return None
        if not repeats:
            return Place(record, event)
        return Place(record, event, instrument, self._number(record, event, instrument, instance))

    def _number(self, record: str, event: str, instrument: str, instance: str) -> int:
        series = (record, event, instrument)
        there = max(self._project.records.instances(*series), default=0)
        highest = max(there, self._highest.get(series, 0))
        number = highest + 1 if instance == "new" else int(instance or 1)
        self._highest[series] = max(highest, number)
        return number

    @staticmethod
    def _is_instance(text: str) -> bool:
        return text.isascii() and text.isdecimal() and 0 < int(text) <= LARGEST_INSTANCE

    def wrong_row(self, column: Column, place: Place) -> str:
        """Why a column's value may not stand in a row."""
        if column.form in self._project.repeating_forms(place.event):
            return (
                f"This field ('{column.name}') exists on a Repeating Instrument named '{column.form}'. "
                "However, the fields 'redcap_repeat_instance' and/or 'redcap_repeat_instrument' for this row "
                "of data have no value, which are both required for importing data into a Repeating "
                "Instrument. You are not allowed to import data for this field into a non-repeating "
                "instrument."
            )
        return (
            f"This field ('{column.name}') is not on the Repeating Instrument '{place.instrument}'. You are "
            "not allowed to import data for this field into a row of a Repeating Instrument."
        )
