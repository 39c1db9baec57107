"""Changes of participants in Postgres: rows, audit entries, events, publications; in one transaction.

| what happens | outcome |
|---|---|
| another transaction creates one of the codes meanwhile | CreatedMeanwhile: all of it is undone |
| another participant of the study is the same record in REDCap | RecordTaken: all of it is undone |
| … changes one | it waits: the rows are locked before anything is judged |
| … takes the study from a site, or archives it | either waits for the other, and sees what it did |
| the process dies before the commit | nothing happened |
"""

from collections.abc import Callable, Iterable, Sequence
from datetime import datetime
from typing import Any, NamedTuple

import msgspec
import psycopg
from sqlalchemy import bindparam, func, select, update
from sqlalchemy.exc import IntegrityError
from sqlalchemy.ext.asyncio import AsyncConnection

from reporting.audit import AuditEntry, entries_parameters, record_entries
from reporting.participants.consequences import participants_changed
from reporting.participants.contact import Contact, Open, Seal, changed_members, open_contact, seal_contact
from reporting.participants.fates import Change, Known
from reporting.participants.roster import (
    Participant,
    hold_sites_of_study,
    insert_participants,
    select_participants,
    today_at,
)
from reporting.reminders.planning import note_timezones
from reporting.tables import participants
from reporting.tables.studies import RECORD_INDEX
from reporting.visits.statements import lock_participants
from reporting.webhooks.events import Event, announce

_AT_ONCE = 500

MakeEntry = Callable[..., AuditEntry]
"""Takes `action`, `entity_id`, `study`, `site`, `before`, `after`; knows who acts, and why."""


class CreatedMeanwhile(Exception):
    """Somebody has created a participant of one of these codes meanwhile."""

    def __init__(self) -> None:
        super().__init__(self.__doc__)


class RecordTaken(Exception):
    """Another participant of the study is this record in REDCap already."""

    def __init__(self) -> None:
        super().__init__(self.__doc__)


class StudySites(NamedTuple):
    """The sites at which a study runs: the day that it is there, and which are archived."""

    days: dict[str, Any]
    closed: frozenset[str]


async def read_study_sites(connection: AsyncConnection, study: str) -> StudySites:
    """Where a study runs, by the database's clock; held until the transaction ends, so read before anything
    is judged by it.
    """
    moment: datetime = (await connection.execute(select(func.now()))).scalar_one()
    rows = (await connection.execute(hold_sites_of_study(study))).all()
    days = {code: today_at(moment, timezone) for code, timezone, _ in rows}
    return StudySites(days, frozenset(code for code, _, status in rows if status == "archived"))


async def load_known(
    connection: AsyncConnection, study: str, codes: Sequence[str], unseal: Open
) -> dict[str, Known]:
    """Those of the codes that the study has, locked until the transaction ends. Raises as `unseal`."""
    found: dict[str, Known] = {}
    ordered = sorted(codes)
    for start in range(0, len(ordered), _AT_ONCE):
        part = ordered[start : start + _AT_ONCE]
        for *row, sealed in await connection.execute(select_participants(study, part)):
            participant = Participant(*row)
            found[participant.code] = Known(participant.state, open_contact(sealed, unseal))
    return found


async def apply_changes(
    connection: AsyncConnection, study: str, changes: Sequence[Change], seal: Seal, entry: MakeEntry
) -> None:
    """Do all of them. Participants that exist are locked (`load_known`).

    Raises CreatedMeanwhile, RecordTaken.
    """
    ordered = sorted(changes, key=lambda change: change.code)
    for start in range(0, len(ordered), _AT_ONCE):
        part = ordered[start : start + _AT_ONCE]
        try:
            await _insert(connection, study, [each for each in part if each.before is None], seal)
            await _update(connection, study, [each for each in part if each.before is not None], seal)
        except IntegrityError as error:
            if isinstance(error.orig, psycopg.Error) and error.orig.diag.constraint_name == RECORD_INDEX:
                raise RecordTaken from error
            raise
        entries = [audit_entry(study, change, entry) for change in part]
        await connection.execute(record_entries(), entries_parameters(entries))
        events = await _events(connection, study, part)
        if events:
            await connection.execute(announce(*events))
    await _note_timezones(connection, study, ordered)
    left = [
        (each.code, each.before.state.site)
        for each in ordered
        if each.before is not None
        and each.before.state.site is not None
        and each.before.state.site != each.after.state.site
    ]
    await participants_changed(connection, study, [each.code for each in ordered], left=left)


def audit_entry(study: str, change: Change, entry: MakeEntry) -> AuditEntry:
    """What is on record of a change: of the contact, which members changed."""
    before, after = change.before, change.after
    changed = changed_members(Contact() if before is None else before.contact, after.contact)
    beside = {"contact_changed": changed} if changed else {}
    return entry(
        action="participant.create" if before is None else "participant.update",
        entity_id=f"{study}/{change.code}",
        study=study,
        site=after.state.site,
        before=None if before is None else msgspec.to_builtins(before.state),
        after={**msgspec.to_builtins(after.state), **beside},
    )


async def _insert(connection: AsyncConnection, study: str, new: Sequence[Change], seal: Seal) -> None:
    if not new:
        return
    rows = [{"study": study, "code": change.code, **_values(change, seal)} for change in new]
    made = (await connection.execute(insert_participants(rows))).scalars().all()
    if len(made) < len(new):
        raise CreatedMeanwhile


async def _update(connection: AsyncConnection, study: str, changed: Sequence[Change], seal: Seal) -> None:
    if changed:
        rows = [
            {"wanted": change.code} | {f"new_{name}": value for name, value in _values(change, seal).items()}
            for change in changed
        ]
        p = participants.c
        statement = (
            update(participants)
            .where(p.study == study, p.code == bindparam("wanted"))
            .values(
                **{name: bindparam(f"new_{name}", type_=p[name].type) for name in _VALUES},
                row_version=p.row_version + 1,
                updated_at=func.now(),
            )
        )
        await connection.execute(statement, rows)


async def _note_timezones(connection: AsyncConnection, study: str, changes: Sequence[Change]) -> None:
    moved = [each for each in changes if _timezone_before(each) != each.after.contact.timezone]
    if moved:
        # All that are needed further on, at once: part by part they would be taken in another order.
        await connection.execute(lock_participants((study, each.code) for each in changes))
        await note_timezones(connection, study, [(each.code, each.after.contact.timezone) for each in moved])


def _timezone_before(change: Change) -> str | None:
    return None if change.before is None else change.before.contact.timezone


_VALUES = ("site", "status", "language", "enrolled_on", "redcap_id", "contact")


def _values(change: Change, seal: Seal) -> dict[str, Any]:
    state = msgspec.structs.asdict(change.after.state)
    return {**state, "contact": seal_contact(change.after.contact, seal)}


async def _events(connection: AsyncConnection, study: str, changes: Iterable[Change]) -> list[Event]:
    told = [each for each in changes if _event_name(each) is not None]
    p = participants.c
    codes = [each.code for each in told]
    wanted = select(p.code, p.row_version).where(p.study == study, p.code.in_(codes))
    versions = {row.code: row.row_version for row in await connection.execute(wanted)}
    events = []
    for change in told:
        name = _event_name(change)
        if name is not None:
            events.append(
                Event(
                    name=name,
                    occurrence=f"{study}/{change.code}/{versions[change.code]}",
                    study=study,
                    site=change.after.state.site,
                    data={"study": study, "participant": change.code, "site": change.after.state.site},
                )
            )
    return events


def _event_name(change: Change) -> Any:
    before = None if change.before is None else change.before.state.status
    after = change.after.state.status
    if after == before or after not in ("enrolled", "withdrawn"):
        return None
    return f"participant.{after}"
