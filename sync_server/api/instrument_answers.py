"""What the routes of batteries and item banks share: their lists, and drafts that are saved and published."""

from typing import Any

import msgspec

from reporting.instruments.battery_definitions import InstrumentId
from reporting.instruments.publishing import (
    InstrumentRow,
    Shelf,
    VersionRow,
    all_ids,
    insert_draft,
    select_draft,
    select_instruments,
    select_version,
    select_versions,
    update_draft,
)
from sync_server.api.call import Call, ListQuery, Nothing, PageOf
from sync_server.errors import InvalidRequest, NotFound, PreconditionFailed

LARGEST_VERSION = 2**31 - 1


class InstrumentQuery(ListQuery, frozen=True, kw_only=True):
    """Sortable by `id`."""


class Draft(msgspec.Struct, frozen=True):
    """What will be the next version."""

    id: str
    title: str
    definition: dict[str, Any]
    row_version: int


class Instrument(msgspec.Struct, frozen=True):
    """One of them: its draft, where there is one, and its published versions, the newest first."""

    id: str
    draft: Draft | None
    versions: list[VersionRow]


class Published(msgspec.Struct, frozen=True):
    """What publishing made, or a published version. `definition` is None where it is known by id only."""

    id: str
    version: int
    title: str
    definition: dict[str, Any] | None
    tasks: list[str] | None
    published_by: str | None


def instrument_id(call: Call[Any, Any]) -> str:
    """The id that the path names, if one can have it. Raises InvalidRequest."""
    try:
        return msgspec.convert(call.path("id"), InstrumentId)
    except msgspec.ValidationError as error:
        raise invalid("id", "an id is a letter or digit, then up to 63 letters, digits, _ or -") from error


async def list_instruments(call: Call[InstrumentQuery, Nothing], shelf: Shelf) -> PageOf[InstrumentRow]:
    """A page of them, by id."""
    known = all_ids(shelf)
    return await call.page(
        InstrumentRow, select_instruments(shelf, known), sortable={"id": known.c.id}, key=[known.c.id]
    )


async def read_instrument(call: Call[Any, Any], shelf: Shelf, what: str) -> Instrument:
    """The one that the path names; `what` it is, for the message."""
    name = call.path("id")
    draft = await read_draft(call, shelf, name)
    versions = [VersionRow(*row) for row in await call.connection.execute(select_versions(shelf, name))]
    if draft is None and not versions:
        raise NotFound(f"There is no {what} {name}.")
    return Instrument(name, draft, versions)


async def read_draft(call: Call[Any, Any], shelf: Shelf, name: str, *, lock: bool = False) -> Draft | None:
    """The draft; None where there is none."""
    row = (await call.connection.execute(select_draft(shelf, name, lock=lock))).one_or_none()
    return None if row is None else Draft(row.id, row.title, row.definition, row.row_version)


async def require_draft(call: Call[Any, Any], shelf: Shelf, what: str, *, lock: bool = False) -> Draft:
    """The draft that the path names. Raises NotFound."""
    name = call.path("id")
    draft = await read_draft(call, shelf, name, lock=lock)
    if draft is None:
        raise NotFound(f"There is no draft of {what} {name}; PUT one.")
    return draft


async def require_version(call: Call[Any, Any], shelf: Shelf, what: str) -> Published:
    """The published version that the path names. Raises NotFound."""
    name, number = call.path("id"), path_version(call)
    row = (await call.connection.execute(select_version(shelf, name, number))).one_or_none()
    if row is None:
        raise NotFound(f"There is no {what} {name} in version {call.path('version')}.")
    tasks = getattr(row, "tasks", None)
    return Published(row.id, row.version, row.title, row.definition, tasks, row.published_by)


def path_version(call: Call[Any, Any]) -> int:
    """The version that the path names; 0, which none has, where it is no number."""
    number = call.number("version")
    return number if number <= LARGEST_VERSION else 0


async def save_draft(
    call: Call[Any, Any], shelf: Shelf, title: str, definition: dict[str, Any]
) -> tuple[Draft | None, Draft]:
    """Make or replace the draft that the path names → (before, after).

    Raises PreconditionRequired or PreconditionFailed where somebody else's would be overwritten.
    """
    name = call.path("id")
    before = await read_draft(call, shelf, name, lock=True)
    if before is None:
        if call.headers.get("If-Match", "*").strip() != "*":
            raise PreconditionFailed("There is no such draft any more: read it again.")
        made = await call.connection.execute(insert_draft(shelf, name, title, definition))
        if made.one_or_none() is not None:
            return None, Draft(name, title, definition, 1)
        # Somebody has made it at the same time.
        before = await require_draft(call, shelf, "that", lock=True)
    call.match(before.row_version)
    await call.connection.execute(update_draft(shelf, name, title, definition))
    return before, Draft(name, title, definition, before.row_version + 1)


def invalid(path: str, problem: str) -> InvalidRequest:
    """The failure for something in the body that cannot be."""
    return InvalidRequest(f"{problem} ({path}).", details={"path": path})
