"""What is to be done for the batch's sessions: their targets of now beside the rows that the ledger has.

    facts ─▶ targets ─┐
                      ├─▶ rows to write, rows to withdraw        (the rows are taken: their fence grows)
    ledger's rows ────┘

| the session has | and the mapping says | then |
|---|---|---|
| no row | a target | a row is opened; a retired one of the same address counts again |
| a row | the same address | it is written |
| a row | another record or event, no repeats any more | it is withdrawn; then as where there is no row |
| a row | nothing of that form, or the session is gone | the row is withdrawn |
| any | a value that cannot be written | parked |
| a row in another project of the study | | parked: connections were changed, and it would be there twice |

Withdrawn by `keep` is retired at once; by `blank` and `flag` when REDCap has taken it.
"""

from collections.abc import Mapping, Sequence
from typing import NamedTuple

from sqlalchemy.ext.asyncio import AsyncConnection

from reporting.outbox.policy import Dropped, Postponed
from reporting.redcap.facts import select_facts, session_facts
from reporting.redcap.filling import targets
from reporting.redcap.ledger import (
    LedgerRow,
    Opened,
    change,
    free_instance,
    ledger_row,
    revive,
    select_elsewhere,
    select_holder,
    select_retired,
    take,
)
from reporting.redcap.ledger import open_rows as ledger_open_rows
from reporting.redcap.target import NotWanted, SessionFacts, Target, Unmapped
from reporting.redcap.withdrawing import away, is_in_place
from sync_server.redcap.batch import Batch, Item
from sync_server.redcap.locking import LOOK_AGAIN
from sync_server.redcap.settling import make_room


class Wanted(NamedTuple):
    """A target for which a session has no row yet."""

    entry: int
    target: Target


async def plan(batch: Batch) -> list[Wanted]:
    """Take the sessions' rows; items for what they have, and what they are to have besides."""
    async with batch.engine.begin() as connection:
        taken = await connection.execute(take(batch.project, batch.sessions.values()))
        rows: dict[tuple[str, str], dict[str, LedgerRow]] = {}
        for row in map(ledger_row, taken):
            rows.setdefault(row.session, {})[row.form] = row
        facts = await _read_facts(connection, batch)
        there = select_elsewhere(batch.project, batch.study, batch.sessions.values())
        elsewhere = {(row.site, row.session_id): row.project for row in await connection.execute(there)}
        wanted: list[Wanted] = []
        for entry, session in batch.sessions.items():
            if session in elsewhere:
                batch.verdicts.park(entry, f"It is in {elsewhere[session]}: here it would be a second time.")
                continue
            wanted += await _plan_session(connection, batch, entry, facts.get(session), rows.get(session, {}))
    return wanted


async def _read_facts(connection: AsyncConnection, batch: Batch) -> dict[tuple[str, str], SessionFacts]:
    statements = select_facts(batch.study, batch.sessions.values())
    answers = [(await connection.execute(statement)).all() for statement in statements]
    return session_facts(*answers)


async def _plan_session(
    connection: AsyncConnection,
    batch: Batch,
    entry: int,
    facts: SessionFacts | None,
    rows: Mapping[str, LedgerRow],
) -> list[Wanted]:
    filled = [] if facts is None else targets(facts, batch.mapping, batch.dictionary)
    wanted: list[Wanted] = []
    kept: set[str] = set()
    for each in filled:
        if isinstance(each, Unmapped):
            kept.add(each.form)
            await _park(connection, batch, entry, each, rows.get(each.form))
        elif isinstance(each, Target):
            row = rows.get(each.address.form)
            if row is not None and is_in_place(row, each):
                kept.add(row.form)
                batch.items.append(Item(entry, row, each))
            else:
                wanted.append(Wanted(entry, each))
    gone = "the session is gone" if facts is None else "the session has no place there any more"
    for form, row in rows.items():
        if form not in kept:
            await _withdraw(connection, batch, entry, row, gone)
    if not kept and not wanted:
        batch.verdicts.say(entry, Dropped(_why_not(filled)))
    return wanted


def _why_not(filled: Sequence[object]) -> str:
    reasons = [each.why for each in filled if isinstance(each, NotWanted)]
    return "; ".join(dict.fromkeys(reasons)) or "The session is gone."


async def _park(
    connection: AsyncConnection, batch: Batch, entry: int, why: Unmapped, row: LedgerRow | None
) -> None:
    reason = f"{why.path}: {why.message}"
    if row is not None:
        await connection.execute(change(row, state="parked", reason=reason[:2000]))
    batch.verdicts.park(entry, reason)


async def _withdraw(
    connection: AsyncConnection, batch: Batch, entry: int, row: LedgerRow, reason: str
) -> None:
    target = away(row, batch.mapping, batch.dictionary)
    if target is None:
        await connection.execute(change(row, state="retired", reason=reason))
        await make_room(connection, batch, row)
    else:
        batch.items.append(Item(entry, row, target, withdraws=True))


async def open_rows(batch: Batch, wanted: Sequence[Wanted]) -> None:
    """Rows for what is wanted, where nothing of the session is in the way any more."""
    if not wanted:
        return
    async with batch.engine.begin() as connection:
        sessions = {batch.sessions[each.entry] for each in wanted}
        retired = set(map(tuple, await connection.execute(select_retired(batch.project, sessions))))
        new = [each for each in wanted if (*batch.sessions[each.entry], *each.target.address) not in retired]
        opened: dict[tuple[str, str, str], LedgerRow] = {}
        if new:
            rows = await connection.execute(ledger_open_rows([_opened(batch, each) for each in new]))
            for row in map(ledger_row, rows):
                opened[*row.session, row.form] = row
        for each in wanted:
            found = opened.get((*batch.sessions[each.entry], each.target.address.form))
            if found is not None:
                batch.items.append(Item(each.entry, found, each.target))
            else:
                await _open(connection, batch, each)


def _opened(batch: Batch, wanted: Wanted) -> Opened:
    site, session_id = batch.sessions[wanted.entry]
    return Opened(
        project=batch.project,
        study=batch.study,
        site=site,
        session_id=session_id,
        address=wanted.target.address,
        instance=1 if wanted.target.repeat == "none" else None,
    )


async def _open(connection: AsyncConnection, batch: Batch, wanted: Wanted) -> None:
    entry, target = wanted
    session = batch.sessions[entry]
    only = 1 if target.repeat == "none" else None
    reviving = revive(batch.project, session, target.address, only=only)
    revived = (await connection.execute(reviving)).one_or_none()
    if revived is not None:
        batch.items.append(Item(entry, ledger_row(revived), target))
        return
    opened = [_opened(batch, wanted)]
    row = (await connection.execute(ledger_open_rows(opened))).one_or_none()
    if row is None and target.repeat == "none":
        holder = (await connection.execute(select_holder(batch.project, target.address, 1))).one_or_none()
        if holder is not None and holder.state != "retired":
            other = f"{holder.site}/{holder.session_id}"
            batch.verdicts.park(entry, f"{target.address.form}: the form has session {other} already")
            return
        await connection.execute(free_instance(batch.project, target.address))
        row = (await connection.execute(ledger_open_rows(opened))).one_or_none()
    if row is None:
        # A worker that was cut off has opened it since.
        batch.verdicts.later(entry, Postponed("Another worker is at the session.", LOOK_AGAIN))
        return
    batch.items.append(Item(entry, ledger_row(row), target))
