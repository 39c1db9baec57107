"""Records as last pulled, and how far each project was pulled: statements."""

from collections.abc import Collection, Iterable, Sequence
from datetime import datetime, timedelta
from typing import Any, Final

import msgspec
from sqlalchemy import Select, Update, and_, cast, exists, func, literal, null, or_, select, update
from sqlalchemy.dialects.postgresql import JSONB, Insert, insert

from reporting.outbox.entry import Entry, enter_again
from reporting.redcap.roster_plan import Planned
from reporting.tables import outbox, participants, redcap_mappings, redcap_projects, redcap_pulled

KIND: Final = "redcap_pull"
"""Of the outbox's entries; the key is the project."""

_r, _p, _m = redcap_pulled.c, redcap_projects.c, redcap_mappings.c


class PullState(msgspec.Struct, frozen=True):
    """How far a project was pulled. `pulled_until` is REDCap's clock, read as UTC."""

    project: str
    study: str
    is_paused: bool
    pulled_until: datetime | None
    pulled_at: datetime | None
    reconciled_at: datetime | None


class Kept(msgspec.Struct, frozen=True):
    """What is kept of a record."""

    record: str
    participant: str | None
    value: dict[str, Any]
    problem: str | None
    conflicts: dict[str, Any] | None
    missing_since: datetime | None


def conflicts_of(planned: Planned) -> dict[str, Any] | None:
    """As they are kept: both values as people may see them, and what either would be kept as."""
    return {
        member: {"here": both.here, "redcap": both.redcap, **planned.waiting[member]}
        for member, both in planned.conflicts.items()
    } or None


def is_as_kept(planned: Planned, kept: Kept | None) -> bool:
    """Whether there is nothing new to keep."""
    return kept is not None and kept == Kept(
        planned.record,
        planned.participant,
        dict(planned.taken),
        planned.problem,
        conflicts_of(planned),
        None,
    )


def select_pull_state(project: str, *, lock: bool = False) -> Select[*tuple[Any, ...]]:
    """Statement: the fields of PullState; `lock`: until the transaction ends."""
    statement = select(
        _p.project, _p.study, _p.paused_at.is_not(None), _p.pulled_until, _p.pulled_at, _p.reconciled_at
    ).where(_p.project == project)
    return statement.with_for_update() if lock else statement


def move_watermark(project: str, until: datetime | None, *, full: bool) -> Update:
    """Statement: all until then is taken, None: nobody knows when; `full`: all records were looked at."""
    told: dict[str, Any] = {"reconciled_at": func.now()} if full else {}
    if until is not None:
        told["pulled_until"] = until
    return (
        update(redcap_projects).where(_p.project == project).values(pulled_at=func.clock_timestamp(), **told)
    )


def have_reconciled(project: str) -> Update:
    """Statement: the next pull looks at all records."""
    return update(redcap_projects).where(_p.project == project).values(reconciled_at=null())


def select_pulled(project: str, records: Collection[str]) -> Select[*tuple[Any, ...]]:
    """Statement: the fields of Kept, of these."""
    return select(*(_r[name] for name in Kept.__struct_fields__)).where(
        _r.project == project, _r.record.in_(sorted(records))
    )


def select_holders(
    study: str, *, records: Collection[str], codes: Collection[str]
) -> Select[str, str | None]:
    """Statement: (code, record) of participants who are one of the records, or have one of the codes."""
    q = participants.c
    return select(q.code, q.redcap_id).where(
        q.study == study, or_(q.redcap_id.in_(sorted(records)), q.code.in_(sorted(codes)))
    )


def select_edited(project: str, study: str) -> Select[str]:
    """Statement: records whose participants were changed here since they were last looked at."""
    q = participants.c
    same = and_(q.study == study, q.redcap_id == _r.record, q.code == _r.participant)
    return (
        select(_r.record)
        .join(participants, same)
        .where(_r.project == project, _r.missing_since.is_(None), q.updated_at > _r.pulled_at)
        .order_by(_r.record)
    )


def keep_pushed(project: str, record: str, value: Any) -> Update:
    """Statement: REDCap has been given these members, and has them."""
    merged = _r.value.op("||")(cast(literal(value, JSONB), JSONB))
    return (
        update(redcap_pulled)
        .where(_r.project == project, _r.record == record)
        .values(value=merged, pulled_at=func.now())
    )


def keep_problem(project: str, record: str, problem: str) -> Update:
    """Statement: why REDCap did not take a member."""
    return (
        update(redcap_pulled).where(_r.project == project, _r.record == record).values(problem=problem[:2000])
    )


def keep_pulled(project: str, planned: Iterable[Planned]) -> Insert:
    """Statement: what was made of records; at least one."""
    rows = [
        {
            "project": project,
            "record": each.record,
            "participant": each.participant,
            "value": dict(each.taken),
            "problem": each.problem,
            "conflicts": conflicts_of(each) or null(),
            "missing_since": null(),
        }
        for each in sorted(planned, key=lambda each: each.record)
    ]
    made = insert(redcap_pulled).values(rows)
    told = ("participant", "value", "problem", "conflicts", "missing_since")
    return made.on_conflict_do_update(
        index_elements=["project", "record"],
        set_={name: made.excluded[name] for name in told} | {"pulled_at": func.now()},
    )


def select_present(project: str) -> Select[str]:
    """Statement: the records that REDCap had when they were last looked for."""
    return select(_r.record).where(_r.project == project, _r.missing_since.is_(None))


def mark_missing(project: str, records: Sequence[str]) -> Update:
    """Statement: REDCap has these no more; nothing is deleted here."""
    return (
        update(redcap_pulled)
        .where(_r.project == project, _r.record.in_(records), _r.missing_since.is_(None))
        .values(missing_since=func.now(), problem="REDCap has this record no more.")
    )


def ask_for_pull(projects: Iterable[tuple[str, str]]) -> Insert:
    """Statement: pull these (project, study), at once; at least one."""
    return enter_again(
        Entry(kind=KIND, key=project, study=study, payload={"project": project})
        for project, study in projects
    )


def select_due(every: timedelta) -> Select[str, str]:
    """Statement: (project, study) of those that are to be pulled now: their mapping has participants, nothing
    pauses them, and no job is at it or waits.
    """
    waits = exists().where(
        outbox.c.kind == KIND, outbox.c.key == _p.project, outbox.c.state.in_(("pending", "leased"))
    )
    has_roster = func.jsonb_typeof(_m.definition["participants"]) == "object"
    return (
        select(_p.project, _p.study)
        .join(redcap_mappings, and_(_m.study == _p.study, has_roster))
        .where(
            _p.paused_at.is_(None), ~waits, or_(_p.pulled_at.is_(None), _p.pulled_at <= func.now() - every)
        )
        .order_by(_p.project)
    )


def select_kept(number: int) -> Select[Any, Any]:
    """Statement: (value, conflicts) of a record, locked until the transaction ends."""
    return select(_r.value, _r.conflicts).where(_r.id == number).with_for_update()


def settle(number: int, value: Any, conflicts: Any, member: str, *, keep: str) -> Update:
    """Statement: of a member in conflict, what counts as taken: REDCap's value, so that what is here stays;
    or what is here, so that the next pull takes REDCap's.
    """
    told = conflicts[member]
    last = told["theirs"] if keep == "here" else told["ours"]
    left = {name: each for name, each in conflicts.items() if name != member}
    problem = f"Changed here and in REDCap: {', '.join(sorted(left))}." if left else null()
    return (
        update(redcap_pulled)
        .where(_r.id == number)
        .values(value={**value, member: last}, conflicts=left or null(), problem=problem)
    )
