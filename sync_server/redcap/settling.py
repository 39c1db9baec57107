"""What is written into the ledger once it is known what REDCap has: instances, rows done, rows retired.

Each in one transaction with its attempts. A row that is not the taker's any more changes nothing; where it
was sent, its session is entered again and is read back by whoever has it (`unsettle`).
"""

from collections.abc import Collection, Mapping, Sequence
from datetime import timedelta
from typing import Final

from sqlalchemy.ext.asyncio import AsyncConnection

from reporting.outbox.policy import Failed, Postponed
from reporting.redcap.allocation import allocate
from reporting.redcap.attempts import payload_digest, payload_text
from reporting.redcap.ledger import (
    LedgerRow,
    change,
    change_all,
    given_instances,
    mark_sent,
    settle,
    unsettle,
)
from reporting.redcap.ledger import give_instances as ledger_give_instances
from reporting.redcap.remote import Place, Row, repeat_of
from reporting.redcap.requests import push_again, push_others_of
from reporting.redcap.target import Address
from sync_server.redcap.batch import Batch, Item
from sync_server.redcap.locking import LOOK_AGAIN
from sync_server.redcap.reading import read_keys

ONCE_MORE: Final = timedelta(minutes=10)
"""After which a request whose answer was lost is not on its way any more."""

OUTDATED: Final = Postponed("Another worker has the session.", LOOK_AGAIN)


async def read_given(batch: Batch, items: Sequence[Item]) -> dict[Address, set[int]]:
    """The instances that the ledger has given at the items' addresses."""
    found: dict[Address, set[int]] = {}
    addresses = {item.row.address for item in items}
    if addresses:
        async with batch.engine.connect() as connection:
            given = await connection.execute(given_instances(batch.project, addresses))
            for record, event, form, instance in given:
                found.setdefault(Address(record, event, form), set()).add(instance)
    return found


async def give_instances(batch: Batch, items: Sequence[Item], values: Mapping[Place, Row]) -> None:
    """Choose an instance for rows that have none. `values` have just been read; the keys are read again."""
    if not items:
        return
    keys = await read_keys(batch, items)
    given = await read_given(batch, items)
    by_address: dict[Address, list[Item]] = {}
    for item in items:
        by_address.setdefault(item.row.address, []).append(item)
    chosen: list[tuple[Item, int, bool, str | None]] = []
    for address, at in by_address.items():
        key = at[0].target.key_field or ""
        remote = {place.instance: row.get(key, "") for place, row in keys.items() if place.address == address}
        read = {place.instance: row.get(key, "") for place, row in values.items() if place.address == address}
        beside = repeat_of(batch.dictionary, address.event, address.form) == "event"
        if any(remote.get(number) != uid for number, uid in read.items()) or (
            not beside and remote.keys() - read.keys()
        ):
            for item in at:
                later(batch, item, Failed("Two reads of REDCap differ in what is there."))
            continue
        uids = {item.row.uid: item.row.uid for item in at}
        allocation = allocate(uids, remote.items(), given.get(address, set()))
        for item in at:
            uid = item.row.uid
            also = allocation.also.get(uid)
            told = f"its uid is in instances {also} too" if also else None
            chosen.append((item, allocation.instances[uid], uid in allocation.adopted, told))
    async with batch.engine.begin() as connection:
        attempts = []
        held: set[int] = set()
        if chosen:
            giving = ledger_give_instances([(item.row, instance) for item, instance, _, _ in chosen])
            held = set((await connection.execute(giving)).scalars())
        for item, instance, adopted, told in chosen:
            if item.row.id not in held:
                later(batch, item, OUTDATED)
                continue
            item.row = _with_instance(item.row, instance)
            attempts.append(batch.attempt(item, "allocate", "adopted" if adopted else "new", told))
        await batch.record(connection, attempts)


async def move(batch: Batch, item: Item, instance: int | None) -> None:
    """The row is at another instance than the ledger said; None: it has to get a new one."""
    state = "pending" if instance is None else "sent"
    async with batch.engine.begin() as connection:
        changed = await connection.execute(change(item.row, instance=instance, state=state))
        if changed.scalar_one_or_none() is None:
            later(batch, item, OUTDATED)
            return
        told = "the instance is another's" if instance is None else "found by its uid"
        attempt = batch.attempt(item, "allocate", "lost" if instance is None else "adopted", told)
        await batch.record(connection, [attempt])
    item.row = _with_instance(item.row, instance)


async def mark(batch: Batch, items: Sequence[Item]) -> list[Item]:
    """Before they are sent: payload and hash are on record. Those that may be sent."""
    await batch.still_held()
    async with batch.engine.begin() as connection:
        held = set((await connection.execute(mark_sent(_payloads(items)))).scalars())
    return _held(batch, items, held)


async def accept(batch: Batch, items: Sequence[Item]) -> None:
    """REDCap has said that it has them."""
    async with batch.engine.begin() as connection:
        rows = [item.row for item in items]
        held = set((await connection.execute(change_all(rows, state="accepted"))).scalars())
        await batch.record(connection, [batch.attempt(item, item.action, "accepted") for item in items])
        lost = [row.id for row in rows if row.id not in held]
        if lost:
            asked = (await connection.execute(unsettle(lost))).all()
            if asked:
                await connection.execute(push_again((study, site, session) for study, site, session in asked))
    _held(batch, items, held)


async def conclude(batch: Batch, items: Sequence[Item]) -> None:
    """REDCap has them as they have to be: done, or retired. Where a former request may still be on its way,
    it is looked at once more.
    """
    if not items:
        return
    withdrawn = [item for item in items if item.withdraws and not item.in_flight]
    writes = [item for item in items if item not in withdrawn]
    async with batch.engine.begin() as connection:
        held: set[int] = set()
        if writes:
            unsent = [item for item in writes if item.sends == 0]
            if unsent:
                await connection.execute(mark_sent(_payloads(unsent)))
            held |= set((await connection.execute(settle([item.row for item in writes]))).scalars())
        if withdrawn:
            rows = [item.row for item in withdrawn]
            retired = change_all(rows, state="retired", reason=batch.mapping.withdrawn)
            held |= set((await connection.execute(retired)).scalars())
            for item in withdrawn:
                await make_room(connection, batch, item.row)
        await batch.record(connection, [batch.attempt(item, "read_back", "equal") for item in items])
    for item in _held(batch, items, held):
        item.is_concluded = True
        item.is_done = not (item.withdraws and item.in_flight)
        if item.in_flight:
            later(batch, item, Postponed("An answer was lost: it is looked at once more.", ONCE_MORE))


async def make_room(connection: AsyncConnection, batch: Batch, row: LedgerRow) -> None:
    """Where a form does not repeat, another session was parked for the one that has left it, perhaps."""
    if repeat_of(batch.dictionary, row.event, row.form) == "none":
        await connection.execute(push_others_of(batch.study, row.record, row.session))


def later(batch: Batch, item: Item, outcome: Failed | Postponed) -> None:
    """Nothing more is done for the item in this batch."""
    item.is_concluded = True
    batch.verdicts.later(item.entry, outcome)


def _held(batch: Batch, items: Sequence[Item], held: Collection[int]) -> list[Item]:
    for item in items:
        if item.row.id not in held:
            later(batch, item, OUTDATED)
    return [item for item in items if item.row.id in held]


def _payloads(items: Sequence[Item]) -> list[tuple[LedgerRow, str, bytes]]:
    return [
        (item.row, payload_text(item.target.values), payload_digest(item.target.values)) for item in items
    ]


def _with_instance(row: LedgerRow, instance: int | None) -> LedgerRow:
    return LedgerRow(**{name: getattr(row, name) for name in row.__struct_fields__} | {"instance": instance})
