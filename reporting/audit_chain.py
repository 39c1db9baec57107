"""The audit log as a chain of digests: what was on record cannot be changed without a trace.

Entry B's digest is made from entry A's and from B, so whoever changes A has to make every later digest anew.

    position 1           position 2           position 3
    digest ──────────▶   digest ──────────▶   digest        the last one is the **head**
    = H(start, A)        = H(1's, B)          = H(2's, C)

Entries are written by many transactions at once, and none of them waits for another: the chain is made
afterwards. **Sealing** takes the committed entries that have no place yet, in order of their ids, and appends
them, one sealer at a time (an advisory lock). An entry whose transaction was slow gets a later place than its
id says; it loses nothing by that. Until it is sealed (`SEAL_INTERVAL_S` while the service runs) it can
be changed unseen.

The **details** of an entry (whom it concerns, why, before, after, from where) are in the chain as a salted
digest only. An erasure removes them and the salt: the digest then tells nothing, and the chain holds.

| somebody | `verify` says |
|---|---|
| changes an entry, with triggers off | `changed` |
| deletes an entry | `missing` |
| deletes the newest entries and their places | `unexpected`, where it is told a head from before |
| exchanges places, changes a digest | `broken` |
| adds an entry with a time of the past | `backdated` |
| removes details without an erasure | `unexplained` |
| makes the whole chain anew (the tables' owner can) | `unexpected`, likewise |

So heads are kept elsewhere: the service logs each, `sync-server audit verify` prints the current one.
"""

import hashlib
import secrets
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from typing import Any, Final, Literal

import msgspec
from sqlalchemy import ColumnElement, Connection, Row, Select, Text, cast, func, insert, literal, select
from sqlalchemy.ext.asyncio import AsyncEngine

from reporting.tables import audit_chain, audit_log, erasures

START: Final = bytes(32)
"""What the first digest is made from."""

SEAL_INTERVAL_S: Final = 5.0
BATCH: Final = 1000

NEWEST: Final = 10_000
"""Ids within which a late commit is found without reading the whole log."""

LATEST: Final = timedelta(hours=1)
"""Longest time from the beginning of a transaction to its commit. An entry that says it is older than that,
measured by the newest of the entries sealed before it, was put there afterwards. When they were sealed says
nothing of it: sealing may have been away for days, and finds a log that is older than it.
"""

_LOCK: Final = 0x6175_6469  # "audi"

ERASED: Final = "erased"
"""`entity_id` of an entry whose details are erased."""

_encode = msgspec.json.Encoder(order="deterministic").encode


class Head(msgspec.Struct, frozen=True):
    """The end of the chain: how many entries it has, and the digest of all of them, in hex."""

    position: int
    digest: str


class Break(msgspec.Struct, frozen=True):
    """The first place at which the chain does not hold. `entry` is audit_log.id."""

    kind: Literal["changed", "missing", "broken", "backdated", "unexplained", "unexpected"]
    position: int
    entry: int | None
    message: str


class Verified(msgspec.Struct, frozen=True):
    """What a verification saw: entries in the chain, how many have erased details, how many no place."""

    head: Head
    entries: int
    erased: int
    unsealed: int
    first_break: Break | None = None


def details_text() -> ColumnElement[str]:
    """The details of an entry as Postgres spells the JSON object of them: one text for one content."""
    c = audit_log.c
    members = (c.entity_id, c.reason, c.before, c.after, c.request_id, c.address, c.source)
    pairs = [part for column in members for part in (literal(column.name, Text), column)]
    return cast(func.jsonb_build_object(*pairs), Text)


def seal(connection: Connection, *, most: int = BATCH, whole: bool = True) -> tuple[int, Head]:
    """Give up to `most` committed entries their places; how many, and the head after them.

    One at a time: the lock is held until the transaction ends. Not `whole`: only among the newest entries,
    which costs the same however long the log is.
    """
    connection.execute(select(func.pg_advisory_xact_lock(_LOCK)))
    last = connection.execute(_LAST).one_or_none()
    position, digest = (0, START) if last is None else (last.position, last.digest)
    sealed_at = connection.execute(select(func.clock_timestamp())).scalar_one()
    rows = []
    newest = connection.execute(select(func.max(audit_chain.c.entry))).scalar_one()
    unsealed = _UNSEALED if whole or newest is None else _UNSEALED.where(audit_log.c.id > newest - NEWEST)
    for entry in connection.execute(unsealed.limit(most)).all():
        salt = secrets.token_bytes(16)
        details = details_digest(salt, entry.details)
        position += 1
        digest = chain_digest(digest, position, entry, details, sealed_at)
        rows.append(
            {
                "position": position,
                "entry": entry.id,
                "salt": salt,
                "details_digest": details,
                "digest": digest,
                "sealed_at": sealed_at,
            }
        )
    if rows:
        connection.execute(insert(audit_chain), rows)
    return len(rows), Head(position, digest.hex())


async def seal_all(engine: AsyncEngine, *, whole: bool = True) -> Head:
    """Seal what is committed, in transactions of `BATCH`; the head after it."""
    while True:
        async with engine.begin() as connection:
            sealed, head = await connection.run_sync(lambda c: seal(c, whole=whole))
        if sealed < BATCH:
            return head


def details_digest(salt: bytes, details: str) -> bytes:
    """What the chain holds of an entry's details."""
    return hashlib.sha256(salt + details.encode()).digest()


def chain_digest(before: bytes, position: int, entry: Row[Any], details: bytes, sealed_at: datetime) -> bytes:
    """The digest of the place that follows the one with the digest `before`."""
    kept = [
        position,
        entry.id,
        entry.at.astimezone(UTC).isoformat(),
        entry.actor,
        entry.actor_kind,
        entry.role,
        entry.action,
        entry.entity,
        entry.site,
        entry.study,
        details.hex(),
        sealed_at.astimezone(UTC).isoformat(),
    ]
    return hashlib.sha256(before + _encode(kept)).digest()


def verify(connection: Connection, *, expect: str | None = None) -> Verified:
    """Compare every entry with the chain. `expect`: a head told earlier (hex), which has to be in it.

    Reads all of it once, in constant memory. Seals nothing.
    """
    digest, position, erased = START, 0, 0
    newest_before: datetime | None = None
    found: Break | None = None
    expected_seen = expect is None
    for place in _places(connection):
        position += 1
        if found is None:
            found = _look(place, position, digest, newest_before)
        erased += place.erasure is not None
        digest = place.digest
        if place.at is not None and (newest_before is None or place.at > newest_before):
            newest_before = place.at
        expected_seen = expected_seen or place.digest.hex() == expect
    if found is None and not expected_seen:
        found = Break("unexpected", position, None, f"The chain does not hold the digest {expect}.")
    unsealed = connection.execute(_COUNT_UNSEALED).scalar_one()
    return Verified(Head(position, digest.hex()), position, erased, unsealed, found)


def _look(  # noqa: PLR0911 (one a row of the table)
    place: Row[Any], position: int, before: bytes, newest_before: datetime | None
) -> Break | None:
    if place.position != position:
        return Break("missing", position, None, f"Place {position} is not in the chain.")
    if place.id is None:
        return Break(
            "missing", position, place.entry, f"Entry {place.entry} is not in the audit log any more."
        )
    if place.erasure is None and (
        place.salt is None or details_digest(place.salt, place.details) != place.details_digest
    ):
        return Break("changed", position, place.entry, f"The details of entry {place.entry} were changed.")
    if place.erasure is not None and place.erasure_state is None:
        message = f"The details of entry {place.entry} were removed, and there is no such erasure."
        return Break("unexplained", position, place.entry, message)
    if chain_digest(before, position, place, place.details_digest, place.sealed_at) != place.digest:
        message = f"Entry {place.entry}, or its place in the chain, was changed."
        return Break("broken", position, place.entry, message)
    if newest_before is not None and place.at < newest_before - LATEST:
        message = f"Entry {place.entry} says it is of {place.at.isoformat()}; it was added after later ones."
        return Break("backdated", position, place.entry, message)
    return None


def _places(connection: Connection) -> Iterator[Row[Any]]:
    rows: Any = connection.execute(_PLACES.execution_options(yield_per=BATCH))
    yield from rows


def _unsealed(*columns: ColumnElement[Any]) -> Select[*tuple[Any, ...]]:
    in_chain = select(audit_chain.c.entry).where(audit_chain.c.entry == audit_log.c.id)
    return select(*columns).where(~in_chain.exists(), audit_log.c.erasure.is_(None))


_KEPT = [audit_log.c[name] for name in ("at", "actor", "actor_kind", "role", "action", "entity")]
_KEPT += [audit_log.c.site, audit_log.c.study]
_LAST = select(audit_chain.c.position, audit_chain.c.digest).order_by(audit_chain.c.position.desc()).limit(1)
_UNSEALED = _unsealed(audit_log.c.id, *_KEPT, details_text().label("details")).order_by(audit_log.c.id)
_COUNT_UNSEALED = _unsealed(func.count())
_PLACES = (
    select(
        *audit_chain.c,
        audit_log.c.id,
        *_KEPT,
        audit_log.c.erasure,
        details_text().label("details"),
        erasures.c.state.label("erasure_state"),
    )
    .select_from(
        audit_chain.outerjoin(audit_log, audit_log.c.id == audit_chain.c.entry).outerjoin(
            erasures, erasures.c.id == audit_log.c.erasure
        )
    )
    .order_by(audit_chain.c.position)
)
