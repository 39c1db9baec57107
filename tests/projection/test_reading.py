"""Where a batch ends, and which bodies it asks for."""

from collections.abc import Mapping, Sequence

import pytest

from replication.values import Change, Leaf
from reporting.errors import BodiesTooLarge
from reporting.projection.batch import Batch, Checkpoint, Recorded, State
from reporting.projection.reading import Limits, read_batch
from tests.projection.memory_feed import MemoryFeed

CHECKPOINT = Checkpoint("lima", "site-lima", "epoch-1", 7, "0", rereading=False)


@pytest.fixture
def full_feed() -> MemoryFeed:
    """Twelve documents of 1,000 bytes each."""
    feed = MemoryFeed("lima")
    for n in range(12):
        feed["lima"].save(b"x" * 1000, f"1-{n}", doc_id=f"session:s{n}")
    return feed


async def batch_of(feed: MemoryFeed, limits: Limits, *recorded: str) -> Batch:
    page = await feed.read("site-lima", "0", limits.changes)
    known = {
        f"session:{name}": Recorded((f"1-{name.removeprefix('s')}",), State.PROJECTED, "epoch-1", False)
        for name in recorded
    }
    return await read_batch(feed, CHECKPOINT, page, known, limits)


async def test_batch_takes_the_whole_page_when_its_bodies_fit(full_feed: MemoryFeed) -> None:
    batch = await batch_of(full_feed, Limits(changes=5, body_bytes=100_000))
    assert [document.id for document in batch.documents] == [f"session:s{n}" for n in range(5)]
    assert (batch.since, batch.pending, batch.at_end) == ("5", 7, False)
    assert all(document.leaves for document in batch.documents)


async def test_last_page_ends_the_feed(full_feed: MemoryFeed) -> None:
    batch = await batch_of(full_feed, Limits(changes=50))
    assert (batch.since, batch.pending, batch.at_end) == ("12", 0, True)


async def test_batch_ends_when_it_has_enough_bytes(full_feed: MemoryFeed) -> None:
    batch = await batch_of(full_feed, Limits(changes=50, body_bytes=3_500))
    assert len(batch.documents) == 4
    assert (batch.since, batch.pending, batch.at_end) == ("4", 8, False)


async def test_document_larger_than_the_limit_is_a_batch_by_itself(full_feed: MemoryFeed) -> None:
    batch = await batch_of(full_feed, Limits(changes=50, body_bytes=1))
    assert len(batch.documents) == 1
    assert (batch.since, batch.pending) == ("1", 11)


async def test_recorded_documents_cost_neither_bodies_nor_bytes(full_feed: MemoryFeed) -> None:
    batch = await batch_of(full_feed, Limits(changes=50, body_bytes=2_000), "s0", "s1", "s2", "s4", "s5")
    assert [document.id for document in batch.documents if document.leaves] == ["session:s3", "session:s6"]
    assert [document.id for document in batch.documents if document.leaves is None] == [
        f"session:s{n}" for n in (0, 1, 2, 4, 5)
    ]
    assert batch.since == "7"


async def test_document_with_another_leaf_than_recorded_is_read(full_feed: MemoryFeed) -> None:
    full_feed["lima"].save(b"y", "1-f", doc_id="session:s0")
    batch = await batch_of(full_feed, Limits(), "s0")
    (changed,) = [document for document in batch.documents if document.id == "session:s0"]
    assert changed.leaf_revs == ("1-0", "1-f")
    assert changed.leaves is not None


async def test_empty_page_is_an_empty_batch_at_the_end() -> None:
    batch = await batch_of(MemoryFeed("lima"), Limits())
    assert (batch.documents, batch.at_end) == ((), True)


class NarrowFeed(MemoryFeed):
    """Holds so many bodies at once."""

    holds = 64

    async def leaves(self, database: str, changes: Sequence[Change]) -> Mapping[str, Sequence[Leaf]]:
        found = await super().leaves(database, changes)
        if len(changes) > self.holds:
            raise BodiesTooLarge
        return found


@pytest.mark.parametrize("holds", [1, 2, 5])
async def test_feed_that_gives_up_is_asked_for_fewer_until_it_does_not(holds: int) -> None:
    feed = NarrowFeed("lima")
    feed.holds = holds
    for n in range(12):
        feed["lima"].save(b"x" * 1000, f"1-{n}", doc_id=f"session:s{n}")
    batch = await batch_of(feed, Limits(changes=50))
    assert [document.id for document in batch.documents] == [f"session:s{n}" for n in range(12)]
    assert all(document.leaves for document in batch.documents)
    assert (batch.since, batch.pending, batch.at_end) == ("12", 0, True)
    assert len(feed.requests) < 2 + 12 + 4
