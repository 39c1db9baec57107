"""Power goes at any instant while tablets push: what was acknowledged is in the store and on the journal, and
nothing is in the store that the journal does not name.
"""

import asyncio
import random
import sqlite3
from pathlib import Path

import pytest

from replication.store.check import check_directory
from replication.store.registry import Registry
from sync_server.hub import records
from sync_server.hub.parts import now
from tests.durability.disk import Disk, Event, Told
from tests.durability.recording import Recorder, recording
from tests.hub.rig import DATABASE, fetched_list, ids_in, running_hub, session, token

PUSHES = 12
CUTS = 60
RECORDS = "hub.sqlite"


async def tablets_push(directory: Path, recorder: Recorder) -> None:
    """Two tablets at once, a document each at a time."""
    async with running_hub(directory, store=".") as hub:
        hub.hub.site_list.replace(fetched_list())

        async def push(device: str) -> None:
            for number in range(PUSHES):
                doc_id = f"{device}-{number}"
                assert await hub.push(token(device), session(doc_id, at=now().isoformat())) == []
                recorder.tell("acknowledged", f"session:{doc_id}")

        await asyncio.gather(push("tab-1"), push("tab-2"))


def recorded(directory: Path) -> list[Event]:
    """What the files of the hub went through."""
    with recording(directory) as recorder:
        asyncio.run(tablets_push(directory, recorder))
    return recorder.events


async def stored(directory: Path) -> set[str]:
    registry = Registry(directory)
    try:
        return set(await ids_in(registry)) if DATABASE in registry.names() else set()
    finally:
        await registry.close()


def on_the_journal(directory: Path) -> set[str]:
    connection = sqlite3.connect(directory / RECORDS)
    try:
        return {row[0] for row in connection.execute("SELECT doc_id FROM journal")}
    except sqlite3.OperationalError:
        return set()
    finally:
        connection.close()


def problems_after(events: list[Event], directory: Path) -> list[str]:
    """What is not as it should be, after each of many cuts."""
    chance, disk, played, found = random.Random(1), Disk(), 0, []
    for number, at in enumerate(sorted(chance.randrange(len(events)) for _ in range(CUTS))):
        disk.play(events[played:at])
        played = at
        place = directory / str(number)
        place.mkdir()
        disk.written_to(place, chance)
        told = {str(event.value) for event in events[:at] if isinstance(event, Told)}
        store = asyncio.run(stored(place))
        try:
            journal = on_the_journal(place)
        except sqlite3.DatabaseError as error:
            # Only parts of the file reached the disk.
            found.append(f"the journal cannot be read: {error}")
            continue
        found += [f"{doc_id} was acknowledged and is not stored" for doc_id in told - store]
        found += [f"{doc_id} is stored and not on the journal" for doc_id in store - journal]
        found += [
            problem
            for report in check_directory(place)
            if RECORDS not in str(report.file)
            for problem in report.problems
        ]
    return found


def test_a_power_cut_loses_nothing_that_a_tablet_was_told(tmp_path: Path) -> None:
    (tmp_path / "hub").mkdir()
    events = recorded(tmp_path / "hub")
    assert sum(isinstance(event, Told) for event in events) == 2 * PUSHES
    assert problems_after(events, tmp_path) == []


def test_a_journal_that_does_not_reach_the_disk_is_seen_to_lose(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    weaker = records._PRAGMAS.replace("= FULL", "= OFF")
    assert weaker != records._PRAGMAS
    monkeypatch.setattr(records, "_PRAGMAS", weaker)
    (tmp_path / "hub").mkdir()
    found = problems_after(recorded(tmp_path / "hub"), tmp_path)
    assert any("not on the journal" in problem for problem in found)
