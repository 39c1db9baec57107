"""The handler of `webhook`: one signed POST.

| what happens | outcome |
|---|---|
| 2xx | done |
| 410 | the receiver wants no more: the webhook is paused, this delivery given up |
| another status, a redirect, no answer within ten seconds | again later; `Retry-After` counts |
| the name leads to an address that is not allowed | given up; what was looked up is what is connected to |
| the webhook was deleted | discarded |
| it is paused | given up: a person may retry it once the webhook goes on |
| the worker dies between the answer and its record | sent once more, with the same `webhook-id` |
"""

import time
from collections.abc import Mapping
from datetime import timedelta
from typing import Any, Final

import aiohttp
import msgspec
from aiohttp.abc import AbstractResolver, ResolveResult
from sqlalchemy import Select, Update, func, select, update

from reporting.outbox.claims import Started
from reporting.outbox.policy import Done, Dropped, Failed, Outcome
from reporting.tables import webhooks
from reporting.webhooks.addresses import Reach, refusal_of_address, refusal_of_url
from reporting.webhooks.signature import signed_headers
from sync_server.jobs.resources import Resources
from sync_server.sealing import CannotOpen
from sync_server.settings import Settings

TIMEOUT: Final = aiohttp.ClientTimeout(total=10, connect=5)

GONE: Final = "The receiver answered 410 Gone."


class AddressRefused(OSError):
    """The receiver's name leads to an address that deliveries may not go to."""


class AllowedAddresses(AbstractResolver):
    """Looks names up, and answers allowed addresses only: what was looked up is what is connected to."""

    def __init__(self, reach: Reach) -> None:
        self._reach = reach
        self._resolver = aiohttp.ThreadedResolver()

    async def resolve(self, host: str, port: int = 0, family: Any = 0) -> list[ResolveResult]:
        """Raises AddressRefused where none is allowed, OSError where there is none."""
        found = await self._resolver.resolve(host, port, family)
        allowed = [each for each in found if refusal_of_address(each["host"], self._reach) is None]
        if found and not allowed:
            raise AddressRefused(refusal_of_address(found[0]["host"], self._reach) or "")
        return allowed

    async def close(self) -> None:
        """There is nothing to close."""
        await self._resolver.close()


def reach_of(settings: Settings) -> Reach:
    """Where deliveries may go on this system."""
    return Reach(production=settings.environment == "production", private=settings.webhook_private_addresses)


def _select_webhook(number: int) -> Select[*tuple[Any, ...]]:
    w = webhooks.c
    return select(w.url, w.secret, w.paused_at).where(w.id == number)


def _pause(number: int, reason: str) -> Update:
    w = webhooks.c
    return (
        update(webhooks)
        .where(w.id == number, w.paused_at.is_(None))
        .values(
            paused_at=func.now(),
            paused_reason=reason,
            row_version=w.row_version + 1,
            updated_at=func.now(),
        )
    )


async def deliver_webhook(entry: Started, resources: Resources) -> Outcome:
    """Send one delivery."""
    number = int(entry.payload["webhook"])
    async with resources.engine.connect() as connection:
        webhook = (await connection.execute(_select_webhook(number))).one_or_none()
    if webhook is None:
        return Dropped("The webhook was deleted.")
    if webhook.paused_at is not None:
        return Failed("The webhook is paused.", final=True)
    reach = reach_of(resources.settings)
    if refusal := refusal_of_url(webhook.url, reach):
        return Failed(refusal, final=True)
    try:
        secret = resources.sealer.open(webhook.secret)
    except CannotOpen as error:
        return Failed(str(error))
    told = {name: entry.payload.get(name) for name in ("timestamp", "data")}
    body = msgspec.json.encode({"type": entry.payload.get("event"), **told})
    headers = signed_headers(secret, message_id=message_id(entry.key), timestamp=int(time.time()), body=body)
    outcome = await post(webhook.url, body, headers, reach)
    if isinstance(outcome, Failed) and outcome.error == GONE:
        async with resources.engine.begin() as connection:
            await connection.execute(_pause(number, GONE))
    return outcome


def message_id(key: str) -> str:
    """The `webhook-id` of a delivery: the same at every attempt."""
    return "msg_" + key.replace("/", "_")


async def post(url: str, body: bytes, headers: Mapping[str, str], reach: Reach) -> Outcome:
    """POST a signed body, and what came of it."""
    connector = aiohttp.TCPConnector(resolver=AllowedAddresses(reach), use_dns_cache=False, force_close=True)
    sent = {**headers, "Content-Type": "application/json", "User-Agent": "metricis-sync"}
    try:
        async with (
            aiohttp.ClientSession(timeout=TIMEOUT, connector=connector) as session,
            session.post(url, data=body, headers=sent, allow_redirects=False) as response,
        ):
            return _outcome(response.status, response.headers.get("Retry-After"))
    except AddressRefused as error:
        return Failed(str(error), final=True)
    except TimeoutError:
        return Failed("The receiver did not answer in time.")
    except (aiohttp.ClientError, OSError) as error:
        refused = _cause(error)
        if refused is not None:
            return Failed(str(refused), final=True)
        return Failed(f"The receiver was not reached: {type(error).__name__}: {error}")


def _cause(error: BaseException | None) -> AddressRefused | None:
    while error is not None and not isinstance(error, AddressRefused):
        error = error.__cause__ or error.__context__
    return error


def _outcome(status: int, retry_after: str | None) -> Outcome:
    if 200 <= status < 300:
        return Done()
    if status == 410:
        return Failed(GONE, final=True)
    given = (retry_after or "")[:7]
    wish = timedelta(seconds=int(given)) if given.isascii() and given.isdecimal() else None
    return Failed(f"The receiver answered {status}.", retry_after=wish)
