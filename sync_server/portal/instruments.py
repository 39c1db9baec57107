"""Batteries and item banks: drafts in JSON, as tablets get them, and published versions."""

from typing import Any

import msgspec

from sync_server.api.parameters import Text
from sync_server.errors import NotFound
from sync_server.portal.asking import api
from sync_server.portal.cookie import PATH
from sync_server.portal.forms import Field, Form, renamed, unreadable
from sync_server.portal.pages import Look, Page, Values
from sync_server.portal.readable import pretty

BATTERIES = api("GET", "/api/batteries")
BATTERY = api("GET", "/api/batteries/{id}")
BATTERY_VERSION = api("GET", "/api/batteries/{id}/{version}")
BANKS = api("GET", "/api/item-banks")
BANK = api("GET", "/api/item-banks/{id}")
BANK_VERSION = api("GET", "/api/item-banks/{id}/{version}")

_ID = "[A-Za-z0-9][A-Za-z0-9_\\-]*"


def _definition(values: dict[str, Any]) -> dict[str, Any]:
    try:
        return {**values, "definition": msgspec.json.decode(values["definition"])}
    except (ValueError, RecursionError) as error:
        raise unreadable("definition") from error


def _draft_fields(example: str) -> tuple[Field, Field]:
    return (
        Field("title", required=False, blank="empty", max_length=200),
        Field("definition", "source", hint=True, default=example, max_length=1_000_000),
    )


_BATTERY_EXAMPLE = '{\n  "tasks": [\n    {"task": "simple_reaction_time"}\n  ]\n}'
_NEW_ID = Field("id", hint=True, max_length=64, pattern=_ID, place="path")
_OF_BATTERY, _OF_BANK = renamed(id="battery"), renamed(id="bank")

NEW_BATTERY = Form(
    name="new_battery",
    calls=api("PUT", "/api/batteries/{id}/draft"),
    fields=(_NEW_ID, *_draft_fields(_BATTERY_EXAMPLE)),
    build=_definition,
)
NEW_BANK = Form(
    name="new_item_bank",
    calls=api("PUT", "/api/item-banks/{id}/draft"),
    fields=(_NEW_ID, *_draft_fields("")),
    build=_definition,
)
SAVE_BATTERY = Form(
    name="save_battery",
    calls=api("PUT", "/api/batteries/{id}/draft"),
    locate=_OF_BATTERY,
    fields=_draft_fields(_BATTERY_EXAMPLE),
    build=_definition,
    versioned=True,
)
SAVE_BANK = Form(
    name="save_item_bank",
    calls=api("PUT", "/api/item-banks/{id}/draft"),
    locate=_OF_BANK,
    fields=_draft_fields(""),
    build=_definition,
    versioned=True,
)
PUBLISH_BATTERY = Form(
    name="publish_battery",
    calls=api("POST", "/api/batteries/{id}/publish"),
    locate=_OF_BATTERY,
    versioned=True,
    danger=True,
)
PUBLISH_BANK = Form(
    name="publish_item_bank",
    calls=api("POST", "/api/item-banks/{id}/publish"),
    locate=_OF_BANK,
    versioned=True,
    danger=True,
)
DROP_BATTERY = Form(
    name="drop_battery_draft",
    calls=api("DELETE", "/api/batteries/{id}/draft"),
    locate=_OF_BATTERY,
    versioned=True,
    danger=True,
    then=f"{PATH}/batteries",
)
DROP_BANK = Form(
    name="drop_item_bank_draft",
    calls=api("DELETE", "/api/item-banks/{id}/draft"),
    locate=_OF_BANK,
    versioned=True,
    danger=True,
    then=f"{PATH}/batteries",
)


class ListFilters(msgspec.Struct, frozen=True, kw_only=True):
    """`show`: batteries, or item banks."""

    show: Text | None = None
    page: Text = "1"


class VersionFilters(msgspec.Struct, frozen=True, kw_only=True):
    """Which version is shown; the newest otherwise."""

    version: Text | None = None


async def batteries(look: Look) -> Values:
    """Batteries or item banks, by their ids."""
    shows_banks = look.filters.show == "item_banks"
    route = BANKS if shows_banks else BATTERIES
    return {
        "listed": await look.ask(route, page=look.filters.page),
        "shows_banks": shows_banks,
    }


async def battery(look: Look) -> Values:
    """One battery."""
    name = look.path("battery")
    one = await look.ask(BATTERY, path={"id": name})
    shown = await _version(look, BATTERY_VERSION, one)
    for form in (SAVE_BATTERY, PUBLISH_BATTERY, DROP_BATTERY):
        _fill(look, form, one.draft, shown)
    return {"one": one, "shown": shown}


async def bank(look: Look) -> Values:
    """One item bank."""
    name = look.path("bank")
    one = await look.ask(BANK, path={"id": name})
    shown = await _version(look, BANK_VERSION, one)
    for form in (SAVE_BANK, PUBLISH_BANK, DROP_BANK):
        _fill(look, form, one.draft, shown)
    return {"one": one, "shown": shown}


async def _version(look: Look, route: Any, one: Any) -> Any:
    """The version that is asked for, or the newest; None where there is none. Raises NotFound."""
    numbers = [each.version for each in one.versions]
    wanted = look.filters.version
    if wanted is None:
        return await look.ask(route, path={"id": one.id, "version": str(max(numbers))}) if numbers else None
    if wanted not in map(str, numbers):
        raise NotFound(f"{one.id} has no version {wanted}.")
    return await look.ask(route, path={"id": one.id, "version": wanted})


def _fill(look: Look, form: Form, draft: Any, shown: Any) -> None:
    source = draft or shown
    values = {}
    if form.fields and source is not None:
        text = pretty(source.definition)
        values = {"title": source.title, "definition": text}
    look.fill(form, 0 if draft is None else draft.row_version, **values)


PAGES = [
    Page(
        name="batteries",
        path=f"{PATH}/batteries",
        template="studies/batteries.html",
        view=batteries,
        reads=(BATTERIES, BANKS),
        forms=(NEW_BATTERY, NEW_BANK),
        filters=ListFilters,
    ),
    Page(
        name="battery",
        path=f"{PATH}/batteries/{{battery}}",
        template="studies/battery.html",
        view=battery,
        reads=(BATTERY, BATTERY_VERSION),
        forms=(SAVE_BATTERY, PUBLISH_BATTERY, DROP_BATTERY),
        filters=VersionFilters,
        area="batteries",
    ),
    Page(
        name="item_bank",
        path=f"{PATH}/item-banks/{{bank}}",
        template="studies/item_bank.html",
        view=bank,
        reads=(BANK, BANK_VERSION),
        forms=(SAVE_BANK, PUBLISH_BANK, DROP_BANK),
        filters=VersionFilters,
        area="batteries",
    ),
]
