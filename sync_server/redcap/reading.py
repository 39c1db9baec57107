"""Reading what REDCap has of a batch's records: the keys before an instance is chosen, the values beside.

A read that fails is never "nothing there". One that comes back smaller than it is cannot be seen, so before
an instance is chosen two reads have to agree on what is there.
"""

from collections.abc import Awaitable, Callable, Sequence
from typing import Final

from reporting.outbox.policy import Postponed
from reporting.redcap.batching import halves
from reporting.redcap.faults import Fault, TooBig
from reporting.redcap.remote import Place, Row, exported_fields, forms_beside, places
from reporting.redcap.withdrawing import known_columns
from sync_server.redcap.batch import Batch, Item, halt
from sync_server.redcap.refusals import AWAY_LOOK, stop

Rows = list[dict[str, str]]
Read = Callable[[Sequence[str]], Awaitable[Rows | Fault]]

MOST_HALVINGS: Final = 12
"""Of a read, before it is left: a proxy that times out says the same as one that has too much."""


async def read_values(batch: Batch, items: Sequence[Item]) -> dict[Place, Row]:
    """What is at the places of the items' forms, in all their records. Raises Halt, NoTurn."""
    forms = _forms(items)
    columns = [name for item in items for name in item.target.values]
    columns += [item.target.key_field for item in items if item.target.key_field is not None]
    columns += [name for item in items for name in known_columns(item.row, batch.dictionary)]
    fields = [*exported_fields(columns), *(f"{form}_complete" for form in forms)]
    events = _events(items)

    async def read(records: Sequence[str]) -> Rows | Fault:
        return await batch.client.read_rows(
            batch.dictionary.record_id, fields=list(dict.fromkeys(fields)), records=records, events=events
        )

    rows = await _all(batch, _records(items), read)
    return places(rows, batch.dictionary, forms, _records(items))


async def read_keys(batch: Batch, items: Sequence[Item]) -> dict[Place, Row]:
    """What is at the places of the items' forms, by key. Raises Halt, NoTurn."""
    forms = _forms(items)
    keys = [item.target.key_field for item in items if item.target.key_field is not None]
    beside = [
        form for item in items for form in forms_beside(batch.dictionary, item.row.event, item.row.form)
    ]
    events = _events(items)

    async def read(records: Sequence[str]) -> Rows | Fault:
        return await batch.client.read_keys(
            batch.dictionary.record_id,
            records=records,
            key_fields=list(dict.fromkeys(keys)),
            events=events,
            forms=list(dict.fromkeys(beside)),
        )

    rows = await _all(batch, _records(items), read)
    return places(rows, batch.dictionary, forms, _records(items))


async def _all(batch: Batch, records: Sequence[str], read: Read) -> Rows:
    found: Rows = []
    waiting = [list(records)]
    halvings = 0
    while waiting:
        part = waiting.pop()
        rows = await read(part)
        if isinstance(rows, TooBig):
            smaller = halves(part)
            halvings += 1
            if smaller is None or halvings > MOST_HALVINGS:
                # A proxy says so too of a server that is away.
                halt(Postponed(f"REDCap cannot be read: {rows.text}", AWAY_LOOK))
            waiting += smaller
        elif isinstance(rows, Fault):
            await stop(batch, rows)
        else:
            found += rows
    return found


def _records(items: Sequence[Item]) -> list[str]:
    return list(dict.fromkeys(item.row.record for item in items))


def _forms(items: Sequence[Item]) -> list[str]:
    return list(dict.fromkeys(item.row.form for item in items))


def _events(items: Sequence[Item]) -> list[str]:
    return list(dict.fromkeys(item.row.event for item in items if item.row.event))
