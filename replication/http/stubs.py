"""Replicated documents whose attachment stubs lead nowhere.

A tablet sends an attachment as a stub when it takes for granted that the data is here: because an ancestor
had it that this database once was told of. After a restore, or when the ancestor was refused, it is not.

CouchDB answers 412 `missing_stub` to the whole batch, and PouchDB gives up the replication at every refusal
that is not `forbidden` or `unauthorized`: the same batch would come again for ever, and nothing behind it
would ever arrive. So the document is refused as `forbidden`, like every other one that cannot be taken. It is
judged before the policy admits it, so that the refusal is on record and told by receipts; the tablet pushes
it again with `doc_ids`, and PouchDB then sends the data it holds inside.
"""

from collections.abc import Mapping, Sequence

import msgspec

from replication.edits import Attachment, Edit
from replication.errors import CouchError, Forbidden, MissingStub, Unauthorized
from replication.store.database import Database
from replication.values import Rev
from replication.wire.decode import Incoming, Refusal


async def refuse_missing_stubs(database: Database, docs: Sequence[Incoming]) -> list[Incoming]:
    """The replicated documents, those refused whose stubs have no data here nor earlier in the batch."""
    unproven: dict[int, Edit] = {}
    earlier: dict[tuple[str, Rev], Edit] = {}
    for index, incoming in enumerate(docs):
        if incoming.edit is not None:
            stubs = _unproven_stubs(incoming.edit, earlier)
            if stubs:
                unproven[index] = msgspec.structs.replace(incoming.edit, attachments=stubs)
            earlier[incoming.id, incoming.edit.path[0]] = incoming.edit
    if not unproven:
        return list(docs)
    missing = dict(zip(unproven, await database.missing_stubs(list(unproven.values())), strict=True))
    return [_judged(incoming, missing.get(index)) for index, incoming in enumerate(docs)]


def _unproven_stubs(edit: Edit, earlier: Mapping[tuple[str, Rev], Edit]) -> dict[str, Attachment]:
    """The stubs whose data no ancestor earlier in the batch brings."""
    ancestors = [earlier[edit.id, rev] for rev in edit.path[1:] if (edit.id, rev) in earlier]
    return {
        name: stub
        for name, stub in edit.attachments.items()
        if stub.data is None and not any(_brings(ancestor, name, stub) for ancestor in ancestors)
    }


def _brings(ancestor: Edit, name: str, stub: Attachment) -> bool:
    found = ancestor.attachments.get(name)
    return found is not None and found.data is not None and stub.digest in ("", found.digest)


def as_refusal(failure: CouchError) -> CouchError:
    """What a replicated document is told of its failure: nothing that would end the replication."""
    if isinstance(failure, Forbidden | Unauthorized):
        return failure
    return Forbidden(f"{failure.error}: {failure.reason}")


def _judged(incoming: Incoming, failure: MissingStub | None) -> Incoming:
    if failure is None:
        return incoming
    refused = as_refusal(failure)
    return msgspec.structs.replace(incoming, edit=None, refusal=Refusal(refused.error, refused.reason))
