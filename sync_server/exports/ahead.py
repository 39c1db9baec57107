"""Reading ahead: what comes from Postgres is read in a thread while this one compresses what has come.

| what happens | what follows |
|---|---|
| the source raises | raised here, after what came before it |
| who reads stops (an error, a cancellation) | the source is closed in its thread, which ends first |
"""

import queue
import threading
from collections.abc import Generator, Iterator
from contextlib import contextmanager
from typing import Final, TypeVar

T = TypeVar("T")

PIECES: Final = 8


@contextmanager
def ahead(source: Generator[T, None, None], *, pieces: int = PIECES) -> Iterator[Iterator[T]]:
    """Yields what to read from; at most `pieces` of `source` wait."""
    waiting: queue.Queue[tuple[T] | BaseException | None] = queue.Queue(pieces)
    stopped = threading.Event()

    def read() -> None:
        last: BaseException | None = None
        try:
            for piece in source:
                waiting.put((piece,))
                if stopped.is_set():
                    break
        except BaseException as error:  # noqa: BLE001 (raised where it is read)
            last = error
        try:
            source.close()
        finally:
            waiting.put(last)

    thread = threading.Thread(target=read, name="reading ahead", daemon=True)

    def pieces_read() -> Iterator[T]:
        while isinstance(piece := waiting.get(), tuple):
            yield piece[0]
        if piece is not None:
            raise piece

    thread.start()
    try:
        yield pieces_read()
    finally:
        stopped.set()
        while thread.is_alive():
            # It may wait for room.
            try:
                waiting.get(timeout=0.05)
            except queue.Empty:
                continue
