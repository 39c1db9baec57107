"""A store whose machine loses its power, again and again, at every moment of a recorded piece of work.

    python -m tests.durability.power_cut --cuts 5000

After each cut the disk holds what was synced and any part of what was not (`tests.durability.disk`). The
store is opened on it as after a reboot, and has to hold everything that anybody was told is there.
"""

import asyncio
import random
import shutil
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path
from unittest import mock

import click

from replication.edits import Attachment
from replication.store import connection
from replication.store.check import check_directory
from replication.store.registry import Registry
from replication.values import Rev
from replication.wire.attachments import digest_of
from tests.durability.disk import Disk, Event, Told
from tests.durability.recording import Recorder, recording
from tests.replication.stored import feed, push, replicated

DOCUMENTS = 24
CHECKPOINT_PAGES = 12
"""A checkpoint after so few pages that the work holds many of them."""
WRITTEN, CREATING, CREATED, DELETING, DELETED = "written", "creating", "created", "deleting", "deleted"


def with_pragmas(*, synchronous: str) -> "mock._patch[str]":
    """Let databases that are opened now sync as told, and checkpoint often."""
    pragmas = connection._PRAGMAS.replace("synchronous = FULL", f"synchronous = {synchronous}")
    pragmas = pragmas.replace("wal_autocheckpoint = 4000", f"wal_autocheckpoint = {CHECKPOINT_PAGES}")
    assert synchronous in pragmas
    assert f"= {CHECKPOINT_PAGES};" in pragmas
    return mock.patch.object(connection, "_PRAGMAS", pragmas)


async def work(directory: Path, recorder: Recorder, seed: int) -> None:
    """Create databases, write, edit, attach, compact, delete, create again."""
    registry = Registry(directory)
    await _write(registry, recorder, "site-a", random.Random(seed))
    await _write(registry, recorder, "site-b", random.Random(seed + 1))
    recorder.tell(DELETING, "site-a")
    await registry.delete("site-a")
    recorder.tell(DELETED, "site-a")
    await _write(registry, recorder, "site-a", random.Random(seed + 2))
    await registry.close()


async def _write(registry: Registry, recorder: Recorder, name: str, chance: random.Random) -> None:
    recorder.tell(CREATING, name)
    database = await registry.create(name)
    recorder.tell(CREATED, name)

    async def one(number: int) -> None:
        doc_id, pos = f"d{number % (DOCUMENTS // 2)}", 1 + number // (DOCUMENTS // 2)
        data = chance.randbytes(chance.choice((10, 5_000, 40_000)))
        file = {"f": Attachment("text/plain", digest_of(data), len(data), data=data)}
        path = [f"{at}-a" for at in range(pos, 0, -1)]
        await push(database, replicated(doc_id, *path, x=number, attachments=file))
        recorder.tell(WRITTEN, (name, doc_id, pos))

    half = DOCUMENTS // 2
    for start in (*range(0, half, 3), *range(half, DOCUMENTS, 3)):
        await asyncio.gather(*(one(number) for number in range(start, start + 3)))
    database.compaction.start()
    await database.compaction.finished()


def record(directory: Path, *, synchronous: str = "FULL", seed: int = 1) -> list[Event]:
    """The events of the work in an empty directory."""
    with with_pragmas(synchronous=synchronous), recording(directory) as recorder:
        asyncio.run(work(directory, recorder, seed))
    return recorder.events


class Promises:
    """What was told up to a moment: by database the least position of each document; None where the database
    may be gone, or is.
    """

    def __init__(self, events: list[Event]) -> None:
        self.there: dict[str, dict[str, int] | None] = {}
        for event in events:
            match event:
                case Told(what="created", value=str(name)):
                    self.there[name] = {}
                case Told(what="creating" | "deleting" | "deleted", value=str(name)):
                    self.there[name] = None
                case Told(what="written", value=(str(name), str(doc_id), int(pos))):
                    documents = self.there[name]
                    assert documents is not None
                    documents[doc_id] = max(pos, documents.get(doc_id, 0))
        last = [event.what for event in events if isinstance(event, Told) and event.value == "site-a"]
        self.deleted = {"site-a"} if last and last[-1] == DELETED else set[str]()


async def broken_promises(directory: Path, promises: Promises) -> list[str]:
    """What somebody was told and is not so, after a reboot on this directory."""
    found = [
        f"{report.file}: {problem}" for report in check_directory(directory) for problem in report.problems
    ]
    registry = Registry(directory)
    try:
        found += [f"{name} was deleted and is back" for name in promises.deleted & set(registry.names())]
        for name, documents in promises.there.items():
            if documents is None:
                continue
            try:
                database = await registry.open(name)
                kept = {row.id: Rev.parse(row.rev).pos for row in await feed(database)}
            except Exception as error:  # noqa: BLE001 (whatever a damaged file does to the store)
                found.append(f"{name} cannot be read: {error!r}")
                continue
            found += [
                f"{name}: {d} is at {kept.get(d)}, not {p}"
                for d, p in documents.items()
                if kept.get(d, 0) < p
            ]
    finally:
        await registry.close()
    return found


def cuts(events: list[Event], count: int, chance: random.Random) -> Iterator[int]:
    """After how many events to cut: spread over the whole work, and right after each promise of a name."""
    spread = [round((number + chance.random()) * len(events) / count) for number in range(count)]
    told = [n for n, event in enumerate(events, 1) if isinstance(event, Told) and event.what != WRITTEN]
    yield from sorted([*spread, *told, *told, *told])


def failures(events: list[Event], count: int, seed: int = 2) -> Iterator[tuple[int, list[str]]]:
    """Each cut as (number of events before it, what is not as promised)."""
    chance = random.Random(seed)
    disk, played = Disk(), 0
    for at in cuts(events, count, chance):
        disk.play(events[played:at])
        played = at
        directory = Path(tempfile.mkdtemp(prefix="power-cut-"))
        try:
            disk.written_to(directory, chance)
            yield at, asyncio.run(broken_promises(directory, Promises(events[:at])))
        finally:
            shutil.rmtree(directory)


@click.command()
@click.option("--cuts", "count", default=5_000, show_default=True, help="How often the power goes.")
@click.option(
    "--synchronous", default="FULL", type=click.Choice(["FULL", "NORMAL", "OFF"]), show_default=True
)
@click.option("--seed", default=1, show_default=True, help="Of the work and of the cuts.")
def main(count: int, synchronous: str, seed: int) -> None:
    """Record a piece of work, cut the power at so many moments of it, and tell what was lost."""
    with tempfile.TemporaryDirectory(prefix="power-cut-") as directory:
        events = record(Path(directory), synchronous=synchronous, seed=seed)
    click.echo(f"{len(events)} events recorded, synchronous={synchronous}", err=True)
    failed = 0
    with click.progressbar(failures(events, count, seed), length=count, label="cuts", file=sys.stderr) as bar:
        for at, problems in bar:
            failed += bool(problems)
            for problem in problems[:3]:
                click.echo(f"after {at} events: {problem}")
    click.echo(f"{count} power cuts, {failed} of them lost something that was acknowledged")
    sys.exit(bool(failed))


if __name__ == "__main__":
    main()
