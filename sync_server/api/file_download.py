"""Downloading a file that a job has made: whole, or on from where it was cut.

`ETag` is the SHA-256, so a part of one file never follows a part of another.

| asked | answer |
|---|---|
| nothing more | 200 |
| `Range` of one piece | 206; several pieces: 200 |
| `Range` with an `If-Range` of another file, or with a date | 200 |
| `Range` behind the end | 416, with the size |
| `If-None-Match` of this file | 304 |
| `If-Match` of another | 412 |
| it is expired or removed | 410; not made yet, or failed: 409 |
| the row says that it is there, the folder does not have it | 503: the folder is not shared |
| it expires while it is sent | it is sent to its end |
| it is removed while it is sent | the connection is cut at the next look |
"""

import asyncio
import contextlib
from collections.abc import Awaitable, Callable, Sequence
from pathlib import Path
from typing import IO, Final

from aiohttp import web

from replication.errors import RangeNotSatisfiable
from replication.wire.ranges import ByteRange, byte_ranges
from reporting.audit import record_entry
from reporting.queries.snapshot import snapshot
from reporting.research.files import FileRow, file_row, may_be_sent_on, select_file
from sync_server.api.acts import audited
from sync_server.api.call import Call, Nothing
from sync_server.api.parameters import row_number
from sync_server.errors import Gone, NotFound, NotPossible, PreconditionFailed, Unavailable, error_response
from sync_server.identity.callers import Caller
from sync_server.identity.principals import CALLER
from sync_server.keys import ENGINE, SETTINGS
from sync_server.research_files.folder import place_of

PIECE: Final = 1 << 20
LOOK_EVERY: Final = 16 << 20
"""Bytes after which it is asked whether the file is to be had still."""

See = Callable[[Caller, FileRow], bool]
Handled = Callable[[web.Request], Awaitable[web.StreamResponse]]
Asked = Callable[[Call[Nothing, Nothing]], Awaitable[web.StreamResponse]]
Check = Callable[[Caller, FileRow], None]


def download_of(
    kinds: Sequence[str], what: str, *, may_see: See, check_rights: Check
) -> tuple[Handled, Asked]:
    """The handler for files of these kinds: of requests of the route, and of a page's."""

    async def of(request: web.Request, caller: Caller, number: str) -> web.StreamResponse:
        async with snapshot(request.app[ENGINE]) as connection:
            found = (await connection.execute(select_file(row_number(number)))).one_or_none()
        row = None if found is None else file_row(found)
        if row is None or row.kind not in kinds or not may_see(caller, row):
            raise NotFound(f"There is no such {what}.")
        check_rights(caller, row)
        if row.state in ("expired", "removed"):
            raise Gone(row.error or "Its time is over: ask for it again.")
        if row.state != "done":
            raise NotPossible(f"It is {row.state}.", details={"state": row.state})
        return await _answer(request, caller, row)

    async def download(request: web.Request) -> web.StreamResponse:
        return await of(request, request[CALLER], request.match_info["id"])

    async def download_by_page(call: Call[Nothing, Nothing]) -> web.StreamResponse:
        return await of(call.request, call.caller, call.path("id"))

    download.__doc__ = (
        f"Download one {what}; `Range` with `If-Range` goes on where it was cut. On record each time."
    )
    return download, download_by_page


async def _answer(request: web.Request, caller: Caller, row: FileRow) -> web.StreamResponse:
    etag, size = f'"{row.sha256}"', row.size or 0
    if (wanted := request.headers.get("If-Match")) and not _names(wanted, etag):
        raise PreconditionFailed("The file is another one.", details={"etag": etag})
    headers = {
        "ETag": etag,
        "Accept-Ranges": "bytes",
        "Content-Disposition": f'attachment; filename="{row.file_name}"',
    }
    if (known := request.headers.get("If-None-Match")) and _names(known, etag):
        return web.Response(status=304, headers=headers)
    try:
        piece = _piece(request, etag, size)
    except RangeNotSatisfiable:
        refused = error_response(416, "range_not_satisfiable", f"The file has {size} bytes.")
        refused.headers["Content-Range"] = f"bytes */{size}"
        return refused
    file = await asyncio.to_thread(_open, request.app[SETTINGS].files_folder, row)
    try:
        if request.method == "GET":
            await _record(request, caller, row, piece)
        if piece is not None:
            headers["Content-Range"] = piece.of(size)
        response = web.StreamResponse(status=200 if piece is None else 206, headers=headers)
        sent = piece or ByteRange(0, size - 1)
        response.content_type = row.media_type or "application/octet-stream"
        response.content_length = sent.last - sent.start + 1
        await response.prepare(request)
        if request.method == "GET":
            await _send(request, response, file, row.id, sent)
        return response
    finally:
        file.close()


def _piece(request: web.Request, etag: str, size: int) -> ByteRange | None:
    """The piece that is wanted; None: everything. Raises RangeNotSatisfiable."""
    given = request.headers.get("If-Range")
    if given is not None and given.strip() != etag:
        return None
    ranges = byte_ranges(request.headers.get("Range"), size)
    return ranges[0] if ranges is not None and len(ranges) == 1 else None


async def _send(
    request: web.Request, response: web.StreamResponse, file: IO[bytes], number: int, piece: ByteRange
) -> None:
    file.seek(piece.start)
    left, until_look = piece.last - piece.start + 1, LOOK_EVERY
    while left > 0:
        read = await asyncio.to_thread(file.read, min(PIECE, left))
        if not read:
            break
        await response.write(read)
        left -= len(read)
        until_look -= len(read)
        if until_look <= 0:
            until_look = LOOK_EVERY
            async with snapshot(request.app[ENGINE]) as connection:
                if not await connection.scalar(may_be_sent_on(number)):
                    break
    if left > 0:
        # Less than the header promised, so that nobody takes it for whole.
        response.force_close()
        if request.transport is not None:
            request.transport.close()
        return
    await response.write_eof()


def _open(folder: Path, row: FileRow) -> IO[bytes]:
    place = place_of(folder, row.content_key or "", row.file_name or "")
    with contextlib.suppress(OSError):
        file = place.open("rb")
        if place.stat().st_size == row.size:
            return file
        file.close()
    raise Unavailable(
        "The file is not in this machine's folder: RESEARCH_FILES_DIR has to be one that this service and the"
        " workers share. If it was lost, ask for the file again."
    )


async def _record(request: web.Request, caller: Caller, row: FileRow, piece: ByteRange | None) -> None:
    entry = audited(
        request,
        caller.person,
        action=f"{row.kind}.download",
        entity="research_file",
        entity_id=str(row.id),
        study=row.study,
        after={"sha256": row.sha256, "range": None if piece is None else [piece.start, piece.last]},
    )
    async with request.app[ENGINE].begin() as connection:
        await connection.execute(record_entry(entry))


def _names(header: str, etag: str) -> bool:
    given = [each.strip().removeprefix("W/") for each in header.split(",")]
    return etag in given or "*" in given
