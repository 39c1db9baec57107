"""An import of records: all of it or nothing.

| the request | what comes of it |
|---|---|
| one bad value | 400 with a line for every bad value, nothing is written |
| an unknown field or event | 400 with their names, before any value is looked at |
| a value for a locked form or record, also the one that it has | 400, a line that says so |
| a JSON object in place of a list | a count of 0, no error |
| a row without a record's name | it is passed over |
| no `redcap_event_name` in a longitudinal project | the first event, silently |
| `redcap_repeat_instance` is `new` | the next free one: sent twice, written twice |
| calc and file fields | their values are dropped, silently |
| no value in a row | it makes a record that is not there, and no instance |
| nothing changes | counted all the same, and no line in the log |
"""

import csv
import io
import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any

from tests.redcap_double.dictionary import Column
from tests.redcap_double.parameters import Parameters
from tests.redcap_double.placing import Placing
from tests.redcap_double.project import Project, User
from tests.redcap_double.records import Place
from tests.redcap_double.refusals import BadValue, Refusal, bad_values, missing_right, not_implemented
from tests.redcap_double.values import DATE_FORMATS, IGNORED_TYPES, Invalid, stored

EVENT, INSTRUMENT, INSTANCE, GROUP = (
    "redcap_event_name",
    "redcap_repeat_instrument",
    "redcap_repeat_instance",
    "redcap_data_access_group",
)
ROW_COLUMNS = (EVENT, INSTRUMENT, INSTANCE, GROUP)
LOCKED_FORM = (
    "This field is located on a form that is locked. You must first unlock this form for this record."
)
LOCKED_RECORD = (
    "This record is locked. You must first unlock the whole record before its values can be changed."
)
OTHER_GROUP = "This record does not belong to your Data Access Group. You may not change it."
NOT_IN_EVENT = (
    "This field does not exist in the event of this row: its form is not designated for that event."
)


@dataclass
class Write:
    """One row that will be written."""

    place: Place
    values: dict[str, str]
    group: str | None = None


@dataclass
class Imported:
    """What an import did: records in the order sent, and (new name, sent name) of renamed ones."""

    names: list[str] = field(default_factory=list)
    renamed: list[tuple[str, str]] = field(default_factory=list)
    writes: list[Write] = field(default_factory=list)


def sent_rows(parameters: Parameters) -> list[dict[str, str]] | None:
    """The rows of `data` with all values as text; None for a JSON object."""
    text = parameters.text("data")
    if parameters.format == "csv":
        return [
            {name: value or "" for name, value in row.items() if name}
            for row in csv.DictReader(io.StringIO(text))
        ]
    if parameters.format != "json":
        raise not_implemented()
    try:
        found = json.loads(text)
    except ValueError:
        raise Refusal(
            400, "The data being imported is not formatted correctly. The JSON is invalid."
        ) from None
    if isinstance(found, dict):
        return None
    if not isinstance(found, list) or not all(isinstance(row, dict) for row in found):
        raise Refusal(
            400, "The data being imported is not formatted correctly. A list of objects is expected."
        )
    return [{name: _as_text(value) for name, value in row.items()} for row in found]


def _as_text(value: Any) -> str:
    if value is None:
        return ""
    if isinstance(value, bool):
        return "1" if value else ""
    # A float of a whole number loses its point on the way: 22.0 arrives as 22.
    if isinstance(value, float) and value.is_integer():
        return str(int(value))
    return value if isinstance(value, str) else json.dumps(value)


def import_records(
    project: Project, user: User, parameters: Parameters, now: datetime, *, names_event: bool = False
) -> Imported:
    """Check all rows, then write them. Raises `Refusal`."""
    if not user.api_import:
        raise missing_right("API Import/Update")
    if parameters.choice("type", ("flat", "eav")) != "flat":
        raise not_implemented()
    rows = sent_rows(parameters)
    if rows is None:
        return Imported()
    check = _Check(
        project,
        user,
        overwrites=parameters.choice("overwriteBehavior", ("normal", "overwrite")) == "overwrite",
        date_format=parameters.choice("dateFormat", ("YMD", *(set(DATE_FORMATS) - {"YMD"}))),
        numbers=parameters.flag("forceAutoNumber"),
    )
    imported = check.rows([row for row in rows if row.get(project.dictionary.record_id)])
    if check.bad:
        raise bad_values(check.bad, names_event=names_event)
    for write in imported.writes:
        if write.group is not None:
            project.records.groups[write.place.record] = write.group
        project.records.write(write.place, write.values, at=now, username=user.username)
    return imported


class _Check:
    """Looks at all rows, and collects what is bad."""

    def __init__(
        self, project: Project, user: User, *, overwrites: bool, date_format: str, numbers: bool
    ) -> None:
        self._project = project
        self._user = user
        self._overwrites = overwrites
        self._date_format = date_format
        self._numbers = numbers
        self._columns = project.dictionary.columns()
        self.bad: list[BadValue] = []
        self._placing = Placing(project, self.bad)

    def rows(self, rows: list[dict[str, str]]) -> Imported:
        """The writes, in the order sent."""
        self._refuse_unknown(rows)
        imported = Imported()
        names = self._names(rows, imported)
        for row in rows:
            sent = row[self._project.dictionary.record_id]
            write = self._row(names[sent], row)
            if write is not None:
                imported.writes.append(write)
        imported.names = list(dict.fromkeys(names.values()))
        return imported

    def _names(self, rows: list[dict[str, str]], imported: Imported) -> dict[str, str]:
        """Sent name → the record's name."""
        sent = list(dict.fromkeys(row[self._project.dictionary.record_id] for row in rows))
        if not self._numbers:
            return {name: name for name in sent}
        prefix, _, first = self._project.next_record_name(self._user).rpartition("-")
        names = {
            name: f"{prefix}-{int(first) + at}" if prefix else str(int(first) + at)
            for at, name in enumerate(sent)
        }
        imported.renamed = [(new, old) for old, new in names.items()]
        return names

    def _refuse_unknown(self, rows: list[dict[str, str]]) -> None:
        # Clients send the columns of rows to any project; one that has no use for them passes them over.
        known = {*self._columns, *ROW_COLUMNS}
        unknown = [name for row in rows for name in row if name not in known]
        if unknown:
            raise Refusal(
                400,
                "The following fields were not found in the project as real data fields: "
                + ", ".join(dict.fromkeys(unknown)),
            )
        if not self._project.is_longitudinal:
            return
        events = {row.get(EVENT, "") for row in rows} - {"", *self._project.event_names}
        if events:
            raise Refusal(
                400, f"The following values of redcap_event_name are invalid: {', '.join(sorted(events))}"
            )

    def _row(self, record: str, row: Mapping[str, str]) -> Write | None:
        project = self._project
        event = (
            (row.get(EVENT) or project.event_names[0]) if project.is_longitudinal else project.event_names[0]
        )
        group = self._group(record, row)
        place = self._placing.place(record, event, row.get(INSTRUMENT, ""), row.get(INSTANCE, ""))
        if place is None:
            return None
        values: dict[str, str] = {}
        for name, value in row.items():
            if name in ROW_COLUMNS or name == project.dictionary.record_id:
                continue
            if value == "" and not self._overwrites:
                continue
            column = self._columns[name]
            if column.field_type in IGNORED_TYPES or not self._may_stand(place, column, value):
                continue
            self._value(place, column, value, values)
        if not project.records.has(record) and not self._user.record_create:
            raise missing_right("Create Records")
        return Write(place, values, group)

    def _value(self, place: Place, column: Column, value: str, values: dict[str, str]) -> None:
        try:
            taken = stored(column, value, self._date_format) if value else ""
        except Invalid as wrong:
            self._is_bad(place, column.name, value, str(wrong))
        else:
            # A box that is not ticked is stored nowhere.
            values[column.name] = "" if column.field_type == "checkbox" and taken == "0" else taken

    def _may_stand(self, place: Place, column: Column, value: str) -> bool:
        """Whether the row is one for the column's form, and the form is open."""
        project, forms = self._project, self._project.forms_of_row(place.event, place.instrument)
        if column.form not in project.forms_of(place.event):
            self._is_bad(place, column.name, value, NOT_IN_EVENT)
            return False
        if column.form not in forms:
            if value != "":
                self._is_bad(place, column.name, value, self._placing.wrong_row(column, place))
            return False
        if project.records.is_locked(place, column.form):
            whole = any(lock.record == place.record and not lock.form for lock in project.records.locks)
            self._is_bad(place, column.name, value, LOCKED_RECORD if whole else LOCKED_FORM)
            return False
        return True

    def _group(self, record: str, row: Mapping[str, str]) -> str | None:
        """The group that the record gets by this row; None where it keeps what it has."""
        project, own = self._project, self._user.group
        present = project.records.groups.get(record, "")
        if own:
            if project.records.has(record) and present != own:
                place = Place(record, project.event_names[0])
                self._is_bad(place, project.dictionary.record_id, record, OTHER_GROUP)
            return own
        named = row.get(GROUP, "")
        if named and project.group(named) is None:
            place = Place(record, project.event_names[0])
            self._is_bad(place, GROUP, named, "The data access group does not exist in this project.")
        if named or (GROUP in row and self._overwrites):
            return named
        return None

    def _is_bad(self, place: Place, name: str, value: str, message: str) -> None:
        event = place.event if self._project.is_longitudinal else ""
        self.bad.append(BadValue(place.record, name, value, message, event))
