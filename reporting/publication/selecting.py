"""What documents of a site have to be *now*, from Postgres.

Nothing at a site that is archived or unknown, and nothing of a study that is neither active nor paused there.
What is not in the answer has to be gone.

| type | how it is read |
|---|---|
| study, battery, item bank, consent form | all of the site at once: there are few (`SiteCatalogue`) |
| participant, visit | those that are asked for, or a page after a key: there are many |
"""

from collections.abc import Iterable, Mapping, Sequence
from typing import Any, Final, NamedTuple, Protocol

from sqlalchemy import ColumnElement, Select, and_, select, tuple_
from sqlalchemy.ext.asyncio import AsyncConnection

from reporting.publication import desired
from reporting.publication.desired import Document
from reporting.tables import (
    batteries,
    consent_forms,
    item_banks,
    participants,
    sites,
    studies,
    study_batteries,
    study_sites,
    visit_definitions,
    visits,
)

IN_THE_FIELD: Final = ("active", "paused")
ON_THE_ROSTER: Final = ("screened", "enrolled")

Key = tuple[str, ...]
"""(study, participant) or (study, participant, visit)"""


class ConsentStates(Protocol):
    """What tablets are told of participants' consent."""

    async def __call__(
        self, connection: AsyncConnection, site: str, keys: Sequence[tuple[str, str]]
    ) -> Mapping[tuple[str, str], Any]:
        """By (study, participant): JSON; who is absent is told as null."""
        ...


class SiteCatalogue(NamedTuple):
    """The documents of a site that are few, by id."""

    documents: Mapping[str, Document]


def _studies_at(site: str) -> Select[*tuple[Any, ...]]:
    s = studies.c
    return (
        select(s.code, s.title, s.status, s.consent_required)
        .join(study_sites, study_sites.c.study == s.code)
        .join(sites, sites.c.code == study_sites.c.site)
        .where(study_sites.c.site == site, sites.c.status == "open", s.status.in_(IN_THE_FIELD))
    )


def _published_here(site: str, study: ColumnElement[Any]) -> ColumnElement[bool]:
    return study.in_(_studies_at(site).with_only_columns(studies.c.code))


def _select_forms(site: str) -> Select[*tuple[Any, ...]]:
    f = consent_forms.c
    return select(f.study, f.id, f.version, f.title, f.texts, f.supersedes).where(
        _published_here(site, f.study)
    )


def _select_visit_definitions(site: str) -> Select[*tuple[Any, ...]]:
    v = visit_definitions.c
    return select(
        v.study,
        v.code,
        v.title,
        v.anchor,
        v.offset_days,
        v.window_before_days,
        v.window_after_days,
        v.battery_id,
        v.battery_version,
        v.position,
    ).where(_published_here(site, v.study), ~v.retired)


def _select_study_batteries(site: str) -> Select[str, str, int]:
    b = study_batteries.c
    return select(b.study, b.battery_id, b.battery_version).where(_published_here(site, b.study))


def _select_batteries(site: str) -> Select[*tuple[Any, ...]]:
    """Those that a study here has, and those that its visits name."""
    b = batteries.c
    had = select(study_batteries.c.battery_id, study_batteries.c.battery_version).where(
        _published_here(site, study_batteries.c.study)
    )
    planned = select(visit_definitions.c.battery_id, visit_definitions.c.battery_version).where(
        _published_here(site, visit_definitions.c.study), visit_definitions.c.battery_id.is_not(None)
    )
    return select(b.id, b.version, b.title, b.definition).where(
        b.definition.is_not(None), tuple_(b.id, b.version).in_(had.union(planned))
    )


def _select_item_banks(wanted: Iterable[desired.Version]) -> Select[*tuple[Any, ...]]:
    i = item_banks.c
    return select(i.id, i.version, i.title, i.definition).where(tuple_(i.id, i.version).in_(sorted(wanted)))


async def read_catalogue(connection: AsyncConnection, site: str) -> SiteCatalogue:
    """The documents of `site` that are neither participants nor visits."""
    definitions = [
        desired.VisitDefinitionRow(*row) for row in await connection.execute(_select_visit_definitions(site))
    ]
    forms = desired.current_forms(
        [desired.FormRow(*row) for row in await connection.execute(_select_forms(site))]
    )
    had = (await connection.execute(_select_study_batteries(site))).all()
    made = [desired.consent_form(site, form) for form in forms]
    for row in await connection.execute(_studies_at(site)):
        study = desired.StudyRow(*row)
        made.append(
            desired.study(
                site,
                study,
                batteries=[(name, version) for of, name, version in had if of == study.code],
                forms=[(form.id, form.version) for form in forms if form.study == study.code],
                visits=[each for each in definitions if each.study == study.code],
            )
        )
    banks: set[desired.Version] = set()
    for row in await connection.execute(_select_batteries(site)):
        battery = desired.BatteryRow(*row)
        banks |= desired.item_banks_of(battery.definition)
        made.append(desired.battery(site, battery))
    if banks:
        found = await connection.execute(_select_item_banks(banks))
        made.extend(desired.item_bank(site, desired.ItemBankRow(*row)) for row in found)
    return SiteCatalogue({document["_id"]: document for document in made})


def _participants_at(site: str) -> ColumnElement[bool]:
    p = participants.c
    return and_(p.site == site, p.status.in_(ON_THE_ROSTER), _published_here(site, p.study))


def _select_participants(site: str) -> Select[*tuple[Any, ...]]:
    p = participants.c
    return select(p.study, p.code, p.status, p.language).where(_participants_at(site))


def _select_visits(site: str) -> Select[*tuple[Any, ...]]:
    """Of participants who are on the roster here; the visit's own site says nothing that theirs does not."""
    v = visits.c
    definition = visit_definitions.c
    return (
        select(
            v.study,
            v.participant,
            v.code,
            v.state,
            v.due_on,
            v.window_from,
            v.window_to,
            definition.battery_id,
            definition.battery_version,
        )
        .join(participants, and_(participants.c.study == v.study, participants.c.code == v.participant))
        .outerjoin(visit_definitions, and_(definition.study == v.study, definition.code == v.code))
        .where(v.state != "cancelled", _participants_at(site))
    )


async def read_named(
    connection: AsyncConnection, site: str, doc_ids: Sequence[str], consents: ConsentStates
) -> dict[str, Document]:
    """Those of the named documents that have to be there, by id; others have to be gone."""
    by_type: dict[str | None, list[str]] = {}
    for doc_id in doc_ids:
        by_type.setdefault(desired.type_of(doc_id), []).append(doc_id)
    found: dict[str, Document] = {}
    if wanted := by_type.pop("participant", None):
        keys = [key for doc_id in wanted if len(key := _key(doc_id)) == 2]
        matching = _select_participants(site).where(
            tuple_(participants.c.study, participants.c.code).in_(keys)
        )
        found |= await _participants(connection, site, matching, consents)
    if wanted := by_type.pop("visit", None):
        keys = [key for doc_id in wanted if len(key := _key(doc_id)) == 3]
        v = visits.c
        found |= await _visits(
            connection, site, _select_visits(site).where(tuple_(v.study, v.participant, v.code).in_(keys))
        )
    if by_type:
        catalogue = (await read_catalogue(connection, site)).documents
        found |= {
            doc_id: catalogue[doc_id]
            for wanted in by_type.values()
            for doc_id in wanted
            if doc_id in catalogue
        }
    return found


def _key(doc_id: str) -> Key:
    return tuple(doc_id.partition(":")[2].split("/"))


async def page_of_ids(
    connection: AsyncConnection, site: str, type_: str, after: Key | None, *, limit: int
) -> tuple[list[str], Key | None]:
    """Ids of participants or visits that have to be there, after a key; the key to go on from, None: none."""
    columns: tuple[ColumnElement[Any], ...]
    if type_ == "participant":
        columns, matching = (participants.c.study, participants.c.code), _select_participants(site)
    else:
        columns = (visits.c.study, visits.c.participant, visits.c.code)
        matching = _select_visits(site)
    if after is not None:
        matching = matching.where(tuple_(*columns) > after)
    found = await connection.execute(matching.with_only_columns(*columns).order_by(*columns).limit(limit))
    keys: list[Key] = [tuple(row) for row in found]
    ids = [f"{type_}:{'/'.join(key)}" for key in keys]
    return ids, keys[-1] if len(keys) == limit else None


async def _participants(
    connection: AsyncConnection, site: str, matching: Select[*tuple[Any, ...]], consents: ConsentStates
) -> dict[str, Document]:
    rows = [desired.ParticipantRow(*row) for row in await connection.execute(matching)]
    states = await consents(connection, site, [(row.study, row.code) for row in rows]) if rows else {}
    made = [desired.participant(site, row, states.get((row.study, row.code))) for row in rows]
    return {document["_id"]: document for document in made}


async def _visits(
    connection: AsyncConnection, site: str, matching: Select[*tuple[Any, ...]]
) -> dict[str, Document]:
    made = [desired.visit(site, desired.VisitRow(*row)) for row in await connection.execute(matching)]
    return {document["_id"]: document for document in made}
