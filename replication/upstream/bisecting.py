"""A batch of replicated documents, sent on so that no document costs its neighbours.

CouchDB refuses a whole batch for one document that it cannot read, whose attachment is a stub of nothing, or
that is too large. Then the batch is sent in halves, until what it does not take is alone. Documents that were
written meanwhile are written twice, which changes nothing: their revisions have names.

A row that names no revision says of several revisions of one document only how many were refused. Where not
all of them were, each is sent alone, and its answer is about it.

                     sends of a batch of 500
    no bad one       1
    one              about 2·log₂ 500 = 18
    nothing but bad  about 1000, each of which CouchDB refuses before it writes anything
"""

from collections.abc import Awaitable, Callable, Mapping, Sequence
from typing import NamedTuple

import msgspec

from replication.errors import CouchError, Unavailable
from replication.upstream.refusals import refusal_by, refusal_of
from replication.wire.decode import Refusal


class Outgoing(NamedTuple):
    """A document that was admitted: what the server behind calls it, and its JSON."""

    id: str
    rev: str | None
    json: bytes


class Row(msgspec.Struct):
    """A row of the answer to `_bulk_docs`."""

    id: str = ""
    rev: str | None = None
    error: str = ""
    reason: str | None = ""


class Answered(NamedTuple):
    """The answer to a batch: its status, and its rows; or the failure for which all of it was refused."""

    status: int
    rows: Sequence[Row] = ()
    failure: CouchError | None = None


Send = Callable[[Sequence[Outgoing]], Awaitable[Answered]]


class Pushed(NamedTuple):
    """What became of a batch: the refusals by the place of their document. `status`: 201, or 202 where
    some part of it has fewer copies yet than asked for.
    """

    status: int
    refusals: Mapping[int, Refusal]


async def push(docs: Sequence[Outgoing], send: Send) -> Pushed:
    """Send replicated documents; the refusals of those that were not written. Raises Unavailable."""
    refusals: dict[int, Refusal] = {}
    status = 201
    left = [range(len(docs))]
    while left:
        some = left.pop()
        answered = await send([docs[at] for at in some])
        if answered.failure is None:
            status = max(status, answered.status)
            refused, unclear = _refused_rows(docs, some, answered.rows)
            refusals |= refused
            left += [range(at, at + 1) for at in reversed(unclear)]
        elif len(some) == 1:
            refusals[some[0]] = refusal_by(answered.failure, replicated=True)
        else:
            middle = len(some) // 2
            # In their order: a stub may be of an attachment that a document before it brings.
            left += [some[middle:], some[:middle]]
    return Pushed(status, refusals)


def _refused_rows(
    docs: Sequence[Outgoing], some: range, rows: Sequence[Row]
) -> tuple[dict[int, Refusal], list[int]]:
    """The refusals by their places, and the places of which the rows do not tell whether they were refused.

    Raises Unavailable for a row of no document.
    """
    places: dict[str, dict[str | None, list[int]]] = {}
    for at in some:
        places.setdefault(docs[at].id, {}).setdefault(docs[at].rev, []).append(at)
    refused: dict[int, Refusal] = {}
    nameless: dict[str, list[Refusal]] = {}
    for row in rows:
        if not row.error:
            continue
        refusal = refusal_of(row.error, row.reason or "", replicated=True)
        if row.id not in places:
            raise Unavailable(f"the store refuses a document that was not sent: {row.id[:80]!r}")
        here = places[row.id].get(row.rev or None)
        if here is None:
            nameless.setdefault(row.id, []).append(refusal)
        else:
            refused |= dict.fromkeys(here, refusal)
    unclear: list[int] = []
    for doc_id, refusals in nameless.items():
        open_ones = [here for here in places[doc_id].values() if here[0] not in refused]
        if len(refusals) < len(open_ones):
            unclear += [at for here in open_ones for at in here]
            continue
        for here, refusal in zip(open_ones, refusals, strict=False):
            refused |= dict.fromkeys(here, refusal)
    return refused, unclear
