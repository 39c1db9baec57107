"""Rows → documents as tablets get them. Pure.

Inputs have no member for what is published nowhere: a contact cannot get into a document by mistake. There is
no time of publication in them: the same rows give the same bytes, and publishing again writes nothing.
"""

import json
from collections.abc import Mapping, Sequence
from datetime import date
from typing import Any, Final

import msgspec

from reporting.publication.requests import (
    battery_document,
    consent_form_document,
    item_bank_document,
    participant_document,
    study_document,
    visit_document,
)

SCHEMA: Final = 1

PUBLISHED_TYPES: Final = ("study", "battery", "item_bank", "consent_form", "participant", "visit")
"""Documents of other types are never touched, whatever is asked for."""

Document = Mapping[str, Any]

Version = tuple[str, int]
"""(id, version)"""


class StudyRow(msgspec.Struct, frozen=True):
    """A study at a site."""

    code: str
    title: str
    status: str
    consent_required: bool


class FormRow(msgspec.Struct, frozen=True):
    """A published version of a consent form."""

    study: str
    id: str
    version: int
    title: str
    texts: Mapping[str, Any]
    supersedes: bool


class VisitDefinitionRow(msgspec.Struct, frozen=True):
    """A visit that a study plans."""

    study: str
    code: str
    title: str
    anchor: str
    offset_days: int
    window_before_days: int
    window_after_days: int
    battery_id: str | None
    battery_version: int | None
    position: int


class BatteryRow(msgspec.Struct, frozen=True):
    """A published version of a battery."""

    id: str
    version: int
    title: str
    definition: Mapping[str, Any]


class ItemBankRow(msgspec.Struct, frozen=True):
    """A published version of an item bank."""

    id: str
    version: int
    title: str
    definition: Mapping[str, Any]


class ParticipantRow(msgspec.Struct, frozen=True):
    """Somebody who takes part, by code."""

    study: str
    code: str
    status: str
    language: str | None


class VisitRow(msgspec.Struct, frozen=True):
    """A visit of a participant."""

    study: str
    participant: str
    code: str
    state: str
    due_on: date | None
    window_from: date | None
    window_to: date | None
    battery_id: str | None
    battery_version: int | None


def type_of(doc_id: str) -> str | None:
    """The published type that an id is of; None for any other document."""
    type_, separator, name = doc_id.partition(":")
    return type_ if separator and name and type_ in PUBLISHED_TYPES else None


def study(
    site: str,
    row: StudyRow,
    *,
    batteries: Sequence[Version],
    forms: Sequence[Version],
    visits: Sequence[VisitDefinitionRow],
) -> Document:
    """`study:<code>`: what a tablet at this site needs to know of it."""
    return _document(
        study_document(row.code),
        site,
        study=row.code,
        title=row.title,
        status=row.status,
        consent_required=row.consent_required,
        batteries=[_version(*each) for each in sorted(batteries)],
        consent_forms=[_version(*each) for each in sorted(forms)],
        visits=[
            {
                "visit": each.code,
                "title": each.title,
                "anchor": each.anchor,
                "offset_days": each.offset_days,
                "window_before_days": each.window_before_days,
                "window_after_days": each.window_after_days,
                "battery": _version(each.battery_id, each.battery_version),
            }
            for each in sorted(visits, key=lambda visit: (visit.position, visit.code))
        ],
    )


def battery(site: str, row: BatteryRow) -> Document:
    """`battery:<id>@<version>`"""
    return _document(
        battery_document(row.id, row.version),
        site,
        battery=row.id,
        version=row.version,
        title=row.title,
        definition=row.definition,
    )


def item_bank(site: str, row: ItemBankRow) -> Document:
    """`item_bank:<id>@<version>`"""
    return _document(
        item_bank_document(row.id, row.version),
        site,
        item_bank=row.id,
        version=row.version,
        title=row.title,
        definition=row.definition,
    )


def consent_form(site: str, row: FormRow) -> Document:
    """`consent_form:<study>/<id>@<version>`"""
    return _document(
        consent_form_document(f"{row.study}/{row.id}", row.version),
        site,
        study=row.study,
        form=row.id,
        version=row.version,
        title=row.title,
        texts=row.texts,
        supersedes=row.supersedes,
    )


def participant(site: str, row: ParticipantRow, consent: Any) -> Document:
    """`participant:<study>/<code>`; `consent` is their consent state, None where nothing is known of it."""
    return _document(
        participant_document(row.study, row.code),
        site,
        study=row.study,
        participant=row.code,
        status=row.status,
        language=row.language,
        consent=consent,
    )


def visit(site: str, row: VisitRow) -> Document:
    """`visit:<study>/<participant>/<visit>`"""
    return _document(
        visit_document(row.study, row.participant, row.code),
        site,
        study=row.study,
        participant=row.participant,
        visit=row.code,
        state=row.state,
        due_on=_day(row.due_on),
        window_from=_day(row.window_from),
        window_to=_day(row.window_to),
        battery=_version(row.battery_id, row.battery_version),
    )


def current_forms(forms: Sequence[FormRow]) -> list[FormRow]:
    """Those that tablets need: the newest of each form, and older ones whose consents still count."""
    oldest: dict[tuple[str, str], int] = {}
    for row in forms:
        if row.supersedes:
            key = (row.study, row.id)
            oldest[key] = max(row.version, oldest.get(key, 0))
    return [row for row in forms if row.version >= oldest.get((row.study, row.id), 0)]


def item_banks_of(definition: Mapping[str, Any]) -> set[Version]:
    """The item banks that a battery's tasks name: `{"item_bank": {"id", "version"}}`."""
    tasks = definition.get("tasks")
    found = set()
    for task in tasks if isinstance(tasks, list) else []:
        bank = task.get("item_bank") if isinstance(task, Mapping) else None
        if isinstance(bank, Mapping):
            name, version = bank.get("id"), bank.get("version")
            if isinstance(name, str) and isinstance(version, int):
                found.add((name, version))
    return found


def canonical(document: Document) -> bytes:
    """What two documents are compared by: their content, without revision and other members of the store."""
    content = {name: value for name, value in document.items() if name == "_id" or not name.startswith("_")}
    return json.dumps(content, sort_keys=True, separators=(",", ":"), ensure_ascii=False).encode(
        errors="surrogatepass"
    )


def _document(doc_id: str, site: str, **members: Any) -> Document:
    return {"_id": doc_id, "type": doc_id.partition(":")[0], "schema": SCHEMA, "site": site, **members}


def _version(name: str | None, version: int | None) -> dict[str, Any] | None:
    return None if name is None or version is None else {"id": name, "version": version}


def _day(day: date | None) -> str | None:
    return None if day is None else day.isoformat()
