"""`_bulk_get`: many documents in one request, each row judged by itself.

JSON for a client that takes JSON, which PouchDB and CouchDB's replicator both ask for; parts for one that
takes `multipart/mixed` or `multipart/related` only, so that attachments need no base64.
"""

from collections.abc import AsyncIterator, Mapping, Sequence
from typing import Any, NamedTuple, Protocol

import msgspec
from aiohttp import web

from replication.errors import BadRequest, CouchError, Forbidden, IllegalDocId, NotFound
from replication.http.answers import error_row, flag, read_json, rev_of
from replication.http.call import Call
from replication.http.documents import (
    ReadOptions,
    all_leaves,
    chosen,
    read_options,
    readable_json,
    related,
)
from replication.http.multipart import MixedStream
from replication.http.negotiation import accepts
from replication.http.streaming import JsonStream
from replication.revtree import RevTree
from replication.store.bodies import Revision
from replication.store.database import Database
from replication.store.reading import Choose, Opened
from replication.values import Rev
from replication.wire.decode import check_id

OPENED_AT_ONCE = 500
"""Documents that one visit to the file opens at most."""


class _BulkGet(msgspec.Struct):
    docs: list[Any]


class _Wanted(msgspec.Struct, frozen=True):
    """One row of the request; `rev` None: all leaves. `atts_since` None: what the request's query says."""

    id: str
    rev: Rev | None
    atts_since: tuple[Rev, ...] | None


class _Failure(msgspec.Struct, frozen=True):
    """Why a revision is not shown; `id` and `rev` as they were asked for."""

    id: object
    rev: object
    failure: CouchError

    def told(self) -> dict[str, object]:
        """As the answer shows it."""
        return {"id": self.id, "rev": self.rev, "error": self.failure.error, "reason": self.failure.reason}


class _Answer(Protocol):
    """One form of the answer, written row by row."""

    async def refused(self, failure: _Failure) -> None:
        """A row of which nothing is shown."""

    async def row(
        self,
        doc_id: str,
        tree: RevTree,
        found: Sequence[tuple[Rev, Revision | None]],
        options: ReadOptions,
    ) -> None:
        """A row with the revisions that were found; None for one that is missing."""


async def bulk_get(call: Call) -> web.StreamResponse:
    """`POST /{db}/_bulk_get`, written document by document."""
    asked = await read_json(call.request, _BulkGet)
    database = await call.database()
    if "atts_since" in call.request.query:
        raise BadRequest('"atts_since" query parameter is not acceptable')
    options = read_options(call.request)
    latest = flag(call.request, "latest")
    rows = [_asked_row(call, wanted, latest=latest) for wanted in asked.docs]
    mixed = accepts(call.request, "multipart/mixed")
    in_parts = mixed or accepts(call.request, "multipart/related")
    if in_parts and not accepts(call.request, "application/json"):
        kind = "multipart/mixed" if mixed else "multipart/related"
        async with MixedStream(call.request, kind=kind) as out:
            await _answer_rows(database, rows, options, _InParts(database, out))
            return await out.end()
    async with JsonStream(call.request) as text:
        await text.write(b'{"results":[')
        await _answer_rows(database, rows, options, _InJson(database, text))
        await text.write(b"]}\n")
        return await text.finish()


class _Asked(NamedTuple):
    """A row that may be answered, and which revisions it is about."""

    wanted: _Wanted
    choose: Choose


def _asked_row(call: Call, asked: object, *, latest: bool) -> _Asked | _Failure:
    if not isinstance(asked, dict):
        return _Failure(None, None, BadRequest("document must be a JSON object"))
    try:
        wanted = _wanted(asked)
        call.check_readable(wanted.id)
    except (Forbidden, BadRequest, IllegalDocId) as error:
        return _Failure(asked.get("id"), asked.get("rev"), error)

    def choose(tree: RevTree) -> Sequence[Rev]:
        return all_leaves(tree) if wanted.rev is None else chosen(tree, [wanted.rev], latest=latest)

    return _Asked(wanted, choose)


async def _answer_rows(
    database: Database, rows: Sequence[_Asked | _Failure], options: ReadOptions, answer: _Answer
) -> None:
    opened = _opened(database, [row for row in rows if isinstance(row, _Asked)])
    for row in rows:
        if isinstance(row, _Failure):
            await answer.refused(row)
            continue
        wanted = row.wanted
        tree, found = await anext(opened)
        if not found:
            await answer.refused(_Failure(wanted.id, "undefined", NotFound("missing")))
            continue
        shown = options
        if wanted.atts_since:
            shown = msgspec.structs.replace(options, attachments=True, atts_since=wanted.atts_since)
        await answer.row(wanted.id, tree, found, shown)


async def _opened(database: Database, asked: Sequence[_Asked]) -> AsyncIterator[Opened]:
    """What was asked for in its order, read in few visits to the file, of bounded size each."""
    done = 0
    while done < len(asked):
        page = [(row.wanted.id, row.choose) for row in asked[done : done + OPENED_AT_ONCE]]
        found = await database.open_many(page)
        done += len(found)
        for one in found:
            yield one


def _wanted(asked: Mapping[str, object]) -> _Wanted:
    if "id" not in asked:
        raise BadRequest("document id missed")
    doc_id, rev = asked["id"], asked.get("rev")
    if not isinstance(doc_id, str):
        raise IllegalDocId("Document id must be a string")
    check_id(doc_id)
    since = asked.get("atts_since", [])
    if not isinstance(since, list) or not all(isinstance(one, str) for one in since):
        raise BadRequest("att_since value must be array of revs.")
    known = tuple(rev_of(one) for one in since)
    if rev is None and "rev" not in asked:
        return _Wanted(doc_id, None, known)
    if not isinstance(rev, str):
        raise BadRequest("Invalid rev format")
    return _Wanted(doc_id, rev_of(rev), known)


class _InJson:
    """Rows as `{"id", "docs": [{"ok"} or {"error"}]}`."""

    def __init__(self, database: Database, out: JsonStream) -> None:
        self._database = database
        self._out = out
        self._first = True

    async def refused(self, failure: _Failure) -> None:
        """A row with an error."""
        await self._begin(failure.id)
        await self._out.write(msgspec.json.encode({"error": failure.told()}) + b"]}")

    async def row(
        self,
        doc_id: str,
        tree: RevTree,
        found: Sequence[tuple[Rev, Revision | None]],
        options: ReadOptions,
    ) -> None:
        """A row with documents."""
        await self._begin(doc_id)
        for index, (shown, revision) in enumerate(found):
            if index:
                await self._out.write(b",")
            if revision is None:
                missing = error_row(doc_id, str(shown), "not_found", "missing")
                await self._out.write(msgspec.json.encode({"error": missing}))
            else:
                json = await readable_json(self._database, tree, revision, options)
                await self._out.write(b'{"ok":' + json + b"}")
        await self._out.write(b"]}")

    async def _begin(self, doc_id: object) -> None:
        head = b'{"id":' + msgspec.json.encode(doc_id) + b',"docs":['
        await self._out.write(head if self._first else b",\n" + head)
        self._first = False


class _InParts:
    """A part for each revision, and one for each error."""

    def __init__(self, database: Database, out: MixedStream) -> None:
        self._database = database
        self._out = out

    async def refused(self, failure: _Failure) -> None:
        """A part with an error."""
        await self._out.failure(msgspec.json.encode(failure.told()))

    async def row(
        self,
        doc_id: str,
        tree: RevTree,
        found: Sequence[tuple[Rev, Revision | None]],
        options: ReadOptions,
    ) -> None:
        """Parts with documents."""
        for shown, revision in found:
            if revision is None:
                await self.refused(_Failure(doc_id, str(shown), NotFound("missing")))
            else:
                document = await related(self._database, tree, revision, options)
                await self._out.document(self._database, document, named=True)
