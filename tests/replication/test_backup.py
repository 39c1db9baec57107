"""A backup is whole whatever goes on meanwhile, and what is put back is what was there."""

import asyncio
import json
import os
import shutil
import signal
import threading
from pathlib import Path

import pytest
from click.testing import CliRunner

from replication.edits import Attachment
from replication.store.backup import MANIFEST, BackupRefused, back_up, read_manifest, restore
from replication.store.check import check_directory
from replication.store.registry import DirectoryInUse, Registry
from replication.values import Rev
from replication.wire.attachments import digest_of
from sync_server.cli import main
from tests.replication.stored import feed, push, replicated
from tests.replication.test_crashes import start

FILE = Attachment("text/plain", digest_of(b"hi"), 2, data=b"hi")


@pytest.fixture
async def store(tmp_path: Path) -> Path:
    """A closed store with two databases."""
    directory = tmp_path / "data" / "store"
    registry = Registry(directory)
    for name in ("site-a", "site-b"):
        database = await registry.create(name)
        await push(database, replicated("a", "2-b", "1-a", x=name, attachments={"f": FILE}))
        await push(database, replicated("a", "2-c", "1-a"), replicated("b", "1-a", deleted=True))
    registry.uuid  # noqa: B018 (written at its first use)
    await registry.close()
    return directory


async def everything(directory: Path) -> dict[str, list[tuple[str, bytes]]]:
    registry = Registry(directory)
    found = {
        name: [(row.id, row.leaves) for row in await feed(await registry.open(name))]
        for name in registry.names()
    }
    await registry.close()
    return found


async def test_what_is_put_back_is_what_was_there(store: Path, tmp_path: Path) -> None:
    manifest = back_up(store, tmp_path / "backup")
    assert [(one.name, one.documents, one.update_seq) for one in manifest.databases] == [
        ("site-a", 2, 3), ("site-b", 2, 3),
    ]  # fmt: skip
    restored = tmp_path / "restored"
    restore(tmp_path / "backup", restored, new_uuid=lambda: "f" * 32)
    assert await everything(restored) == await everything(store)
    assert [report.problems for report in check_directory(restored)] == [[], []]
    assert (restored / "server.uuid").read_text() == (store / "server.uuid").read_text()


async def test_a_sequence_of_before_means_from_the_start(store: Path, tmp_path: Path) -> None:
    registry = Registry(store)
    database = await registry.open("site-a")
    told = database.sequence(3)
    assert await database.since(told) == 3
    await registry.close()
    back_up(store, tmp_path / "backup")
    restore(tmp_path / "backup", tmp_path / "restored", new_uuid=lambda: "f" * 32)
    registry = Registry(tmp_path / "restored")
    assert await (await registry.open("site-a")).since(told) == 0
    await registry.close()


def test_a_backup_beside_a_process_that_writes_holds_what_was_acknowledged_before(tmp_path: Path) -> None:
    acknowledged: dict[str, str] = {}
    store = tmp_path / "store"
    with start("child_that_writes", str(store), "0") as child:
        assert child.stdout is not None
        lines = iter(child.stdout)
        for number in range(4):
            for _ in range(25):
                acknowledged.update(json.loads(next(lines)))
            # The pipe is read on meanwhile, or the child would stop writing when it is full.
            before = dict(acknowledged)
            reading = threading.Thread(target=lambda: [next(lines) for _ in range(25)])
            reading.start()
            back_up(store, tmp_path / f"backup-{number}")
            reading.join()
            assert held(tmp_path / f"backup-{number}", tmp_path / f"restored-{number}", before) == []
        os.kill(child.pid, signal.SIGKILL)


def held(backup: Path, place: Path, acknowledged: dict[str, str]) -> list[str]:
    restore(backup, place, new_uuid=lambda: "f" * 32)
    problems = [problem for report in check_directory(place) for problem in report.problems]

    async def kept() -> dict[str, int]:
        registry = Registry(place)
        rows = await feed(await registry.open("site"))
        await registry.close()
        return {row.id: Rev.parse(row.rev).pos for row in rows}

    found = asyncio.run(kept())
    missing = [doc for doc, rev in acknowledged.items() if found.get(doc, 0) < Rev.parse(rev).pos]
    return problems + missing


def test_nothing_is_overwritten(store: Path, tmp_path: Path) -> None:
    back_up(store, tmp_path / "backup")
    with pytest.raises(BackupRefused, match="exists"):
        back_up(store, tmp_path / "backup")
    with pytest.raises(BackupRefused, match="holds databases"):
        restore(tmp_path / "backup", store, new_uuid=lambda: "f" * 32)


@pytest.mark.parametrize("move", [["*.sqlite"], ["*.sqlite", "*.sqlite-shm"]])
async def test_a_log_that_was_left_behind_does_not_become_part_of_what_is_put_back(
    store: Path, tmp_path: Path, move: list[str]
) -> None:
    """A server was killed, and its databases moved away without their logs."""
    back_up(store, tmp_path / "backup")
    registry = Registry(store)
    database = await registry.open("site-a")
    await push(database, *(replicated(f"later{n}", "1-a") for n in range(50)))
    killed = tmp_path / "killed"
    shutil.copytree(store, killed)
    await registry.close()
    for file in (file for pattern in move for file in killed.glob(pattern)):
        file.unlink()
    with pytest.raises(BackupRefused, match="-wal"):
        restore(tmp_path / "backup", killed, new_uuid=lambda: "f" * 32)
    for file in killed.glob("*.sqlite-*"):
        file.unlink()
    restore(tmp_path / "backup", killed, new_uuid=lambda: "f" * 32)
    assert await everything(killed) == await everything(tmp_path / "backup")


async def test_what_a_restoring_that_was_cut_short_left_does_not_become_part_of_the_next(
    store: Path, tmp_path: Path
) -> None:
    back_up(store, tmp_path / "backup")
    restored = tmp_path / "restored"
    restored.mkdir()
    registry = Registry(store)
    database = await registry.open("site-a")
    await push(database, *(replicated(f"later{n}", "1-a") for n in range(50)))
    name = b"site-a".hex()
    shutil.copyfile(store / f"{name}.sqlite-wal", restored / f"{name}.new-wal")
    await registry.close()
    restore(tmp_path / "backup", restored, new_uuid=lambda: "f" * 32)
    assert [report.problems for report in check_directory(restored)] == [[], []]
    assert await everything(restored) == await everything(tmp_path / "backup")


def test_a_backup_cut_short_is_none_and_does_not_hinder_the_next(store: Path, tmp_path: Path) -> None:
    partial = tmp_path / "backup.partial"
    partial.mkdir()
    (partial / "left.sqlite").write_bytes(b"half")
    assert len(back_up(store, tmp_path / "backup").databases) == 2
    assert not partial.exists()
    assert not (tmp_path / "backup" / "left.sqlite").exists()


def test_a_damaged_backup_is_refused_before_anything_is_put_back(store: Path, tmp_path: Path) -> None:
    back_up(store, tmp_path / "backup")
    victim = sorted((tmp_path / "backup").glob("*.sqlite"))[1]
    content = bytearray(victim.read_bytes())
    content[5000] ^= 1
    victim.write_bytes(content)
    with pytest.raises(BackupRefused, match=r"site-b.*SHA-256"):
        restore(tmp_path / "backup", tmp_path / "restored", new_uuid=lambda: "f" * 32)
    victim.unlink()
    with pytest.raises(BackupRefused, match=r"site-b.*missing"):
        read_manifest(tmp_path / "backup")
    (tmp_path / "backup" / MANIFEST).write_text("{")
    with pytest.raises(BackupRefused, match="not a backup"):
        read_manifest(tmp_path / "backup")
    assert not (tmp_path / "restored").exists()


def test_a_damaged_store_is_told_and_gives_no_backup(store: Path, tmp_path: Path) -> None:
    file = store / f"{b'site-b'.hex()}.sqlite"
    content = bytearray(file.read_bytes())
    content[8192 : 8192 + 4096] = bytes(4096)
    file.write_bytes(content)
    with pytest.raises(BackupRefused, match="site-b"):
        back_up(store, tmp_path / "backup")
    assert not (tmp_path / "backup").exists()


async def test_a_store_that_is_served_is_not_restored_into(store: Path, tmp_path: Path) -> None:
    back_up(store, tmp_path / "backup")
    registry = Registry(tmp_path / "served")
    with pytest.raises(DirectoryInUse):
        restore(tmp_path / "backup", tmp_path / "served", new_uuid=lambda: "f" * 32)
    await registry.close()


def run(*arguments: object) -> tuple[int, str]:
    outcome = CliRunner().invoke(main, ["store", *map(str, arguments)])
    return outcome.exit_code, outcome.output


def test_the_commands(store: Path, tmp_path: Path) -> None:
    code, output = run("backup", "--data-dir", store.parent, tmp_path / "backup")
    assert (code, "2 databases" in output) == (0, True)
    code, output = run("backup", "--data-dir", store.parent, tmp_path / "backup")
    assert (code, "exists" in output) == (1, True)
    other = tmp_path / "other"
    code, output = run("restore", "--data-dir", other, "--dry-run", tmp_path / "backup")
    assert (code, "site-a: 2 documents" in output, other.exists()) == (0, True, False)
    code, output = run("restore", "--data-dir", other, "--json", tmp_path / "backup")
    assert [one["name"] for one in json.loads(output)["databases"]] == ["site-a", "site-b"]
    assert len(list((other / "store").glob("*.sqlite"))) == 2
    code, output = run("backup", "--data-dir", tmp_path / "nowhere", tmp_path / "b2")
    assert (code, "no store" in output) == (1, True)
