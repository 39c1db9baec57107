"""`_all_docs` and `_design_docs`: the documents of a database by id."""

import itertools
from collections.abc import Mapping, Sequence

import msgspec
from aiohttp import web

from replication.errors import BadRequest, NotFound
from replication.http.answers import read_json
from replication.http.call import Call
from replication.http.documents import PLAIN, ReadOptions, readable_json
from replication.http.listing_query import ListQuery, list_query, texts
from replication.http.streaming import JsonStream
from replication.store.database import Database
from replication.store.reading import IdRange, Shown, count_docs

PAGE = 1_000


class _Queries(msgspec.Struct):
    queries: list[dict[str, msgspec.Raw]]


class _Namespace(msgspec.Struct, frozen=True):
    """The ids that a listing is about; None: all."""

    first: str | None = None
    last: str | None = None

    def holds(self, doc_id: str) -> bool:
        return self.first is None or self.last is None or self.first <= doc_id <= self.last

    def clamped(self, ids: IdRange) -> IdRange:
        """The part of the range that lies in here."""
        if self.first is None or self.last is None:
            return ids
        low, high = (ids.end, ids.start) if ids.descending else (ids.start, ids.end)
        low = max(low or self.first, self.first)
        high = self.last if high is None else min(high, self.last)
        start, end = (high, low) if ids.descending else (low, high)
        return msgspec.structs.replace(ids, start=start, end=end)


_ALL = _Namespace()
# `0` follows `/`, and no document is called so.
_DESIGN = _Namespace("_design/", "_design0")


async def all_docs(call: Call) -> web.StreamResponse:
    """`GET` and `POST /{db}/_all_docs` with `key` or `keys`, `startkey`, `endkey`, `inclusive_end`,
    `descending`, `skip`, `limit`, `include_docs`, `conflicts`, `attachments`, `update_seq`.
    """
    return await _one(call, _ALL)


async def design_docs(call: Call) -> web.StreamResponse:
    """`GET` and `POST /{db}/_design_docs`: the same of design documents only."""
    return await _one(call, _DESIGN)


async def all_docs_queries(call: Call) -> web.StreamResponse:
    """`POST /{db}/_all_docs/queries`: several questions, answered in their order."""
    return await _several(call, _ALL)


async def design_docs_queries(call: Call) -> web.StreamResponse:
    """`POST /{db}/_design_docs/queries`."""
    return await _several(call, _DESIGN)


async def parameters_of(call: Call) -> Mapping[str, str]:
    """The parameters of a listing's URL and, where it is a POST, of its body. Raises BadRequest."""
    body: dict[str, msgspec.Raw] = {}
    if call.request.method == "POST":
        body = await read_json(call.request, dict[str, msgspec.Raw])
    return {**call.request.query, **texts(body)}


async def queries_of(call: Call) -> list[ListQuery]:
    """The questions of a `queries` request. Raises BadRequest."""
    asked = (await read_json(call.request, _Queries)).queries
    if not asked:
        raise BadRequest("`queries` must hold at least one query")
    return [list_query(texts(query)) for query in asked]


async def _one(call: Call, namespace: _Namespace) -> web.StreamResponse:
    database = await call.database()
    query = list_query(await parameters_of(call))
    async with JsonStream(call.request) as out:
        await _answer(database, namespace, query, out)
        await out.write(b"\n")
        return await out.finish()


async def _several(call: Call, namespace: _Namespace) -> web.StreamResponse:
    database = await call.database()
    queries = await queries_of(call)
    async with JsonStream(call.request) as out:
        await out.write(b'{"results":[')
        for index, query in enumerate(queries):
            await out.write(b",\n" if index else b"\n")
            await _answer(database, namespace, query, out)
        await out.write(b"\n]}\n")
        return await out.finish()


async def _answer(database: Database, namespace: _Namespace, query: ListQuery, out: JsonStream) -> None:
    meta = await database.meta()
    everything = namespace.clamped(IdRange(descending=query.ids.descending))
    total = (
        int(meta["doc_count"])
        if namespace == _ALL
        else await database.read(lambda c: count_docs(c, everything))
    )
    head: dict[str, object] = {"total_rows": total, "offset": None}
    if query.update_seq:
        head["update_seq"] = database.sequence(int(meta["update_seq"]))
    listing = _Listing(database, out, query.reading)
    if query.keys is None:
        ids = namespace.clamped(query.ids)
        passed_over = await database.count_before(ids) - await database.count_before(everything)
        head["offset"] = min(total, passed_over + query.skip)
        await out.write(msgspec.json.encode(head)[:-1] + b',"rows":[\n')
        await _list_range(listing, database, ids, query.skip, query.limit)
    else:
        keys = list(reversed(query.keys)) if query.ids.descending else query.keys
        await out.write(msgspec.json.encode(head)[:-1] + b',"rows":[\n')
        await _list_keys(listing, database, namespace, keys[query.skip :][: query.limit])
    await out.write(b"\n]}")


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


async def _list_keys(
    listing: _Listing, database: Database, namespace: _Namespace, keys: Sequence[str]
) -> None:
    for start in itertools.count(0, PAGE):
        page = keys[start : start + PAGE]
        if not page:
            return
        found = await database.winners([key for key in page if namespace.holds(key)])
        for known, group in itertools.groupby(page, found.__contains__):
            if known:
                await listing.rows([(key, *found[key]) for key in group])
            else:
                await listing.lines(
                    [msgspec.json.encode({"key": key, "error": "not_found"}) for key in group]
                )


async def _winner_json(database: Database, doc_id: str, options: ReadOptions) -> bytes:
    try:
        tree, revision = await database.winner(doc_id)
    except NotFound:
        return b"null"
    return await readable_json(database, tree, revision, options)
