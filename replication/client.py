"""A small async client of the CouchDB HTTP API: what a replicator needs, and no more.

    what comes back                                becomes
    -------------------------------------------    ------------------------------------------------------
    a failure that CouchDB names                   the `CouchError` of that name
    a failure of something in between (a proxy     the `CouchError` of that status; 408, 429, 502, 503, 504
    without its server, a load limit)              are `Unavailable`: the same request may succeed soon
    no answer (refused, reset, timed out, cut)     `Unreachable`, an `Unavailable`
    an answer that is not CouchDB's                `UnexpectedAnswer`

After `Unreachable` a write is *unknown*, and whoever wrote asks again; everything here may be repeated safely
except an interactive edit.
"""

import base64
import io
from collections.abc import Awaitable, Callable, Mapping, Sequence
from typing import Any, NamedTuple, TypeVar
from urllib.parse import quote

import aiohttp
import msgspec

from replication import errors
from replication.client_answers import BulkGet, Feed, Identity, ToldUpdates, changes_in
from replication.errors import CouchError, Unavailable
from replication.values import Change, ChangesPage, Leaf, sequence_text

T = TypeVar("T")

Headers = Callable[[], Mapping[str, str]]
"""Called for every request: a credential may have to be renewed."""


def basic_login(user: str, password: str) -> Headers:
    """Headers with a login; `user` has no colon."""
    header = "Basic " + base64.b64encode(f"{user}:{password}".encode()).decode()
    return lambda: {"Authorization": header}


class Unreachable(Unavailable):
    """The server gave no answer; whether it did what was asked is unknown."""


class UnexpectedAnswer(CouchError):
    """The server answered something that is not CouchDB's API."""

    error = "unexpected_answer"


class LatestLeaves(NamedTuple):
    """What has become of revisions that were named."""

    leaves: list[Leaf]
    """What each of them is now: itself, or the leaves that descend from it. Each leaf once."""
    unread: frozenset[str]
    """Documents of which a named revision was not given: the server knows, now, no descendant of it."""


class Updates(NamedTuple):
    """Names of databases that were created, changed or deleted, and the position after that."""

    names: frozenset[str]
    last_seq: str


class RevsDiff(msgspec.Struct):
    """What the target does not have of one document."""

    missing: list[str]
    possible_ancestors: list[str] = []


class NotWritten(msgspec.Struct):
    """A document of a batch that the target did not store."""

    id: str = ""
    rev: str = ""
    error: str = ""
    reason: str = ""


class _Failure(msgspec.Struct):
    error: str = ""
    reason: str | None = ""


_ERRORS: dict[str, type[CouchError]] = {
    kind.error: kind
    for kind in vars(errors).values()
    if isinstance(kind, type)
    and issubclass(kind, CouchError)
    and kind not in (CouchError, errors.FunctionFailed)  # neither is named by its error
}
_ERRORS_BY_STATUS: dict[int, type[CouchError]] = {
    kind.status: kind
    for kind in _ERRORS.values()
    if kind is not errors.MissingStub and kind.status != CouchError.status
} | dict.fromkeys((408, 429, 502, 504), Unavailable)

NAMED_AT_ONCE = 100
"""Documents named in one request: past 100, Apache CouchDB reads the whole feed for them."""

SENDS_ON = 300
"""From this status on an answer is not what was asked for: no URL is followed that nobody has named."""
_FAILS = 400
_NOT_KEPT = frozenset({"not_found", "bad_request", "illegal_docid", "forbidden"})
"""Errors of a row of `_bulk_get` that no repetition mends; any other may be a shard that did not answer."""


class CouchClient:
    """Requests to one server. `base` is the URL under which `/<database>` answers, no slash at its end."""

    def __init__(self, session: aiohttp.ClientSession, base: str, *, headers: Headers | None = None) -> None:
        self._session = session
        self._base = base.rstrip("/")
        self._headers = headers or dict

    async def server_info(self) -> Mapping[str, Any]:
        """`GET /`."""
        return await self._json("GET", "/", dict[str, Any])

    async def all_dbs(self) -> list[str]:
        """The names of all databases."""
        return await self._json("GET", "/_all_dbs", list[str])

    async def create(self, database: str) -> None:
        """Create a database. Raises DatabaseExists."""
        await self._json("PUT", _path(database), dict[str, Any])

    async def info(self, database: str) -> Mapping[str, Any]:
        """The database's info. Raises NotFound."""
        return await self._json("GET", _path(database), dict[str, Any])

    async def wait_for_updates(self, since: str | None, *, timeout_ms: int) -> Updates:
        """Wait until some database changed after `since` (None: ever), at most `timeout_ms`."""
        query = {"feed": "longpoll", "timeout": str(timeout_ms)}
        if since is not None:
            query["since"] = since
        told = await self._json("GET", "/_db_updates", ToldUpdates, query=query)
        return Updates(frozenset(row.db_name for row in told.results), sequence_text(told.last_seq))

    async def changes(self, database: str, since: str, *, limit: int) -> ChangesPage:
        """Changes after `since` ("0" = the start) with all leaves, winner first."""
        query = {"since": since, "limit": str(limit), "style": "all_docs"}
        feed = await self._json("GET", _path(database, "_changes"), Feed, query=query)
        return ChangesPage(changes_in(feed), sequence_text(feed.last_seq), feed.pending)

    async def changes_of(self, database: str, doc_ids: Sequence[str]) -> list[Change]:
        """The last change of each of these documents, with all leaves; unknown ones are absent."""
        query = {"filter": "_doc_ids", "style": "all_docs"}
        found: list[Change] = []
        for start in range(0, len(doc_ids), NAMED_AT_ONCE):
            body = {"doc_ids": list(doc_ids[start : start + NAMED_AT_ONCE])}
            feed = await self._json("POST", _path(database, "_changes"), Feed, query=query, body=body)
            found.extend(changes_in(feed))
        return found

    async def bulk_get(
        self,
        database: str,
        wanted: Sequence[tuple[str, str]],
        *,
        most_bytes: int | None = None,
        query: Mapping[str, str] | None = None,
    ) -> list[Leaf]:
        """The named revisions (id, rev) with their bodies; those that are not kept are left out. `query`
        asks for more of each (`revs`, `attachments`, `latest`).

        Raises TooLarge as soon as the answer is larger than `most_bytes`, and Unavailable where the server
        says of a revision that it could not be read just now: who took it for one that is gone would go on
        without it.
        """
        answer = await self._bulk_get(database, wanted, query or {}, most_bytes)
        return [_leaf(bytes(doc.ok)) for row in answer.results for doc in row.docs if bytes(doc.ok)]

    async def latest_leaves(
        self, database: str, wanted: Sequence[tuple[str, str]], *, most_bytes: int | None = None
    ) -> LatestLeaves:
        """What the named revisions (id, rev) are now, with their bodies. Raises as `bulk_get`.

        In a cluster the feed may be a copy that is ahead of those that answer here, or behind them. What is
        behind is made up for by asking for descendants; what is not given is told, as it may be there soon.
        """
        answer = await self._bulk_get(database, wanted, {"latest": "true"}, most_bytes)
        leaves: dict[tuple[str, str], Leaf] = {}
        unread = {doc_id for doc_id, _ in wanted} - {row.id for row in answer.results}
        for row in answer.results:
            given = [_leaf(bytes(doc.ok)) for doc in row.docs if bytes(doc.ok)]
            leaves |= {(leaf.id, leaf.rev): leaf for leaf in given}
            if not given or any(doc.error is not None for doc in row.docs):
                unread.add(row.id)
        return LatestLeaves(list(leaves.values()), frozenset(unread))

    async def _bulk_get(
        self,
        database: str,
        wanted: Sequence[tuple[str, str]],
        query: Mapping[str, str],
        most_bytes: int | None,
    ) -> BulkGet:
        body = {"docs": [{"id": doc_id, "rev": rev} for doc_id, rev in wanted]}
        answer = await self._json(
            "POST", _path(database, "_bulk_get"), BulkGet, query=query, body=body, most_bytes=most_bytes
        )
        for row in answer.results:
            for doc in row.docs:
                if doc.error is not None and doc.error.error not in _NOT_KEPT:
                    raise Unavailable(f"{row.id}: {doc.error.error} {doc.error.reason}")
        return answer

    async def open_leaves(self, database: str, doc_id: str) -> list[Mapping[str, Any]]:
        """All leaves of a document with `_revisions`, decoded. Raises NotFound."""
        query = {"open_revs": "all", "revs": "true"}
        headers = {"Accept": "application/json"}
        rows = await self._json(
            "GET", _path(database, doc_id), list[dict[str, Any]], query=query, headers=headers
        )
        return [row["ok"] for row in rows if "ok" in row]

    async def revs_diff(self, database: str, revs: Mapping[str, Sequence[str]]) -> dict[str, RevsDiff]:
        """Which of these revisions the server does not have."""
        return await self._json("POST", _path(database, "_revs_diff"), dict[str, RevsDiff], body=revs)

    async def push(self, database: str, docs: Sequence[bytes]) -> list[NotWritten]:
        """Store replicated documents (JSON with `_id`, `_rev`, `_revisions`); those that were not stored."""
        body = b'{"new_edits":false,"docs":[' + b",".join(docs) + b"]}"
        rows = await self._json("POST", _path(database, "_bulk_docs"), list[NotWritten], raw_body=body)
        return [row for row in rows if row.error]

    async def document(self, database: str, doc_id: str) -> dict[str, Any]:
        """The winning revision of a document. Raises NotFound."""
        return await self._json("GET", _path(database, doc_id), dict[str, Any])

    async def attachment(self, database: str, doc_id: str, name: str, *, rev: str, most_bytes: int) -> bytes:
        """The content of an attachment. Raises NotFound, and TooLarge as soon as it is larger."""

        async def exchange() -> tuple[int, bytes]:
            url = self._base + _path(database, doc_id, name)
            sent = dict(self._headers())
            async with self._session.get(
                url, params={"rev": rev}, headers=sent, allow_redirects=False
            ) as response:
                return response.status, await _read(response, most_bytes)

        status, answer = await _answered(exchange)
        if status >= SENDS_ON:
            raise failure_of(status, answer)
        return answer

    async def put(self, database: str, document: Mapping[str, Any]) -> str:
        """Write a document based on its `_rev`; its new revision. Raises Conflict."""
        path = _path(database, document["_id"])
        return str((await self._json("PUT", path, dict[str, Any], body=document))["rev"])

    async def local(self, database: str, local_id: str) -> Mapping[str, Any] | None:
        """A `_local` document, `_rev` included; None when there is none. Raises NotFound without database."""
        try:
            return await self._json("GET", _path(database, "_local", local_id), dict[str, Any])
        except errors.NotFound as error:
            if "atabase" in error.reason:
                raise
            return None

    async def put_local(self, database: str, local_id: str, document: Mapping[str, Any]) -> str:
        """Write a `_local` document; its new revision. The last write counts, as in CouchDB.

        With the `_rev` of what is there the revisions count up, and a cluster tells its copies apart.
        """
        path = _path(database, "_local", local_id)
        answer = await self._json("PUT", path, dict[str, Any], body=document)
        return str(answer["rev"])

    async def request(
        self,
        method: str,
        path: str,
        kind: type[T],
        *,
        query: Mapping[str, str] | None = None,
        body: Any = None,
        raw_body: bytes | None = None,
        headers: Mapping[str, str] | None = None,
    ) -> T:
        """A request of somebody who knows more of the API than this module. Raises CouchError."""
        return await self._json(
            method, path, kind, query=query, body=body, raw_body=raw_body, headers=headers
        )

    async def _json(
        self,
        method: str,
        path: str,
        kind: type[T],
        *,
        query: Mapping[str, str] | None = None,
        body: Any = None,
        raw_body: bytes | None = None,
        headers: Mapping[str, str] | None = None,
        most_bytes: int | None = None,
    ) -> T:
        sent = dict(self._headers()) | dict(headers or {})
        if body is not None:
            raw_body = msgspec.json.encode(body)
        if raw_body is not None:
            sent["Content-Type"] = "application/json"

        async def exchange() -> tuple[int, bytes]:
            url = self._base + path
            # A stream: aiohttp warns of large bodies given as bytes.
            data = None if raw_body is None else io.BytesIO(raw_body)
            async with self._session.request(
                method, url, params=query, data=data, headers=sent, allow_redirects=False
            ) as response:
                return response.status, await _read(response, most_bytes)

        status, answer = await _answered(exchange)
        if status >= SENDS_ON:
            raise failure_of(status, answer)
        return _decoded(answer, kind, f"{method} {path}")


async def _read(response: aiohttp.ClientResponse, most_bytes: int | None) -> bytes:
    if most_bytes is None:
        return await response.read()
    pieces, size = [], 0
    async for piece in response.content.iter_any():
        pieces.append(piece)
        size += len(piece)
        if size > most_bytes:
            # Whoever hangs up is sent no more.
            response.close()
            raise errors.TooLarge(f"the answer is larger than {most_bytes} bytes")
    return b"".join(pieces)


async def _answered(exchange: Callable[[], Awaitable[tuple[int, bytes]]]) -> tuple[int, bytes]:
    try:
        return await exchange()
    except (TimeoutError, aiohttp.ClientError, OSError) as error:
        raise Unreachable(f"no answer: {type(error).__name__} {error}") from error


def failure_of(status: int, answer: bytes) -> CouchError:
    """The failure that an answer with this status tells of."""
    if status < _FAILS:
        # Another URL is one that nobody has allowed: it may be in the network that this server stands in.
        return CouchError(f"it answers {status} and sends on to another URL, which is not followed")
    try:
        told = msgspec.json.decode(answer, type=_Failure)
    except msgspec.DecodeError:
        told = _Failure(reason=answer[:200].decode("utf-8", "replace"))
    kind = _ERRORS.get(told.error) or _ERRORS_BY_STATUS.get(status) or CouchError
    return kind(told.reason or f"status {status}")


def _decoded(text: bytes, kind: type[T], what: str) -> T:
    try:
        return msgspec.json.decode(text, type=kind)
    except (msgspec.DecodeError, RecursionError) as error:
        raise UnexpectedAnswer(f"{what}: {error}") from error


def _leaf(body: bytes) -> Leaf:
    identity = _decoded(body, Identity, "a document of _bulk_get")
    return Leaf(identity.id, identity.rev, identity.deleted, body)


def _path(database: str, *parts: str) -> str:
    return "/" + "/".join(quote(part, safe="") for part in (database, *parts))
