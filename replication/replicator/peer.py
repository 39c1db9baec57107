"""One side of a replication: a database behind the CouchDB HTTP API.

Documents travel as the bytes they came in. Those with attachments whose bytes the other side lacks are not
gathered in memory: the answer of `GET` (`multipart/related`) is the body of the `PUT`, piece by piece as it
arrives, whatever its size.
"""

from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import asynccontextmanager
from typing import Any, Final
from urllib.parse import quote, urlsplit

import aiohttp
import msgspec

from replication.client import SENDS_ON, CouchClient, NotWritten, RevsDiff, Unreachable, failure_of
from replication.errors import BadRequest, DatabaseExists, NotFound, Unavailable
from replication.replicator.definition import Definition, Endpoint
from replication.values import sequence_text

_PIECE: Final = 64 * 1024
_PASSED_OVER: Final = ("not_found", "forbidden", "unauthorized")


class ChangedDocument(msgspec.Struct, frozen=True):
    """A row of the source's feed: all leaves of a document."""

    id: str
    revs: tuple[str, ...]


class FeedPage(msgspec.Struct, frozen=True):
    """`pending`: changes after these, None where the source does not say."""

    documents: tuple[ChangedDocument, ...]
    last_seq: str
    pending: int | None


class Fetched(msgspec.Struct, frozen=True):
    """A revision as JSON with `_revisions`. `has_attachments`: their bytes are not in it."""

    id: str
    rev: str
    json: bytes
    has_attachments: bool


class _Rev(msgspec.Struct):
    rev: str


class _Row(msgspec.Struct):
    id: str
    changes: list[_Rev]


class _Page(msgspec.Struct):
    results: list[_Row]
    last_seq: Any
    pending: int | None = None


class _Failure(msgspec.Struct):
    error: str = ""
    reason: str | None = ""


class _Doc(msgspec.Struct):
    ok: msgspec.Raw = msgspec.Raw()
    error: _Failure = msgspec.field(default_factory=_Failure)


class _Docs(msgspec.Struct):
    docs: list[_Doc]
    id: str = ""


class _BulkGet(msgspec.Struct):
    results: list[_Docs]


class _Identity(msgspec.Struct):
    id: str = msgspec.field(name="_id")
    rev: str = msgspec.field(name="_rev")
    attachments: dict[str, Any] = msgspec.field(default_factory=dict, name="_attachments")


class Peer:
    """Source or target. Every failure is a CouchError; the transient ones are `Unavailable`."""

    def __init__(self, session: aiohttp.ClientSession, endpoint: Endpoint) -> None:
        """`endpoint.url` is a whole URL; the session decides how long a server may be silent."""
        parts = urlsplit(endpoint.url)
        self.shown = endpoint.shown
        self._session = session
        self._path = parts.path.rstrip("/")
        self._server = f"{parts.scheme}://{parts.netloc}"
        self._headers = dict(endpoint.headers)
        self._client = CouchClient(session, self._server, headers=lambda: self._headers)

    async def info(self) -> Mapping[str, Any]:
        """The database's info. Raises NotFound."""
        return await self._client.request("GET", self._path, dict[str, Any])

    async def instance(self) -> str:
        """What names the database as it was created: another one under its name has another. The same for
        all, where the server does not tell. Raises NotFound.
        """
        return str((await self.info()).get("instance_start_time", "0"))

    async def create(self, params: Mapping[str, str]) -> None:
        """Create the database unless it is there."""
        try:
            await self._client.request("PUT", self._path, dict[str, Any], query=params)
        except DatabaseExists:
            return

    async def read_feed(self, since: str, asked: Definition, *, wait_ms: int | None) -> FeedPage:
        """Changes after `since`; with `wait_ms` waits so long for the first one."""
        query = {"style": "all_docs", "since": since, "limit": str(asked.batch_size)}
        if wait_ms is not None:
            query |= {"feed": "longpoll", "timeout": str(wait_ms)}
        body: Any = None
        if asked.doc_ids is not None:
            query["filter"], body = "_doc_ids", {"doc_ids": asked.doc_ids}
        elif asked.selector is not None:
            query["filter"], body = "_selector", {"selector": msgspec.Raw(asked.selector)}
        elif asked.filter is not None:
            query = dict(asked.query_params) | query | {"filter": asked.filter}
        method = "GET" if body is None else "POST"
        page = await self._client.request(method, f"{self._path}/_changes", _Page, query=query, body=body)
        rows = tuple(ChangedDocument(row.id, tuple(each.rev for each in row.changes)) for row in page.results)
        return FeedPage(rows, sequence_text(page.last_seq), page.pending)

    async def revs_diff(self, documents: Sequence[ChangedDocument]) -> dict[str, RevsDiff]:
        """What this side lacks of these."""
        body = {document.id: document.revs for document in documents}
        return await self._client.request("POST", f"{self._path}/_revs_diff", dict[str, RevsDiff], body=body)

    async def fetch(self, wanted: Sequence[tuple[str, str]]) -> list[Fetched]:
        """These (id, rev), or what has replaced them since; those that are gone or hidden are left out.
        Raises Unavailable when the source has no answer for one.
        """
        body = {"docs": [{"id": doc_id, "rev": rev} for doc_id, rev in wanted]}
        query = {"revs": "true", "latest": "true"}
        answer = await self._client.request(
            "POST", f"{self._path}/_bulk_get", _BulkGet, query=query, body=body
        )
        docs = [(row.id, doc) for row in answer.results for doc in row.docs]
        for doc_id, doc in docs:
            if not bytes(doc.ok) and doc.error.error not in _PASSED_OVER:
                raise Unavailable(f"the source did not give {doc_id}: {doc.error.error} {doc.error.reason}")
        return [_fetched(bytes(doc.ok)) for _, doc in docs if bytes(doc.ok)]

    async def write(self, documents: Sequence[Fetched]) -> list[NotWritten]:
        """Store replicated documents that have no attachments; those that were refused."""
        body = b'{"new_edits":false,"docs":[' + b",".join(each.json for each in documents) + b"]}"
        path = f"{self._path}/_bulk_docs"
        rows = await self._client.request("POST", path, list[NotWritten], raw_body=body)
        return [row for row in rows if row.error]

    @asynccontextmanager
    async def open_document(
        self, document: Fetched, known: Sequence[str]
    ) -> AsyncIterator[tuple[str, AsyncIterator[bytes]]]:
        """A revision with the bytes of its attachments, except those that a revision of `known` has.

        Content type and pieces of the body, to be given to `put_document` of the other side.
        """
        query = {"rev": document.rev, "revs": "true", "attachments": "true"}
        if known:
            query["atts_since"] = msgspec.json.encode(known).decode()
            del query["attachments"]
        headers = {**self._headers, "Accept": "multipart/related, application/json"}
        try:
            async with self._session.get(
                self._document_url(document.id), params=query, headers=headers, allow_redirects=False
            ) as answer:
                if answer.status >= SENDS_ON:
                    raise failure_of(answer.status, await answer.read())
                yield answer.headers["Content-Type"], answer.content.iter_chunked(_PIECE)
        except (TimeoutError, aiohttp.ClientError, OSError) as error:
            raise Unreachable(f"no answer: {type(error).__name__} {error}") from error

    async def put_document(self, doc_id: str, content_type: str, pieces: AsyncIterator[bytes]) -> None:
        """Store one replicated document from a body. Raises the CouchError that it was refused with."""
        headers = {**self._headers, "Content-Type": content_type, "Accept": "application/json"}
        try:
            async with self._session.put(
                self._document_url(doc_id),
                params={"new_edits": "false"},
                data=pieces,
                headers=headers,
                allow_redirects=False,
            ) as answer:
                told = await answer.read()
        except (TimeoutError, aiohttp.ClientError, OSError) as error:
            raise Unreachable(f"no answer: {type(error).__name__} {error}") from error
        if answer.status >= SENDS_ON:
            raise failure_of(answer.status, told)

    async def flush(self) -> None:
        """Have everything on disk. Servers that need not be asked may not know the question."""
        try:
            await self._client.request(
                "POST", f"{self._path}/_ensure_full_commit", dict[str, Any], raw_body=b"{}"
            )
        except NotFound:
            await self.info()

    async def local(self, local_id: str) -> Mapping[str, Any] | None:
        """A `_local` document; None where there is none."""
        try:
            return await self._client.request("GET", self._local_path(local_id), dict[str, Any])
        except NotFound:
            return None

    async def put_local(self, local_id: str, document: Mapping[str, Any], rev: str | None) -> str:
        """Write a `_local` document over the revision that was read; its new revision."""
        body = dict(document) if rev is None else {**document, "_rev": rev}
        answer = await self._client.request("PUT", self._local_path(local_id), dict[str, Any], body=body)
        return str(answer.get("rev", ""))

    def _local_path(self, local_id: str) -> str:
        return f"{self._path}/_local/{quote(local_id, safe='')}"

    def _document_url(self, doc_id: str) -> str:
        prefix, name = ("_design/", doc_id[8:]) if doc_id.startswith("_design/") else ("", doc_id)
        return f"{self._server}{self._path}/{prefix}{quote(name, safe='')}"


def _fetched(text: bytes) -> Fetched:
    try:
        identity = msgspec.json.decode(text, type=_Identity)
    except (msgspec.DecodeError, RecursionError) as error:
        raise BadRequest(f"a document of _bulk_get cannot be read: {error}") from error
    return Fetched(identity.id, identity.rev, text, bool(identity.attachments))
