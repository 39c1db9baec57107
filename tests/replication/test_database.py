"""One database: what it keeps, how it counts, and where its feed goes on."""

import asyncio
from pathlib import Path

import pytest

from replication.edits import Attachment, Edit
from replication.errors import BadRequest, Conflict, MissingStub, NotFound, Unavailable
from replication.store.database import Database
from replication.store.reading import Selection
from replication.store.registry import Registry
from replication.values import Rev
from replication.wire.attachments import digest_of
from tests.replication.stored import EVERYTHING, feed, leaves, push, replicated


async def reopened(registry: Registry, tmp_path: Path) -> Registry:
    await registry.close()
    return Registry(tmp_path / "store")


async def test_many_writers_at_once_lose_nothing(database: Database) -> None:
    await asyncio.gather(*(push(database, replicated(f"d{i:03}", "1-a")) for i in range(300)))
    rows = await feed(database)
    assert [row.seq for row in rows] == list(range(1, 301))
    assert {row.id for row in rows} == {f"d{i:03}" for i in range(300)}
    # Writers that wait share a commit, and each commit tells the feeds once.
    assert database.changed.count < 300


async def test_a_database_that_is_opened_again_has_everything(registry: Registry, tmp_path: Path) -> None:
    database = await registry.create("site")
    file = Attachment("text/plain", digest_of(b"hi"), 2, data=b"hi")
    await push(database, replicated("a", "2-b", "1-a", x="é", attachments={"f": file}))
    await push(database, replicated("a", "2-c", "1-a"), replicated("b", "1-a", deleted=True))
    await database.put_local("checkpoint", 7, b'{"seq":1}')
    before = (await feed(database), await database.meta(), database.sequence(3))

    registry = await reopened(registry, tmp_path)
    database = await registry.open("site")
    assert (await feed(database), await database.meta(), database.sequence(3)) == before
    assert await leaves(database, "a") == ["2-c", "2-b"]
    assert await database.local("checkpoint") == ("0-7", b'{"seq":1}')
    _, found = await database.revisions("a", lambda _: [Rev(2, "b")])
    revision = found[0][1]
    assert revision is not None
    assert revision.body == '{"x":"é"}'.encode()
    assert await database.attachment_data(revision.attachments["f"]) == b"hi"
    await push(database, replicated("c", "1-a"))
    assert [row.seq for row in await feed(database)] == [2, 3, 4]
    await registry.close()


async def test_every_change_takes_the_next_sequence_and_the_document_shows_at_its_last(
    database: Database,
) -> None:
    await push(database, replicated("a", "1-a"), replicated("b", "1-a"), replicated("a", "2-b", "1-a"))
    assert [(row.seq, row.id, row.rev) for row in await feed(database)] == [(2, "b", "1-a"), (3, "a", "2-b")]
    meta = await database.meta()
    assert (meta["update_seq"], meta["doc_count"], meta["deleted_count"]) == (3, 2, 0)


async def test_a_batch_that_is_pushed_again_changes_nothing(database: Database) -> None:
    edits = [replicated(f"d{i}", "2-b", "1-a", deleted=i == 0) for i in range(5)]
    await push(database, *edits)
    before = (await feed(database), await database.meta())
    await push(database, *edits)
    assert (await feed(database), await database.meta()) == before


async def test_ancestors_that_come_later_make_no_change_of_the_feed(database: Database) -> None:
    await push(database, replicated("a", "3-c"))
    before = await feed(database)
    await push(database, replicated("a", "3-c", "2-b", "1-a"))
    assert await feed(database) == before
    _, found = await database.revisions("a", lambda _: [Rev(3, "c")])
    revision = found[0][1]
    assert revision is not None
    assert [str(rev) for rev in revision.ancestry] == ["3-c", "2-b", "1-a"]


async def test_counts_follow_the_winner(database: Database) -> None:
    async def counts() -> tuple[object, object]:
        meta = await database.meta()
        return meta["doc_count"], meta["deleted_count"]

    await push(database, replicated("a", "1-a"))
    assert await counts() == (1, 0)
    await push(database, replicated("a", "2-b", "1-a", deleted=True))
    assert await counts() == (0, 1)
    await push(database, replicated("a", "2-c", "1-a"))
    assert await counts() == (1, 0)
    await push(database, replicated("a", "3-d", "2-c", deleted=True))
    assert await counts() == (0, 1)
    await database.write([Edit("a", (), b"{}")], new_edits=True)
    assert await counts() == (1, 0)


async def test_contradicting_ancestors_never_leave_a_winner_without_content(database: Database) -> None:
    await push(
        database, replicated("a", "2-b", "1-a", deleted=True), replicated("a", "2-b", "1-x", deleted=True)
    )
    await push(database, replicated("a", "2-b", "1-y"), replicated("other", "1-a"))
    assert await leaves(database, "a") == ["2-b"]


async def test_a_path_longer_than_the_limit_is_stemmed(database: Database) -> None:
    ids = [f"{pos}-a" for pos in range(1500, 0, -1)]
    await push(database, replicated("a", *ids))
    _, found = await database.revisions("a", lambda _: [Rev(1500, "a")])
    revision = found[0][1]
    assert revision is not None
    assert len(revision.ancestry) == 1000
    await push(database, replicated("a", *ids))
    assert len(await feed(database)) == 1


async def test_an_edit_that_conflicts_costs_the_others_nothing(database: Database) -> None:
    edits = [
        Edit("a", (), b"{}"),
        Edit("a", (), b'{"x":1}'),
        Edit("b", (), b"{}"),
        Edit("c", (Rev(1, "z"),), b"{}"),
    ]
    outcomes = await database.write(edits, new_edits=True)
    assert [type(outcome.failure) for outcome in outcomes] == [type(None), Conflict, type(None), Conflict]
    assert [row.id for row in await feed(database)] == ["a", "b"]


async def test_a_stub_without_data_is_missing_and_costs_the_others_nothing(database: Database) -> None:
    stub = {"f": Attachment("text/plain", digest_of(b"hi"), 2)}
    edits = [replicated("a", "1-a", attachments=stub), replicated("b", "1-a")]
    outcomes = await database.write(edits, new_edits=False)
    assert [type(outcome.failure) for outcome in outcomes] == [MissingStub, type(None)]
    assert [row.id for row in await feed(database)] == ["b"]


async def test_a_sequence_of_another_database_means_from_the_start(registry: Registry) -> None:
    database = await registry.create("site")
    await push(database, replicated("a", "1-a"), replicated("b", "1-a"))
    mine = database.sequence(1)
    assert await database.since(mine) == 1
    await registry.delete("site")
    recreated = await registry.create("site")
    await push(recreated, replicated("a", "1-a"), replicated("b", "1-a"))
    assert await recreated.since(mine) == 0


async def test_a_sequence_from_the_future_means_from_the_start(database: Database) -> None:
    """The file was put back to an earlier state, and other changes have those numbers now."""
    await push(database, replicated("a", "1-a"))
    assert await database.since(database.sequence(1)) == 1
    assert await database.since(database.sequence(2)) == 0
    assert await database.since(database.sequence(10**400)) == 0


async def test_the_start_and_the_end_have_names(database: Database) -> None:
    await push(database, replicated("a", "1-a"), replicated("b", "1-a"))
    assert [await database.since(text) for text in ("0", "now")] == [0, 2]
    assert await database.since(f'"{database.sequence(1)}"') == 1


@pytest.mark.parametrize("text", ["", "x", "1", "-1", "1.5", "now-", "٣", "null", '["1"]', "-", " 1"])
async def test_what_is_no_sequence_is_refused(database: Database, text: str) -> None:
    with pytest.raises(BadRequest, match="Malformed sequence"):
        await database.since(text)


async def test_a_feed_goes_on_after_rows_that_its_reader_may_not_see(database: Database) -> None:
    await push(database, *(replicated(f"{kind}:{i}", "1-a") for i in range(3) for kind in ("secret", "item")))
    selection = Selection(prefixes=("item:",))
    first = await database.feed(0, 2, selection)
    assert [row.id for row in first.rows] == ["item:0", "item:1"]
    second = await database.feed(first.last_seq, 2, selection)
    assert ([row.id for row in second.rows], second.last_seq) == (["item:2"], 6)
    assert await database.feed(0, 1, Selection(prefixes=())) == await database.feed(6, 1, EVERYTHING)


@pytest.mark.parametrize("doc_id", ["a\x00b", "𝄞", "%2F", "a'b\"c", "x" * 5_000, "a/b", " "])
async def test_any_id_is_found_again(database: Database, doc_id: str) -> None:
    await push(database, replicated(doc_id, "1-a"), replicated(f"{doc_id}+", "1-a"))
    assert (await database.winner(doc_id))[1].id == doc_id
    assert [row.id for row in await feed(database, 0, Selection(doc_ids=(doc_id,)))] == [doc_id]
    assert [row.id for row in await feed(database, 0, Selection(prefixes=(doc_id,)))] == [
        doc_id,
        f"{doc_id}+",
    ]


async def test_a_deleted_database_answers_nothing_more(registry: Registry) -> None:
    database = await registry.create("site")
    await registry.delete("site")
    await registry.create("site")
    with pytest.raises(Unavailable):
        await database.meta()
    with pytest.raises(Unavailable):
        await push(database, replicated("a", "1-a"))
    with pytest.raises(NotFound):
        await (await registry.open("site")).winner("a")


async def test_a_writer_that_gives_up_neither_wedges_the_database_nor_loses_another_write(
    database: Database,
) -> None:
    for round_ in range(20):
        writes = [
            asyncio.ensure_future(push(database, replicated(f"d{round_}-{i}", "1-a"))) for i in range(10)
        ]
        await asyncio.sleep(0)
        for given_up in writes[::3]:
            given_up.cancel()
        outcomes = await asyncio.gather(*writes, return_exceptions=True)
        assert {type(outcome) for outcome in outcomes} <= {type(None), asyncio.CancelledError}
    stored = {row.id for row in await feed(database)}
    assert stored >= {f"d{round_}-{i}" for round_ in range(20) for i in range(10) if i % 3}
    meta = await database.meta()
    assert meta["doc_count"] == len(stored)
