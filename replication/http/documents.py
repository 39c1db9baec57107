"""Single documents: reading one or several revisions, writing, deleting."""

import re
from collections.abc import Sequence
from urllib.parse import quote

import msgspec
from aiohttp import web

from replication import revtree
from replication.edits import Edit
from replication.errors import BadRequest, NotFound
from replication.http import multipart
from replication.http.access import Operation
from replication.http.answers import (
    failure_of,
    flag,
    json_answer,
    not_modified,
    raw_answer,
    read_body,
    read_json_body,
    rev_of,
    unchanged,
)
from replication.http.attachment_members import AttachmentOptions, attachments_member, sent_attachments
from replication.http.call import Asked, Call
from replication.http.negotiation import accepts
from replication.http.uploads import read_related_document
from replication.revtree import RevTree
from replication.store.bodies import Revision, document_json, revisions_member
from replication.store.database import Database
from replication.store.reading import read_sequence
from replication.values import Rev
from replication.wire.decode import Incoming, NewId, Refusal, check_utf8, decode_document


class ReadOptions(AttachmentOptions, frozen=True, kw_only=True):
    """Which of the protocol's members a document is shown with."""

    revs: bool = False
    revs_info: bool = False
    conflicts: bool = False
    deleted_conflicts: bool = False
    local_seq: bool = False

    def of_a_named_revision(self) -> "ReadOptions":
        """What is shown beside a revision that was asked for by name: nothing about the document's others."""
        return msgspec.structs.replace(
            self, revs_info=False, conflicts=False, deleted_conflicts=False, local_seq=False
        )


PLAIN = ReadOptions()
"""Nothing more is asked for: the document goes out as it is stored, and no tree is decoded."""


def read_options(request: web.Request) -> ReadOptions:
    """The options of a GET. Raises BadRequest."""
    meta = flag(request, "meta")
    since = request.query.get("atts_since")
    return ReadOptions(
        revs=flag(request, "revs"),
        revs_info=meta or flag(request, "revs_info"),
        conflicts=meta or flag(request, "conflicts"),
        deleted_conflicts=meta or flag(request, "deleted_conflicts"),
        local_seq=flag(request, "local_seq"),
        attachments=flag(request, "attachments") or since is not None,
        atts_since=None if since is None else _revs(since, "atts_since must be a JSON array of revisions"),
        att_encoding_info=flag(request, "att_encoding_info"),
    )


def _revs(text: str, complaint: str) -> tuple[Rev, ...]:
    try:
        return tuple(rev_of(one) for one in msgspec.json.decode(text, type=list[str]))
    except (ValueError, RecursionError) as error:
        raise BadRequest(complaint) from error


async def readable_json(database: Database, tree: RevTree, revision: Revision, options: ReadOptions) -> bytes:
    """A revision's JSON with the members that the options ask for."""
    members: dict[str, object] = {}
    if options.revs:
        members["_revisions"] = revisions_member(revision.ancestry)
    if options.revs_info:
        members["_revs_info"] = [{"rev": str(rev), "status": _status(tree, rev)} for rev in revision.ancestry]
    for name, asked, deleted in (
        ("_conflicts", options.conflicts, False),
        ("_deleted_conflicts", options.deleted_conflicts, True),
    ):
        others = [str(leaf.rev) for leaf in revtree.leaves(tree)[1:] if leaf.deleted is deleted]
        members.update({name: others} if asked and others else {})
    if options.local_seq:
        members["_local_seq"] = await database.read(lambda c: read_sequence(c, revision.id))
    if revision.attachments:
        members["_attachments"] = await attachments_member(database, revision, options)
    return document_json(revision, members)


def _status(tree: RevTree, rev: Rev) -> str:
    node = tree[rev]
    if node.body is None:
        return "missing"
    return "deleted" if node.deleted else "available"


async def related(
    database: Database, tree: RevTree, revision: Revision, options: ReadOptions
) -> multipart.RelatedDocument:
    """A revision with its attachments behind it, as the options ask for them."""
    options = msgspec.structs.replace(options, attachments=True, follows=True)
    json = await readable_json(database, tree, revision, options)
    return multipart.RelatedDocument(revision, json, sent_attachments(revision, options))


async def get(call: Call) -> web.StreamResponse:
    """`GET /{db}/{doc}` with `rev`, `open_revs`, `latest`, `revs`, `revs_info`, `conflicts`,
    `deleted_conflicts`, `local_seq`, `attachments`, `atts_since`, `att_encoding_info`; in parts when
    attachments are asked for and the client takes parts.

    `latest` without `open_revs` shows the winner, whatever `rev` names.
    """
    doc_id = call.document_id()
    database = await call.database()
    options = read_options(call.request)
    if "open_revs" in call.request.query:
        return await _open_revs(call, database, doc_id, options.of_a_named_revision())
    asked = call.request.query.get("rev")
    if options == PLAIN and asked is None:
        return await _get_winner(call.request, database, doc_id)
    wanted = None if asked is None else rev_of(asked)
    options = options if wanted is None else options.of_a_named_revision()
    tree, revision = await open_revision(database, doc_id, None if flag(call.request, "latest") else wanted)
    etag = f'"{revision.rev}"'
    # The revision names the content; its conflicts and what is kept of its ancestors change beside it.
    named = options == options.of_a_named_revision()
    if named and unchanged(call.request, etag):
        return not_modified(etag)
    headers = {"ETag": etag} if named else {}
    if options.attachments and revision.attachments and accepts(call.request, "multipart/related"):
        document = await related(database, tree, revision, options)
        return await multipart.send_document(call.request, database, document, headers)
    body = await readable_json(database, tree, revision, options)
    return raw_answer(body + b"\n", headers=headers)


async def _get_winner(request: web.Request, database: Database, doc_id: str) -> web.Response:
    (found,) = await database.shown([doc_id])
    if found is None or found.deleted:
        raise NotFound("missing" if found is None else "deleted")
    etag = f'"{found.rev}"'
    if unchanged(request, etag):
        return not_modified(etag)
    return raw_answer(found.doc + b"\n", headers={"ETag": etag})


async def open_revision(database: Database, doc_id: str, rev: Rev | None) -> tuple[RevTree, Revision]:
    """The revision, or without one the winner. Raises NotFound, for a winner that is a deletion too."""
    if rev is None:
        return await database.winner(doc_id)
    tree, found = await database.revisions(doc_id, lambda _: [rev])
    revision = found[0][1]
    if revision is None:
        raise NotFound("missing")
    return tree, revision


async def _open_revs(call: Call, database: Database, doc_id: str, options: ReadOptions) -> web.StreamResponse:
    asked = call.request.query["open_revs"]
    latest = flag(call.request, "latest")
    if asked == "all":
        tree, found = await database.revisions(doc_id, all_leaves)
        if not tree:
            raise NotFound("missing")
    else:
        revs = _revs(asked, "open_revs must be `all` or a JSON array of revisions")
        tree, found = await database.revisions(doc_id, lambda tree: chosen(tree, revs, latest=latest))
    if accepts(call.request, "multipart/mixed"):
        return await _open_revs_in_parts(call, database, tree, found, options)
    rows = []
    for rev, revision in found:
        if revision is None:
            rows.append(msgspec.json.encode({"missing": str(rev)}))
        else:
            rows.append(b'{"ok":' + await readable_json(database, tree, revision, options) + b"}")
    return raw_answer(b"[" + b",\n".join(rows) + b"]\n")


async def _open_revs_in_parts(
    call: Call,
    database: Database,
    tree: RevTree,
    found: Sequence[tuple[Rev, Revision | None]],
    options: ReadOptions,
) -> web.StreamResponse:
    async with multipart.MixedStream(call.request) as out:
        for rev, revision in found:
            if revision is None:
                await out.failure(msgspec.json.encode({"missing": str(rev)}))
            else:
                await out.document(database, await related(database, tree, revision, options))
        return await out.end()


def all_leaves(tree: RevTree) -> list[Rev]:
    """Every leaf, the winner first."""
    return [leaf.rev for leaf in revtree.leaves(tree)]


def chosen(tree: RevTree, revs: Sequence[Rev], *, latest: bool) -> list[Rev]:
    """The revisions to show for those asked; `latest`: the leaves that each has become."""
    if not latest:
        return list(revs)
    newest: dict[Rev, None] = {}
    for rev in revs:
        for found in [leaf.rev for leaf in revtree.descendants(tree, rev)] or [rev]:
            newest[found] = None
    return list(newest)


async def put(call: Call) -> web.Response:
    """`PUT /{db}/{doc}`, alone or with its attachments behind it; with `new_edits=false` the document names
    its own revision.
    """
    incoming, new_edits = await read_put(call)
    return await write_one(call, incoming, new_edits=new_edits, location=location_of(call.request))


async def read_put(call: Asked) -> tuple[Incoming, bool]:
    """The document of a PUT, and whether it is an edit. The body is read as a whole: what is judged has to be
    complete. Raises Forbidden, NotFound, and what reading and decoding raise.
    """
    new_edits = flag(call.request, "new_edits", default=True)
    if new_edits:
        await call.authorize(Operation.EDIT)
    # Who replicates in need not be able to read: what it may write is for the policy to say.
    doc_id = call.document_id() if new_edits else call.named_document()
    if call.request.content_type == "multipart/related":
        return await read_related_document(call.request, doc_id, replicated=not new_edits), new_edits
    text = await read_body(call.request)
    check_utf8(text)
    return decode_document(text, doc_id=doc_id, replicated=not new_edits), new_edits


async def post(call: Call) -> web.Response:
    """`POST /{db}`: a document with its id inside, or one that gets an id here."""
    incoming = await read_post(call, call.registry.new_uuid)
    location = f"{location_of(call.request).rstrip('/')}/{quote(incoming.id, safe='')}"
    return await write_one(call, incoming, new_edits=True, location=location)


async def read_post(call: Asked, new_id: NewId) -> Incoming:
    """The document of a POST, named by `new_id` where it has no id. Raises as reading and decoding do."""
    text = await read_json_body(call.request)
    check_utf8(text)
    return decode_document(text, new_id=new_id)


async def delete(call: Call) -> web.Response:
    """`DELETE /{db}/{doc}?rev=…`."""
    doc_id = call.document_id()
    await (await call.database()).winner(doc_id)
    return await write_one(call, Incoming(doc_id, None, edit=Edit(doc_id, (), b"{}", deleted=True)))


_HOST = re.compile(r"[0-9A-Za-z.:\[\]_-]+")


def location_of(request: web.Request) -> str:
    """Where what this request writes can be read: its URL, or its path where the host is unusable."""
    path = request.rel_url.raw_path
    return f"{request.scheme}://{request.host}{path}" if _HOST.fullmatch(request.host) else path


def base_rev(request: web.Request) -> Rev | None:
    """The revision that an edit is based on: `rev`, or `If-Match`. Raises BadRequest when they differ."""
    named = [request.query.get("rev"), request.headers.get("If-Match")]
    revs = {rev_of(text.strip('"')) for text in named if text is not None}
    if len(revs) > 1:
        raise BadRequest("Document rev and etag have different values")
    return revs.pop() if revs else None


async def write_one(
    call: Call,
    incoming: Incoming,
    *,
    new_edits: bool = True,
    status: int = 201,
    location: str | None = None,
) -> web.Response:
    """Store one document, based on what the request names; see `store_one`."""
    await call.database()
    based = _based(incoming, base_rev(call.request)) if new_edits else incoming
    return await store_one(call, based, new_edits=new_edits, status=status, location=location)


async def store_one(
    call: Call,
    incoming: Incoming,
    *,
    new_edits: bool = True,
    status: int = 201,
    location: str | None = None,
) -> web.Response:
    """Store one document; the answer has `status`, or 200 for a deletion, and says the `location` of what was
    written. Raises what CouchDB answers.
    """
    database = await call.database()
    (refused,) = await call.access.admit(database.name, [incoming])
    refusal = refused or incoming.refusal
    if refusal is not None:
        raise failure_of(refusal)
    edit = incoming.edit
    if edit is None:
        raise BadRequest("no document")
    (written,) = await database.write([edit], new_edits=new_edits, author=call.access.author)
    if written.failure is not None:
        refusal = Refusal(written.failure.error, written.failure.reason)
        await call.access.refused(database.name, [(incoming, refusal)])
        raise written.failure
    return json_answer(
        {"ok": True, "id": written.id, "rev": written.rev},
        status=200 if edit.deleted else status,
        headers={"ETag": f'"{written.rev}"', **({} if location is None else {"Location": location})},
    )


def _based(incoming: Incoming, base: Rev | None) -> Incoming:
    """The edit as based on the revision that the request names beside the document. Raises BadRequest."""
    if base is None or incoming.edit is None:
        return incoming
    if incoming.edit.path and incoming.edit.path[0] != base:
        raise BadRequest("Document rev from request body and query string have different values")
    return msgspec.structs.replace(incoming, edit=msgspec.structs.replace(incoming.edit, path=(base,)))
