"""A project from the XML file that REDCap exports: forms, fields, choices, arms, events, repeats, groups.

The file is CDISC ODM 1.3 with REDCap's own attributes. A form refers to groups of items, a group to items, an
item to its list of codes; a checkbox is one item a choice, and all its choices stand with each. Records in
the file (`ClinicalData`) are not read.
"""

import re
from pathlib import Path
from xml.etree import ElementTree as ET

from tests.redcap_double.dictionary import FIELD_TYPES, Dictionary, Field
from tests.redcap_double.dictionary_file import BadFile
from tests.redcap_double.project import CLASSIC_EVENT, Arm, Event, Group, Project

_ODM = "{http://www.cdisc.org/ns/odm/v1.3}"
_REDCAP = "{https://projectredcap.org}"
_TYPES = {"select": "dropdown", "textarea": "notes"}
_VALIDATIONS = {"int": "integer", "float": "number"}


def read_project(path: Path) -> Project:
    """From a file; without users and records."""
    return parse_project(path.read_text(encoding="utf-8-sig"))


def parse_project(text: str) -> Project:
    """From the file's text. Raises `BadFile`."""
    if "<!DOCTYPE" in text or "<!ENTITY" in text:
        raise BadFile("a project's XML file has no document type declaration")
    try:
        root = ET.fromstring(text)  # noqa: S314 (the developer's own file; entities are refused above)
    except ET.ParseError as wrong:
        raise BadFile(f"not XML: {wrong}") from None
    study = root.find(f"{_ODM}Study")
    metadata = study.find(f"{_ODM}MetaDataVersion") if study is not None else None
    if study is None or metadata is None:
        raise BadFile("not a REDCap project: it has no Study with a MetaDataVersion")
    forms = _Forms(metadata)
    arms, events = _events(metadata, forms)
    return Project(
        forms.dictionary(),
        events=events,
        arms=arms,
        repeating=_repeating(study, forms),
        groups=tuple(
            Group(re.sub(r"\W+", "_", label.lower()), label, at)
            for at, element in enumerate(study.iter(f"{_REDCAP}DataAccessGroups"), 1)
            if (label := element.get("group_name", ""))
        ),
        title=study.findtext(f"{_ODM}GlobalVariables/{_ODM}StudyName") or "ODM",
    )


class _Forms:
    """Follows the references from forms to lists of codes."""

    def __init__(self, metadata: ET.Element) -> None:
        self._metadata = metadata
        self._groups = self._by_oid("ItemGroupDef")
        self._items = self._by_oid("ItemDef")
        self._codes = self._by_oid("CodeList")
        self.names = {
            form.get("OID", ""): form.get(f"{_REDCAP}FormName") or form.get("OID", "").removeprefix("Form.")
            for form in metadata.iterfind(f"{_ODM}FormDef")
        }

    def _by_oid(self, tag: str) -> dict[str, ET.Element]:
        return {element.get("OID", ""): element for element in self._metadata.iterfind(f"{_ODM}{tag}")}

    def dictionary(self) -> Dictionary:
        fields: dict[str, Field] = {}
        labels = {}
        for form in self._metadata.iterfind(f"{_ODM}FormDef"):
            name = self.names[form.get("OID", "")]
            labels[name] = form.get("Name", name)
            for group in form.iterfind(f"{_ODM}ItemGroupRef"):
                for item in self._items_of(group.get("ItemGroupOID", "")):
                    variable = item.get(f"{_REDCAP}Variable", "") or item.get("OID", "")
                    if variable != f"{name}_complete" and variable not in fields:
                        fields[variable] = self._field(variable, name, item)
        if not fields:
            raise BadFile("the project has no field")
        record_id: str = self._metadata.get(f"{_REDCAP}RecordIdField") or next(iter(fields))
        if record_id not in fields:
            raise BadFile(f"the record's field {record_id} is on no form")
        return Dictionary((fields.pop(record_id), *fields.values()), labels)

    def _items_of(self, group: str) -> list[ET.Element]:
        if group not in self._groups:
            raise BadFile(f"a form refers to the item group {group}, which is not in the file")
        found = []
        for reference in self._groups[group].iterfind(f"{_ODM}ItemRef"):
            oid = reference.get("ItemOID", "")
            if oid not in self._items:
                raise BadFile(f"the item group {group} refers to the item {oid}, which is not in the file")
            found.append(self._items[oid])
        return found

    def _field(self, name: str, form: str, item: ET.Element) -> Field:
        def redcap(attribute: str) -> str:
            return item.get(f"{_REDCAP}{attribute}", "")

        kind = redcap("FieldType") or "text"
        ranges = {
            check.get("Comparator"): check.findtext(f"{_ODM}CheckValue") or ""
            for check in item.iterfind(f"{_ODM}RangeCheck")
        }
        validation = redcap("TextValidationType")
        if _TYPES.get(kind, kind) not in FIELD_TYPES:
            raise BadFile(f"field {name}: unknown type {kind!r}")
        return Field(
            name=name,
            form=form,
            type=_TYPES.get(kind, kind),
            label=item.findtext(f"{_ODM}Question/{_ODM}TranslatedText") or "",
            choices=redcap("Calculation") or self._choices(item),
            validation=_VALIDATIONS.get(validation, validation),
            identifier=redcap("Identifier") == "y",
            required=redcap("RequiredField") == "y",
            minimum=ranges.get("GE", ""),
            maximum=ranges.get("LE", ""),
            branching=redcap("BranchingLogic"),
            note=redcap("FieldNote"),
            section=redcap("SectionHeader"),
            annotation=redcap("FieldAnnotation"),
        )

    def _choices(self, item: ET.Element) -> str:
        reference = item.find(f"{_ODM}CodeListRef")
        codes = self._codes.get(reference.get("CodeListOID", "")) if reference is not None else None
        if codes is None:
            return ""
        if checkbox := codes.get(f"{_REDCAP}CheckboxChoices"):
            return checkbox
        return " | ".join(
            f"{code.get('CodedValue')}, {code.findtext(f'{_ODM}Decode/{_ODM}TranslatedText') or ''}"
            for code in codes.iterfind(f"{_ODM}CodeListItem")
        )


def _events(metadata: ET.Element, forms: _Forms) -> tuple[tuple[Arm, ...], tuple[Event, ...]]:
    """In the order of the protocol."""
    defined = {one.get("OID", ""): one for one in metadata.iterfind(f"{_ODM}StudyEventDef")}
    order = [ref.get("StudyEventOID", "") for ref in metadata.iterfind(f"{_ODM}Protocol/{_ODM}StudyEventRef")]
    arms: dict[int, Arm] = {}
    events = []
    for oid in order or list(defined):
        if oid not in defined:
            raise BadFile(f"the protocol refers to the event {oid}, which is not in the file")
        one = defined[oid]
        number = int(one.get(f"{_REDCAP}ArmNum", "1"))
        arms.setdefault(number, Arm(number, one.get(f"{_REDCAP}ArmName") or f"Arm {number}"))
        name = one.get(f"{_REDCAP}UniqueEventName") or oid.removeprefix("Event.")
        label = one.get(f"{_REDCAP}EventName") or one.get("Name") or name
        filled = []
        for reference in one.iterfind(f"{_ODM}FormRef"):
            form = reference.get("FormOID", "")
            if form not in forms.names:
                raise BadFile(f"the event {name} refers to the form {form}, which is not in the file")
            filled.append(forms.names[form])
        events.append(Event(name, label, number, tuple(filled)))
    return tuple(arms.values()) or (Arm(1, "Arm 1"),), tuple(events)


def _repeating(study: ET.Element, forms: _Forms) -> dict[str, frozenset[str] | None]:
    repeating: dict[str, frozenset[str] | None] = {}
    for one in study.iter(f"{_REDCAP}RepeatingInstrument"):
        event = one.get(f"{_REDCAP}UniqueEventName") or CLASSIC_EVENT
        form = one.get(f"{_REDCAP}RepeatInstrument", "")
        if form not in forms.names.values():
            raise BadFile(f"the repeating form {form} is not in the file")
        repeating[event] = (repeating.get(event) or frozenset()) | {form}
    for one in study.iter(f"{_REDCAP}RepeatingEvent"):
        repeating[one.get(f"{_REDCAP}UniqueEventName") or CLASSIC_EVENT] = None
    return repeating
