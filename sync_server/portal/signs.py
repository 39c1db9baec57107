"""What is to be seen of a tablet at a glance: pure, from what it last told and when it was last seen.

| sign | tone | when |
|---|---|---|
| `revoked` | | it may not sync any more |
| `silent_holding` | bad | it holds documents, and was not seen for three days: they exist nowhere else |
| `silent` | warn | not seen for two weeks |
| `never` | | enrolled, and never seen |
| `holding` | warn | it holds documents |
| `clock` | warn | its clock is more than five minutes off |
| `storage` | warn; bad below 100 MB | less than 1 GB free |
| `refused` | warn | documents of it were refused |
| `well` | ok | none of these |
"""

from collections.abc import Iterable
from datetime import datetime, timedelta
from typing import Final, Literal, NamedTuple

from reporting.queries.devices import EnrolledDevice

Tone = Literal["", "ok", "warn", "bad"]

LOST_AFTER: Final = timedelta(days=3)
SILENT_AFTER: Final = timedelta(days=14)
CLOCK_SECONDS: Final = 300
LOW_BYTES: Final = 1_000_000_000
NO_BYTES: Final = 100_000_000

_WORST_FIRST: Final = ("bad", "warn", "", "ok")


class Sign(NamedTuple):
    """The text `sign.<name>`, and how bad it is."""

    name: str
    tone: Tone


def signs_of(device: EnrolledDevice, now: datetime) -> list[Sign]:
    """The table of this module, the worst first; one at least."""
    if device.state == "revoked":
        return [Sign("revoked", "")]
    found = list(_signs(device, now))
    return sorted(found or [Sign("well", "ok")], key=lambda sign: _WORST_FIRST.index(sign.tone))


def _signs(device: EnrolledDevice, now: datetime) -> Iterable[Sign]:
    silent_for = None if device.last_seen_at is None else now - device.last_seen_at
    holds = bool(device.outstanding)
    if silent_for is None:
        yield Sign("never", "")
    elif holds and silent_for > LOST_AFTER:
        yield Sign("silent_holding", "bad")
    elif silent_for > SILENT_AFTER:
        yield Sign("silent", "warn")
    if holds and (silent_for is None or silent_for <= LOST_AFTER):
        yield Sign("holding", "warn")
    if device.clock_offset_s is not None and abs(device.clock_offset_s) > CLOCK_SECONDS:
        yield Sign("clock", "warn")
    if device.free_bytes is not None and device.free_bytes < LOW_BYTES:
        yield Sign("storage", "bad" if device.free_bytes < NO_BYTES else "warn")
    if device.refused:
        yield Sign("refused", "warn")
