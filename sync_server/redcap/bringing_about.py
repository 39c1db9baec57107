"""From rows and targets to REDCap having them: read, choose instances, send, read back.

    read values ─▶ equal? ─▶ done                                      ┌─ equal ─▶ done
         └─▶ (no instance: read keys, choose) ─▶ send ─▶ read values ──┼─ differs ─▶ once more, then parked
                                                                       ├─ another's ─▶ later: a new instance
                                                                       └─ not there ─▶ later

One read for all that the batch's records have: it finds our uids wherever they are, tells what a restart has
to know of rows that were sent, and is what a refusal's line is compared with.
"""

from collections.abc import Mapping, Sequence
from typing import Final

from reporting.outbox.policy import Failed, Postponed
from reporting.redcap.deciding import Equal, Gone, Lost, Moved, Write, decide
from reporting.redcap.remote import Place, Row, differing
from sync_server.redcap.batch import Batch, Item
from sync_server.redcap.locking import LOOK_AGAIN
from sync_server.redcap.reading import read_values
from sync_server.redcap.sending import send
from sync_server.redcap.settling import conclude, give_instances, later, move, read_given

MOST_SENDS: Final = 2
"""Of a row in a batch whose values come back otherwise than they were sent."""


async def bring_about(batch: Batch, items: Sequence[Item]) -> None:
    """REDCap has these, or it is told why not. Raises Halt, NoTurn."""
    items = _of_one_spelling(batch, items)
    if not items:
        return
    values = await read_values(batch, items)
    unequal = await _compare(batch, items, values)
    await give_instances(batch, [item for item in _open(unequal) if item.row.instance is None], values)
    to_send = await _compare_adopted(batch, _open(unequal), values)
    while to_send:
        accepted, unknown = await send(batch, to_send)
        looked_at = _open([*accepted, *unknown])
        if not looked_at:
            return
        values = await read_values(batch, looked_at)
        to_send = await _read_back(batch, looked_at, unknown, values)


def _of_one_spelling(batch: Batch, items: Sequence[Item]) -> list[Item]:
    """Without those whose record REDCap takes for another one's of the batch, `AB1` for `ab1`: what each is
    given there has to be seen by the other.
    """
    spelled: dict[str, str] = {}
    for item in items:
        first = spelled.setdefault(item.row.record.casefold(), item.row.record)
        if first != item.row.record:
            why = f"Its record is spelled {first} too, and that one is at work."
            later(batch, item, Postponed(why, LOOK_AGAIN))
    return _open(items)


async def _compare(
    batch: Batch, items: Sequence[Item], values: Mapping[Place, Row], *, is_sure: bool = False
) -> list[Item]:
    """Those that are not as they have to be. `is_sure`: it has been read twice."""
    given = await read_given(batch, items)
    equal: list[Item] = []
    gone: list[Item] = []
    unequal: list[Item] = []
    for item in items:
        if item.row.instance is None:
            unequal.append(item)
            continue
        address = item.row.address
        there = {place.instance: row for place, row in values.items() if place.address == address}
        decided = decide(
            item.row,
            item.target,
            there,
            given.get(address, set()),
            batch.dictionary,
            withdraws=item.withdraws,
        )
        match decided:
            case Equal():
                item.in_flight = False
                # Nothing has to be on record of a row that is as it was.
                is_known = item.row.state == "done" and item.row.payload == item.target.values
                item.is_concluded = is_known and not item.withdraws
                equal += [] if item.is_concluded else [item]
            case Gone():
                gone.append(item)
            case Moved(instance):
                await move(batch, item, instance)
                unequal.append(item)
            case Lost():
                await move(batch, item, None)
                unequal.append(item)
            case Write(found):
                item.before = found
                unequal.append(item)
    if gone and is_sure:
        equal += gone
    elif gone:
        # An answer may lack rows; nothing looks at a row again that is retired.
        unequal += await _compare(batch, gone, await read_values(batch, gone), is_sure=True)
    await conclude(batch, equal)
    return unequal


async def _compare_adopted(batch: Batch, items: Sequence[Item], values: Mapping[Place, Row]) -> list[Item]:
    """What was found by its uid may be as it has to be already."""
    equal = []
    for item in items:
        found = values.get(Place(item.row.address, item.row.instance or 0))
        if found is not None and not item.withdraws and not differing(item.target.values, found):
            equal.append(item)
    await conclude(batch, equal)
    return _open(items)


async def _read_back(
    batch: Batch, items: Sequence[Item], unknown: Sequence[Item], values: Mapping[Place, Row]
) -> list[Item]:
    """Those that are to be sent once more."""
    equal: list[Item] = []
    again: list[Item] = []
    parked: list[tuple[Item, str]] = []
    for item in items:
        found = values.get(Place(item.row.address, item.row.instance or 0))
        differs = differing(item.target.values, found or {})
        key = item.target.key_field
        uid = "" if found is None or key is None else found.get(key, "").strip()
        if not differs and (found is not None or item.withdraws):
            equal.append(item)
        elif uid not in ("", item.row.uid):
            later(batch, item, Failed(f"Its instance has been given to {uid[:200]} meanwhile."))
        elif item in unknown:
            later(batch, item, Failed("REDCap did not answer, and has not got it."))
        elif item.sends < MOST_SENDS:
            item.before = differs
            again.append(item)
        elif found is None:
            later(batch, item, Failed("REDCap said that it has it, and has not."))
        else:
            item.before = differs
            parked.append((item, _both(item, differs)))
    await conclude(batch, equal)
    if parked:
        attempts = [batch.attempt(item, "read_back", "differs", reason) for item, reason in parked]
        await batch.park(parked, attempts)
    return again


def _both(item: Item, differs: Mapping[str, str]) -> str:
    told = [
        f"{name}: sent {item.target.values[name]!r}, REDCap has {found!r}" for name, found in differs.items()
    ]
    return "read back otherwise than sent: " + "; ".join(told)


def _open(items: Sequence[Item]) -> list[Item]:
    return [item for item in items if not item.is_concluded]
