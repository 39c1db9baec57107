"""Purging takes what it is told and no more; compaction takes nothing that a leaf's reader can see."""

import asyncio
import contextlib
import sqlite3
import tempfile
from collections.abc import Iterator, Sequence
from importlib import resources
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from replication import revtree
from replication.edits import OWNER, Attachment, Edit
from replication.errors import NotFound
from replication.revtree import RevTree
from replication.store import compaction, properties, purging, reading, writing
from replication.store.bodies import Revision
from replication.store.check import check_directory, check_file
from replication.store.connection import open_writer
from replication.store.database import Database
from replication.store.registry import Registry
from replication.store.runaways import Runaways
from replication.store.validating import Validation
from replication.values import Rev
from replication.wire.attachments import digest_of
from tests.replication.stored import feed, leaves, push, replicated
from tests.replication.trees import Push, contradictions, histories, merged

META: dict[str, str | int] = {
    "uuid": "0" * 32,
    "update_seq": 0,
    "doc_count": 0,
    "deleted_count": 0,
    "revs_limit": 1000,
}


@contextlib.contextmanager
def stored(pushes: dict[str, list[Push]]) -> Iterator[sqlite3.Connection]:
    """A file with these documents; afterwards the file has to be sound."""
    with tempfile.TemporaryDirectory() as directory:
        path = Path(directory) / f"{b'site'.hex()}.sqlite"
        with contextlib.closing(open_writer(path, initial=META)) as connection:
            connection.execute("BEGIN")
            edits = [edit_of(doc_id, push) for doc_id, some in pushes.items() for push in some]
            writing.apply_edits(
                connection,
                edits,
                new_edits=False,
                validation=Validation(connection, "site", OWNER, Runaways()),
            )
            yield connection
            connection.execute("COMMIT")
        assert check_file(path).problems == []


def edit_of(doc_id: str, push: Push) -> Edit:
    # Few different files, so that revisions and documents share them.
    data = b"file %d" % (push.body % 3)
    file = Attachment("text/plain", digest_of(data), len(data), data=data)
    attachments = {"f": file} if push.body % 2 else {}
    return Edit(doc_id, push.path, b'{"x":%d}' % push.body, push.deleted, attachments)


def read_leaves(connection: sqlite3.Connection, doc_id: str) -> dict[Rev, tuple[Revision, list[bytes]]]:
    """Every leaf with its content, ancestry and attachments."""
    tree = reading.read_tree(connection, doc_id)
    found = {}
    for leaf in revtree.leaves(tree):
        revision = reading.read_revision(connection, doc_id, tree, leaf.rev)
        assert revision is not None
        data = [reading.read_attachment(connection, kept.digest) for kept in revision.attachments.values()]
        found[leaf.rev] = (revision, data)
    return found


def compact(connection: sqlite3.Connection) -> None:
    after, found = compaction.superseded(connection, 0)
    assert after == connection.execute("SELECT coalesce(max(doc), 0) FROM docs").fetchone()[0]
    compaction.drop_superseded(connection, found)
    purging.free_attachments(connection, compaction.unreferenced(connection))


documents = st.fixed_dictionaries({"a": histories(), "b": histories()})


@given(documents)
def test_compaction_changes_no_answer_about_a_leaf(pushes: dict[str, list[Push]]) -> None:
    with stored(pushes) as connection:
        before = {doc_id: read_leaves(connection, doc_id) for doc_id in pushes}
        rows = connection.execute("SELECT seq, id, rev, deleted, leaves FROM docs").fetchall()
        known = {doc_id: set(reading.read_tree(connection, doc_id)) for doc_id in pushes}
        compact(connection)
        assert {doc_id: read_leaves(connection, doc_id) for doc_id in pushes} == before
        assert connection.execute("SELECT seq, id, rev, deleted, leaves FROM docs").fetchall() == rows
        assert {doc_id: set(reading.read_tree(connection, doc_id)) for doc_id in pushes} == known
        (bodies,) = connection.execute("SELECT count(*) FROM bodies").fetchone()
        assert bodies == sum(map(len, before.values()))
        assert compaction.unreferenced(connection) == []


@given(pushes=documents, data=st.data(), compacted=st.booleans())
def test_a_purge_takes_its_leaves_and_leaves_the_others(
    pushes: dict[str, list[Push]], data: st.DataObject, *, compacted: bool
) -> None:
    with stored(pushes) as connection:
        if compacted:
            compact(connection)
        before = {doc_id: read_leaves(connection, doc_id) for doc_id in pushes}
        # Ancestors are asked for too: they must not be purged.
        asked = {
            doc_id: data.draw(st.lists(st.sampled_from(sorted(reading.read_tree(connection, doc_id)))))
            for doc_id in pushes
        }
        purged = purging.purge(connection, asked)
        for doc_id, found in before.items():
            gone = set(asked[doc_id]) & set(found)
            assert set(purged[doc_id]) == gone
            left = {rev: answer for rev, answer in found.items() if rev not in gone}
            assert read_leaves(connection, doc_id) == left
            assert gone.isdisjoint(reading.read_tree(connection, doc_id))
        after = {doc_id: read_leaves(connection, doc_id) for doc_id in pushes}
        compact(connection)
        assert {doc_id: read_leaves(connection, doc_id) for doc_id in pushes} == after


@given(histories() | contradictions(), st.data())
def test_a_tree_without_some_leaves_has_the_others_with_their_ancestry(
    pushes: Sequence[Push], data: st.DataObject
) -> None:
    tree = merged(pushes)
    asked = data.draw(st.lists(st.sampled_from(sorted(tree))))
    kept, purged = revtree.without_leaves(tree, asked)
    before = [leaf.rev for leaf in revtree.leaves(tree)]
    assert set(purged) == set(asked) & set(before)
    assert [leaf.rev for leaf in revtree.leaves(kept)] == [rev for rev in before if rev not in purged]
    for leaf in revtree.leaves(kept):
        assert revtree.ancestry(kept, leaf.rev) == revtree.ancestry(tree, leaf.rev)
    if purged:
        assert set(kept) == {rev for leaf in revtree.leaves(kept) for rev in revtree.ancestry(kept, leaf.rev)}


def file(data: bytes) -> dict[str, Attachment]:
    return {"f": Attachment("text/plain", digest_of(data), len(data), data=data)}


async def count(database: Database, table: str) -> int:
    rows = {"bodies": "SELECT count(*) FROM bodies", "attachments": "SELECT count(*) FROM attachments"}
    counted: int = await database.read(lambda c: c.execute(rows[table]).fetchone()[0])
    return counted


async def test_an_attachment_is_freed_with_the_last_document_that_has_it(database: Database) -> None:
    await push(
        database,
        replicated("a", "1-a", attachments=file(b"shared")),
        replicated("b", "1-b", attachments=file(b"shared")),
    )
    await database.transact(lambda c: purging.purge(c, {"a": [Rev(1, "a")]}))
    assert await count(database, "attachments") == 1
    await database.transact(lambda c: purging.purge(c, {"b": [Rev(1, "b")]}))
    assert (await count(database, "attachments"), await count(database, "bodies")) == (0, 0)
    assert (await database.meta())["data_size"] == 0


async def test_an_attachment_that_was_purged_while_it_was_read_is_not_found(database: Database) -> None:
    await push(database, replicated("a", "1-a", attachments=file(b"hi")))
    _, revision = await database.winner("a")
    await database.transact(lambda c: purging.purge(c, {"a": [Rev(1, "a")]}))
    with pytest.raises(NotFound):
        await database.attachment_data(revision.attachments["f"])


async def test_only_the_last_purges_are_remembered(database: Database) -> None:
    await database.transact(
        lambda c: c.execute("UPDATE meta SET value = 2 WHERE name = 'purged_infos_limit'")
    )
    for name in "abc":
        purge = {name: [Rev(1, name)]}
        await database.transact(lambda c, purge=purge: purging.purge(c, purge))  # type: ignore[misc]
    assert await database.read(purging.purged_infos) == [("b", ["1-b"]), ("c", ["1-c"])]
    assert (await database.meta())["purge_seq"] == 3


async def test_what_is_stemmed_leaves_no_content_behind(database: Database) -> None:
    await database.transact(lambda c: c.execute("UPDATE meta SET value = 2 WHERE name = 'revs_limit'"))
    for pos in range(1, 6):
        await push(database, replicated("a", *(f"{p}-a" for p in range(pos, max(0, pos - 2), -1))))
    assert await count(database, "bodies") == 2


async def test_a_database_is_written_while_it_is_compacted(database: Database) -> None:
    for pos in range(1, 4):
        path = [f"{p}-a" for p in range(pos, 0, -1)]
        await push(database, *(replicated(f"d{i}", *path, attachments=file(b"%d" % i)) for i in range(300)))
    database.compaction.start()
    pos = 3
    while database.compaction.running:
        pos += 1
        path = [f"{p}-a" for p in range(pos, 0, -1)]
        await push(database, *(replicated(f"d{i}", *path, attachments=file(b"%d" % i)) for i in range(5)))
    assert database.compaction.progress is None
    for i in range(300):
        _, revision = await database.winner(f"d{i}")
        assert revision.rev == Rev(pos if i < 5 else 3, "a")
        assert await database.attachment_data(revision.attachments["f"]) == b"%d" % i
    database.compaction.start()
    await database.compaction.finished()
    assert await count(database, "bodies") == 300
    assert len(await feed(database)) == 300


async def test_a_compaction_that_the_shutdown_interrupts_is_done_by_the_next(
    registry: Registry, tmp_path: Path
) -> None:
    database = await registry.create("site")
    edits = [replicated(f"d{i}", *revs) for revs in (["1-a"], ["2-b", "1-a"]) for i in range(500)]
    await push(database, *edits)
    database.compaction.start()
    await asyncio.sleep(0)
    await registry.close()
    (report,) = check_directory(tmp_path / "store")
    assert report.problems == []
    again = Registry(tmp_path / "store")
    database = await again.open("site")
    database.compaction.start()
    await database.compaction.finished()
    assert await count(database, "bodies") == 500
    assert await leaves(database, "d7") == ["2-b"]
    await again.close()


async def test_a_compaction_shows_up_among_the_tasks(registry: Registry) -> None:
    database = await registry.create("site")
    assert registry.active_tasks() == []
    database.compaction.start()
    (task,) = registry.active_tasks()
    assert (task["type"], task["database"]) == ("database_compaction", "site")
    await database.compaction.finished()
    assert registry.active_tasks() == []


async def test_a_file_of_the_first_schema_is_brought_to_the_newest(tmp_path: Path) -> None:
    store = tmp_path / "store"
    store.mkdir()
    tree: RevTree = merged([Push((Rev(1, "a"),), deleted=False, body=1)])
    with contextlib.closing(sqlite3.connect(store / f"{b'site'.hex()}.sqlite")) as connection:
        connection.executescript(resources.files("replication.store").joinpath("schema.sql").read_text())
        connection.executemany(
            "INSERT INTO meta VALUES (?, ?)", (META | {"update_seq": 1, "doc_count": 1}).items()
        )
        connection.execute("INSERT INTO bodies VALUES (1, ?, NULL)", (b'{"x":1}',))
        connection.execute(
            "INSERT INTO docs VALUES (1, 'a', 1, '1-a', 1, 0, ?, ?)",
            (writing.encode_leaves(tree), revtree.encode_tree(tree)),
        )
        connection.execute("PRAGMA user_version = 1")
        connection.commit()
    (report,) = check_directory(store)
    assert report.problems == []
    registry = Registry(store)
    database = await registry.open("site")
    meta = await database.meta()
    assert (meta["data_size"], meta["purge_seq"]) == (7, 0)
    await push(database, replicated("b", "1-b"))
    database.compaction.start()
    await database.compaction.finished()
    await registry.close()
    (report,) = check_directory(store)
    assert (report.problems, report.documents) == ([], 2)


async def test_compaction_cuts_the_file(registry: Registry) -> None:
    database = await registry.create("site")
    for pos in range(1, 5):
        path = [f"{p}-a" for p in range(pos, 0, -1)]
        await push(database, *(replicated(f"d{i}", *path, x="y" * 100_000) for i in range(40)))
    before = await database.read(properties.read_sizes)
    database.compaction.start()
    await database.compaction.finished()
    after = await database.read(properties.read_sizes)
    assert after.external < before.external / 3
    assert after.file == after.active < before.file / 3
    assert database.path.stat().st_size == after.file
