"""What is acknowledged survives the process, whenever it dies, and a full disk."""

import contextlib
import json
import os
import random
import signal
import sqlite3
import subprocess
import sys
from pathlib import Path

from replication.store.check import check_directory
from replication.store.database import Database
from replication.store.registry import Registry
from replication.values import Rev
from tests.replication.stored import feed

ROUNDS = 8
CHECKOUT = Path(__file__).parents[2]


def start(module: str, *arguments: str) -> subprocess.Popen[str]:
    command = [sys.executable, "-W", "error", "-m", f"tests.replication.{module}", *arguments]
    return subprocess.Popen(command, cwd=CHECKOUT, stdout=subprocess.PIPE, text=True)


def killed_after(
    lines: int, directory: Path, round_: int, child_module: str = "child_that_writes"
) -> dict[str, str]:
    """The revisions that a child acknowledged before and while it was killed, by document."""
    acknowledged: dict[str, str] = {}
    with start(child_module, str(directory), str(round_)) as child:
        assert child.stdout is not None
        for number, line in enumerate(child.stdout, 1):
            if number == lines:
                os.kill(child.pid, signal.SIGKILL)
            if line.endswith("\n"):
                acknowledged.update(json.loads(line))
    assert child.returncode == -signal.SIGKILL
    return acknowledged


async def check(database: Database, acknowledged: dict[str, str]) -> None:
    rows = await feed(database)
    assert acknowledged.items() <= {row.id: row.rev for row in rows}.items()
    numbers = [row.seq for row in rows]
    meta = await database.meta()
    assert numbers == sorted(set(numbers))
    assert numbers[-1] == meta["update_seq"]
    assert meta["doc_count"] == len(rows)
    for row in rows:
        _, revision = await database.winner(row.id)
        assert str(revision.rev) == row.rev
        for kept in revision.attachments.values():
            assert len(await database.attachment_data(kept)) == kept.kept_length
    # A batch is there as a whole or not at all.
    assert {row.id.removeprefix("file:") for row in rows if row.id.startswith("file:")} == {
        row.id.removeprefix("plain:") for row in rows if row.id.startswith("plain:") and row.rev == "2-b"
    }


async def test_what_was_acknowledged_survives_a_kill_at_any_moment(tmp_path: Path) -> None:
    chance = random.Random(8)
    acknowledged: dict[str, str] = {}
    for round_ in range(ROUNDS):
        acknowledged |= killed_after(chance.randint(1, 60), tmp_path, round_)
        with contextlib.closing(sqlite3.connect(tmp_path / f"{b'site'.hex()}.sqlite")) as connection:
            assert connection.execute("PRAGMA integrity_check").fetchone() == ("ok",)
        if round_ in (0, ROUNDS - 1):
            registry = Registry(tmp_path)
            await check(await registry.open("site"), acknowledged)
            await registry.close()
    assert len(acknowledged) > ROUNDS


async def test_a_kill_during_compaction_costs_no_leaf(tmp_path: Path) -> None:
    chance = random.Random(9)
    acknowledged: dict[str, str] = {}
    for round_ in range(ROUNDS):
        acknowledged |= killed_after(chance.randint(5, 80), tmp_path, round_, "child_that_compacts")
        (report,) = check_directory(tmp_path)
        assert report.problems == []
    registry = Registry(tmp_path)
    database = await registry.open("site")
    winners = {row.id: Rev.parse(row.rev) for row in await feed(database)}
    for name, rev in acknowledged.items():
        # Of what was written when the process died, the next revision may be there.
        assert 0 <= winners[name].pos - Rev.parse(rev).pos <= 1
        _, revision = await database.winner(name)
        data = await database.attachment_data(revision.attachments["f"])
        assert data == f"{name} {revision.rev.pos}".encode() * 2_000
    await registry.close()


def test_a_full_disk_refuses_writes_and_goes_on_reading(tmp_path: Path) -> None:
    with start("child_on_a_full_disk", str(tmp_path)) as child:
        output, _ = child.communicate()
    assert child.returncode == 0
    told = json.loads(output)
    acknowledged = told["acknowledged"]
    assert acknowledged > 0
    assert told == {
        "acknowledged": acknowledged,
        "read": acknowledged,
        "refused together": ["StorageFull"],
        "readable": acknowledged,
        "afterwards": acknowledged + 1,
        "counted": acknowledged + 1,
        "last": "after",
    }
