"""What routes share that are called by somebody who is not logged in yet."""

from datetime import UTC, datetime, timedelta
from typing import Annotated

from aiohttp import web
from msgspec import Meta

from sync_server.caller_address import caller_address
from sync_server.errors import TooMany
from sync_server.identity.attempts import Blocked
from sync_server.identity.logging_in import Entrance
from sync_server.identity.visitors import Visitor
from sync_server.keys import ENGINE, SEALER, SETTINGS
from sync_server.request_ids import REQUEST_ID

Token = Annotated[str, Meta(pattern=r"^[A-Za-z0-9_-]{20,100}$(?!\n)")]
"""The token of a link."""

RefreshToken = Token

NewPassword = Annotated[str, Meta(min_length=12, max_length=1024)]

Email = Annotated[str, Meta(min_length=3, max_length=254)]


def visitor_of(request: web.Request) -> Visitor:
    """Where the request came from."""
    agent = request.headers.get("User-Agent")
    # Bytes that are no UTF-8 come as halves of characters, which no stored text has.
    agent = None if agent is None else agent.encode(errors="replace").decode()
    return Visitor(caller_address(request), agent, request[REQUEST_ID])


def entrance(request: web.Request) -> Entrance:
    """Where people log in."""
    return Entrance(
        request.app[ENGINE],
        lambda: request.app[SEALER],
        now=datetime.now(UTC),
        lifetime=timedelta(days=request.app[SETTINGS].refresh_token_expire_days),
    )


def too_many(blocked: Blocked) -> TooMany:
    """The answer to who has to wait."""
    return TooMany(
        f"Too many failed attempts: come again in {blocked.seconds} s.", retry_after=blocked.seconds
    )
