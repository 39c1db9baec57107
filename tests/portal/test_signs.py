"""What is seen of a tablet at a glance."""

from datetime import UTC, datetime, timedelta
from typing import Any

import msgspec
import pytest

from reporting.queries.devices import EnrolledDevice
from sync_server.portal.signs import signs_of

NOW = datetime(2026, 11, 26, 12, tzinfo=UTC)
WELL: dict[str, Any] = {
    **dict.fromkeys(EnrolledDevice.__struct_fields__),
    "site": "lima",
    "device": "t",
    "role": "tablet",
    "label": "",
    "state": "enrolled",
    "enrolled_at": NOW,
    "last_seen_at": NOW,
    "outstanding": 0,
    "free_bytes": 10**10,
    "clock_offset_s": 2.0,
    "refused": 0,
    "row_version": 1,
}


@pytest.mark.parametrize(
    ("told", "signs"),
    [
        ({}, ["well ok"]),
        ({"state": "revoked", "outstanding": 3}, ["revoked "]),
        ({"last_seen_at": None, "outstanding": None}, ["never "]),
        ({"outstanding": 3}, ["holding warn"]),
        ({"outstanding": 3, "last_seen_at": NOW - timedelta(days=4)}, ["silent_holding bad"]),
        ({"last_seen_at": NOW - timedelta(days=4)}, ["well ok"]),
        ({"last_seen_at": NOW - timedelta(days=15)}, ["silent warn"]),
        ({"clock_offset_s": -301.0}, ["clock warn"]),
        ({"free_bytes": 5 * 10**8, "refused": 1}, ["storage warn", "refused warn"]),
        ({"free_bytes": 10**7, "clock_offset_s": 900.0}, ["storage bad", "clock warn"]),
    ],
)
def test_the_worst_is_said_first(told: dict[str, Any], signs: list[str]) -> None:
    device = msgspec.convert({**WELL, **told}, EnrolledDevice)
    assert [f"{sign.name} {sign.tone}" for sign in signs_of(device, NOW)] == signs
