"""Requests that devices have open, so that a revoked one's are cut at once.

A live feed may be open for days, and looks only now and then whether its credential is still in force. So
whoever learns that a credential has ended cuts the connections of its requests; what they wait for never
comes, and the device's next request gets 401.
"""

from collections.abc import Callable

import structlog
from aiohttp import web
from aiohttp.typedefs import Handler

log = structlog.get_logger()

CREDENTIAL = web.RequestKey("credential", str)


class OpenRequests:
    """By credential."""

    def __init__(self) -> None:
        # Requests are mappings, and cannot be in a set.
        self._open: dict[str, dict[int, web.Request]] = {}

    def install(self, app: web.Application) -> None:
        """Forget the application's requests when they end."""

        @web.middleware
        async def forget(request: web.Request, handler: Handler) -> web.StreamResponse:
            try:
                return await handler(request)
            finally:
                self.remove(request)

        app.middlewares.append(forget)

    def add(self, credential: str, request: web.Request) -> None:
        """The request is this credential's, until `remove`."""
        request[CREDENTIAL] = credential
        self._open.setdefault(credential, {})[id(request)] = request

    def remove(self, request: web.Request) -> None:
        """The request has ended; nothing happens to one that was never added."""
        credential = request.get(CREDENTIAL)
        if credential is None:
            return
        left = self._open.get(credential, {})
        left.pop(id(request), None)
        if not left:
            self._open.pop(credential, None)

    def cut_unless(self, in_force: Callable[[str], bool]) -> None:
        """Cut the connections of every credential that is not in force."""
        for credential in [each for each in self._open if not in_force(each)]:
            requests = self._open[credential]
            log.info(
                "requests of a revoked credential are cut", credential=credential, requests=len(requests)
            )
            for request in requests.values():
                if request.transport is not None:
                    request.transport.abort()
