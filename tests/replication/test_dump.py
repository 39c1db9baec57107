"""A database as files: what is loaded is what was dumped, leaf by leaf, whatever happens meanwhile."""

import asyncio
import gzip
import hashlib
import io
import json
import os
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest

from replication.client import CouchClient
from replication.dump import place as place_module
from replication.dump import writing
from replication.dump.comparing import ExpectedLeaves
from replication.dump.lines import DumpDamaged, DumpedLeaf, check_dump
from replication.dump.loading import Loaded, load_file
from replication.dump.place import Place
from replication.dump.winners import dump_winners
from replication.dump.writing import dump_database
from replication.errors import Unavailable
from replication.http.access import allow_everything
from replication.values import Leaf
from tests.contract.couch import Couch, Db, apache, embedded_in, fresh_database, replicated
from tests.contract.varied import LEAVES, attachment, varied_documents

LARGE = b"".join(index.to_bytes(4, "big") for index in range(600_000))


@pytest.fixture
async def couch(tmp_path: Path) -> AsyncIterator[Couch]:
    """The embedded store, or the Apache CouchDB of `TEST_COUCHDB_URL`."""
    url = os.environ.get("TEST_COUCHDB_URL")
    async with apache(url) if url else embedded_in(tmp_path / "store", allow_everything) as running:
        yield running


@pytest.fixture
async def source(couch: Couch) -> AsyncIterator[Db]:
    async with fresh_database(couch) as database:
        yield database


@pytest.fixture
async def target(couch: Couch) -> AsyncIterator[Db]:
    async with fresh_database(couch) as database:
        yield database


def place(database: Db) -> Place:
    return Place(database.session, database.base.rpartition("/")[0], dict)


async def load(target: Db, *paths: Path, **options: Any) -> Loaded:
    """Load the files and see that the database holds what they say."""
    loaded = Loaded()
    with ExpectedLeaves() as expected:
        for path in paths:
            await load_file(place(target), target.name, path, expected, loaded, **options)
        comparison = await expected.compare(place(target).client, target.name)
    assert (comparison.different, comparison.further) == (0, 0), comparison
    return loaded


async def test_what_is_loaded_is_what_was_dumped_and_loading_again_writes_nothing(
    source: Db, target: Db, tmp_path: Path
) -> None:
    """Conflicts, deletions, design documents, odd layouts, small attachments and one of some megabytes."""
    files = {"large.bin": attachment("application/octet-stream", LARGE), "ü": attachment("text/plain", b"x")}
    await source.push(*varied_documents(), replicated("large", "2-b", "1-a", _attachments=files))
    await source.push(replicated("_design/d", "1-a", language="javascript"))
    laid_out = json.dumps(replicated("laid out", "1-a", text="a\nb"), indent=1)
    body = b'{"new_edits":false,"docs":[' + laid_out.encode() + b"]}"
    headers = {"Content-Type": "application/json"}
    assert (await source.call("POST", "/_bulk_docs", data=body, headers=headers)).status == 201
    dumped = await dump_database(place(source), source.name, tmp_path / "dump")
    check_dump(tmp_path / "dump", dumped.written)
    assert (dumped.written.counts.leaves, dumped.written.counts.deleted) == (LEAVES + 3, 2)
    loaded = await load(target, tmp_path / "dump")
    assert (loaded.stored, loaded.known, loaded.refused) == (LEAVES + 3, 0, [])
    assert await target.everything() == await source.everything()
    loaded = await load(target, tmp_path / "dump")
    assert (loaded.stored, loaded.known) == (0, LEAVES + 3)


async def test_a_chain_of_files_ends_where_the_database_was_at_its_last(
    source: Db, target: Db, tmp_path: Path
) -> None:
    await source.push(*varied_documents())
    first = await dump_database(place(source), source.name, tmp_path / "1")
    await source.push(
        replicated("plain", "2-b", "1-a", n=2),
        replicated("conflict", "3-d", "2-c", "1-a", _deleted=True),
        replicated("new", "1-a"),
    )
    second = await dump_database(place(source), source.name, tmp_path / "2", since=first.until)
    assert (second.documents, second.written.counts.leaves) == (3, 4)
    third = await dump_database(place(source), source.name, tmp_path / "3", since=second.until)
    assert (third.documents, third.written.counts.leaves) == (0, 0)
    await load(target, *(tmp_path / name for name in "123"))
    assert await target.everything() == await source.everything()


async def test_documents_saved_while_they_are_dumped_are_in_it_in_the_end(
    source: Db, target: Db, tmp_path: Path
) -> None:
    ids = [f"doc-{n}" for n in range(300)]
    await source.push(*(replicated(each, "1-a", n=1) for each in ids))
    saved = asyncio.Event()
    saving: list[asyncio.Task[None]] = []

    async def save() -> None:
        await source.push(*(replicated(each, "2-b", "1-a", n=2) for each in ids))
        saved.set()

    def tell(documents: int, pending: int | None, written: int) -> None:
        if not saving:
            saving.append(asyncio.create_task(save()))

    first = await dump_database(place(source), source.name, tmp_path / "1", tell=tell)
    await saved.wait()
    await dump_database(place(source), source.name, tmp_path / "2", since=first.until)
    await load(target, tmp_path / "1", tmp_path / "2")
    assert await target.everything() == await source.everything()


async def test_answers_that_are_too_large_are_asked_for_in_halves(
    source: Db, target: Db, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(writing, "MOST_BYTES_AT_ONCE", 400)
    await source.push(*varied_documents())
    dumped = await dump_database(place(source), source.name, tmp_path / "dump")
    assert dumped.written.counts.leaves == LEAVES
    await load(target, tmp_path / "dump")
    assert await target.everything() == await source.everything()


@pytest.mark.parametrize("answers", [1, 100])
async def test_a_leaf_that_the_feed_names_and_no_copy_gives_is_asked_for_again_and_never_left_out(
    source: Db, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, answers: int
) -> None:
    """A copy of a cluster that is behind says `not_found`, for a moment or for good."""
    await source.push(replicated("a", "1-a"), replicated("behind", "1-a"), replicated("purged", "1-a"))
    left = answers
    bulk_get = CouchClient.bulk_get

    async def of_a_copy(self: CouchClient, *args: Any, **options: Any) -> list[Leaf]:
        nonlocal left
        left -= 1
        if left == answers - 1:
            content = {"Content-Type": "application/json"}
            answer = await source.call("POST", "/_purge", data=b'{"purged":["1-a"]}', headers=content)
            assert answer.status < 300
        return [leaf for leaf in await bulk_get(self, *args, **options) if leaf.id != "behind" or left < 0]

    monkeypatch.setattr(CouchClient, "bulk_get", of_a_copy)
    monkeypatch.setattr(place_module, "FIRST_WAIT_S", 0.0)
    if answers > 1:
        with pytest.raises(Unavailable, match="behind 1-a is named"):
            await dump_database(place(source), source.name, tmp_path / "dump")
        return
    dumped = await dump_database(place(source), source.name, tmp_path / "dump")
    assert dumped.written.counts.leaves == 2


async def test_what_is_not_to_be_kept_is_left_out_and_counted(source: Db, target: Db, tmp_path: Path) -> None:
    await source.push(replicated("a", "1-a"), replicated("b", "1-a"))
    await dump_database(place(source), source.name, tmp_path / "dump")

    async def keep(leaf: DumpedLeaf, text: bytes | None) -> bool:
        return leaf.id != "a"

    loaded = await load(target, tmp_path / "dump", keep=keep)
    assert (loaded.stored, loaded.left_out) == (1, 1)
    assert set(await target.everything()) == {"b"}


async def test_a_database_that_lacks_a_leaf_or_has_another_is_told(
    source: Db, target: Db, tmp_path: Path
) -> None:
    await source.push(*varied_documents())
    await dump_database(place(source), source.name, tmp_path / "dump")
    with ExpectedLeaves() as expected:
        await load_file(place(target), target.name, tmp_path / "dump", expected, Loaded())
        await target.push(replicated("plain", "2-b", "1-a"), replicated("further", "1-a"))
        expected.add("absent", "1-a", ())
        comparison = await expected.compare(place(target).client, target.name)
    assert (comparison.documents, comparison.leaves) == (8, LEAVES + 1)
    assert (comparison.different, comparison.further) == (2, 1)
    assert comparison.examples == ["absent", "plain"]


@pytest.mark.parametrize("damage", ["flipped", "cut", "longer", "gone", "other counts"])
async def test_a_damaged_file_is_found(source: Db, tmp_path: Path, damage: str) -> None:
    await source.push(*varied_documents())
    path = tmp_path / "dump"
    written = (await dump_database(place(source), source.name, path)).written
    content = path.read_bytes()
    if damage == "other counts":
        lines = gzip.decompress(content).splitlines(keepends=True)
        path.unlink()
        path.write_bytes(gzip.compress(b"".join(lines[:-1])))
        content = path.read_bytes()
        written = type(written)(len(content), hashlib.sha256(content).hexdigest(), written.counts)
    elif damage == "gone":
        path.unlink()
    else:
        middle = len(content) // 2
        flipped = content[:middle] + bytes([content[middle] ^ 1]) + content[middle + 1 :]
        path.write_bytes({"flipped": flipped, "cut": content[:-1], "longer": content + b"x"}[damage])
    with pytest.raises(DumpDamaged, match="dump"):
        check_dump(path, written)


@pytest.mark.filterwarnings("ignore::DeprecationWarning")
@pytest.mark.filterwarnings("ignore::ResourceWarning")
@pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning")
async def test_winners_are_loaded_by_couchdb_python(source: Db, target: Db, tmp_path: Path) -> None:
    from couchdb.tools.load import load_db  # noqa: PLC0415 (its import warns)

    await source.push(*varied_documents(), *(replicated(f"many-{n:03}", "1-a", n=n) for n in range(120)))
    path = tmp_path / "winners"
    assert await dump_winners(place(source), source.name, path) == 120 + 5 + 1
    login = os.environ.get("TEST_COUCHDB_URL", "http://")
    base = target.base.replace("http://", login.rpartition("@")[0] + "@" if "@" in login else "http://")
    await asyncio.to_thread(lambda: load_db(io.BytesIO(path.read_bytes()), base))
    found, before = await target.everything(), await source.everything()
    assert found.keys() == before.keys() - {"gone"}
    attached = found["attached"][0]["_attachments"]
    assert {name: told["data"] for name, told in attached.items()} == {
        name: told["data"] for name, told in before["attached"][0]["_attachments"].items()
    }
    assert found["many-119"][0]["n"] == 119
