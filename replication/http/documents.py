"""Single documents: reading one or several revisions, writing, deleting, listing."""

import base64
from collections.abc import Sequence
from typing import TypeVar

import msgspec
from aiohttp import web

from replication import revtree
from replication.edits import Edit
from replication.errors import BadRequest, CouchError, Forbidden, NotFound
from replication.http.answers import flag, json_answer, number, raw_answer, read_body, read_json, rev_of
from replication.http.call import Call
from replication.revtree import RevTree
from replication.store import reading
from replication.store.bodies import Revision, document_json, revisions_member
from replication.store.database import Database
from replication.values import Rev
from replication.wire.decode import Incoming, check_utf8, decode_document

T = TypeVar("T")


class ReadOptions(msgspec.Struct, frozen=True):
    """Which of the protocol's members a document is shown with."""

    revs: bool = False
    revs_info: bool = False
    conflicts: bool = False
    attachments: bool = False


def read_options(request: web.Request) -> ReadOptions:
    """The options of a GET. Raises BadRequest."""
    meta = flag(request, "meta")
    return ReadOptions(
        revs=flag(request, "revs"),
        revs_info=meta or flag(request, "revs_info"),
        conflicts=meta or flag(request, "conflicts"),
        attachments=flag(request, "attachments"),
    )


async def readable_json(database: Database, tree: RevTree, revision: Revision, options: ReadOptions) -> bytes:
    """A revision's JSON with the members that the options ask for."""
    members: dict[str, object] = {}
    if options.revs:
        members["_revisions"] = revisions_member(revision.ancestry)
    if options.revs_info:
        members["_revs_info"] = [{"rev": str(rev), "status": _status(tree, rev)} for rev in revision.ancestry]
    if options.conflicts:
        others = [str(leaf.rev) for leaf in revtree.leaves(tree)[1:] if not leaf.deleted]
        members.update({"_conflicts": others} if others else {})
    if revision.attachments:
        members["_attachments"] = await _attachments_member(database, revision, inline=options.attachments)
    return document_json(revision, members)


def _status(tree: RevTree, rev: Rev) -> str:
    node = tree[rev]
    if node.body is None:
        return "missing"
    return "deleted" if node.deleted else "available"


async def _attachments_member(database: Database, revision: Revision, *, inline: bool) -> dict[str, object]:
    member: dict[str, object] = {}
    for name, kept in revision.attachments.items():
        described = {"content_type": kept.content_type, "revpos": kept.revpos, "digest": kept.digest}
        if inline:
            data = base64.b64encode(await database.attachment_data(kept)).decode()
            member[name] = {**described, "data": data}
        else:
            member[name] = {**described, "length": kept.length, "stub": True}
    return member


async def get(call: Call) -> web.Response:
    """`GET /{db}/{doc}` with `rev`, `open_revs`, `latest`, `revs`, `revs_info`, `conflicts`, `attachments`.
    """
    doc_id = call.document_id()
    database = await call.database()
    options = read_options(call.request)
    if "open_revs" in call.request.query:
        return await _open_revs(call, database, doc_id, options)
    asked = call.request.query.get("rev")
    wanted = (await database.winner(doc_id)).rev if asked is None else rev_of(asked)
    tree, found = await database.revisions(doc_id, lambda _: [wanted])
    revision = found[0][1]
    if revision is None:
        raise NotFound("missing")
    body = await readable_json(database, tree, revision, options)
    return raw_answer(body + b"\n", headers={"ETag": f'"{revision.rev}"'})


async def _open_revs(call: Call, database: Database, doc_id: str, options: ReadOptions) -> web.Response:
    asked = call.request.query["open_revs"]
    latest = flag(call.request, "latest")
    if asked == "all":
        tree, found = await database.revisions(
            doc_id, lambda tree: [leaf.rev for leaf in revtree.leaves(tree)]
        )
    else:
        try:
            revs = [rev_of(text) for text in msgspec.json.decode(asked, type=list[str])]
        except msgspec.DecodeError as error:
            raise BadRequest("open_revs must be `all` or a JSON array of revisions") from error
        tree, found = await database.revisions(doc_id, lambda tree: chosen(tree, revs, latest=latest))
    rows = []
    for rev, revision in found:
        if revision is None:
            rows.append(msgspec.json.encode({"missing": str(rev)}))
        else:
            rows.append(b'{"ok":' + await readable_json(database, tree, revision, options) + b"}")
    return raw_answer(b"[" + b",\n".join(rows) + b"]\n")


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
    """`PUT /{db}/{doc}`; with `new_edits=false` the document names its own revision."""
    doc_id = call.document_id()
    text = await read_body(call.request)
    check_utf8(text)
    incoming = decode_document(text, doc_id=doc_id)
    return await write_one(call, incoming, new_edits=flag(call.request, "new_edits", default=True))


async def post(call: Call) -> web.Response:
    """`POST /{db}`: a document with its id inside."""
    text = await read_body(call.request)
    check_utf8(text)
    return await write_one(call, decode_document(text), new_edits=True)


async def delete(call: Call) -> web.Response:
    """`DELETE /{db}/{doc}?rev=…`."""
    doc_id = call.document_id()
    rev = base_rev(call.request)
    path = () if rev is None else (rev,)
    edit = Edit(doc_id, path, b"{}", deleted=True)
    return await write_one(call, Incoming(doc_id, None, edit=edit), new_edits=True, status=200)


def base_rev(request: web.Request) -> Rev | None:
    """The revision that an edit is based on: `rev`, or `If-Match`."""
    text = request.query.get("rev") or request.headers.get("If-Match", "").strip('"')
    return rev_of(text) if text else None


async def write_one(call: Call, incoming: Incoming, *, new_edits: bool, status: int = 201) -> web.Response:
    """Store one document. Raises what CouchDB would answer for it."""
    database = await call.database()
    if incoming.refusal is not None or incoming.edit is None:
        reason = incoming.refusal.reason if incoming.refusal else "no document"
        raise BadRequest(reason)
    (refused,) = await call.access.admit(database.name, [incoming])
    if refused is not None:
        raise Forbidden(refused.reason)
    edit = incoming.edit
    header = base_rev(call.request)
    if new_edits and not edit.path and header is not None:
        edit = msgspec.structs.replace(edit, path=(header,))
    if not new_edits and not edit.path:
        raise BadRequest("a replicated document needs its _rev")
    (written,) = await database.write([edit], new_edits=new_edits)
    if written.failure is not None:
        raise written.failure
    return json_answer(
        {"ok": True, "id": written.id, "rev": written.rev},
        status=status,
        headers={"ETag": f'"{written.rev}"'},
    )


class _Keys(msgspec.Struct):
    keys: list[str] | None = None


async def all_docs(call: Call) -> web.Response:
    """`GET` and `POST /{db}/_all_docs` with `keys`, `startkey`, `endkey`, `limit`, `include_docs`."""
    database = await call.database()
    request = call.request
    body = await read_json(request, _Keys) if request.method == "POST" else _Keys()
    keys = body.keys if body.keys is not None else _json_parameter(request, "keys", list[str])
    start = _json_parameter(request, "startkey", str) or _json_parameter(request, "start_key", str) or ""
    end = _json_parameter(request, "endkey", str) or _json_parameter(request, "end_key", str)
    limit = number(request.query.get("limit"), "limit", default=100_000)
    found = await database.read(
        lambda c: list(reading.all_docs(c, keys=keys, start=start, end=end, limit=limit))
    )
    options = read_options(request)
    rows = []
    for doc_id, rev, deleted in found:
        value = {"rev": rev, "deleted": True} if deleted else {"rev": rev}
        row = msgspec.json.encode({"id": doc_id, "key": doc_id, "value": value})
        if flag(request, "include_docs"):
            row = row[:-1] + b',"doc":' + await _winner_json(database, doc_id, options) + b"}"
        rows.append(row)
    known = {doc_id for doc_id, _, _ in found}
    rows += [
        msgspec.json.encode({"key": key, "error": "not_found"}) for key in keys or () if key not in known
    ]
    total = (await database.meta())["doc_count"]
    head = msgspec.json.encode({"total_rows": total, "offset": 0 if keys is None else None})
    return raw_answer(head[:-1] + b',"rows":[\n' + b",\n".join(rows) + b"\n]}\n")


def _json_parameter(request: web.Request, name: str, kind: type[T]) -> T | None:
    text = request.query.get(name)
    if text is None:
        return None
    try:
        return msgspec.json.decode(text, type=kind)
    except msgspec.DecodeError as error:
        raise BadRequest(f"{name} is not JSON of the expected kind") from error


async def _winner_json(database: Database, doc_id: str, options: ReadOptions) -> bytes:
    try:
        revision = await database.winner(doc_id)
        tree, _ = await database.revisions(doc_id, lambda _: [])
    except CouchError:
        return b"null"
    return await readable_json(database, tree, revision, options)
