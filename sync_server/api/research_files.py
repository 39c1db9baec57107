"""What the routes of files made by jobs share: asking for one, reading, removing (`file_routes`).

A file is seen by who asked for it and by admins of its study and sites; whoever it is has the right on all of
the file still, and the one to identified data where it shows codes and dates.

| what happens | answer |
|---|---|
| twenty files of one person wait or are being made | 409 |
| asked for twice with one `Idempotency-Key` | the first's answer; without a key two rows, and one file |
| removed while it is being made | 204; its worker stops at the next batch |
| removed twice | 204 |
"""

from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import Annotated, Any, Final, Literal

import msgspec
from msgspec import Meta

from reporting.research.files import (
    MOST_OPEN,
    FileRow,
    NewFile,
    ask_for,
    ask_for_sweep,
    enter_making,
    file_row,
    remove,
    select_file,
    select_files,
    visible,
)
from reporting.research.policy import make_policy
from reporting.tables import research_files
from sync_server.api.call import Call, ListQuery, Nothing, PageOf
from sync_server.api.file_download import download_of
from sync_server.api.names import SiteCode, StudyCode
from sync_server.api.route import Route, delete, get, plain
from sync_server.errors import NotFound, NotPossible
from sync_server.identity.callers import Caller
from sync_server.policy import Right

RIGHT: Final[Right] = "research.export"
ADMINS: Final[Right] = "research.policy"
"""The right that admins alone have."""

State = Literal["queued", "running", "done", "failed", "expired", "removed"]
Sites = Annotated[tuple[SiteCode, ...], Meta(min_length=1, max_length=500)]


class FileQuery(ListQuery, frozen=True, kw_only=True):
    """Files of a study, or in a state."""

    study: StudyCode | None = None
    state: State | None = None


class FileTold(msgspec.Struct, frozen=True, kw_only=True):
    """A file. `progress` from 0 to 1, where it is known how much there is; `download` once it is done.

    `sites` null: the whole study. `watermark`, by site: through when the data are complete, and what was
    outstanding or in quarantine.
    """

    id: int
    kind: str
    study: str
    sites: list[str] | None
    identified: bool
    request: dict[str, Any]
    state: State
    stage: str | None
    rows_done: int
    rows_total: int | None
    progress: float | None
    file_name: str | None
    media_type: str | None
    size: int | None
    sha256: str | None
    watermark: dict[str, Any] | None
    error: str | None
    asked_by: str
    asked_at: datetime
    started_at: datetime | None
    ended_at: datetime | None
    expires_at: datetime | None
    download: str | None


def told(row: FileRow, path: str) -> FileTold:
    """As people are told of it; `path` of its kind's routes."""
    known = {name: getattr(row, name) for name in FileTold.__struct_fields__ if hasattr(row, name)}
    progress = None
    if row.state == "done":
        progress = 1.0
    elif row.rows_total:
        progress = min(1.0, row.rows_done / row.rows_total)
    download = f"{path}/{row.id}/download" if row.state == "done" else None
    return FileTold(**known, progress=progress, download=download)


def reached_sites(
    caller: Caller, right: Right, study: str, wanted: Sequence[str] | None
) -> tuple[str, ...] | None:
    """The sites that a file is to be of: those that were named, or all on which the caller has the right;
    None: the whole study. Raises NotAllowed, NotFound.
    """
    scope = caller.scope(right)
    if wanted is not None:
        # Of no site: nothing is asked for, and no right would be.
        for site in wanted or (None,):
            caller.require(right, study, site)
        return tuple(sorted(set(wanted)))
    if scope.covers(study, None):
        return None
    found = {part.site for part in scope.parts if part.study in (None, study) and part.site is not None}
    if not found:
        caller.require(right, study)
    return tuple(sorted(found))


def require_all(caller: Caller, right: Right, study: str, sites: Sequence[str] | None) -> None:
    """The right on all that a file holds. Raises NotAllowed, NotFound."""
    for site in sites or (None,):
        caller.require(right, study, site)


async def ask(
    call: Call[Any, Any], new: NewFile, *, path: str, recorded: Mapping[str, Any] | None = None
) -> FileTold:
    """Have the file made: row, outbox entry and audit entry. Rights were checked. `recorded`: the request as
    the audit entry has it, where that is less. Raises NotPossible.
    """
    row = (await call.connection.execute(ask_for(new))).one_or_none()
    if row is None:
        raise NotPossible(
            f"{MOST_OPEN} of your files wait or are being made: wait for one, or remove one.",
            details={"most": MOST_OPEN},
        )
    made = file_row(row)
    # As queries do: without one there is neither code nor pseudonym in the file.
    await call.connection.execute(make_policy(new.study))
    await call.connection.execute(enter_making(made.id, made.study))
    await call.record(
        f"{new.kind}.ask",
        "research_file",
        str(made.id),
        study=new.study,
        after={"sites": new.sites, "identified": new.identified, "request": recorded or new.request},
    )
    return told(made, path)


def may_see(caller: Caller, row: FileRow) -> bool:
    """Whether the caller may know of it."""
    if row.person == caller.person.id:
        return True
    admins = caller.scope(ADMINS)
    return all(admins.covers(row.study, site) for site in row.sites or (None,))


def check_rights(caller: Caller, row: FileRow) -> None:
    """Whether who may see it may have what is in it, now. Raises NotAllowed, NotFound."""
    require_all(caller, RIGHT, row.study, row.sites)
    if row.identified:
        require_all(caller, "research.identified", row.study, row.sites)


def file_routes(path: str, kinds: Sequence[str], what: str) -> list[Route]:
    """Listing, reading, downloading and removing files of these kinds below `path`; `what` one of them is."""

    async def list_files(call: Call[FileQuery, Nothing]) -> PageOf[FileTold]:
        query = call.query
        condition = visible(call.caller.person.id, call.caller.scope(ADMINS))
        matching = select_files(kinds, condition, study=query.study, state=query.state)
        c = research_files.c
        sortable = {name: c[name] for name in ("id", "study", "state", "size", "asked_at", "expires_at")}
        page = await call.page(FileRow, matching, sortable=sortable, key=[c.id.desc()])
        return PageOf([told(row, path) for row in page.data], page.pagination)

    async def get_file(call: Call[Nothing, Nothing]) -> FileTold:
        return told(await _file(call, kinds, what), path)

    async def remove_file(call: Call[Nothing, Nothing]) -> None:
        row = await _file(call, kinds, what)
        if (await call.connection.execute(remove(row.id, "A person has removed it."))).first() is None:
            return
        await call.connection.execute(ask_for_sweep())
        await call.record(f"{row.kind}.remove", "research_file", str(row.id), study=row.study)

    list_files.__doc__ = f"List your {what}s, newest first; admins see those of their studies."
    get_file.__doc__ = f"Read how far one {what} is, and where it may be downloaded."
    remove_file.__doc__ = f"Remove one {what}; while it is being made, that ends."
    download, download_by_page = download_of(kinds, what, may_see=may_see, check_rights=check_rights)
    one = f"{path}/{{id}}"
    about: dict[str, Any] = {"right": RIGHT, "produces": "*/*", "errors": (410, 412, 416)}
    also = {206: None, 304: None}
    return [
        get(path, list_files, right=RIGHT),
        get(one, get_file, right=RIGHT),
        delete(one, remove_file, right=RIGHT, status=204),
        plain("GET", f"{one}/download", download, also=also, asked=download_by_page, **about),
    ]


async def _file(call: Call[Any, Any], kinds: Sequence[str], what: str) -> FileRow:
    found = (await call.connection.execute(select_file(call.number("id")))).one_or_none()
    row = None if found is None else file_row(found)
    if row is None or row.kind not in kinds or not may_see(call.caller, row):
        raise NotFound(f"There is no {what} {call.path('id')[:40]}.")
    return row
