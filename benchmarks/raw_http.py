"""HTTP with as little client as possible: prebuilt requests out, unparsed answers in.

Client and server share the machine, so whatever the client does is taken from the server. A request is bytes
made before the clock runs; an answer is read to its end, its status is checked, and nothing else.
"""

import base64
import collections
import selectors
import socket
from collections.abc import Sequence
from types import TracebackType
from typing import Self
from urllib.parse import urlsplit

_RECEIVED_AT_ONCE = 1024 * 1024
_LAST_CHUNK = b"\r\n0\r\n\r\n"


class Refused(Exception):
    """The server answered with another status than 2xx."""


def request_bytes(base: str, method: str, path: str, body: bytes | None = None) -> bytes:
    """A whole request. `base` is the server's URL, with user and password where it wants them."""
    url = urlsplit(base)
    head = f"{method} {url.path.rstrip('/')}{path} HTTP/1.1\r\nHost: {url.hostname}\r\n"
    head += "Accept: application/json\r\n"
    if url.username:
        secret = base64.b64encode(f"{url.username}:{url.password or ''}".encode()).decode()
        head += f"Authorization: Basic {secret}\r\n"
    if body is not None or method in ("POST", "PUT"):
        head += f"Content-Type: application/json\r\nContent-Length: {len(body or b'')}\r\n"
    return head.encode() + b"\r\n" + (body or b"")


class Connection:
    """One connection, kept alive; used by one thread."""

    def __init__(self, base: str) -> None:
        url = urlsplit(base)
        self._socket = socket.create_connection((url.hostname or "127.0.0.1", url.port or 5984), timeout=120)
        self._socket.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self._socket.close()

    @property
    def socket(self) -> socket.socket:
        """The connection's socket."""
        return self._socket

    def exchange(self, request: bytes) -> bytes:
        """The answer to a request: its body, chunk marks included. Raises Refused."""
        self._socket.sendall(request)
        return self.answer()

    def answer(self) -> bytes:
        """The answer to what was sent. Raises Refused."""
        head, pieces, size = self._head()
        length = _content_length(head)
        while size < length if length is not None else not _ended(pieces):
            piece = self._received()
            pieces.append(piece)
            size += len(piece)
        body = b"".join(pieces)
        if not head.startswith((b"HTTP/1.1 20", b"HTTP/1.0 20")):
            raise Refused(f"{head.splitlines()[0]!r}: {body[:300]!r}")
        return body

    def wait_for(self, mark: bytes) -> None:
        """Read until the bytes were there: a row in a feed that does not end."""
        seen = b""
        while mark not in seen:
            seen = seen[-len(mark) :] + self._received()

    def _head(self) -> tuple[bytes, list[bytes], int]:
        received = b""
        while (end := received.find(b"\r\n\r\n")) < 0:
            received += self._received()
        # With the line end before the body: the mark of the last chunk begins with one.
        rest = received[end + 4 :]
        return received[: end + 2], [b"\r\n", rest] if b"chunked" in received[:end] else [rest], len(rest)

    def _received(self) -> bytes:
        piece = self._socket.recv(_RECEIVED_AT_ONCE)
        if not piece:
            raise ConnectionError("the server closed the connection within an answer")
        return piece


def _content_length(head: bytes) -> int | None:
    for line in head.lower().split(b"\r\n"):
        if line.startswith(b"content-length:"):
            return int(line.partition(b":")[2])
    return None


def _ended(pieces: list[bytes]) -> bool:
    tail = pieces[-1]
    if len(tail) < len(_LAST_CHUNK):
        tail = b"".join(pieces[-len(_LAST_CHUNK) :])
    return tail.endswith(_LAST_CHUNK)


def drive(base: str, requests: Sequence[bytes], clients: int) -> None:
    """Send the requests over so many connections at once and read their answers. Raises Refused.

    One thread does it: clients with a thread each would spend the servers' time on taking turns.
    """
    left = collections.deque(requests)
    with selectors.DefaultSelector() as ready:
        for _ in range(min(clients, len(left))):
            connection = Connection(base)
            ready.register(connection.socket, selectors.EVENT_READ, connection)
            connection.socket.sendall(left.popleft())
        while ready.get_map():
            for key, _ in ready.select():
                connection = key.data
                # The rest of an answer follows its beginning at once: no other client is kept waiting.
                connection.answer()
                if left:
                    connection.socket.sendall(left.popleft())
                else:
                    ready.unregister(connection.socket)
                    connection.socket.close()
