"""An export of records: which rows, which columns, which values.

A row is there if one of its forms is among the columns asked for; a column that has no place in a row is
blank in it. A ticked box is 1, an unticked one 0 in the rows of its form. A form that nobody filled in is in
state 0, or blank with `exportBlankForGrayFormStatus`. Unknown records are left out silently, unknown fields,
forms and events are refused. The record's name, and with it
event and repeat, is a column only if it is asked for: PyCap always asks.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime

from tests.redcap_double import filter_logic
from tests.redcap_double.dictionary import Column
from tests.redcap_double.parameters import Parameters
from tests.redcap_double.project import DE_IDENTIFIED, NO_ACCESS, NO_IDENTIFIERS, Project, User
from tests.redcap_double.records import Place
from tests.redcap_double.refusals import Refusal, invalid_parameter, missing_right, not_implemented

Row = dict[str, str | int]

_ONLY = {"decimalCharacter": ".", "rawOrLabelHeaders": "raw", "csvDelimiter": ","}
_NEVER = ("exportSurveyFields", "exportCheckboxLabel", "combineCheckboxOptions")
"""Options of the API that are refused unless they ask for what the double does anyway."""


@dataclass(frozen=True)
class _Shape:
    columns: list[Column]
    forms: frozenset[str]
    labels: bool
    groups: bool
    blank_for_gray: bool


def export_records(project: Project, user: User, parameters: Parameters) -> list[Row]:
    """The rows, by record and event. Raises `Refusal`."""
    if not user.api_export or user.data_export == NO_ACCESS:
        raise missing_right("API Export")
    if parameters.choice("type", ("flat", "eav")) != "flat" or _asks_for_more(parameters):
        raise not_implemented()
    groups = parameters.flag("exportDataAccessGroups")
    if groups and not user.data_access_groups:
        raise Refusal(
            400,
            "Insufficient user privileges: You must have 'API Export' privileges and 'Data Access Groups' "
            "privileges in the project.",
        )
    columns = _columns(project, user, parameters)
    shape = _Shape(
        columns,
        _forms_of(project, columns),
        parameters.choice("rawOrLabel", ("raw", "label")) == "label",
        groups and bool(project.groups) and not user.group,
        parameters.flag("exportBlankForGrayFormStatus"),
    )
    return [_row(project, place, shape) for place in _places(project, user, parameters, shape)]


def _asks_for_more(parameters: Parameters) -> bool:
    return any(parameters.text(name, value) != value for name, value in _ONLY.items()) or any(
        parameters.flag(name) for name in _NEVER
    )


def _columns(project: Project, user: User, parameters: Parameters) -> list[Column]:
    fields, forms = parameters.listed("fields"), parameters.listed("forms")
    columns = project.dictionary.columns()
    known = {column.field_name for column in columns.values()} | set(columns)
    known |= {one.name for one in project.dictionary.fields}
    if unknown := [name for name in fields if name not in known]:
        raise invalid_parameter("fields", unknown)
    if unknown := [name for name in forms if name not in project.dictionary.forms]:
        raise invalid_parameter("forms", unknown)
    chosen = [
        column
        for column in columns.values()
        if not (fields or forms)
        or column.form in forms
        or column.name in fields
        or column.field_name in fields
    ]
    return [column for column in chosen if _may_see(project, user, column)]


def _may_see(project: Project, user: User, column: Column) -> bool:
    if column.name == project.dictionary.record_id:
        return True
    if user.data_export in (DE_IDENTIFIED, NO_IDENTIFIERS) and column.identifier:
        return False
    free = column.field_type == "notes" or (column.field_type == "text" and not column.validation)
    dated = column.field_type == "text" and column.validation.startswith("date")
    return user.data_export != DE_IDENTIFIED or not (free or dated)


def _forms_of(project: Project, columns: list[Column]) -> frozenset[str]:
    """The forms that choose the rows: the record's name is in all rows, and chooses only by itself."""
    own = frozenset(column.form for column in columns if column.name != project.dictionary.record_id)
    return own or frozenset(project.dictionary.forms)


def _places(project: Project, user: User, parameters: Parameters, shape: _Shape) -> list[Place]:
    records, events = parameters.listed("records"), parameters.listed("events")
    if unknown := [name for name in events if name not in project.event_names]:
        raise invalid_parameter("events", unknown)
    begin, end = parameters.moment("dateRangeBegin"), parameters.moment("dateRangeEnd")
    logic = parameters.text("filterLogic")
    wanted = filter_logic.parse(logic, project.dictionary) if logic else None
    names = {name: at for at, name in enumerate(project.records.names())}
    positions = {name: at for at, name in enumerate(project.event_names)}
    found = [
        place
        for place in project.records.rows
        if (not records or place.record in records)
        and (not events or place.event in events)
        and place.event in positions
        and (not user.group or project.records.groups.get(place.record) == user.group)
        and shape.forms & project.forms_of_row(place.event, place.instrument)
        and _changed_between(project.records.changed.get(place.record, []), begin, end)
        and (wanted is None or _holds(project, wanted, place))
    ]
    return sorted(
        found,
        key=lambda place: (names[place.record], positions[place.event], place.instrument, place.instance),
    )


def _changed_between(moments: list[datetime], begin: datetime | None, end: datetime | None) -> bool:
    if begin is None and end is None:
        return True
    return any((begin is None or begin <= at) and (end is None or at <= end) for at in moments)


def _holds(project: Project, logic: filter_logic.FilterLogic, place: Place) -> bool:
    def values_of(event: str) -> Mapping[str, str]:
        at = Place(place.record, event) if event else place
        return {project.dictionary.record_id: place.record} | project.records.rows.get(at, {})

    return logic.holds(values_of)


def _row(project: Project, place: Place, shape: _Shape) -> Row:
    values = project.records.rows[place]
    own = project.forms_of_row(place.event, place.instrument)
    record_id = project.dictionary.record_id
    row: Row = {}
    names_row = any(column.name == record_id for column in shape.columns)
    if names_row:
        row[record_id] = place.record
    if names_row and project.is_longitudinal:
        row["redcap_event_name"] = project.event(place.event).label if shape.labels else place.event
    if names_row and project.is_repeating:
        label = project.dictionary.forms.get(place.instrument, "")
        row["redcap_repeat_instrument"] = label if shape.labels else place.instrument
        row["redcap_repeat_instance"] = place.instance or ""
    if shape.groups:
        group = project.group(project.records.groups.get(place.record, ""))
        row["redcap_data_access_group"] = (group.label if shape.labels else group.name) if group else ""
    for column in shape.columns:
        if column.name != record_id:
            value = _value(column, values, blank_for_gray=shape.blank_for_gray) if column.form in own else ""
            row[column.name] = column.choices.get(value, value) if shape.labels else value
    return row


def _value(column: Column, values: Mapping[str, str], *, blank_for_gray: bool) -> str:
    found = values.get(column.name, "")
    if found == "" and (
        column.field_type == "checkbox" or (column.field_type == "complete" and not blank_for_gray)
    ):
        return "0"
    return found
