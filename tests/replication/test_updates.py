"""Which databases changed: positions of this process, and of others."""

from pathlib import Path

import pytest

from replication.store.registry import Registry
from replication.store.signal import Signal
from replication.store.updates import DatabaseUpdates


def updates(*there: str) -> DatabaseUpdates:
    return DatabaseUpdates(Signal(), epoch="this", there=there)


def test_a_database_is_told_at_its_last_event_only() -> None:
    told = updates("a", "b")
    told.note("a", "updated")
    told.note("b", "deleted")
    told.note("a", "updated")
    assert [(event.name, event.kind) for event in told.after(0)] == [("b", "deleted"), ("a", "updated")]
    assert [event.name for event in told.after(4)] == ["a"]
    assert told.after(told.number) == []


def test_a_position_is_found_again() -> None:
    told = updates("a", "b", "c")
    assert told.since(told.sequence(2)) == 2
    assert told.since(f'"{told.sequence(2)}"') == 2
    assert told.since("now") == 3


@pytest.mark.parametrize(
    "text", ["0", "", "x", "2", "2-other", "-this", "x-this", "4-this", "9" * 5000 + "-this", "-1-this"]
)
def test_a_position_that_this_process_did_not_hand_out_is_the_start(text: str) -> None:
    assert updates("a", "b", "c").since(text) == 0


async def test_after_a_restart_every_database_counts_as_updated(tmp_path: Path) -> None:
    registry = Registry(tmp_path / "store")
    await registry.create("site-a")
    await registry.create("site-b")
    await registry.delete("site-a")
    seen = registry.updates.sequence(registry.updates.number)
    await registry.close()
    again = Registry(tmp_path / "store")
    events = again.updates.after(again.updates.since(seen))
    assert [(event.name, event.kind) for event in events] == [("site-b", "updated")]
    await again.close()
