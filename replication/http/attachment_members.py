"""`_attachments` of a document as it is shown: stubs, inside as base64, or announced for the parts behind it.

asked for                            an attachment is
---------------------------------    -------------------------------------------------------------
nothing                              a stub
`attachments=true`                   inside, unpacked; in a multipart answer announced (`follows`)
`atts_since=["2-b"]`                 a stub where 2-b, an ancestor, has it already; else as above
`att_encoding_info=true`,            told with `encoding` and `encoded_length` where it is kept packed
or a multipart answer
"""

import base64
from collections.abc import Mapping

import msgspec

from replication.errors import StorageFailed
from replication.store.bodies import KeptAttachment, Revision, stub_member
from replication.store.database import Database
from replication.values import Rev
from replication.wire.attachments import Unpacking


class AttachmentOptions(msgspec.Struct, frozen=True, kw_only=True):
    """How the attachments of a document are shown. `since`: revisions that the client has; None: not told."""

    attachments: bool = False
    atts_since: tuple[Rev, ...] | None = None
    att_encoding_info: bool = False
    follows: bool = False


def sent_attachments(revision: Revision, options: AttachmentOptions) -> dict[str, KeptAttachment]:
    """The attachments that travel with their data, by name, in the order of `_attachments`."""
    if not options.attachments:
        return {}
    since = options.atts_since or ()
    known = next((rev.pos for rev in revision.ancestry if rev in since), 0)
    return {name: kept for name, kept in revision.attachments.items() if kept.revpos > known}


async def attachments_member(
    database: Database, revision: Revision, options: AttachmentOptions
) -> Mapping[str, object]:
    """The member as it is shown. Holds the data of all of a document's attachments where they go inside."""
    sent = sent_attachments(revision, options)
    member: dict[str, object] = {}
    for name, kept in revision.attachments.items():
        shown = stub_member(kept)
        if name in sent:
            del shown["stub"]
            if options.follows:
                shown["follows"] = True
            else:
                del shown["length"]
                shown["data"] = base64.b64encode(await content(database, kept)).decode()
        if kept.encoding is not None and (options.att_encoding_info or options.follows):
            shown |= {"encoding": kept.encoding, "encoded_length": kept.encoded_length}
        member[name] = shown
    return member


async def content(database: Database, kept: KeptAttachment) -> bytes:
    """An attachment's content, unpacked. Raises StorageFailed when what is kept cannot be unpacked."""
    data = await database.attachment_data(kept)
    if kept.encoding is None:
        return data
    unpacking = Unpacking()
    unpacked = b"".join(unpacking.feed(data))
    if not unpacking.complete:
        raise StorageFailed("an attachment is kept packed and cannot be unpacked")
    return unpacked
