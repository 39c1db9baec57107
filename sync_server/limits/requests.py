"""Requests of the API beyond their budget are refused before anything is done for them: 429.

Every answer tells how it stands: `X-RateLimit-Limit`, `X-RateLimit-Remaining`, `X-RateLimit-Reset` (seconds);
a refusal also `Retry-After`.
"""

from collections.abc import AsyncIterator

from aiohttp import web
from aiohttp.typedefs import Handler

from sync_server.errors import TooMany
from sync_server.keys import LIMITER, REDIS
from sync_server.limits.budgets import budget_of
from sync_server.limits.window import Limiter, Taken

_TAKEN = web.RequestKey("taken", Taken)


def install_limits(app: web.Application) -> None:
    """Add the limits, inside of the middleware that is there; the Redis client must be made before."""
    app.middlewares.append(limited)
    app.on_response_prepare.append(_add_headers)
    app.cleanup_ctx.append(_limiter)


async def _limiter(app: web.Application) -> AsyncIterator[None]:
    app[LIMITER] = Limiter(app[REDIS])
    yield


@web.middleware
async def limited(request: web.Request, handler: Handler) -> web.StreamResponse:
    """Raises TooMany."""
    budget = budget_of(request)
    if budget is not None:
        taken = request[_TAKEN] = await request.app[LIMITER].take(budget)
        if not taken.allowed:
            raise TooMany(
                f"More than {taken.limit} requests in a minute: come again in {taken.reset_s} s.",
                retry_after=taken.reset_s,
                details={"limit": taken.limit, "retry_after": taken.reset_s},
            )
    return await handler(request)


async def _add_headers(request: web.Request, response: web.StreamResponse) -> None:
    taken = request.get(_TAKEN)
    if taken is not None:
        response.headers["X-RateLimit-Limit"] = str(taken.limit)
        response.headers["X-RateLimit-Remaining"] = str(taken.remaining)
        response.headers["X-RateLimit-Reset"] = str(taken.reset_s)
