"""The databases of a directory: created whole or not at all."""

import asyncio
import contextlib
import sqlite3
from pathlib import Path

import pytest

from replication.errors import (
    DatabaseExists,
    IllegalDatabaseName,
    NotFound,
    StorageFailed,
    StorageFull,
    Unavailable,
)
from replication.store.connection import UnknownSchema
from replication.store.database import Database
from replication.store.registry import DirectoryInUse, Registry
from tests.replication.stored import feed, push, replicated


async def test_databases_are_listed_by_name(registry: Registry) -> None:
    names = ["site", "a/b", "a_$()+-9", "z" * 120]
    for name in names:
        await registry.create(name)
    assert registry.names() == sorted(names)
    await registry.delete("site")
    assert "site" not in registry.names()


@pytest.mark.parametrize(
    "name", ["", "A", "1a", "_users", "a b", "é", "a\n", "a\x00", "../a", "z" * 121, "a.b"]
)
async def test_an_illegal_name_is_no_database(registry: Registry, name: str) -> None:
    with pytest.raises(IllegalDatabaseName):
        await registry.create(name)
    with pytest.raises(NotFound):
        await registry.open(name)
    with pytest.raises(NotFound):
        await registry.delete(name)


async def test_a_name_as_long_as_a_url_is_no_database(registry: Registry) -> None:
    with pytest.raises(NotFound):
        await registry.open("a" * 8_000)


async def test_a_database_is_created_once(registry: Registry) -> None:
    outcomes = await asyncio.gather(*(registry.create("site") for _ in range(5)), return_exceptions=True)
    assert sum(isinstance(outcome, DatabaseExists) for outcome in outcomes) == 4


async def test_a_recreated_database_is_another_one(registry: Registry) -> None:
    first = await registry.create("site")
    await push(first, replicated("a", "1-a"))
    await registry.delete("site")
    second = await registry.create("site")
    assert second.uuid != first.uuid
    assert await feed(second) == []


async def test_everybody_gets_the_same_open_database(registry: Registry) -> None:
    created = await registry.create("site")
    assert all(
        opened is created for opened in await asyncio.gather(*(registry.open("site") for _ in range(5)))
    )


async def test_a_creation_that_was_interrupted_leaves_no_database(tmp_path: Path) -> None:
    directory = tmp_path / "store"
    directory.mkdir()
    name = b"site".hex()
    with contextlib.closing(sqlite3.connect(directory / f"{name}.new")) as half:
        half.execute("PRAGMA journal_mode = WAL")
        half.execute("CREATE TABLE meta (name, value)")
        half.commit()
        (directory / f"{name}.new-wal").write_bytes(b"")
        registry = Registry(directory)
        assert registry.names() == []
        with pytest.raises(NotFound):
            await registry.open("site")
        database = await registry.create("site")
        assert (await database.meta())["update_seq"] == 0
        await registry.close()


async def test_a_file_of_an_unknown_schema_is_refused_and_left_alone(
    registry: Registry, tmp_path: Path
) -> None:
    await registry.create("site")
    await registry.close()
    file = tmp_path / "store" / f"{b'site'.hex()}.sqlite"
    with contextlib.closing(sqlite3.connect(file)) as connection:
        connection.execute("PRAGMA user_version = 99")
    newer = Registry(tmp_path / "store")
    with pytest.raises(UnknownSchema, match="99"):
        await newer.open("site")
    assert newer.names() == ["site"]
    await newer.close()
    with contextlib.closing(sqlite3.connect(file)) as connection:
        assert connection.execute("PRAGMA user_version").fetchone() == (99,)


async def test_a_file_that_is_no_database_is_refused_and_costs_no_other(
    registry: Registry, tmp_path: Path
) -> None:
    await registry.create("good")
    broken = tmp_path / "store" / f"{b'broken'.hex()}.sqlite"
    broken.write_bytes(b"not a database" * 1_000)
    for _ in range(2):
        with pytest.raises(StorageFailed):
            await registry.open("broken")
    assert broken.read_bytes() == b"not a database" * 1_000
    await push(await registry.open("good"), replicated("a", "1-a"))


async def test_what_a_cut_deletion_left_does_not_become_part_of_a_new_database(
    registry: Registry, tmp_path: Path
) -> None:
    old = await registry.create("site")
    await push(old, *(replicated(f"old{i}", "1-a", x="y" * 1_000) for i in range(50)))
    file = tmp_path / "store" / f"{b'site'.hex()}.sqlite"
    left = {name: file.with_name(file.name + name).read_bytes() for name in ("-wal", "-shm")}
    await registry.delete("site")
    for name, content in left.items():
        file.with_name(file.name + name).write_bytes(content)
    new = await registry.create("site")
    assert await feed(new) == []
    await push(new, replicated("new", "1-a"))
    assert [row.id for row in await feed(new)] == ["new"]


async def test_a_database_whose_log_stays_outside_is_not_created(
    registry: Registry, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As when the disk is full by then: closing keeps the log, and the file alone is part of a database."""
    load = registry._load
    with contextlib.ExitStack() as held:

        def loaded(path: Path, name: str) -> Database:
            database = load(path, name)
            other = held.enter_context(contextlib.closing(sqlite3.connect(path)))
            other.execute("SELECT count(*) FROM meta").fetchone()
            return database

        monkeypatch.setattr(registry, "_load", loaded)
        with pytest.raises(StorageFull):
            await registry.create("site")
    monkeypatch.undo()
    assert [file.name for file in (tmp_path / "store").iterdir()] == ["store.lock"]
    await push(await registry.create("site"), replicated("a", "1-a"))


async def test_a_creation_that_fails_at_the_last_step_leaves_nothing(
    registry: Registry, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    load = registry._load

    def refused(path: Path, name: str) -> Database:
        if path.suffix == ".sqlite":
            raise StorageFull("the disk is full")
        return load(path, name)

    monkeypatch.setattr(registry, "_load", refused)
    with pytest.raises(StorageFull):
        await registry.create("site")
    monkeypatch.undo()
    assert [file.name for file in (tmp_path / "store").iterdir()] == ["store.lock"]
    await registry.create("site")


async def test_files_of_others_are_no_databases(registry: Registry, tmp_path: Path) -> None:
    await registry.create("site")
    for name in ("backup.sqlite", "zz.sqlite", "41.sqlite", "notes.txt"):
        (tmp_path / "store" / name).write_text("not ours")
    assert registry.names() == ["site"]


async def test_a_creation_or_deletion_that_is_given_up_is_whole_or_not_there(registry: Registry) -> None:
    for steps in range(12):
        for given_up in (registry.create, registry.delete):
            task = asyncio.ensure_future(given_up("site"))
            for _ in range(steps):
                await asyncio.sleep(0)
            task.cancel()
            await asyncio.gather(task, return_exceptions=True)
        try:
            database = await registry.create("site")
        except DatabaseExists:
            database = await registry.open("site")
        await push(database, replicated("a", "1-a"))
        assert len(await feed(database)) == 1
        await registry.delete("site")
        assert registry.names() == []


async def test_a_directory_is_served_by_one_store_at_a_time(registry: Registry, tmp_path: Path) -> None:
    with pytest.raises(DirectoryInUse):
        Registry(tmp_path / "store")
    await registry.close()
    await Registry(tmp_path / "store").close()


async def test_a_closed_store_opens_nothing(registry: Registry) -> None:
    await registry.create("site")
    await registry.close()
    with pytest.raises(Unavailable):
        await registry.open("site")


async def test_closing_finishes_the_writes_that_were_accepted(registry: Registry, tmp_path: Path) -> None:
    database = await registry.create("site")
    writes = [asyncio.ensure_future(push(database, replicated(f"d{i}", "1-a"))) for i in range(50)]
    await asyncio.sleep(0)
    await registry.close()
    await asyncio.gather(*writes)
    again = Registry(tmp_path / "store")
    assert len(await feed(await again.open("site"))) == 50
    await again.close()


async def test_a_change_anywhere_wakes_who_waits_for_any_database(registry: Registry) -> None:
    database = await registry.create("site")
    seen = registry.changed.count
    waiting = asyncio.ensure_future(registry.changed.wait(seen, 60))
    await push(database, replicated("a", "1-a"))
    assert await waiting
