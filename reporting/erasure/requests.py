"""Erasures as rows: asked for by one person, confirmed by another, never by the same.

    requested ──confirm (another person)──▶ confirmed ──▶ running ──▶ done
        │                                                  │  ▲
        └──cancel──▶ cancelled                             ▼  │ run again
                                                          failed

| what happens | outcome |
|---|---|
| asked for twice at the same time | one open request a participant: a unique index |
| two people confirm at the same time | one UPDATE finds the state `requested`, the other none |
| the requester confirms | refused here, and by a check of the table |
| cancelled and confirmed at the same time | one of the two finds the state `requested` |
"""

from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import Any

import msgspec
from sqlalchemy import Delete, Insert, Select, Update, and_, delete, func, literal_column, select, update
from sqlalchemy.dialects.postgresql import insert
from sqlalchemy.ext.asyncio import AsyncConnection

from reporting.outbox.entry import Entry, enter_once
from reporting.scope import Scope, within
from reporting.tables import erasure_hub_tasks, erasure_steps, erasure_targets, erasures, participants

KIND = "erasure"
"""Of the outbox: `payload` is `{"id"}`; whoever delivers it calls `execution.run_erasure`."""

OPEN_STATES = ("requested", "confirmed", "running", "failed")


class StepDone(msgspec.Struct, frozen=True):
    """A step that is behind an erasure, and what it counted."""

    step: str
    counts: Mapping[str, int]
    finished_at: datetime


class HubPurge(msgspec.Struct, frozen=True):
    """A hub that may have some of it; `done_at` is None until it says that it has purged it."""

    site: str
    device: str
    done_at: datetime | None


class ErasureRow(msgspec.Struct, frozen=True):
    """One of the list; `participant` is None once it is done."""

    id: int
    study: str
    participant: str | None
    state: str
    reason: str
    requested_by: str
    requested_at: datetime
    confirmed_by: str | None
    confirmed_at: datetime | None
    ended_at: datetime | None
    row_version: int


class Erasure(ErasureRow, frozen=True):
    """An erasure as a whole. `preview` is what the request found."""

    started_at: datetime | None
    preview: Mapping[str, Any]
    counts: Mapping[str, Any] | None
    error: str | None
    steps: list[StepDone] = []
    hubs: list[HubPurge] = []


_COLUMNS = [erasures.c[name] for name in Erasure.__struct_fields__ if name not in ("steps", "hubs")]


def select_erasures(scope: Scope) -> Select[*tuple[Any, ...]]:
    """Statement: the fields of ErasureRow, of those in the scope."""
    c, p = erasures.c, participants.c
    # Once it is done nothing says at which site it was: then it is for the study as a whole.
    at = and_(p.study == c.study, p.code == c.participant)
    return (
        select(*(c[name] for name in ErasureRow.__struct_fields__))
        .select_from(erasures.outerjoin(participants, at))
        .where(within(scope, study=c.study, site=p.site))
    )


def select_of_subject(erasure: int, fingerprints: Sequence[bytes]) -> Select[int]:
    """Statement: its id, where it is about the subject with one of these fingerprints."""
    return select(erasures.c.id).where(erasures.c.id == erasure, erasures.c.subject.in_(fingerprints))


def insert_request(
    *,
    study: str,
    participant: str,
    subject: bytes,
    reason: str,
    requested_by: str,
) -> Insert:
    """Statement: a request; answers its id, or nothing where the participant has one that is open."""
    return (
        insert(erasures)
        .values(
            study=study,
            participant=participant,
            subject=subject,
            reason=reason,
            requested_by=requested_by,
            preview={},
        )
        .on_conflict_do_nothing(
            index_elements=["study", "participant"], index_where=erasures.c.state.in_(_literal(OPEN_STATES))
        )
        .returning(erasures.c.id)
    )


def note_preview(erasure: int, preview: Mapping[str, Any]) -> Update:
    """Statement: what a request would take away, as it was found."""
    return update(erasures).where(erasures.c.id == erasure).values(preview=dict(preview))


def forget_targets(erasure: int) -> Delete:
    """Statement: nothing says any more which documents it was about."""
    return delete(erasure_targets).where(erasure_targets.c.erasure == erasure)


def confirm_request(erasure: int, *, person: str) -> Update:
    """Statement: confirm a request, as another person; answers its id, or nothing."""
    return _changed(erasure, state="confirmed", confirmed_by=person, confirmed_at=func.now()).where(
        erasures.c.state == "requested", erasures.c.requested_by != person
    )


def cancel_request(erasure: int) -> Update:
    """Statement: cancel a request that nobody has confirmed; answers its id, or nothing."""
    return _changed(erasure, state="cancelled", ended_at=func.now()).where(erasures.c.state == "requested")


def begin(erasure: int) -> Update:
    """Statement: it runs, or runs again; answers its id, or nothing where there is nothing to run."""
    started = func.coalesce(erasures.c.started_at, func.now())
    return _changed(erasure, state="running", started_at=started, error=None).where(
        erasures.c.state.in_(("confirmed", "running", "failed"))
    )


def fail(erasure: int, error: str) -> Update:
    """Statement: the run ended early; it may be run again."""
    return _changed(erasure, state="failed", error=error).where(erasures.c.state == "running")


def end(erasure: int, counts: Mapping[str, Any]) -> Update:
    """Statement: it is done, and names nobody any more."""
    return _changed(erasure, state="done", participant=None, counts=dict(counts), ended_at=func.now()).where(
        erasures.c.state == "running"
    )


def enter(erasure: int) -> Any:
    """Statement: have it run by a worker."""
    return enter_once([Entry(kind=KIND, key=str(erasure), payload={"id": erasure})])


def select_steps(erasure: int) -> Select[str, Any, datetime]:
    """Statement: the steps behind it, in order."""
    s = erasure_steps.c
    return select(s.step, s.counts, s.finished_at).where(s.erasure == erasure).order_by(s.finished_at, s.step)


def note_step(erasure: int, step: str, counts: Mapping[str, int]) -> Insert:
    """Statement: a step is behind it."""
    values = {"erasure": erasure, "step": step, "counts": dict(counts)}
    return insert(erasure_steps).values(values).on_conflict_do_nothing()


async def read_erasure(connection: AsyncConnection, erasure: int, *, lock: bool = False) -> Erasure | None:
    """An erasure with its steps and hubs; None where there is none."""
    statement = select(*_COLUMNS).where(erasures.c.id == erasure)
    row = (await connection.execute(statement.with_for_update() if lock else statement)).one_or_none()
    if row is None:
        return None
    steps = [StepDone(*step) for step in await connection.execute(select_steps(erasure))]
    hubs = [HubPurge(*hub) for hub in await connection.execute(select_hubs(erasure))]
    return msgspec.structs.replace(Erasure(*row), steps=steps, hubs=hubs)


def select_hubs(erasure: int) -> Select[str, str, datetime | None]:
    """Statement: the members of HubPurge, of the hubs that have to purge it."""
    c = erasure_hub_tasks.c
    return select(c.site, c.device, c.done_at).where(c.erasure == erasure).order_by(c.site, c.device)


def _changed(erasure: int, **values: Any) -> Update:
    return (
        update(erasures)
        .where(erasures.c.id == erasure)
        .values(**values, row_version=erasures.c.row_version + 1, updated_at=func.now())
        .returning(erasures.c.id)
    )


def _literal(states: tuple[str, ...]) -> list[Any]:
    # As the index spells them: Postgres does not match a parameter with it.
    return [literal_column(f"'{state}'") for state in states]
