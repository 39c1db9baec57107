"""The mapping's `participants`: which of REDCap's fields are a participant's, and what a record says. Pure.

    participants:
      code: {from: ppt_code}
      event: baseline_arm_1
      fields:
        language: {from: lang, map: {"1": es, "2": qu}}
        enrolled_on: {from: consent_date}
        site: {by: dag, map: {lima_clinic: lima}}
        contact.email: {from: email, direction: both}
      create: true
      create_status: enrolled

| what a record has | what it says |
|---|---|
| an empty field, one of the project's missing data codes | nothing of that member |
| rows of several events | the row of `event`; without one, the first row in which the field is not empty |
| rows of repeats, records whose names cannot be kept here | passed over |
| a value that is not in `map`, no day, no language tag | a problem: nothing of the record is taken |
"""

from collections.abc import Mapping, Sequence
from datetime import date
from typing import Annotated, Any, Final, Literal

import msgspec
from msgspec import Meta

from reporting.participants.contact import Contact
from reporting.participants.rules import Code, Language, RedcapId, Status

FieldName = Annotated[str, Meta(pattern=r"^[a-z][a-z0-9_]{0,99}$(?!\n)")]

Member = Literal[
    "language",
    "enrolled_on",
    "site",
    "status",
    "contact.name",
    "contact.email",
    "contact.phone",
    "contact.address",
    "contact.note",
    "contact.timezone",
]

Direction = Literal["pull", "push", "both"]

DAG: Final = "redcap_data_access_group"
"""The column of an export that has the record's data access group, by its unique name."""


class MemberMapping(
    msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True, rename={"source": "from"}
):
    """Where a member comes from: a field, or `by: dag`. `map`: from REDCap's value (a choice's code)."""

    source: FieldName | None = None
    by: Literal["dag"] | None = None
    map: Mapping[str, str] | None = None
    direction: Direction = "pull"

    @property
    def column(self) -> str | None:
        """Of an export."""
        return DAG if self.by == "dag" else self.source


class CodeSource(
    msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True, rename={"source": "from"}
):
    """The field that holds the participant's code; it may be the one that names records."""

    source: FieldName


class RosterMapping(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """All of it. `create`: records whose code is not on the roster are put there, with `create_status`."""

    code: CodeSource
    fields: Mapping[Member, MemberMapping] = {}
    event: str | None = None
    create: bool = True
    create_status: Literal["screened", "enrolled"] = "screened"

    @property
    def pushes(self) -> bool:
        """Whether anything goes to REDCap."""
        return any(each.direction != "pull" for each in self.fields.values())

    @property
    def columns(self) -> list[str]:
        """Fields that have to be exported, without the one that names records."""
        named = [each.source for each in self.fields.values() if each.source is not None]
        return sorted({self.code.source, *named})

    @property
    def takes_groups(self) -> bool:
        """Whether data access groups have to be exported."""
        return any(each.by == "dag" for each in self.fields.values())


class Said(msgspec.Struct, frozen=True, kw_only=True):
    """What a record says: texts as the roster spells them, None where it says nothing.

    With `problems` (member and sentence) nothing of it is taken.
    """

    record: str
    code: str | None
    values: Mapping[Member, str | None]
    problems: Sequence[tuple[str, str]] = ()


def read_record(
    roster: RosterMapping,
    record: str,
    rows: Sequence[Mapping[str, Any]],
    *,
    missing_codes: frozenset[str] = frozenset(),
) -> Said:
    """What one record says; `rows` are all of its rows, as REDCap exports them."""
    own = [row for row in rows if not row.get("redcap_repeat_instance")]
    if roster.event is not None:
        own = [row for row in own if row.get("redcap_event_name", roster.event) == roster.event]
    problems: list[tuple[str, str]] = []
    code = _first(rows if roster.event is None else own or rows, roster.code.source, missing_codes)
    if code is not None and not _fits(code, Code):
        problems.append(("code", f"{code[:64]!r} cannot be a participant's code."))
    values: dict[Member, str | None] = {}
    for member, mapping in roster.fields.items():
        found = _first(rows if mapping.by == "dag" else own, mapping.column or "", missing_codes)
        try:
            values[member] = None if found is None else _ours(member, mapping, found)
        except ValueError as error:
            problems.append((member, str(error)))
    return Said(record=record, code=code, values=values, problems=problems)


def spelling(mapping: MemberMapping, value: str | None) -> str:
    """A member as REDCap has it; empty for none. Raises ValueError where the map has no such value."""
    if value is None or mapping.map is None:
        return value or ""
    for theirs, ours in mapping.map.items():
        if ours == value:
            return theirs
    raise ValueError(f"{value[:80]!r} is no value of its map.")


def by_record(rows: Sequence[Mapping[str, Any]], record_id: str) -> dict[str, list[Mapping[str, Any]]]:
    """Rows of an export by record, in the order in which they came; without records whose names cannot
    be kept here (NUL, half a character, longer than REDCap's).
    """
    found: dict[str, list[Mapping[str, Any]]] = {}
    for row in rows:
        name = str(row.get(record_id, ""))
        if _fits(name, RedcapId) and _storable(name) == name:
            found.setdefault(name, []).append(row)
    return found


def _storable(text: str) -> str:
    """Without what no stored text has."""
    return text.replace("\0", "").encode("utf-8", "replace").decode()


def _first(rows: Sequence[Mapping[str, Any]], column: str, missing: frozenset[str]) -> str | None:
    for row in rows:
        value = _storable(str(row.get(column, ""))).strip()
        if value and value not in missing:
            return value
    return None


_TYPES: Final[Mapping[Member, Any]] = {"language": Language, "status": Status}


def _ours(member: Member, mapping: MemberMapping, found: str) -> str:
    if mapping.map is not None:
        if found not in mapping.map:
            raise ValueError(f"REDCap has {found[:80]!r}, which is not in its map.")
        found = mapping.map[found]
    if member == "enrolled_on":
        # A field with a time has one after the day.
        return date.fromisoformat(found[:10]).isoformat()
    if member in _TYPES and not _fits(found, _TYPES[member]):
        raise ValueError(f"{found[:80]!r} is no {member}.")
    name = member.removeprefix("contact.")
    if name != member and not _fits({name: found}, Contact):
        raise ValueError("REDCap's text is too long for it.")
    return found


def _fits(value: Any, kind: Any) -> bool:
    try:
        msgspec.convert(value, kind)
    except msgspec.ValidationError:
        return False
    return True
