"""`/api/templates`: studies to start from."""

import msgspec

from reporting.studies.templates import (
    TEMPLATES,
    Template,
    TemplateBattery,
    TemplateForm,
    TemplateVisit,
)
from sync_server.api.call import Call, Nothing
from sync_server.api.route import Route, get
from sync_server.errors import NotFound


class TemplateRow(msgspec.Struct, frozen=True):
    """A template; `modules` are the tasks of its batteries."""

    id: str
    title: str
    description: str
    modules: list[str]
    batteries: list[str]
    visits: list[str]


class TemplateDetail(msgspec.Struct, frozen=True):
    """A template with all that a study gets from it."""

    id: str
    title: str
    description: str
    modules: list[str]
    batteries: list[TemplateBattery]
    visits: list[TemplateVisit]
    consent_form: TemplateForm


class Templates(msgspec.Struct, frozen=True):
    """All of them."""

    data: list[TemplateRow]


async def list_templates(_: Call[Nothing, Nothing]) -> Templates:
    """The studies that one can start from."""
    return Templates([_row(template) for template in TEMPLATES.values()])


async def get_template(call: Call[Nothing, Nothing]) -> TemplateDetail:
    """One template, whole."""
    found = TEMPLATES.get(call.path("id"))
    if found is None:
        raise NotFound(f"There is no template {call.path('id')}.")
    return TemplateDetail(
        found.id,
        found.title,
        found.description,
        found.modules,
        found.batteries,
        found.visits,
        found.consent_form,
    )


def _row(template: Template) -> TemplateRow:
    return TemplateRow(
        template.id,
        template.title,
        template.description,
        template.modules,
        [battery.id for battery in template.batteries],
        [visit.code for visit in template.visits],
    )


ROUTES: list[Route] = [
    get("/api/templates", list_templates, right="studies.read"),
    get("/api/templates/{id}", get_template, right="studies.read"),
]
