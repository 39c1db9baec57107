"""`/api/batteries`: ordered tasks, drafted and published."""

from typing import Annotated, Any

import msgspec
from msgspec import Meta

from reporting.instruments.battery_definitions import (
    BatteryDefinition,
    InvalidBattery,
    complete,
    named_banks,
    named_tasks,
    required_tasks,
)
from reporting.instruments.modules import modules_of
from reporting.instruments.publishing import (
    BATTERIES,
    InstrumentRow,
    delete_draft,
    existing_banks,
    publish,
    same_version,
)
from sync_server.api.call import Call, Nothing, PageOf
from sync_server.api.instrument_answers import (
    Draft,
    Instrument,
    InstrumentQuery,
    Published,
    instrument_id,
    invalid,
    list_instruments,
    read_instrument,
    require_draft,
    require_version,
    save_draft,
)
from sync_server.api.route import Route, delete, get, post, put
from sync_server.errors import NotPossible


class BatteryDraft(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """What will be the next version of a battery."""

    title: Annotated[str, Meta(max_length=200)] = ""
    definition: BatteryDefinition


async def list_batteries(call: Call[InstrumentQuery, Nothing]) -> PageOf[InstrumentRow]:
    """Batteries by id, each with its newest version."""
    return await list_instruments(call, BATTERIES)


async def get_battery(call: Call[Nothing, Nothing]) -> Instrument:
    """One battery: its draft and its versions."""
    return await read_instrument(call, BATTERIES, "battery")


async def get_battery_draft(call: Call[Nothing, Nothing]) -> Draft:
    """The draft of a battery."""
    return await require_draft(call, BATTERIES, "battery")


async def get_battery_version(call: Call[Nothing, Nothing]) -> Published:
    """A published version, as tablets get it."""
    return await require_version(call, BATTERIES, "battery")


async def put_battery_draft(call: Call[Nothing, BatteryDraft]) -> Draft:
    """Make or replace the draft of a battery.

    Its tasks have to be modules, and their parameters what the modules allow. `If-Match` is needed where
    there is a draft.
    """
    name = instrument_id(call)
    await completed(call, call.body.definition)
    definition = msgspec.to_builtins(call.body.definition)
    before, after = await save_draft(call, BATTERIES, call.body.title, definition)
    await call.record("battery.draft", "battery", name, before=before, after=after)
    return after


async def drop_battery_draft(call: Call[Nothing, Nothing]) -> None:
    """Drop the draft; published versions stay."""
    draft = await require_draft(call, BATTERIES, "battery", lock=True)
    call.match(draft.row_version)
    await call.connection.execute(delete_draft(BATTERIES, draft.id))
    await call.record("battery.drop_draft", "battery", draft.id, before=draft)


async def publish_battery(call: Call[Nothing, Nothing]) -> Published:
    """Publish the draft as the next version, which never changes."""
    draft = await require_draft(call, BATTERIES, "battery", lock=True)
    call.match(draft.row_version)
    battery = await completed(call, msgspec.convert(draft.definition, BatteryDefinition))
    definition = msgspec.to_builtins(battery)
    same = await same_version(call.connection, BATTERIES, draft.id, draft.title, definition, any_age=False)
    if same is not None:
        raise NotPossible(f"Version {same} is the same.", details={"version": same})
    tasks, by = required_tasks(battery), call.caller.person.email
    number = await publish(
        call.connection, BATTERIES, draft.id, by=by, title=draft.title, definition=definition, tasks=tasks
    )
    published = Published(draft.id, number, draft.title, definition, tasks, by)
    await call.record("battery.publish", "battery", f"{draft.id}@{number}", after=published)
    return published


async def completed(call: Call[Any, Any], definition: BatteryDefinition) -> BatteryDefinition:
    """The definition with all parameters. Raises InvalidRequest."""
    modules = await modules_of(call.connection, named_tasks(definition))
    banks = await existing_banks(call.connection, named_banks(definition))
    try:
        return complete(definition, modules, banks)
    except InvalidBattery as error:
        raise invalid(error.path, error.problem) from error


ROUTES: list[Route] = [
    get("/api/batteries", list_batteries, right="instruments.read"),
    get("/api/batteries/{id}", get_battery, right="instruments.read"),
    get("/api/batteries/{id}/draft", get_battery_draft, right="instruments.read"),
    put("/api/batteries/{id}/draft", put_battery_draft, right="instruments.write", errors=(409, 412, 428)),
    delete("/api/batteries/{id}/draft", drop_battery_draft, right="instruments.write", errors=(412, 428)),
    post(
        "/api/batteries/{id}/publish",
        publish_battery,
        right="instruments.write",
        status=201,
        errors=(409, 412, 428),
    ),
    get("/api/batteries/{id}/{version}", get_battery_version, right="instruments.read"),
]
