"""Short ways to write into a database and to read it back."""

import msgspec

from replication.edits import Attachment, Edit
from replication.store.database import Database
from replication.store.reading import FeedRow, Selection
from replication.values import Rev

EVERYTHING = Selection()


def replicated(
    doc_id: str,
    *revs: str,
    deleted: bool = False,
    x: object = None,
    attachments: dict[str, Attachment] | None = None,
) -> Edit:
    """A replicated edit by its path, newest first."""
    path = tuple(Rev.parse(text) for text in revs)
    return Edit(doc_id, path, msgspec.json.encode({"x": x}), deleted, attachments or {})


async def push(database: Database, *edits: Edit) -> None:
    """Write replicated edits; every one has to be taken."""
    outcomes = await database.write(edits, new_edits=False)
    assert [outcome.failure for outcome in outcomes] == [None for _ in edits]


async def feed(database: Database, since: int = 0, selection: Selection = EVERYTHING) -> list[FeedRow]:
    """All changes after `since`."""
    return list((await database.feed(since, 1_000_000, selection)).rows)


async def leaves(database: Database, doc_id: str) -> list[str]:
    """The document's leaves, winner first."""
    rows = [row for row in await feed(database) if row.id == doc_id]
    return [leaf["rev"] for row in rows for leaf in msgspec.json.decode(row.leaves)]
