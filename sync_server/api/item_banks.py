"""`/api/item-banks`: calibrated items for adaptive tasks."""

from typing import Annotated

import msgspec
from msgspec import Meta

from reporting.instruments.item_bank_definitions import InvalidItemBank, ItemBankDefinition, check_item_bank
from reporting.instruments.publishing import (
    ITEM_BANKS,
    InstrumentRow,
    delete_draft,
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

BANK_LIMIT = 4 * 1024 * 1024
"""Bytes of a body: thousands of items with what they show."""


class ItemBankDraft(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """What will be the next version of an item bank."""

    title: Annotated[str, Meta(max_length=200)] = ""
    definition: ItemBankDefinition


async def list_item_banks(call: Call[InstrumentQuery, Nothing]) -> PageOf[InstrumentRow]:
    """Item banks by id, each with its newest version."""
    return await list_instruments(call, ITEM_BANKS)


async def get_item_bank(call: Call[Nothing, Nothing]) -> Instrument:
    """One item bank: its draft and its versions."""
    return await read_instrument(call, ITEM_BANKS, "item bank")


async def get_item_bank_draft(call: Call[Nothing, Nothing]) -> Draft:
    """The draft of an item bank."""
    return await require_draft(call, ITEM_BANKS, "item bank")


async def get_item_bank_version(call: Call[Nothing, Nothing]) -> Published:
    """A published version, as tablets get it."""
    return await require_version(call, ITEM_BANKS, "item bank")


async def put_item_bank_draft(call: Call[Nothing, ItemBankDraft]) -> Draft:
    """Make or replace the draft of an item bank.

    Items have what their model needs, and ids of their own. `If-Match` is needed where there is a draft.
    """
    name = instrument_id(call)
    try:
        check_item_bank(call.body.definition)
    except InvalidItemBank as error:
        raise invalid(error.path, error.problem) from error
    definition = msgspec.to_builtins(call.body.definition)
    before, after = await save_draft(call, ITEM_BANKS, call.body.title, definition)
    # Not the items themselves: they would be in the audit log a second time with each save.
    seen = None if before is None else _outline(before)
    await call.record("item_bank.draft", "item_bank", name, before=seen, after=_outline(after))
    return after


async def drop_item_bank_draft(call: Call[Nothing, Nothing]) -> None:
    """Drop the draft; published versions stay."""
    draft = await require_draft(call, ITEM_BANKS, "item bank", lock=True)
    call.match(draft.row_version)
    await call.connection.execute(delete_draft(ITEM_BANKS, draft.id))
    await call.record("item_bank.drop_draft", "item_bank", draft.id, before=_outline(draft))


async def publish_item_bank(call: Call[Nothing, Nothing]) -> Published:
    """Publish the draft as the next version, which never changes."""
    draft = await require_draft(call, ITEM_BANKS, "item bank", lock=True)
    call.match(draft.row_version)
    same = await same_version(
        call.connection, ITEM_BANKS, draft.id, draft.title, draft.definition, any_age=False
    )
    if same is not None:
        raise NotPossible(f"Version {same} is the same.", details={"version": same})
    by = call.caller.person.email
    number = await publish(
        call.connection, ITEM_BANKS, draft.id, by=by, title=draft.title, definition=draft.definition
    )
    await call.record("item_bank.publish", "item_bank", f"{draft.id}@{number}", after=_outline(draft))
    return Published(draft.id, number, draft.title, draft.definition, None, by)


def _outline(draft: Draft) -> dict[str, object]:
    return {
        "title": draft.title,
        "row_version": draft.row_version,
        "model": draft.definition["model"],
        "items": len(draft.definition["items"]),
        "calibration": draft.definition["calibration"],
    }


ROUTES: list[Route] = [
    get("/api/item-banks", list_item_banks, right="instruments.read"),
    get("/api/item-banks/{id}", get_item_bank, right="instruments.read"),
    get("/api/item-banks/{id}/draft", get_item_bank_draft, right="instruments.read"),
    put(
        "/api/item-banks/{id}/draft",
        put_item_bank_draft,
        right="instruments.write",
        limit=BANK_LIMIT,
        errors=(412, 428),
    ),
    delete("/api/item-banks/{id}/draft", drop_item_bank_draft, right="instruments.write", errors=(412, 428)),
    post(
        "/api/item-banks/{id}/publish",
        publish_item_bank,
        right="instruments.write",
        status=201,
        errors=(409, 412, 428),
    ),
    get("/api/item-banks/{id}/{version}", get_item_bank_version, right="instruments.read"),
]
