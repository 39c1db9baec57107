"""`/api/webhooks`: who is told what happened.

A webhook's secret is made here, answered once, and kept sealed. Its deliveries are entries of the outbox.
"""

import asyncio
import secrets
import socket
import uuid
from datetime import UTC, datetime
from typing import Annotated, Any
from urllib.parse import urlsplit

import msgspec
from msgspec import UNSET, Meta, UnsetType
from sqlalchemy import func

from reporting.outbox.entry import enter_once
from reporting.outbox.jobs import JobRow, select_deliveries
from reporting.tables import outbox, webhooks
from reporting.webhooks.addresses import refusal_of_address, refusal_of_url
from reporting.webhooks.events import EventName
from reporting.webhooks.fan_out import delivery
from reporting.webhooks.signature import SECRET_BYTES, secret_of
from reporting.webhooks.statements import (
    WebhookRow,
    delete_webhook,
    insert_webhook,
    select_webhooks,
    update_webhook,
)
from sync_server.api.call import Call, ListQuery, Nothing, PageOf
from sync_server.api.route import Route, delete, get, patch, post
from sync_server.api.study_rows import require_study
from sync_server.errors import InvalidRequest, NotFound
from sync_server.jobs.webhooks import reach_of
from sync_server.keys import SEALER, SETTINGS

LOOK_UP_SECONDS = 2.0

Url = Annotated[str, Meta(min_length=1, max_length=2000, description="https://…; http:// in development")]
Description = Annotated[str, Meta(max_length=1000)]
Events = Annotated[list[EventName], Meta(min_length=1, max_length=50)]
StudyCode = Annotated[str, Meta(min_length=1, max_length=200)]


class NewWebhook(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """`study` null: events of all studies, and those that belong to none."""

    url: Url
    events: Events
    study: StudyCode | None = None
    description: Description = ""


class WebhookChanges(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """What is given is changed. The study stays: whoever wants another one makes another webhook."""

    url: Url | UnsetType = UNSET
    events: Events | UnsetType = UNSET
    description: Description | UnsetType = UNSET
    paused: bool | UnsetType = UNSET


class WebhookWithSecret(WebhookRow, frozen=True):
    """`secret` is shown this once."""

    secret: str


class Delivery(msgspec.Struct, frozen=True):
    """What will be sent: `id` is its job's."""

    id: int


class DeliveryQuery(ListQuery, frozen=True, kw_only=True):
    """A page of deliveries."""

    state: Annotated[str, Meta(min_length=1, max_length=20)] | None = None


async def list_webhooks(call: Call[ListQuery, Nothing]) -> PageOf[WebhookRow]:
    """Webhooks, newest first. Sorted by `id`, `url` or `created_at`."""
    matching = select_webhooks(call.caller.scope("webhooks.manage"))
    sortable = {name: webhooks.c[name] for name in ("id", "url", "created_at")}
    return await call.page(WebhookRow, matching, sortable=sortable, key=[webhooks.c.id.desc()])


async def create_webhook(call: Call[Nothing, NewWebhook]) -> WebhookWithSecret:
    """Have events told to a URL. The answer shows the secret that deliveries are signed with, this once."""
    body = call.body
    if body.study is None:
        call.caller.require_everywhere("webhooks.manage")
    else:
        call.caller.require("webhooks.manage", body.study)
        await require_study(call, body.study)
    await require_allowed(call, body.url)
    secret = secret_of(secrets.token_bytes(SECRET_BYTES))
    made = await call.connection.execute(
        insert_webhook(
            url=body.url,
            description=body.description,
            events=sorted(set(body.events)),
            study=body.study,
            secret=call.request.app[SEALER].seal(secret),
            created_by=call.caller.person.email,
        )
    )
    row = WebhookRow(*made.one())
    await call.record("webhook.create", "webhook", str(row.id), study=row.study, after=_audited(row))
    return WebhookWithSecret(**msgspec.structs.asdict(row), secret=secret)


async def get_webhook(call: Call[Nothing, Nothing]) -> WebhookRow:
    """One webhook."""
    return await _webhook(call)


async def change_webhook(call: Call[Nothing, WebhookChanges]) -> WebhookRow:
    """Change its URL, events or description; pause it, or have it go on.

    While it is paused no events are kept for it; what was waiting is given up, and may be retried as jobs.
    """
    before = await _webhook(call, lock=True)
    call.match(before.row_version)
    body = call.body
    changes: dict[str, Any] = {}
    if body.url is not UNSET:
        await require_allowed(call, body.url)
        changes["url"] = body.url
    if body.events is not UNSET:
        changes["events"] = sorted(set(body.events))
    if body.description is not UNSET:
        changes["description"] = body.description
    if body.paused is not UNSET and body.paused != (before.paused_at is not None):
        changes["paused_at"] = func.now() if body.paused else None
        changes["paused_reason"] = f"By {call.caller.person.email}." if body.paused else None
    after = WebhookRow(*(await call.connection.execute(update_webhook(before.id, changes))).one())
    await call.record(
        "webhook.update",
        "webhook",
        str(after.id),
        study=after.study,
        before=_audited(before),
        after=_audited(after),
    )
    return after


async def remove_webhook(call: Call[Nothing, Nothing]) -> None:
    """Delete a webhook; what was waiting for it is not sent."""
    before = await _webhook(call, lock=True)
    call.match(before.row_version)
    await call.connection.execute(delete_webhook(before.id))
    await call.record(
        "webhook.delete", "webhook", str(before.id), study=before.study, before=_audited(before)
    )


async def rotate_secret(call: Call[Nothing, Nothing]) -> WebhookWithSecret:
    """Make another secret, shown this once; from now on deliveries are signed with it, also repeated ones."""
    before = await _webhook(call, lock=True)
    call.match(before.row_version)
    secret = secret_of(secrets.token_bytes(SECRET_BYTES))
    changes = {"secret": call.request.app[SEALER].seal(secret)}
    after = WebhookRow(*(await call.connection.execute(update_webhook(before.id, changes))).one())
    await call.record("webhook.rotate_secret", "webhook", str(after.id), study=after.study)
    return WebhookWithSecret(**msgspec.structs.asdict(after), secret=secret)


async def send_test(call: Call[Nothing, Nothing]) -> Delivery:
    """Send a `webhook.test` to it, as any delivery is sent; what became of it stands in its deliveries."""
    webhook = await _webhook(call)
    entry = delivery(
        webhook.id,
        f"test-{uuid.uuid4().hex}",
        name="webhook.test",
        at=datetime.now(UTC),
        data={"webhook": webhook.id},
        study=webhook.study,
    )
    number = await call.connection.scalar(enter_once([entry]).returning(outbox.c.id))
    await call.record("webhook.test", "webhook", str(webhook.id), study=webhook.study)
    return Delivery(number or 0)


async def list_deliveries(call: Call[DeliveryQuery, Nothing]) -> PageOf[JobRow]:
    """What was sent to a webhook or waits to be, newest first; filter `state`."""
    webhook = await _webhook(call)
    matching = select_deliveries(webhook.id)
    if call.query.state is not None:
        matching = matching.where(outbox.c.state == call.query.state)
    return await call.page(
        JobRow,
        matching,
        sortable={"id": outbox.c.id, "created_at": outbox.c.created_at},
        key=[outbox.c.id.desc()],
    )


async def _webhook(call: Call[Any, Any], *, lock: bool = False) -> WebhookRow:
    scope, number = call.caller.scope("webhooks.manage"), call.number("id")
    statement = select_webhooks(scope).where(webhooks.c.id == number)
    row = (await call.connection.execute(statement.with_for_update() if lock else statement)).one_or_none()
    if row is None:
        raise NotFound(f"There is no webhook {call.path('id')[:40]}.")
    return WebhookRow(*row)


async def require_allowed(call: Call[Any, Any], url: str) -> None:
    """Raises InvalidRequest. A name that cannot be looked up now is taken: it is looked at again when it is
    sent to.
    """
    reach = reach_of(call.request.app[SETTINGS])
    refusal = refusal_of_url(url, reach)
    if refusal is None:
        host = urlsplit(url).hostname or ""
        try:
            async with asyncio.timeout(LOOK_UP_SECONDS):
                found = await asyncio.get_running_loop().getaddrinfo(host, None, type=socket.SOCK_STREAM)
        except (OSError, UnicodeError):
            found = []
        refusals = [refusal_of_address(str(each[4][0]), reach) for each in found]
        refusal = refusals[0] if refusals and all(refusals) else None
    if refusal is not None:
        raise InvalidRequest(f"url: {refusal}", details={"path": "$.url"})


def _audited(row: WebhookRow) -> dict[str, Any]:
    return {
        "url": row.url,
        "events": row.events,
        "description": row.description,
        "paused": row.paused_at is not None,
    }


_CHANGES = (412, 428)

ROUTES: list[Route] = [
    get("/api/webhooks", list_webhooks, right="webhooks.manage"),
    post("/api/webhooks", create_webhook, right="webhooks.manage", status=201, secret=True),
    get("/api/webhooks/{id}", get_webhook, right="webhooks.manage"),
    patch("/api/webhooks/{id}", change_webhook, right="webhooks.manage", errors=_CHANGES),
    delete("/api/webhooks/{id}", remove_webhook, right="webhooks.manage", status=204, errors=_CHANGES),
    post(
        "/api/webhooks/{id}/rotate-secret",
        rotate_secret,
        right="webhooks.manage",
        errors=_CHANGES,
        secret=True,
    ),
    post("/api/webhooks/{id}/test", send_test, right="webhooks.manage", status=202),
    get("/api/webhooks/{id}/deliveries", list_deliveries, right="webhooks.manage"),
]
