"""Pulling participants: what changed in REDCap since the last time, or all of it, into the roster.

    watermark − overlap ─▶ records changed since ─▶ chunks ─▶ plan ─▶ roster, audit, visits, publication
                                                      one transaction each; the last moves the watermark

REDCap's `dateRangeBegin` is its server's local time, of a zone that it does not tell. The watermark is that
server's clock in UTC (the answer's `Date`), and the overlap is the widest offset that a zone west of it has:
what was taken already is found unchanged.

| what happens | outcome |
|---|---|
| the process dies | chunks that were committed stay; the next pull begins at the old watermark |
| two pulls of a project at once | the second ends; a late one finds that another has ended |
| REDCap does not answer, or not as it should | nothing is taken of that chunk; the watermark stays |
| the answer has no `Date` | what it has is taken; the watermark stays |
| the request is too much for REDCap | records are asked for by halves |
| a record is gone from REDCap | listed; nothing is deleted here |
| a record cannot be taken | listed with why; the others are taken |
| somebody edits a participant meanwhile | they wait, or we: rows are locked before they are compared |
"""

from collections.abc import AsyncIterator, Callable, Mapping, Sequence
from datetime import UTC, datetime, timedelta
from typing import Any, Final, Literal

import msgspec
from sqlalchemy import func, select
from sqlalchemy.ext.asyncio import AsyncConnection

from reporting.erasure.blocked import select_subjects
from reporting.erasure.names import subject_text
from reporting.participants.changing import apply_changes, load_known, read_study_sites
from reporting.redcap.faults import TooBig
from reporting.redcap.projects import (
    project_row,
    read_mapping,
    select_mapping,
    select_project,
    site_of,
)
from reporting.redcap.pulled import (
    Kept,
    PullState,
    is_as_kept,
    keep_pulled,
    mark_missing,
    move_watermark,
    select_edited,
    select_holders,
    select_present,
    select_pull_state,
    select_pulled,
)
from reporting.redcap.roster_decision import Conflict, Holder, who_is
from reporting.redcap.roster_mapping import Said, by_record, read_record
from reporting.redcap.roster_plan import Planned, Where, plan
from sync_server.redcap.connections import project_of
from sync_server.redcap.locking import project_lock
from sync_server.redcap.pull_parts import Pulling, Refused, asked, entry_by, sealer_prints
from sync_server.redcap.pushing_back import push_back
from sync_server.redcap.study_connections import Redcaps, connections_of
from sync_server.sealing import Sealer

OVERLAP: Final = timedelta(hours=12, minutes=15)
RECONCILE_EVERY: Final = timedelta(hours=24)
RECORDS_AT_ONCE: Final = 500
MOST_TOLD: Final = 1000

Outcome = Literal["created", "linked", "updated", "pushed", "unchanged", "conflict", "refused"]
Tell = Callable[[int, int], None]


class CannotPull(Exception):
    """There is nothing to pull, or nothing to pull with; the message says what is missing."""


class SomebodyElse(Exception):
    """Another pull of the project was quicker, or it was paused meanwhile."""

    def __init__(self) -> None:
        super().__init__(self.__doc__)


class RecordFate(msgspec.Struct, frozen=True):
    """What became of a record; `changes`: which members, here or (`pushed`) in REDCap."""

    record: str
    participant: str | None
    outcome: Outcome
    changes: Sequence[str]
    conflicts: Mapping[str, Conflict]
    problem: str | None


class PullReport(msgspec.Struct, frozen=True, kw_only=True):
    """What a pull did, or with `dry_run` would do. `records`: the first of those that are not unchanged."""

    project: str
    dry_run: bool
    full: bool
    looked_at: int
    counts: Mapping[str, int]
    missing: Sequence[str]
    records: Sequence[RecordFate]


async def pull(
    project: str,
    redcaps: Redcaps,
    *,
    full: bool = False,
    dry_run: bool = False,
    tell: Tell = lambda _done, _total: None,
) -> PullReport:
    """Pull a project. Raises CannotPull, Busy, SomebodyElse, Refused, NoTurn, Unusable, CannotOpen."""
    async with project_lock(redcaps.engine, f"{project} (pull)"):
        this = await _prepared(project, redcaps, full=full, dry_run=dry_run)
        return await _pulled(this, tell)


async def _prepared(project: str, redcaps: Redcaps, *, full: bool, dry_run: bool) -> Pulling:
    async with redcaps.engine.connect() as connection:
        row = (await connection.execute(select_pull_state(project))).one_or_none()
        if row is None:
            raise CannotPull(f"There is no project {project}.")
        state = PullState(*row)
        definition = await connection.scalar(select_mapping(state.study))
        known = project_row((await connection.execute(select_project(project))).one())
        chosen = await connections_of(connection, state.study, redcaps.settings.site_configs)
        now = await connection.scalar(select(func.now()))
    mapping = None if definition is None else read_mapping(definition)
    if mapping is None or mapping.participants is None:
        raise CannotPull(f"The mapping of {state.study} has no participants.")
    if known.dictionary is None:
        raise CannotPull(f"The mapping was not checked with {project} yet.")
    if state.is_paused and not dry_run:
        raise CannotPull(f"{project} is paused: {known.paused_reason or known.paused_cause}")
    own = [each for each in chosen if project_of(each, mapping) == project]
    if not own:
        raise CannotPull(f"{project} has no connection.")
    due = state.reconciled_at is None or (now is not None and now - state.reconciled_at >= RECONCILE_EVERY)
    everything = full or due or state.pulled_until is None
    client = redcaps.client(own[0])
    return Pulling(
        state,
        mapping.participants,
        known.dictionary.record_id,
        frozenset(known.dictionary.missing_codes),
        client,
        redcaps,
        everything,
        dry_run,
    )


async def _pulled(this: Pulling, tell: Tell) -> PullReport:
    fates: list[RecordFate] = []
    counts: dict[str, int] = {}
    clock: datetime | None = None
    ids: list[str] | None = None
    edited: frozenset[str] = frozenset()
    if this.full:
        rows = await asked(this, records=None, fields=[])
        clock = this.client.last_date
        ids = sorted(by_record(rows, this.record_id))
        total = len(ids)
        parts = _in_chunks(this, ids)
    else:
        # With the record's name only: what was edited here is asked for together with it.
        begin = (this.state.pulled_until or datetime.now(UTC)) - OVERLAP
        rows = await asked(this, records=None, fields=[], begin=begin)
        clock = this.client.last_date
        edited = await _edited(this)
        changed = sorted({*by_record(rows, this.record_id), *edited})
        total = len(changed)
        parts = _in_chunks(this, changed)
    done = 0
    async for part in parts:
        said = [
            read_record(this.roster, record, rows, missing_codes=this.missing_codes)
            for record, rows in part.items()
        ]
        taken = await _take(this, said, edited)
        if not this.dry_run:
            await push_back(this, taken)
        for planned in taken:
            fate = _fate(planned)
            counts[fate.outcome] = counts.get(fate.outcome, 0) + 1
            if fate.outcome != "unchanged" and len(fates) < MOST_TOLD:
                fates.append(fate)
        done += len(part)
        tell(done, total)
    missing = await _finish(this, clock, ids)
    return PullReport(
        project=this.state.project,
        dry_run=this.dry_run,
        full=this.full,
        looked_at=done,
        counts=counts,
        missing=missing[:MOST_TOLD],
        records=fates,
    )


_Rows = dict[str, list[Mapping[str, Any]]]


async def _in_chunks(this: Pulling, ids: Sequence[str]) -> AsyncIterator[_Rows]:
    size = RECORDS_AT_ONCE
    start = 0
    while start < len(ids):
        part = ids[start : start + size]
        try:
            rows = await asked(this, records=part, fields=this.roster.columns)
        except Refused as error:
            if not isinstance(error.fault, TooBig) or len(part) == 1:
                raise
            size = max(1, len(part) // 2)
            continue
        yield by_record(rows, this.record_id)
        start += len(part)


async def _edited(this: Pulling) -> frozenset[str]:
    if not this.roster.pushes:
        return frozenset()
    async with this.redcaps.engine.connect() as connection:
        records = await connection.scalars(select_edited(this.state.project, this.state.study))
        return frozenset(records.all())


async def _take(this: Pulling, said: Sequence[Said], edited: frozenset[str]) -> list[Planned]:
    """One chunk: all of it is taken, or nothing."""
    study, project = this.state.study, this.state.project
    async with this.redcaps.engine.begin() as connection:
        await _require_ours(this, connection)
        kept = {
            each.record: each
            for each in (
                Kept(*row)
                for row in await connection.execute(select_pulled(project, [one.record for one in said]))
            )
        }
        planned = await _plans(this, connection, said, kept)
        if this.dry_run:
            await connection.rollback()
            return planned
        changes = [each.change for each in planned if each.change is not None]
        if changes:
            await apply_changes(connection, study, changes, this.redcaps.sealer.seal, entry_by(project))
        new = [
            each for each in planned if each.record in edited or not is_as_kept(each, kept.get(each.record))
        ]
        if new:
            await connection.execute(keep_pulled(project, new))
    return planned


async def _plans(
    this: Pulling,
    connection: AsyncConnection,
    said: Sequence[Said],
    kept: Mapping[str, Kept],
) -> list[Planned]:
    study, sealer = this.state.study, this.redcaps.sealer
    codes = {one.code for one in said if one.code is not None}
    records = {one.record for one in said}
    rows = await connection.execute(select_holders(study, records=records, codes=codes))
    holders = {code: Holder(code, record) for code, record in rows}
    known = await load_known(connection, study, sorted(holders), sealer.open)
    # As they are now that they are locked.
    by_code = {code: Holder(code, each.state.redcap_id, each.state.site) for code, each in known.items()}
    of_record = {each.redcap_id: each for each in by_code.values() if each.redcap_id is not None}
    erased = frozenset(bytes(each) for each in await connection.scalars(select_subjects()))
    sites = await read_study_sites(connection, study)
    own_site = site_of(this.state.project)
    where = Where(sites.days, sites.closed, own_site)
    planned = []
    for one in said:
        last = kept.get(one.record)
        who = who_is(
            one,
            this.roster,
            of_record=of_record.get(one.record),
            of_code=None if one.code is None else by_code.get(one.code),
            was=None if last is None else last.participant,
            is_erased=lambda code: _is_erased(study, code, sealer, erased),
            own_site=own_site,
        )
        found = None if who.code is None else known.get(who.code)
        value = {} if last is None else last.value
        made = plan(this.roster, one, who, found, value, where, sealer_prints(sealer))
        if made.change is not None and who.links and who.code is not None:
            # Another record of this chunk may have the same code.
            by_code[who.code] = of_record[one.record] = Holder(
                who.code, one.record, None if found is None else found.state.site
            )
        if made.participant is None and last is not None:
            # Whom it was stays known: a link that a person took away is not made again at the next pull.
            made = msgspec.structs.replace(made, participant=last.participant)
        planned.append(made)
    return planned


async def _finish(this: Pulling, clock: datetime | None, ids: Sequence[str] | None) -> list[str]:
    project = this.state.project
    async with this.redcaps.engine.begin() as connection:
        await _require_ours(this, connection)
        missing: list[str] = []
        if ids is not None:
            present = set((await connection.scalars(select_present(project))).all())
            missing = sorted(present.difference(ids))
        if this.dry_run:
            return missing
        for start in range(0, len(missing), RECORDS_AT_ONCE):
            await connection.execute(mark_missing(project, missing[start : start + RECORDS_AT_ONCE]))
        await connection.execute(move_watermark(project, clock, full=this.full))
    return missing


async def _require_ours(this: Pulling, connection: AsyncConnection) -> None:
    """Raises SomebodyElse where another pull has ended since this one began, or the project was paused."""
    row = (
        await connection.execute(select_pull_state(this.state.project, lock=not this.dry_run))
    ).one_or_none()
    state = None if row is None else PullState(*row)
    if state is None or state.pulled_at != this.state.pulled_at or (state.is_paused and not this.dry_run):
        raise SomebodyElse


def _is_erased(study: str, code: str, sealer: Sealer, erased: frozenset[bytes]) -> bool:
    return bool(erased) and not erased.isdisjoint(sealer.fingerprints(subject_text(study, code)))


def _fate(planned: Planned) -> RecordFate:
    change = planned.change
    outcome: Outcome = "unchanged"
    if planned.conflicts:
        outcome = "conflict"
    elif planned.problem is not None:
        outcome = "refused"
    elif change is not None and change.before is None:
        outcome = "created"
    elif change is not None:
        outcome = "linked" if "redcap_id" in planned.told else "updated"
    elif planned.to_push:
        outcome = "pushed"
    return RecordFate(
        planned.record,
        planned.participant,
        outcome,
        planned.told if change is not None else sorted(planned.to_push),
        planned.conflicts,
        planned.problem,
    )
