"""Replicated documents whose attachment stubs lead nowhere.

A tablet sends an attachment as a stub when it takes for granted that the data is here: because an ancestor
had it that this database once was told of. After a restore, or when the ancestor was refused, it is not.

CouchDB answers 412 `missing_stub` to the whole batch, and PouchDB gives up the replication at every refusal
that is not `forbidden` or `unauthorized`: the same batch would come again for ever, and nothing behind it
would ever arrive. So the document is refused as `forbidden`, like every other one that cannot be taken. It is
judged before the policy admits it, so that the refusal is on record and told by receipts; the tablet pushes
it again with `doc_ids`, and PouchDB then sends the data it holds inside.
"""

from collections.abc import Sequence

import msgspec

from replication.edits import Edit
from replication.errors import CouchError, Forbidden, MissingStub
from replication.store.database import Database
from replication.wire.decode import Incoming, Refusal


async def refuse_missing_stubs(database: Database, docs: Sequence[Incoming]) -> list[Incoming]:
    """The replicated documents, those refused whose stubs have no data here."""
    edits = [incoming.edit for incoming in docs if incoming.edit is not None and _has_stub(incoming.edit)]
    if not edits:
        return list(docs)
    coming = {(incoming.edit.id, incoming.edit.path[0]) for incoming in docs if incoming.edit is not None}
    # An ancestor in the same batch brings the data; whether it does is seen when it is written.
    judged = [edit for edit in edits if not any((edit.id, rev) in coming for rev in edit.path[1:])]
    missing = dict(zip(map(id, judged), await database.missing_stubs(judged), strict=True))
    return [_judged(incoming, missing.get(id(incoming.edit))) for incoming in docs]


def as_refusal(failure: CouchError) -> CouchError:
    """What a replicated document is told of its failure."""
    return Forbidden(f"missing_stub: {failure.reason}") if isinstance(failure, MissingStub) else failure


def _judged(incoming: Incoming, failure: MissingStub | None) -> Incoming:
    if failure is None:
        return incoming
    refused = as_refusal(failure)
    return msgspec.structs.replace(incoming, edit=None, refusal=Refusal(refused.error, refused.reason))


def _has_stub(edit: Edit) -> bool:
    return any(attachment.data is None for attachment in edit.attachments.values())
