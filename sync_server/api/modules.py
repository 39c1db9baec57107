"""`/api/modules`: reusable tasks and their parameters."""

from typing import Annotated, Any

import msgspec
from msgspec import UNSET, Meta, UnsetType

from reporting.instruments.battery_definitions import InstrumentId
from reporting.instruments.built_in_modules import BUILT_IN
from reporting.instruments.json_values import UnusableJson
from reporting.instruments.modules import (
    SORTABLE,
    ModuleRow,
    delete_module,
    insert_module,
    lock_module,
    modules,
    select_drafts_that_use,
    select_module,
    select_modules,
    update_module,
)
from reporting.instruments.parameter_schemas import InvalidParameters, check_parameters, check_schema
from sync_server.api.call import Call, ListQuery, Nothing, PageOf
from sync_server.api.instrument_answers import invalid
from sync_server.api.route import Route, delete, get, patch, post
from sync_server.errors import NotFound, NotPossible, Taken

Title = Annotated[str, Meta(max_length=200)]
Description = Annotated[str, Meta(max_length=5000)]


class ModuleQuery(ListQuery, frozen=True, kw_only=True):
    """Sortable by `id`, `title` and `updated_at`."""

    built_in: bool | None = None


class NewModule(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """A task, the JSON Schema of its parameters (draft 2020-12, without references), and its defaults."""

    id: InstrumentId
    title: Title = ""
    description: Description = ""
    parameters: dict[str, Any]
    defaults: dict[str, Any] = {}


class ModuleChange(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """What is to change."""

    title: Title | UnsetType = UNSET
    description: Description | UnsetType = UNSET
    parameters: dict[str, Any] | UnsetType = UNSET
    defaults: dict[str, Any] | UnsetType = UNSET


async def list_modules(call: Call[ModuleQuery, Nothing]) -> PageOf[ModuleRow]:
    """The modules that a battery can be made of, by id."""
    statement = select_modules(built_in=call.query.built_in)
    return await call.page(ModuleRow, statement, sortable=SORTABLE, key=[modules.c.id])


async def get_module(call: Call[Nothing, Nothing]) -> ModuleRow:
    """One module."""
    return await _read(call, call.path("id"))


async def create_module(call: Call[Nothing, NewModule]) -> ModuleRow:
    """Make a module.

    Its defaults have to fit its schema.
    """
    wanted = call.body
    _check(wanted.parameters, wanted.defaults)
    fields = msgspec.structs.asdict(wanted)
    made = None
    if wanted.id not in BUILT_IN:
        made = (await call.connection.execute(insert_module(**fields))).one_or_none()
    if made is None:
        raise Taken(f"There is a module {wanted.id} already.", details={"id": wanted.id})
    await call.record("module.create", "module", wanted.id, after=fields)
    return await _read(call, wanted.id)


async def change_module(call: Call[Nothing, ModuleChange]) -> ModuleRow:
    """Change a module.

    Published batteries keep the parameters that they have.
    """
    name = call.path("id")
    row = await _lock(call, name)
    call.match(row.row_version)
    changed = {key: value for key, value in msgspec.structs.asdict(call.body).items() if value is not UNSET}
    _check(changed.get("parameters", row.parameters), changed.get("defaults", row.defaults))
    await call.connection.execute(update_module(name, **changed))
    before = {key: getattr(row, key) for key in changed}
    await call.record("module.change", "module", name, before=before, after=changed)
    return await _read(call, name)


async def remove_module(call: Call[Nothing, Nothing]) -> None:
    """Delete a module that no draft of a battery uses."""
    name = call.path("id")
    row = await _lock(call, name)
    call.match(row.row_version)
    drafts = list((await call.connection.scalars(select_drafts_that_use(name))).all())
    if drafts:
        raise NotPossible(
            f"Drafts of batteries use {name}: {', '.join(drafts[:10])}.", details={"batteries": drafts}
        )
    await call.connection.execute(delete_module(name))
    before = {key: getattr(row, key) for key in ("title", "parameters", "defaults")}
    await call.record("module.delete", "module", name, before=before)


async def _read(call: Call[Any, Any], name: str) -> ModuleRow:
    row = (await call.connection.execute(select_module(name))).one_or_none()
    if row is None:
        raise NotFound(f"There is no module {name}.")
    return ModuleRow(*row)


async def _lock(call: Call[Any, Any], name: str) -> Any:
    if name in BUILT_IN:
        raise NotPossible(f"{name} is built in, since this server scores it; nobody changes it.")
    row = (await call.connection.execute(lock_module(name))).one_or_none()
    if row is None:
        raise NotFound(f"There is no module {name}.")
    return row


def _check(parameters: dict[str, Any], defaults: dict[str, Any]) -> None:
    try:
        check_schema(parameters)
        check_parameters(defaults, {**parameters, "required": []}, "$.defaults")
    except (UnusableJson, InvalidParameters) as error:
        raise invalid(error.path, error.problem) from error


ROUTES: list[Route] = [
    get("/api/modules", list_modules, right="instruments.read"),
    post("/api/modules", create_module, right="instruments.write", status=201, errors=(409,)),
    get("/api/modules/{id}", get_module, right="instruments.read"),
    patch("/api/modules/{id}", change_module, right="instruments.write", errors=(409, 412, 428)),
    delete("/api/modules/{id}", remove_module, right="instruments.write", errors=(409, 412, 428)),
]
