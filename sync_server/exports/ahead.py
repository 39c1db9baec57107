"""Reading ahead: what comes from Postgres is read in a thread while this one compresses what has come.

| what happens | what follows |
|---|---|
| the source raises | raised here, after what came before it |
| nothing comes for a while | `idle` is called, and may raise |
| who reads stops (error, cancellation) | the source is interrupted, and closed in its thread, which ends |
"""

import queue
import threading
from collections.abc import Callable, Generator, Iterator
from contextlib import contextmanager
from typing import Final, Generic, TypeVar

T = TypeVar("T")

PIECES: Final = 8
IDLE_SECONDS: Final = 0.5


class _Reading(threading.Thread, Generic[T]):
    """Puts what comes into `waiting`, and at the end None or the error."""

    def __init__(self, source: Generator[T, None, None], pieces: int) -> None:
        super().__init__(name="reading ahead", daemon=True)
        self._source = source
        self.waiting: queue.Queue[tuple[T] | BaseException | None] = queue.Queue(pieces)
        self.stopped = threading.Event()
        self.ended = threading.Event()

    def run(self) -> None:
        """Read to the end, or until stopped."""
        last: BaseException | None = None
        try:
            for piece in self._source:
                self.waiting.put((piece,))
                if self.stopped.is_set():
                    break
        except BaseException as error:  # noqa: BLE001 (raised where it is read)
            last = error
        try:
            self._source.close()
        finally:
            self.ended.set()
            self.waiting.put(last)


@contextmanager
def ahead(
    source: Generator[T, None, None],
    *,
    idle: Callable[[], None],
    interrupt: Callable[[], None],
    pieces: int = PIECES,
) -> Iterator[Iterator[T]]:
    """Yields what to read from; at most `pieces` of `source` wait."""
    reading = _Reading(source, pieces)
    reading.start()
    try:
        yield _pieces(reading, idle)
    finally:
        reading.stopped.set()
        if not reading.ended.is_set():
            interrupt()
        while reading.is_alive():
            # It may wait for room.
            try:
                reading.waiting.get(timeout=0.05)
            except queue.Empty:
                continue


def _pieces(reading: _Reading[T], idle: Callable[[], None]) -> Iterator[T]:
    while True:
        try:
            piece = reading.waiting.get(timeout=IDLE_SECONDS)
        except queue.Empty:
            idle()
            continue
        if not isinstance(piece, tuple):
            break
        yield piece[0]
    if piece is not None:
        raise piece
