"""A power cut costs nothing that was acknowledged, and the test would notice if it did."""

import random
from pathlib import Path

import pytest

from replication.store import registry
from tests.durability.disk import Disk, Event, Rename, Sync, SyncDirectory, Truncate, Write
from tests.durability.power_cut import failures, record

CUTS = 150


def lost(events: list[Event], count: int = CUTS) -> list[str]:
    return [problem for _, problems in failures(events, count) for problem in problems]


def test_a_power_cut_loses_nothing_that_was_acknowledged(tmp_path: Path) -> None:
    events = record(tmp_path)
    assert lost(events) == []
    # The work has what can go wrong: checkpoints into the main file, files that shrink, names that change.
    assert {type(event) for event in events} >= {Write, Truncate, Sync, Rename, SyncDirectory}


@pytest.mark.parametrize("synchronous", ["NORMAL", "OFF"])
def test_weaker_durability_is_seen_to_lose(tmp_path: Path, synchronous: str) -> None:
    assert lost(record(tmp_path, synchronous=synchronous)) != []


def test_an_unsynced_directory_is_seen_to_lose(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(registry, "_sync_directory", lambda _: None)
    assert [problem for problem in lost(record(tmp_path)) if "Database does not exist" in problem]


def laid_out(events: list[Event], directory: Path) -> list[dict[str, bytes]]:
    disk = Disk()
    disk.play(events)
    found = []
    for seed in range(40):
        place = directory / str(seed)
        place.mkdir()
        disk.written_to(place, random.Random(seed))
        found.append({path.name: path.read_bytes() for path in place.iterdir()})
    return found


def test_what_was_synced_is_on_the_disk_and_what_was_not_may_be_there_in_part(tmp_path: Path) -> None:
    synced: list[Event] = [Rename(1, None, "a"), SyncDirectory(), Write(1, 0, b"x" * 1024), Sync(1)]
    states = laid_out([*synced, Write(1, 0, b"y" * 1024)], tmp_path)
    assert {len(state["a"]) for state in states} == {1024}
    sectors = {(state["a"][:512], state["a"][512:]) for state in states}
    assert sectors == {(a * 512, b * 512) for a in (b"x", b"y") for b in (b"x", b"y")}


def test_names_change_in_their_order_or_not_at_all(tmp_path: Path) -> None:
    states = laid_out([Rename(1, None, "a"), Rename(1, "a", "b"), Rename(2, None, "c")], tmp_path)
    assert {tuple(sorted(state)) for state in states} == {(), ("b",), ("b", "c")}
