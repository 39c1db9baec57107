"""Studies to start from, shipped with the code: `reporting/studies/template_files/*.json`.

A template has batteries, visit definitions and the skeleton of a consent form. A study that is made from one
gets published batteries (a version that says the same is taken, else the next one is published), its visit
definitions, and a draft of the form, which somebody has to finish and publish.

| what happens | outcome |
|---|---|
| two studies are made from it at once | the battery's draft row orders them; both use one version |
| somebody has a draft of the battery with other content | it stays; the template's is the next version |
| the transaction is rolled back | neither study nor battery |
"""

from importlib.resources import files
from typing import Annotated, NamedTuple

import msgspec
from msgspec import Meta
from sqlalchemy import insert
from sqlalchemy.ext.asyncio import AsyncConnection

from reporting.instruments.battery_definitions import (
    BatteryDefinition,
    InstrumentId,
    LanguageTag,
    Markdown,
    complete,
    named_tasks,
    required_tasks,
)
from reporting.instruments.built_in_modules import BUILT_IN
from reporting.instruments.modules import Module
from reporting.instruments.publishing import BATTERIES, insert_draft, publish, same_version, select_draft
from reporting.studies.rows import insert_study_battery
from reporting.tables import consent_form_drafts, visit_definitions

ENROLMENT = "enrolment"


class TemplateBattery(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """A battery that it brings."""

    id: InstrumentId
    title: str
    definition: BatteryDefinition


class TemplateVisit(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """A visit definition; `battery` is the id of one of its batteries."""

    code: InstrumentId
    title: str
    anchor: str = ENROLMENT
    offset_days: int = 0
    window_before_days: Annotated[int, Meta(ge=0)] = 0
    window_after_days: Annotated[int, Meta(ge=0)] = 0
    battery: str | None = None


class TemplateForm(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """The skeleton of a consent form: what stands in brackets has to be written."""

    id: InstrumentId
    title: str
    texts: dict[LanguageTag, Markdown]


class Template(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """What a study can start from."""

    id: InstrumentId
    title: str
    description: str
    batteries: list[TemplateBattery]
    visits: list[TemplateVisit]
    consent_form: TemplateForm

    @property
    def modules(self) -> list[str]:
        """The tasks that its batteries use."""
        return sorted(set().union(*(named_tasks(each.definition) for each in self.batteries)))


class UsedBattery(NamedTuple):
    """A published battery that a new study uses; `name` is `<id>@<version>`."""

    id: str
    version: int
    title: str
    is_new: bool

    @property
    def name(self) -> str:
        return f"{self.id}@{self.version}"


def _load() -> dict[str, Template]:
    found = (
        msgspec.json.decode(file.read_bytes(), type=Template)
        for file in (files("reporting.studies") / "template_files").iterdir()
        if file.name.endswith(".json")
    )
    return {each.id: each for each in sorted(found, key=lambda template: template.id)}


TEMPLATES = _load()
"""By id."""

_MODULES = {each.id: Module(each.parameters, each.defaults) for each in BUILT_IN.values()}


async def apply_template(
    connection: AsyncConnection, template: Template, *, study: str, by: str
) -> list[UsedBattery]:
    """Give a new study what the template has, in the caller's transaction → its batteries."""
    used = [await _use(connection, battery, by=by) for battery in template.batteries]
    versions = {each.id: each.version for each in used}
    for each in used:
        await connection.execute(insert_study_battery(study, each.id, each.version))
    await connection.execute(
        insert(visit_definitions),
        [
            {
                "study": study,
                "code": visit.code,
                "title": visit.title,
                "anchor": visit.anchor,
                "offset_days": visit.offset_days,
                "window_before_days": visit.window_before_days,
                "window_after_days": visit.window_after_days,
                "battery_id": visit.battery,
                "battery_version": None if visit.battery is None else versions[visit.battery],
                "position": position,
            }
            for position, visit in enumerate(template.visits)
        ],
    )
    form = template.consent_form
    await connection.execute(
        insert(consent_form_drafts).values(study=study, id=form.id, title=form.title, texts=form.texts)
    )
    return used


async def _use(connection: AsyncConnection, battery: TemplateBattery, *, by: str) -> UsedBattery:
    whole = complete(battery.definition, _MODULES, frozenset())
    definition = msgspec.to_builtins(whole)
    draft = msgspec.to_builtins(battery.definition)
    await connection.execute(insert_draft(BATTERIES, battery.id, battery.title, draft))
    await connection.execute(select_draft(BATTERIES, battery.id, lock=True))
    version = await same_version(connection, BATTERIES, battery.id, battery.title, definition, any_age=True)
    if version is not None:
        return UsedBattery(battery.id, version, battery.title, is_new=False)
    tasks = required_tasks(whole)
    version = await publish(
        connection, BATTERIES, battery.id, by=by, title=battery.title, definition=definition, tasks=tasks
    )
    return UsedBattery(battery.id, version, battery.title, is_new=True)
