"""What a REDCap project says of itself, as far as a mapping depends on it. Pure.

Its hash is pinned when a mapping is checked: another hash means that the project was edited since.
"""

import hashlib
from collections.abc import Mapping, Sequence
from typing import Literal

import msgspec

FieldType = Literal[
    "text",
    "notes",
    "radio",
    "dropdown",
    "checkbox",
    "yesno",
    "truefalse",
    "slider",
    "calc",
    "file",
    "descriptive",
    "sql",
]


class Field(msgspec.Struct, frozen=True, kw_only=True):
    """A field of the data dictionary. `choices` by code, in order, of fields that have some; `validation` as
    REDCap names it (`integer`, `number`, `number_1dp`, `date_ymd`, …), empty for none.
    """

    name: str
    form: str
    type: str
    label: str = ""
    choices: Mapping[str, str] = {}
    validation: str = ""


class Event(msgspec.Struct, frozen=True, kw_only=True):
    """An event of a longitudinal project, and the forms that are collected in it."""

    name: str
    forms: Sequence[str] = ()


class Repeat(msgspec.Struct, frozen=True, kw_only=True):
    """What repeats: a form in an event (`event` empty in classic projects), or an event (`form` empty)."""

    event: str = ""
    form: str = ""


class Dictionary(msgspec.Struct, frozen=True, kw_only=True):
    """A project. `record_id` is the field that names records, the first of the first form; `events` is empty
    in classic projects. `groups` are unique names of data access groups, None where they were not read;
    `missing_codes` the project's missing data codes, which any field but a checkbox takes.
    """

    record_id: str
    fields: Sequence[Field]
    forms: Sequence[str]
    events: Sequence[Event] = ()
    repeats: Sequence[Repeat] = ()
    groups: Sequence[str] | None = None
    missing_codes: Sequence[str] = ()

    @property
    def is_longitudinal(self) -> bool:
        """Whether rows need an event."""
        return bool(self.events)

    def sha256(self) -> bytes:
        """Equal for what a mapping cannot tell apart; 32 bytes."""
        return hashlib.sha256(msgspec.json.encode(self, order="deterministic")).digest()
