"""How PyCap's requests leave this machine: to allowed addresses only, in bounded time and size.

PyCap sends with one `requests` session of its own. It is given adapters that look at the address before and
after connecting: the name may lead elsewhere the second time, and nothing is sent before the second look.
Environment proxies and `.netrc` are not used: a proxy would be whom the token is told to.

| what happens | outcome |
|---|---|
| the name leads to an address that is not allowed | AddressRefused, nothing sent |
| a redirect | not followed: the token is for one host |
| an answer that never ends, or is huge | cut off: AnswerTooLong |
| the certificate is not valid | an SSL error; there is no setting to accept it |
"""

import socket
import ssl
import time
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime
from typing import Any, Final

import redcap.request
import requests
from requests.adapters import HTTPAdapter
from urllib3.connection import HTTPConnection, HTTPSConnection
from urllib3.connectionpool import HTTPConnectionPool, HTTPSConnectionPool

from reporting.webhooks.addresses import Reach, refusal_of_address

LARGEST_ANSWER: Final = 64 * 1024**2
CONNECT_SECONDS: Final = 5.0

_CHUNK: Final = 64 * 1024


class AddressRefused(requests.ConnectionError):
    """The name leads to an address that requests may not go to."""


class AnswerTooLong(requests.ConnectionError):
    """The answer took longer, or was larger, than is waited for."""


def guard(reach: Reach) -> None:
    """From now on PyCap's requests go to addresses within reach only. For a process; may be called again."""
    session = redcap.request._session  # PyCap offers no other way to it
    session.trust_env = False
    for prefix in ("https://", "http://"):
        adapter = session.adapters.get(prefix)
        if not isinstance(adapter, _Guarded) or adapter.reach != reach:
            session.mount(prefix, _Guarded(reach))


class Received:
    """What came back to one call, also where it was cut. `whole`: all of it is there."""

    def __init__(self, seconds: float) -> None:
        self._until = time.monotonic() + seconds
        self.status: int | None = None
        self.content_type = ""
        self.body = b""
        self.whole = False
        self.date: datetime | None = None

    def take(self, response: requests.Response, *_: Any, **__: Any) -> None:
        """The hook that `requests` calls with an answer whose body is not read yet. Raises AnswerTooLong."""
        self.status = response.status_code
        self.content_type = response.headers.get("Content-Type", "").partition(";")[0]
        self.date = _moment(response.headers.get("Date", ""))
        parts = []
        size = 0
        for part in response.iter_content(_CHUNK):
            parts.append(part)
            size += len(part)
            if size > LARGEST_ANSWER or time.monotonic() > self._until:
                response.close()
                raise AnswerTooLong("the answer is too long, or takes too long")
        self.body = b"".join(parts)
        self.whole = True
        # What it would keep itself, had it read all without looking.
        response._content = self.body


def _moment(text: str) -> datetime | None:
    """Of an HTTP date; None where it is none."""
    try:
        return parsedate_to_datetime(text).replace(tzinfo=UTC)
    except ValueError:
        return None


class _Guarded(HTTPAdapter):
    def __init__(self, reach: Reach) -> None:
        self.reach = reach
        super().__init__(max_retries=0)

    def init_poolmanager(self, *args: Any, **options: Any) -> None:
        """The system's authorities, as the rest of the service has them, beside those of `requests`."""
        super().init_poolmanager(*args, ssl_context=ssl.create_default_context(), **options)
        self.poolmanager.pool_classes_by_scheme = _pools(self.reach)


def _pools(reach: Reach) -> dict[str, Any]:
    class Plain(HTTPConnection):
        def _new_conn(self) -> socket.socket:
            return _looked_at(self, super()._new_conn, reach)

    class Secure(HTTPSConnection):
        def _new_conn(self) -> socket.socket:
            return _looked_at(self, super()._new_conn, reach)

    class PlainPool(HTTPConnectionPool):
        ConnectionCls = Plain

    class SecurePool(HTTPSConnectionPool):
        ConnectionCls = Secure

    return {"http": PlainPool, "https": SecurePool}


def _looked_at(connection: HTTPConnection, connect: Any, reach: Reach) -> socket.socket:
    try:
        found = socket.getaddrinfo(connection.host, connection.port, type=socket.SOCK_STREAM)
    except OSError:
        found = []  # connecting says so
    for *_, address in found:
        _refuse(str(address[0]), reach)
    connected: socket.socket = connect()
    try:
        _refuse(str(connected.getpeername()[0]), reach)
    except BaseException:
        connected.close()
        raise
    return connected


def _refuse(address: str, reach: Reach) -> None:
    if refusal := refusal_of_address(address, reach):
        raise AddressRefused(refusal)
