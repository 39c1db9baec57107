"""Documents as they are sent on: what was judged, and nothing else.

A document is put together again of what was decoded, not passed on as it came: of a member that a client
wrote twice the policy has read one and the other server may take the other. Its content is the bytes that
came, normalised where they had to be.
"""

import secrets
from collections.abc import Sequence

import msgspec

from replication.edits import Attachment, Edit
from replication.store.bodies import revisions_member
from replication.wire.decode import Incoming
from replication.wire.multipart import CLOSING, delimiter, opening, part_head, quoted

_encode = msgspec.json.Encoder().encode


def document_json(incoming: Incoming, edit: Edit, *, replicated: bool) -> bytes:
    """The document with the members that the protocol has beside its content."""
    members: list[bytes] = [b'{"_id":' + _encode(edit.id)]
    if edit.path:
        members.append(b'"_rev":' + _encode(str(edit.path[0])))
    if replicated and len(edit.path) > 1:
        members.append(b'"_revisions":' + _encode(revisions_member(edit.path)))
    if edit.deleted:
        members.append(b'"_deleted":true')
    if incoming.attachments_json is not None:
        members.append(b'"_attachments":' + bytes(incoming.attachments_json))
    body = edit.body
    return b",".join(members) + (b"}" if body == b"{}" else b"," + body[1:])


def bulk_json(docs: Sequence[bytes], *, new_edits: bool) -> bytes:
    """The body of `_bulk_docs`."""
    head = b'{"docs":[' if new_edits else b'{"new_edits":false,"docs":['
    return head + b",\n".join(docs) + b"]}"


class InParts(msgspec.Struct, frozen=True):
    """A document with its attachments behind it."""

    content_type: str
    body: bytes


def in_parts(document: bytes, edit: Edit, following: Sequence[str]) -> InParts:
    """A `multipart/related` body; `following` names the attachments behind the document, in the order of its
    members, which is that in which CouchDB reads them.
    """
    boundary = secrets.token_hex(16).encode()
    pieces = [opening(boundary), part_head([("Content-Type", "application/json")]), document]
    for name in following:
        attachment = edit.attachments[name]
        pieces += [delimiter(boundary), part_head(_part_headers(name, attachment)), attachment.data or b""]
    pieces += [delimiter(boundary), CLOSING]
    return InParts(f'multipart/related; boundary="{boundary.decode()}"', b"".join(pieces))


def _part_headers(name: str, attachment: Attachment) -> list[tuple[str, str]]:
    headers = [
        ("Content-Disposition", f"attachment; filename={quoted(name)}"),
        ("Content-Length", str(len(attachment.data or b""))),
    ]
    if attachment.encoding is not None:
        headers.append(("Content-Encoding", attachment.encoding))
    return headers


class _Member(msgspec.Struct):
    follows: bool = False
    data: msgspec.Raw = msgspec.Raw()


_attachments = msgspec.json.Decoder(dict[str, _Member])


def following(incoming: Incoming) -> list[str]:
    """The attachments that follow a document in its multipart body, in the order of its members."""
    if incoming.attachments_json is None:
        return []
    members = _attachments.decode(incoming.attachments_json)
    return [
        name for name, member in members.items() if member.follows and bytes(member.data) in (b"", b"null")
    ]
