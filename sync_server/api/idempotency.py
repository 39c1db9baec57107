"""A POST that is sent again does its work once: `Idempotency-Key`.

The key is entered in the transaction of the work, before it, and the answer with it: they are there together
or not at all. Answers are sealed, for some tell contacts; they are kept for a day.

| sent again | answer |
|---|---|
| after the first was committed | the first one's, with `Idempotent-Replayed: true` |
| while the first is at work | the same: its entry is waited for, by Postgres |
| after the first was refused, or the process died | it is the first: nothing was kept |
| with another body, or to another route | 422 |
| after what the caller may do has changed | 422: nothing is done again, and nothing told |
| where the answer held a secret, which is told once | 409: it is done |
| after a day | it is done again |
| to a route that heeds no key, and does its work twice | 422, at the first time |
"""

import hashlib
import re
from datetime import timedelta
from typing import Any

import msgspec
from aiohttp import web
from sqlalchemy import Delete, Update, delete, func, select, tuple_, update
from sqlalchemy.dialects.postgresql import insert
from sqlalchemy.ext.asyncio import AsyncConnection
from sqlalchemy.sql.dml import ReturningInsert

from reporting.tables import idempotency_keys
from sync_server.api.bodies import BODY_BYTES
from sync_server.errors import InvalidRequest, NotPossible
from sync_server.identity.callers import Caller
from sync_server.keys import SEALER

HEADER = "Idempotency-Key"
REPLAYED = "Idempotent-Replayed"

KEPT = timedelta(hours=24)

_SWEPT = 100
"""Expired entries that each new one takes away with it."""

_KEY = re.compile(r"[\x20-\x7e]{1,255}")
_KEPT_HEADERS = ("Content-Type", "ETag", "Location")

_c = idempotency_keys.c


class Key(msgspec.Struct, frozen=True):
    """A key, and what it was sent with. `request`: method, target, and a digest of what the caller may do."""

    person: int
    key: str
    request: str
    body_sha256: bytes


def read_key(request: web.Request, caller: Caller) -> Key | None:
    """The key of a request whose body was read. Raises InvalidRequest."""
    given = request.headers.get(HEADER)
    if given is None:
        return None
    return make_key(caller, given, f"{request.method} {request.path_qs}", request.get(BODY_BYTES, b""))


def make_key(caller: Caller, given: str, target: str, body: bytes) -> Key:
    """The key `given` for a request: `target` is its method and path. Raises InvalidRequest."""
    if not _KEY.fullmatch(given):
        raise InvalidRequest(f"{HEADER} has 1 to 255 printable ASCII characters.", details={"header": HEADER})
    digest = hashlib.sha256(body).digest()
    grants = sorted((grant.role, grant.part.study or "", grant.part.site or "") for grant in caller.grants)
    # An answer may tell what its reader has lost the right to.
    rights = hashlib.sha256(msgspec.json.encode(grants)).hexdigest()[:32]
    return Key(caller.person.id, given, f"{target} {rights}", digest)


def refuse_key(request: web.Request) -> None:
    """Who sends a key relies on it: where it would be of no effect they are told. Raises InvalidRequest."""
    if HEADER in request.headers:
        raise InvalidRequest(
            f"{HEADER} has no effect on this route: look what is there before you send it again, without it.",
            details={"header": HEADER},
        )


async def earlier_answer(request: web.Request, connection: AsyncConnection, key: Key) -> web.Response | None:
    """What was answered to this key; None: it is entered now. Raises InvalidRequest, NotPossible."""
    await connection.execute(forget_expired(_SWEPT))
    if (await connection.execute(_enter(key))).one_or_none() is not None:
        return None
    found = (
        await connection.execute(
            select(_c.request, _c.body_sha256, _c.status, _c.headers, _c.answer).where(
                _c.person == key.person, _c.key == key.key
            )
        )
    ).one()
    if (found.request, found.body_sha256) != (key.request, key.body_sha256):
        raise InvalidRequest(
            f"This {HEADER} was sent with another request, or with other rights: take a new one.",
            details={"header": HEADER},
        )
    if found.answer is None:
        raise NotPossible("This was done; its answer is told once only, for it holds a secret.")
    body = request.app[SEALER].open(found.answer).encode()
    return web.Response(status=found.status, body=body, headers={**found.headers, REPLAYED: "true"})


async def keep_answer(
    request: web.Request,
    connection: AsyncConnection,
    key: Key,
    response: web.StreamResponse,
    *,
    secret: bool,
) -> None:
    """Keep an answer for who sends its key again; that of a stream, or a secret, only as done."""
    values: dict[str, Any] = {"status": response.status}
    body = response.body if isinstance(response, web.Response) else None
    if not secret and isinstance(response, web.Response) and (body is None or isinstance(body, bytes)):
        values["headers"] = {
            name: response.headers[name] for name in _KEPT_HEADERS if name in response.headers
        }
        values["answer"] = request.app[SEALER].seal((body or b"").decode())
    await connection.execute(_keep(key, values))


def _enter(key: Key) -> ReturningInsert[str]:
    """Enter a key, unless it is there and has not expired. Waits for whoever is entering the same."""
    fresh = {**msgspec.structs.asdict(key), "created_at": func.now()}
    return (
        insert(idempotency_keys)
        .values(fresh)
        .on_conflict_do_update(
            index_elements=["person", "key"],
            set_={**fresh, "status": None, "headers": None, "answer": None},
            where=_c.created_at < func.now() - KEPT,
        )
        .returning(_c.key)
    )


def _keep(key: Key, values: dict[str, Any]) -> Update:
    return update(idempotency_keys).where(_c.person == key.person, _c.key == key.key).values(values)


def forget_expired(limit: int) -> Delete:
    """Statement: take away keys that have expired, but those that another transaction is taking away."""
    expired = (
        select(_c.person, _c.key)
        .where(_c.created_at < func.now() - KEPT)
        .limit(limit)
        .with_for_update(skip_locked=True)
    )
    return delete(idempotency_keys).where(tuple_(_c.person, _c.key).in_(expired))
