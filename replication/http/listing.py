"""`_all_docs`: the documents of a database by id."""

import itertools
from collections.abc import Sequence
from typing import TypeVar

import msgspec
from aiohttp import web

from replication.errors import BadRequest, NotFound
from replication.http.answers import UNLIMITED, flag, number, read_json
from replication.http.call import Call
from replication.http.documents import PLAIN, ReadOptions, read_options, readable_json
from replication.http.streaming import JsonStream
from replication.store.database import Database
from replication.store.reading import IdRange, Shown

T = TypeVar("T")

PAGE = 1_000


class _Keys(msgspec.Struct):
    keys: list[str] | None = None


class _Listing:
    """Writes the rows, with or without their documents."""

    def __init__(self, database: Database, out: JsonStream, options: ReadOptions | None) -> None:
        self._database = database
        self._out = out
        self._options = options
        self._first = True

    async def rows(self, found: Sequence[tuple[str, str, bool]]) -> None:
        """A row for each document of (id, revision, deleted); `options` None: without the documents."""
        if self._options is None:
            await self.lines([_line(*row) for row in found])
            return
        if self._options != PLAIN:
            for doc_id, rev, deleted in found:
                doc = await _winner_json(self._database, doc_id, self._options)
                await self.lines([_line(doc_id, rev, deleted, doc)])
            return
        done = 0
        while done < len(found):
            shown = await self._database.shown([row[0] for row in found[done:]])
            page = zip(found[done:], shown, strict=False)
            await self.lines([_line(*row, _doc_member(one)) for row, one in page])
            done += len(shown)

    async def lines(self, lines: Sequence[bytes]) -> None:
        """Rows that are encoded already."""
        if lines:
            text = b",\n".join(lines)
            await self._out.write(text if self._first else b",\n" + text)
            self._first = False


def _line(doc_id: str, rev: str, deleted: bool, doc: bytes | None = None) -> bytes:
    key = msgspec.json.encode(doc_id)
    gone = b',"deleted":true' if deleted else b""
    shown = b"" if doc is None else b',"doc":' + doc
    return b'{"id":%b,"key":%b,"value":{"rev":%b%b}%b}' % (key, key, msgspec.json.encode(rev), gone, shown)


def _doc_member(shown: Shown | None) -> bytes:
    return b"null" if shown is None or shown.deleted else shown.doc


async def all_docs(call: Call) -> web.StreamResponse:
    """`GET` and `POST /{db}/_all_docs` with `key` or `keys`, `startkey`, `endkey`, `inclusive_end`,
    `descending`, `skip`, `limit`, `include_docs`.
    """
    database = await call.database()
    request = call.request
    body = await read_json(request, _Keys) if request.method == "POST" else _Keys()
    keys = body.keys if body.keys is not None else _json_parameter(request, "keys", list[str])
    skip = number(request.query.get("skip"), "skip", default=0)
    limit = number(request.query.get("limit"), "limit", default=UNLIMITED)
    ids = _range(request)
    options = read_options(request) if flag(request, "include_docs") else None
    total = int((await database.meta())["doc_count"])
    async with JsonStream(request) as out:
        listing = _Listing(database, out, options)
        if keys is None:
            passed_over = await database.count_before(ids) + skip
            await out.write(b'{"total_rows":%d,"offset":%d,"rows":[\n' % (total, min(total, passed_over)))
            await _list_range(listing, database, ids, skip, limit)
        else:
            chosen = list(reversed(keys)) if ids.descending else keys
            await out.write(b'{"total_rows":%d,"offset":null,"rows":[\n' % total)
            await _list_keys(listing, database, chosen[skip:][:limit])
        await out.write(b"\n]}\n")
        return await out.finish()


async def _list_range(listing: _Listing, database: Database, ids: IdRange, skip: int, limit: int) -> None:
    after: str | None = None
    left = limit
    while left > 0:
        page = min(left, PAGE)
        rows = await database.list_docs(ids, after=after, skip=skip if after is None else 0, limit=page)
        await listing.rows([(doc_id, rev, False) for doc_id, rev in rows])
        if len(rows) < page:
            return
        after = rows[-1][0]
        left -= len(rows)


async def _list_keys(listing: _Listing, database: Database, keys: Sequence[str]) -> None:
    for start in itertools.count(0, PAGE):
        page = keys[start : start + PAGE]
        if not page:
            return
        found = await database.winners(page)
        for known, group in itertools.groupby(page, found.__contains__):
            if known:
                await listing.rows([(key, *found[key]) for key in group])
            else:
                await listing.lines(
                    [msgspec.json.encode({"key": key, "error": "not_found"}) for key in group]
                )


def _range(request: web.Request) -> IdRange:
    start = _json_parameter(request, "startkey", str, "start_key")
    end = _json_parameter(request, "endkey", str, "end_key")
    key = _json_parameter(request, "key", str)
    if key is not None:
        start = end = key
    return IdRange(
        start,
        end,
        inclusive_end=flag(request, "inclusive_end", default=True),
        descending=flag(request, "descending"),
    )


def _json_parameter(request: web.Request, name: str, kind: type[T], other_name: str = "") -> T | None:
    text = request.query.get(name, request.query.get(other_name))
    if text is None:
        return None
    try:
        return msgspec.json.decode(text, type=kind)
    except (ValueError, RecursionError) as error:
        raise BadRequest(f"{name} is not JSON of the expected kind") from error


async def _winner_json(database: Database, doc_id: str, options: ReadOptions) -> bytes:
    try:
        tree, revision = await database.winner(doc_id)
    except NotFound:
        return b"null"
    return await readable_json(database, tree, revision, options)
