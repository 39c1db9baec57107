"""The data dictionary: forms, their fields, and the columns that these have in exports and imports.

A checkbox `flags` with the choices 1 and 2 is two columns, `flags___1` and `flags___2`. Each form has one
more column than it has fields, `<form>_complete`. A descriptive field has no column. The first field of all
is the name of the record.
"""

from collections.abc import Iterator
from dataclasses import dataclass, field, replace

CSV_COLUMNS = {
    "field_name": "Variable / Field Name",
    "form_name": "Form Name",
    "section_header": "Section Header",
    "field_type": "Field Type",
    "field_label": "Field Label",
    "select_choices_or_calculations": "Choices, Calculations, OR Slider Labels",
    "field_note": "Field Note",
    "text_validation_type_or_show_slider_number": "Text Validation Type OR Show Slider Number",
    "text_validation_min": "Text Validation Min",
    "text_validation_max": "Text Validation Max",
    "identifier": "Identifier?",
    "branching_logic": "Branching Logic (Show field only if...)",
    "required_field": "Required Field?",
    "custom_alignment": "Custom Alignment",
    "question_number": "Question Number (surveys only)",
    "matrix_group_name": "Matrix Group Name",
    "matrix_ranking": "Matrix Ranking?",
    "field_annotation": "Field Annotation",
}
"""The 18 columns of a dictionary: as the API names them, and as the CSV file's head does."""

FIELD_TYPES = {
    "text", "notes", "radio", "dropdown", "checkbox", "yesno", "truefalse", "calc", "file", "slider",
    "descriptive", "sql",
}  # fmt: skip

COMPLETE = {"0": "Incomplete", "1": "Unverified", "2": "Complete"}
_FIXED_CHOICES = {"yesno": {"1": "Yes", "0": "No"}, "truefalse": {"1": "True", "0": "False"}}


def parse_choices(text: str) -> dict[str, str]:
    """Code → label of `1, Late | 2, Noisy`."""
    choices = {}
    for part in text.split("|"):
        code, _, label = part.partition(",")
        if code.strip():
            choices[code.strip()] = label.strip()
    return choices


def checkbox_column(field_name: str, code: str) -> str:
    """The column of one choice: `flags___2`, of code -9 `flags____9`."""
    return f"{field_name}___{code.lower().replace('-', '_')}"


@dataclass(frozen=True, slots=True)
class Column:
    """One column of an export: a field, one choice of a checkbox, or a form's state."""

    name: str
    form: str
    field_name: str
    field_type: str
    choices: dict[str, str] = field(default_factory=dict)
    validation: str = ""
    identifier: bool = False
    code: str = ""
    """The choice, of a checkbox's column."""


@dataclass(frozen=True, slots=True)
class Field:
    """One row of the dictionary; `choices` is the text as it stands there, a calculation for `calc`."""

    name: str
    form: str
    type: str = "text"
    label: str = ""
    choices: str = ""
    validation: str = ""
    identifier: bool = False
    required: bool = False
    minimum: str = ""
    maximum: str = ""
    branching: str = ""
    note: str = ""
    section: str = ""
    annotation: str = ""

    def coded(self) -> dict[str, str]:
        """Code → label; empty for a field without choices."""
        if self.type in _FIXED_CHOICES:
            return _FIXED_CHOICES[self.type]
        return parse_choices(self.choices) if self.type in {"radio", "dropdown", "checkbox"} else {}

    def columns(self) -> Iterator[Column]:
        """None for a descriptive field, one a choice for a checkbox, else one."""
        if self.type == "descriptive":
            return
        if self.type != "checkbox":
            yield Column(
                self.name, self.form, self.name, self.type, self.coded(), self.validation, self.identifier
            )
            return
        for code in self.coded():
            yield Column(
                checkbox_column(self.name, code),
                self.form,
                self.name,
                "checkbox",
                {"0": "Unchecked", "1": "Checked"},
                identifier=self.identifier,
                code=code,
            )

    def row(self) -> dict[str, str]:
        """As `content=metadata` answers."""
        values = {
            "field_name": self.name,
            "form_name": self.form,
            "section_header": self.section,
            "field_type": self.type,
            "field_label": self.label,
            "select_choices_or_calculations": self.choices,
            "field_note": self.note,
            "text_validation_type_or_show_slider_number": self.validation,
            "text_validation_min": self.minimum,
            "text_validation_max": self.maximum,
            "identifier": "y" if self.identifier else "",
            "branching_logic": self.branching,
            "required_field": "y" if self.required else "",
            "field_annotation": self.annotation,
        }
        return {column: values.get(column, "") for column in CSV_COLUMNS}


@dataclass(frozen=True)
class Dictionary:
    """All fields in their order. Edited by making another one."""

    fields: tuple[Field, ...]
    labels: dict[str, str] = field(default_factory=dict)
    """Form → label; without one it is made of the name."""

    def __post_init__(self) -> None:
        if not self.fields:
            raise ValueError("a data dictionary has at least the field that names the record")
        for one in self.fields:
            if one.type not in FIELD_TYPES:
                raise ValueError(f"field {one.name}: unknown type {one.type!r}")

    @property
    def record_id(self) -> str:
        """The field that names the record."""
        return self.fields[0].name

    @property
    def forms(self) -> dict[str, str]:
        """Form → label, in order."""
        names = dict.fromkeys(one.form for one in self.fields)
        return {name: self.labels.get(name, name.replace("_", " ").title()) for name in names}

    def columns(self) -> dict[str, Column]:
        """All columns by name, in the order of an export."""
        columns: dict[str, Column] = {}
        for form in self.forms:
            for one in self.fields:
                if one.form == form:
                    columns.update((column.name, column) for column in one.columns())
            name = f"{form}_complete"
            columns[name] = Column(name, form, name, "complete", COMPLETE)
        return columns

    def field(self, name: str) -> Field | None:
        """The field of that name."""
        return next((one for one in self.fields if one.name == name), None)

    def without(self, name: str) -> "Dictionary":
        """As after somebody deleted the field."""
        return replace(self, fields=tuple(one for one in self.fields if one.name != name))

    def renamed(self, name: str, new: str) -> "Dictionary":
        """As after somebody gave the field another name."""
        return replace(
            self, fields=tuple(replace(one, name=new) if one.name == name else one for one in self.fields)
        )

    def with_field(self, added: Field) -> "Dictionary":
        """With one more field, the last of its form; one of the same name is replaced where it stands."""
        if self.field(added.name):
            return replace(
                self, fields=tuple(added if one.name == added.name else one for one in self.fields)
            )
        last = max((at for at, one in enumerate(self.fields) if one.form == added.form), default=None)
        at = len(self.fields) if last is None else last + 1
        return replace(self, fields=(*self.fields[:at], added, *self.fields[at:]))
