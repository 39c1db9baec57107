"""The tablets that a hub has seen: when, and how far their clocks are off.

Noted in memory and written every few seconds: a tablet makes hundreds of requests for one sync. What a power
cut takes is the last few seconds of it. A tablet says its clock in its own device document (`clock_at`).
"""

import sqlite3
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime

import msgspec

from replication.wire.decode import Incoming
from sync_server.hub.records import Records

MOST_BELIEVED_S = 100 * 366 * 86400.0


class SeenTablet(msgspec.Struct, frozen=True):
    """Times are RFC 3339 by the hub's clock; the offset is the tablet's clock minus the hub's, seconds."""

    device: str
    last_seen: str
    last_push: str | None = None
    clock_offset_s: float | None = None


class _Status(msgspec.Struct):
    clock_at: datetime | None = None


class Tablets:
    """What was seen since it was written last."""

    def __init__(self) -> None:
        self._seen: dict[str, SeenTablet] = {}

    def note(self, device: str, *, now: datetime, pushes: bool) -> None:
        """It has made a request."""
        at = now.isoformat()
        before = self._seen.get(device, SeenTablet(device, at))
        last_push = at if pushes else before.last_push
        self._seen[device] = SeenTablet(device, at, last_push, before.clock_offset_s)

    def note_clock(self, device: str, docs: Sequence[Incoming], *, now: datetime) -> None:
        """Among the documents may be its own, which says what its clock shows."""
        for incoming in docs:
            if incoming.edit is None or incoming.id != f"device:{device}":
                continue
            offset = _offset(incoming.edit.body, now)
            if offset is not None and device in self._seen:
                self._seen[device] = msgspec.structs.replace(self._seen[device], clock_offset_s=offset)

    async def write(self, records: Records) -> None:
        """Write what is new. Raises RecordsFailed; it is not lost then."""
        seen, self._seen = self._seen, {}
        if not seen:
            return
        try:
            await records.do(lambda c: _upsert(c, list(seen.values())))
        except BaseException:
            self._seen = {**seen, **self._seen}
            raise

    def now(self, kept: Sequence[SeenTablet]) -> list[SeenTablet]:
        """The kept ones with what is not written yet, by name."""
        known: Mapping[str, SeenTablet] = {each.device: each for each in kept}
        merged = {**known, **{name: _merged(known.get(name), each) for name, each in self._seen.items()}}
        return [merged[name] for name in sorted(merged)]


def _merged(old: SeenTablet | None, new: SeenTablet) -> SeenTablet:
    if old is None:
        return new
    offset = old.clock_offset_s if new.clock_offset_s is None else new.clock_offset_s
    return SeenTablet(new.device, new.last_seen, new.last_push or old.last_push, offset)


def _offset(body: bytes, now: datetime) -> float | None:
    try:
        shown = msgspec.json.decode(body, type=_Status).clock_at
    except (msgspec.DecodeError, RecursionError):
        return None
    if shown is None or shown.tzinfo is None:
        return None
    offset = (shown.astimezone(UTC) - now).total_seconds()
    return round(offset, 1) if abs(offset) < MOST_BELIEVED_S else None


def _upsert(connection: sqlite3.Connection, seen: Sequence[SeenTablet]) -> None:
    connection.executemany(
        "INSERT INTO tablets VALUES (?, ?, ?, ?) ON CONFLICT (device) DO UPDATE SET"
        " last_seen = excluded.last_seen, last_push = coalesce(excluded.last_push, last_push),"
        " clock_offset_s = coalesce(excluded.clock_offset_s, clock_offset_s)",
        [msgspec.structs.astuple(each) for each in seen],
    )


def kept_tablets(connection: sqlite3.Connection) -> list[SeenTablet]:
    """Every tablet that was ever seen, by name."""
    rows = connection.execute("SELECT device, last_seen, last_push, clock_offset_s FROM tablets ORDER BY 1")
    return [SeenTablet(*row) for row in rows]
