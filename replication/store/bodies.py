"""What is kept beside a body, and documents as they go out: the stored bytes with the protocol's members in
front.
"""

from collections.abc import Mapping, Sequence

import msgspec

from replication.values import Rev


class KeptAttachment(msgspec.Struct, frozen=True, omit_defaults=True):
    """An attachment's description as stored with a body; its data is found by the digest.

    `length` counts the bytes of the content, `encoded_length` those that are kept when they are packed.
    """

    content_type: str
    revpos: int
    digest: str
    length: int
    encoding: str | None = None
    encoded_length: int | None = None

    @property
    def kept_length(self) -> int:
        """Bytes of the data as it is kept."""
        return self.length if self.encoded_length is None else self.encoded_length


_attachments = msgspec.json.Decoder(dict[str, KeptAttachment])


def encode_attachments(attachments: Mapping[str, KeptAttachment]) -> bytes | None:
    """None when there are none."""
    return msgspec.json.encode(attachments) if attachments else None


def decode_attachments(stored: bytes | None) -> dict[str, KeptAttachment]:
    """The inverse of `encode_attachments`."""
    return {} if stored is None else _attachments.decode(stored)


class Revision(msgspec.Struct, frozen=True):
    """One stored revision with its content. `ancestry` runs from the revision to its oldest ancestor."""

    id: str
    rev: Rev
    deleted: bool
    body: bytes
    ancestry: tuple[Rev, ...]
    attachments: Mapping[str, KeptAttachment] = {}


def revisions_member(ancestry: Sequence[Rev]) -> dict[str, object]:
    """`_revisions` as CouchDB writes it."""
    return {"start": ancestry[0].pos, "ids": [rev.id for rev in ancestry]}


def document_json(revision: Revision, members: Mapping[str, object]) -> bytes:
    """The document's JSON: `_id`, `_rev`, `_deleted`, the given `members`, then the body as stored."""
    head: dict[str, object] = {"_id": revision.id, "_rev": str(revision.rev)}
    if revision.deleted:
        head["_deleted"] = True
    head.update(members)
    front = msgspec.json.encode(head)
    return front[:-1] + (b"}" if revision.body == b"{}" else b"," + revision.body[1:])


def stub_member(kept: KeptAttachment) -> dict[str, object]:
    """An attachment within `_attachments`, without its data."""
    return {
        "content_type": kept.content_type,
        "revpos": kept.revpos,
        "digest": kept.digest,
        "length": kept.length,
        "stub": True,
    }


def shown_document(doc_id: str, rev: str, body: bytes, attachments: bytes | None, *, deleted: bool) -> bytes:
    """`document_json` of a stored row for whoever asks for no more: attachments are stubs, and neither the
    tree nor the body is decoded.
    """
    front = b'{"_id":%b,"_rev":%b' % (msgspec.json.encode(doc_id), msgspec.json.encode(rev))
    if deleted:
        front += b',"_deleted":true'
    if attachments is not None:
        stubs = {name: stub_member(kept) for name, kept in decode_attachments(attachments).items()}
        front += b',"_attachments":' + msgspec.json.encode(stubs)
    return front + (b"}" if body == b"{}" else b"," + body[1:])
