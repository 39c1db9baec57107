"""A project's dictionary from the CSV file that REDCap downloads and takes: 18 columns, a row a field.

| the file | what comes of it |
|---|---|
| has a byte order mark, or the columns as the API names them | it is read |
| has no column for field name, form or type | `BadFile` names them |
| has a type that REDCap has not, or a name twice | `BadFile` names field and line |
"""

import csv
import io
import re
from collections.abc import Mapping
from pathlib import Path

from tests.redcap_double.dictionary import CSV_COLUMNS, FIELD_TYPES, Dictionary, Field

NEEDED = ("field_name", "form_name", "field_type")


class BadFile(ValueError):
    """A file that describes no project; the text says what, where, and what to do."""


def read_dictionary(path: Path) -> Dictionary:
    """From a file in UTF-8."""
    return parse_dictionary(path.read_text(encoding="utf-8-sig"))


def parse_dictionary(text: str) -> Dictionary:
    """From the file's text."""
    reader = csv.DictReader(io.StringIO(text, newline=""))
    titles = {_plain(title): name for name, title in CSV_COLUMNS.items()} | {
        name: name for name in CSV_COLUMNS
    }
    columns = {title: titles[_plain(title)] for title in reader.fieldnames or () if _plain(title) in titles}
    if missing := [CSV_COLUMNS[name] for name in NEEDED if name not in columns.values()]:
        raise BadFile(f"not a data dictionary, it has no column: {', '.join(missing)}")
    fields: dict[str, Field] = {}
    for at, row in enumerate(reader, 2):
        values = {columns[title]: (value or "").strip() for title, value in row.items() if title in columns}
        if not values["field_name"]:
            continue
        field = _field(values, at)
        if field.name in fields:
            raise BadFile(f"line {at}: the field {field.name} is there twice")
        fields[field.name] = field
    if not fields:
        raise BadFile("the dictionary has no field")
    return Dictionary(tuple(fields.values()))


def _plain(title: str) -> str:
    return title.strip().strip('"').lower()


def _field(values: Mapping[str, str], line: int) -> Field:
    name, kind = values["field_name"], values["field_type"].lower()
    if not re.fullmatch(r"[a-z][a-z0-9_]*", name):
        raise BadFile(f"line {line}: {name!r} is no field name: small letters, digits and _ after a letter")
    if kind not in FIELD_TYPES:
        raise BadFile(
            f"line {line}, field {name}: unknown type {kind!r}, known are {', '.join(sorted(FIELD_TYPES))}"
        )
    if not values["form_name"]:
        raise BadFile(f"line {line}, field {name}: no form")

    def text(column: str) -> str:
        return values.get(column, "")

    return Field(
        name=name,
        form=re.sub(r"\W+", "_", values["form_name"].lower()),
        type=kind,
        label=text("field_label"),
        choices=text("select_choices_or_calculations"),
        validation=text("text_validation_type_or_show_slider_number"),
        identifier=text("identifier").lower() == "y",
        required=text("required_field").lower() == "y",
        minimum=text("text_validation_min"),
        maximum=text("text_validation_max"),
        branching=text("branching_logic"),
        note=text("field_note"),
        section=text("section_header"),
        annotation=text("field_annotation"),
    )
