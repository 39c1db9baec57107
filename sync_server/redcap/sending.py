"""Sending rows: requests of at most 100 rows, one row a record, so that a refusal's line names one row.

Payload and hash are committed before each request; an instance is always named, so that whatever is sent
twice is written once.

| what came back | follows |
|---|---|
| the records | accepted; read back later |
| refused for values of some rows | these are parked, the others are sent again |
| refused, and it cannot be read for which | halved, until one row stands alone: that one is parked |
| too big | halved; a single row fails |
| nothing that is known | no more is sent in this batch: what is not there at the read-back is tried later |
| … three times for a row | it is sent alone, after the others: the row may be what the host cannot bear |
| the project or the host refuses | `refusals.stop` |
"""

from collections.abc import Sequence
from datetime import timedelta
from typing import Final

from reporting.outbox.policy import Failed, Postponed
from reporting.redcap.batching import batches, halves, json_bytes
from reporting.redcap.faults import (
    BadRows,
    BadValue,
    Fault,
    Locked,
    TooBig,
    UnknownOutcome,
    Unreadable400,
    faulty_rows,
)
from reporting.redcap.remote import import_row
from sync_server.redcap.batch import Batch, Item
from sync_server.redcap.refusals import stop, text_of
from sync_server.redcap.settling import accept, later, mark

MOST_TOO_BIG: Final = 10
"""In a batch: a proxy that times out says the same as a server that has too much at once."""

ALONE_AFTER: Final = 3
"""Attempts that failed."""

NEXT_JOB: Final = Postponed("The job was long enough; another goes on.", timedelta())
AFTER_FAILURE: Final = Postponed("REDCap did not answer for another session.", timedelta(seconds=10))


async def send(batch: Batch, items: Sequence[Item]) -> tuple[list[Item], list[Item]]:
    """Those that REDCap says it has, and those of which it is not known. Raises Halt, NoTurn."""
    alone = [item for item in items if batch.attempts.get(item.entry, 0) >= ALONE_AFTER]
    together = [item for item in items if batch.attempts.get(item.entry, 0) < ALONE_AFTER]
    waiting = batches(
        together, record=lambda item: item.row.record, size=lambda item: json_bytes(_row(batch, item))
    )
    waiting += [[item] for item in alone]
    accepted: list[Item] = []
    too_big = 0
    first = True
    while waiting:
        if batch.is_over() and not first:
            for item in _flat(waiting):
                later(batch, item, NEXT_JOB)
            break
        first = False
        part = await mark(batch, waiting.pop(0))
        if not part:
            continue
        fault = await _import(batch, part)
        if fault is None:
            await accept(batch, part)
            accepted += [item for item in part if not item.is_concluded]
            continue
        await _tell(batch, part, fault)
        if isinstance(fault, UnknownOutcome):
            for item in _flat(waiting):
                later(batch, item, AFTER_FAILURE)
            return accepted, part
        too_big += isinstance(fault, TooBig)
        waiting[:0] = await _smaller(batch, part, fault, may_halve=too_big <= MOST_TOO_BIG)
    return accepted, []


async def _smaller(batch: Batch, items: Sequence[Item], fault: Fault, *, may_halve: bool) -> list[list[Item]]:
    """What is sent instead. Raises Halt, NoTurn."""
    if isinstance(fault, BadRows | Locked | Unreadable400):
        return await _without_refused(batch, items, fault)
    if not isinstance(fault, TooBig):
        await stop(batch, fault)
    smaller = halves(items)
    if smaller is not None and may_halve:
        return list(smaller)
    for item in items:
        later(batch, item, Failed(f"REDCap: {fault.text}"))
    return []


async def _import(batch: Batch, items: Sequence[Item]) -> Fault | None:
    for item in items:
        item.sends += 1
    answer = await batch.client.import_rows([_row(batch, item) for item in items])
    return answer if isinstance(answer, Fault) else None


async def _tell(batch: Batch, items: Sequence[Item], fault: Fault) -> None:
    attempts = [batch.attempt(item, item.action, type(fault).__name__, text_of(fault)) for item in items]
    async with batch.engine.begin() as connection:
        await batch.record(connection, attempts)


async def _without_refused(
    batch: Batch, items: Sequence[Item], fault: BadRows | Locked | Unreadable400
) -> list[list[Item]]:
    lines = () if isinstance(fault, Unreadable400) else fault.lines
    refused = faulty_rows(lines, [item.row.record for item in items]) if lines else None
    if refused:
        await batch.park([(items[index], _reason(of_row)) for index, of_row in refused.items()])
        rest = [item for index, item in enumerate(items) if index not in refused]
        return [rest] if rest else []
    smaller = halves(items)
    if smaller is None:
        prefix = "locked: " if isinstance(fault, Locked) else ""
        await batch.park([(items[0], prefix + text_of(fault))])
        return []
    return list(smaller)


def _reason(lines: Sequence[BadValue]) -> str:
    prefix = "locked: " if all(line.locked for line in lines) else ""
    return prefix + "; ".join(f"{line.field}: {line.message} ({line.value})" for line in lines)


def _row(batch: Batch, item: Item) -> dict[str, str]:
    target = item.target
    return import_row(batch.dictionary, target.address, target.repeat, item.row.instance or 1, target.values)


def _flat(parts: Sequence[Sequence[Item]]) -> list[Item]:
    return [item for part in parts for item in part]
