"""What a thousand feeds cost that wait: memory of the server a feed, and how late they hear of a change.

One thread holds all the connections; another writes one document at a time. A feed's lateness runs from the
moment the write is *sent* until the document's id has arrived on the feed's connection, so it holds the
commit too. Every feed is parsed for nothing else.
"""

import resource
import selectors
import socket
import time
import uuid
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from urllib.parse import urlsplit

import psutil
from rich.table import Table

from benchmarks.raw_http import Connection, request_bytes
from benchmarks.servers import Server

WAKES = 10
SETTLE_SECONDS = 0.7
PATIENCE_SECONDS = 10.0
KINDS = ("longpoll", "continuous")

Figures = dict[str, float]


def allow_connections(count: int) -> None:
    """Raise this process's limit of open files, which the servers that it starts inherit."""
    _, most = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (min(count * 2 + 1024, most), most))


class NotHeard(Exception):
    """A server is not up to so many feeds."""


class _Feeds:
    """Connections of one kind of feed to one database."""

    def __init__(self, server: Server, database: str, kind: str, count: int) -> None:
        path = f"/{database}/_changes?feed={kind}&since=now&heartbeat=600000"
        self._request = request_bytes(server.base, "GET", path)
        self._asks_again = kind == "longpoll"
        self._selector = selectors.DefaultSelector()
        url = urlsplit(server.base)
        for _ in range(count):
            feed = socket.create_connection((url.hostname or "127.0.0.1", url.port or 5984))
            self._selector.register(feed, selectors.EVENT_READ)
            feed.sendall(self._request)

    def hear(self, mark: bytes, started: float) -> list[float]:
        """How many seconds after `started` the mark arrived on each of the feeds."""
        waiting = {key.fd for key in self._selector.get_map().values()}
        seen: dict[int, bytes] = {}
        heard: list[float] = []
        give_up = time.perf_counter() + PATIENCE_SECONDS
        while waiting and time.perf_counter() < give_up:
            for key, _ in self._selector.select(timeout=1):
                feed = key.fileobj
                assert isinstance(feed, socket.socket)
                seen[key.fd] = seen.get(key.fd, b"") + feed.recv(65536)
                if mark in seen[key.fd] and key.fd in waiting:
                    waiting.discard(key.fd)
                    heard.append(time.perf_counter() - started)
        if waiting:
            raise NotHeard(f"{len(waiting)} feeds did not hear of a change in {PATIENCE_SECONDS:.0f} s")
        return heard

    def wait_until_idle(self) -> None:
        """Give the server the time to take all requests in, and read what it says first."""
        self._take(4 * SETTLE_SECONDS)

    def settle(self) -> None:
        """Take what is left of the answers, and let those that ended ask again."""
        self._take(SETTLE_SECONDS)
        if self._asks_again:
            for feed in self._sockets():
                feed.sendall(self._request)
            self._take(SETTLE_SECONDS)

    def _take(self, seconds: float) -> None:
        until = time.perf_counter() + seconds
        while (left := until - time.perf_counter()) > 0:
            for key, _ in self._selector.select(timeout=left):
                feed = key.fileobj
                assert isinstance(feed, socket.socket)
                feed.recv(65536)

    def _sockets(self) -> Iterator[socket.socket]:
        for key in list(self._selector.get_map().values()):
            assert isinstance(key.fileobj, socket.socket)
            yield key.fileobj

    def close(self) -> None:
        """Hang up."""
        for feed in self._sockets():
            feed.close()
        self._selector.close()


def measure_idle(server: Server, *, kind: str, count: int) -> Figures:
    """`kib_a_feed` (where the server's process is known) and lateness in milliseconds.

    The server should be fresh: memory that it has freed before would hide what the feeds take.
    """
    database = f"bench-{uuid.uuid4().hex[:12]}"
    _ask(server, request_bytes(server.base, "PUT", f"/{database}"))
    _ask(server, _write(server, database, "first"))
    figures = _measure(server, database, kind, count)
    _ask(server, request_bytes(server.base, "DELETE", f"/{database}"))
    return figures


def _ask(server: Server, request: bytes) -> None:
    # A connection of its own: some servers hang up on one that was idle for some seconds.
    with Connection(server.base) as connection:
        connection.exchange(request)


def _measure(server: Server, database: str, kind: str, count: int) -> Figures:
    before = _memory(server)
    feeds = _Feeds(server, database, kind, count)
    feeds.wait_until_idle()
    figures = {}
    if before is not None:
        figures["kib_a_feed"] = ((_memory(server) or 0) - before) / 1024 / count
    late: list[float] = []
    writer = ThreadPoolExecutor(1)
    for number in range(WAKES):
        name = f"wake-{number:04}"
        request = _write(server, database, name)
        started = time.perf_counter()
        written = writer.submit(_ask, server, request)
        late += feeds.hear(f'"{name}"'.encode(), started)
        written.result()
        feeds.settle()
    writer.shutdown()
    feeds.close()
    late.sort()
    return figures | {f"late_p{share}_ms": late[len(late) * share // 100] * 1000 for share in (50, 99)}


def _write(server: Server, database: str, doc_id: str) -> bytes:
    return request_bytes(server.base, "PUT", f"/{database}/{doc_id}", b'{"x":1}')


def _memory(server: Server) -> int | None:
    """Bytes that the process alone has."""
    return None if server.pid is None else int(psutil.Process(server.pid).memory_full_info().uss)


def idle_table(figures: dict[str, dict[str, Figures]], count: int) -> Table:
    """The figures for people: server → kind of feed → figures."""
    shown = Table(title=f"{count:,} idle feeds")
    for name in ("server", "feed", "KiB a feed", "late p50, ms", "late p99, ms"):
        shown.add_column(name, justify="right" if "," in name or "KiB" in name else "left")
    for server, by_kind in figures.items():
        for kind, one in by_kind.items():
            memory = f"{one['kib_a_feed']:.1f}" if "kib_a_feed" in one else "–"
            shown.add_row(server, kind, memory, f"{one['late_p50_ms']:.1f}", f"{one['late_p99_ms']:.1f}")
    return shown
