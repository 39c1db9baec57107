"""Files made by jobs, as statements: asked for, begun, told of, ended, taken away.

Whoever makes a file holds its `attempt`: every later statement names it, so that a worker that was paused
until another took over changes nothing. What people do (`remove`) and what an erasure does
(`remove_of_study`) asks for no attempt; the worker finds at its next step that nobody wants its file.

| what happens | outcome |
|---|---|
| begun twice | the second has the attempt; the first is fenced off |
| ended after it was removed | no row: the file is not wanted |
| removed twice | the second finds nothing |
| the file is on its place and the row is not `done` | `content_key` was noted before: the sweep keeps it |
"""

from collections.abc import Collection, Mapping, Sequence
from datetime import datetime, timedelta
from typing import Any, Final

import msgspec
from sqlalchemy import (
    ColumnElement,
    Delete,
    Interval,
    Select,
    Text,
    Update,
    and_,
    cast,
    delete,
    exists,
    func,
    literal,
    null,
    or_,
    select,
    true,
    type_coerce,
    update,
)
from sqlalchemy.dialects.postgresql import ARRAY, JSONB, JSONPATH, Insert, insert
from sqlalchemy.sql.dml import ReturningInsert

from reporting.outbox.entry import Entry, enter_again, enter_once
from reporting.scope import Scope
from reporting.tables import outbox, research_files

KIND: Final = "research_file"
"""Of the outbox entry that has a file made; its key is the file's id."""
SWEEP: Final = "research_sweep"
"""Of the entry that has files taken away which no row needs."""

MOST_OPEN: Final = 20
"""Files of one person that may be queued or running."""
LONGEST_ERROR: Final = 1000

_OPEN: Final = ("queued", "running")
_f = research_files.c


class NewFile(msgspec.Struct, frozen=True, kw_only=True):
    """What is asked for. `sites` None: the whole study. A participant's code is the member `participant` of
    the request.
    """

    kind: str
    study: str
    sites: Sequence[str] | None
    identified: bool
    request: Mapping[str, Any]
    person: int
    asked_by: str


class FileRow(msgspec.Struct, frozen=True):
    """A file, as its row says."""

    id: int
    kind: str
    study: str
    sites: Sequence[str] | None
    identified: bool
    request: dict[str, Any]
    state: str
    attempt: int
    stage: str | None
    rows_done: int
    rows_total: int | None
    content_key: str | None
    file_name: str | None
    media_type: str | None
    size: int | None
    sha256: str | None
    watermark: dict[str, Any] | None
    error: str | None
    person: int
    asked_by: str
    asked_at: datetime
    started_at: datetime | None
    ended_at: datetime | None
    expires_at: datetime | None


COLUMNS: Final = tuple(_f[name] for name in FileRow.__struct_fields__)


def file_row(row: Any) -> FileRow:
    """The row of COLUMNS."""
    return FileRow(*row)


class Finished(msgspec.Struct, frozen=True, kw_only=True):
    """A whole file that lies under its content key."""

    file_name: str
    media_type: str
    size: int
    sha256: str
    rows: int
    watermark: Mapping[str, Any]


def ask_for(new: NewFile) -> ReturningInsert[*tuple[Any, ...]]:
    """Statement: queue it; the fields of FileRow. No row: the person has MOST_OPEN open ones."""
    values = msgspec.structs.asdict(new)
    columns = [literal(value, _f[name].type) for name, value in values.items()]
    open_ones = (
        select(func.count())
        .select_from(research_files)
        .where(_f.person == new.person, _f.state.in_(_OPEN))
        .scalar_subquery()
    )
    return (
        insert(research_files)
        .from_select(list(values), select(*columns).where(open_ones < MOST_OPEN))
        .returning(*COLUMNS)
    )


def enter_making(number: int, study: str) -> Insert:
    """Statement: have it made."""
    return enter_once([Entry(kind=KIND, key=str(number), payload={"file": number}, study=study)])


def ask_for_sweep() -> Insert:
    """Statement: have taken away what no row needs."""
    return enter_again([Entry(kind=SWEEP, key="sweep")])


def visible(person: int, admins: Scope) -> ColumnElement[bool]:
    """Condition: asked for by this person, or of a study (and sites) whose admin they are."""
    alternatives: list[ColumnElement[bool]] = [_f.person == person]
    of_sites: dict[str | None, list[str]] = {}
    for part in admins.parts:
        if part.site is not None:
            of_sites.setdefault(part.study, []).append(part.site)
        else:
            alternatives.append(true() if part.study is None else _f.study == part.study)
    for study, sites in of_sites.items():
        within = _f.sites.contained_by(literal(sorted(sites), ARRAY(Text)))
        alternatives.append(within if study is None else and_(_f.study == study, within))
    return or_(*alternatives)


def select_files(
    kinds: Collection[str], condition: ColumnElement[bool], *, study: str | None, state: str | None
) -> Select[*tuple[Any, ...]]:
    """Statement: the fields of FileRow."""
    found = select(*COLUMNS).where(_f.kind.in_(sorted(kinds)), condition)
    if study is not None:
        found = found.where(_f.study == study)
    return found if state is None else found.where(_f.state == state)


def select_file(number: int) -> Select[*tuple[Any, ...]]:
    """Statement: one of them; the fields of FileRow."""
    return select(*COLUMNS).where(_f.id == number)


def begin(number: int) -> Update:
    """Statement: make the next attempt; the fields of FileRow. No row: nobody wants it any more."""
    return (
        update(research_files)
        .where(_f.id == number, _f.state.in_((*_OPEN, "failed")))
        .values(
            state="running",
            attempt=_f.attempt + 1,
            stage=None,
            rows_done=0,
            rows_total=None,
            content_key=None,
            error=None,
            started_at=func.now(),
            ended_at=None,
        )
        .returning(*COLUMNS)
    )


def _held(number: int, attempt: int) -> Update:
    return (
        update(research_files)
        .where(_f.id == number, _f.attempt == attempt, _f.state == "running")
        .returning(_f.id)
    )


def tell(number: int, attempt: int, *, done: int, total: int | None, stage: str) -> Update:
    """Statement: how far it is. No row: it is not this attempt's any more."""
    return _held(number, attempt).values(rows_done=done, rows_total=total, stage=stage)


def note_key(number: int, attempt: int, key: str) -> Update:
    """Statement: under which key it will lie; before anything is put there. No row: as `tell`."""
    return _held(number, attempt).values(content_key=key)


def finish(number: int, attempt: int, made: Finished, *, keep: timedelta) -> Update:
    """Statement: it may be downloaded. No row: as `tell`, the file is not wanted."""
    return _held(number, attempt).values(
        state="done",
        stage=None,
        rows_done=made.rows,
        rows_total=made.rows,
        file_name=made.file_name,
        media_type=made.media_type,
        size=made.size,
        sha256=made.sha256,
        watermark=dict(made.watermark),
        ended_at=func.now(),
        expires_at=func.now() + literal(keep, Interval),
    )


def queue_again(number: int, attempt: int, error: str) -> Update:
    """Statement: this attempt came to nothing; another one follows."""
    return _held(number, attempt).values(state="queued", stage=None, error=error[:LONGEST_ERROR])


def fail(number: int, attempt: int, error: str) -> Update:
    """Statement: none follows."""
    return _held(number, attempt).values(
        state="failed", stage=None, error=error[:LONGEST_ERROR], ended_at=func.now()
    )


def select_made(key: str) -> Select[*tuple[Any, ...]]:
    """Statement: what is known of the file under this key; the fields of Finished but `file_name`."""
    return (
        select(_f.media_type, _f.size, _f.sha256, _f.rows_done, _f.watermark)
        .where(_f.content_key == key, _f.state == "done")
        .order_by(_f.id.desc())
        .limit(1)
    )


def remove(number: int, why: str) -> Update:
    """Statement: nobody wants it any more, whatever becomes of it. No row: it is gone already."""
    return (
        update(research_files)
        .where(_f.id == number, _f.state.not_in(("removed", "expired")))
        .values(state="removed", stage=None, error=why[:LONGEST_ERROR], ended_at=func.now())
        .returning(_f.id)
    )


def remove_of_study(study: str, why: str) -> Update:
    """Statement: every file of the study that is there or being made goes, also one whose time is over: it
    may be on its way to somebody. What only waits is made of what is left.
    """
    return (
        update(research_files)
        .where(_f.study == study, _f.state.in_(("running", "done", "expired")))
        .values(state="removed", stage=None, error=why, watermark=null(), ended_at=func.now())
        .returning(_f.id)
    )


def forget_requests(study: str, participant: str, why: str) -> Update:
    """Statement: requests of the study that name the participant are emptied, and not carried out; so are
    those with a condition on participants or sessions: whose pseudonym or digest it names cannot be told.
    """
    named = func.jsonb_path_exists(
        _f.request,
        cast(
            '$.** ? (@ == $v || @ like_regex "^(participant|session_id)[.=]")',
            JSONPATH,
        ),
        func.jsonb_build_object("v", literal(participant, Text)),
    )
    return (
        update(research_files)
        .where(_f.study == study, named)
        .values(
            request=type_coerce({}, JSONB),
            state="removed",
            stage=None,
            error=why,
            watermark=null(),
            file_name=null(),
            ended_at=func.now(),
        )
        .returning(_f.id)
    )


def expire() -> Update:
    """Statement: those whose time is over."""
    return (
        update(research_files)
        .where(_f.state == "done", _f.expires_at <= func.now())
        .values(state="expired")
        .returning(_f.id)
    )


def fail_given_up() -> Update:
    """Statement: open ones whose entry is given up, discarded or not there: nobody will make them."""
    alive = exists().where(
        outbox.c.kind == KIND,
        outbox.c.key == cast(_f.id, Text),
        outbox.c.state.in_(("pending", "leased")),
    )
    return (
        update(research_files)
        .where(_f.state.in_(_OPEN), ~alive)
        .values(
            state="failed",
            stage=None,
            error=func.coalesce(_f.error, "Its worker died at every attempt."),
            ended_at=func.now(),
        )
        .returning(_f.id)
    )


def prune_rows(*, ended_before: datetime, limit: int) -> Delete:
    """Statement: rows that say nothing any more."""
    old = (
        select(_f.id)
        .where(_f.state.in_(("expired", "removed", "failed")), _f.ended_at < ended_before)
        .limit(limit)
        .with_for_update(skip_locked=True)
        .cte("old")
    )
    return delete(research_files).where(_f.id == old.c.id)


def select_needed() -> Select[str]:
    """Statement: keys of the files that rows need, or are about to."""
    return select(_f.content_key).where(_f.content_key.is_not(None), _f.state.in_(("running", "done")))


def is_needed(key: str) -> Select[bool]:
    """Statement: whether a row needs the file of this key."""
    return select(exists().where(_f.content_key == key, _f.state.in_(("running", "done"))))


def is_running(number: int, attempt: int) -> Select[bool]:
    """Statement: whether this attempt is at work."""
    return select(exists().where(_f.id == number, _f.attempt == attempt, _f.state == "running"))


def may_be_sent_on(number: int) -> Select[bool]:
    """Statement: whether who downloads it may have the rest: also when its time is over meanwhile."""
    return select(exists().where(_f.id == number, _f.state.in_(("done", "expired"))))


def select_done_keys() -> Select[str]:
    """Statement: keys of which there has to be a file."""
    return select(_f.content_key).where(_f.state == "done").distinct()


def remove_missing(key: str) -> Update:
    """Statement: there is no file of this key any more."""
    return (
        update(research_files)
        .where(_f.state == "done", _f.content_key == key)
        .values(state="removed", error="The file is not in its folder any more: ask for it again.")
        .returning(_f.id)
    )


_LOCK_SPACE: Final = 0x0F11


def try_lock(key: str) -> Select[bool]:
    """Statement: until the session ends or `unlock`, nobody else makes or sweeps the file of this key."""
    return select(func.pg_try_advisory_lock(_LOCK_SPACE, func.hashtext(literal(key))))


def unlock(key: str) -> Select[bool]:
    """Statement: see `try_lock`."""
    return select(func.pg_advisory_unlock(_LOCK_SPACE, func.hashtext(literal(key))))
