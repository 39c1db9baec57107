"""One file made, from its queued row to the file at its place; what a worker does in a thread.

    begin (the fence) ─▶ snapshot ─▶ content key, its lock ─▶ there already? ─▶ make ─▶ put ─▶ finish

See docs/RESEARCH.md, "Files made by jobs", for what happens when the process dies at each of these.
"""

import errno
import hashlib
import time
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import timedelta
from importlib.metadata import version
from pathlib import Path
from typing import Final

import msgspec
from sqlalchemy import Connection, Engine, Update

from reporting.research import files
from reporting.research.data_state import data_state
from reporting.research.file_watermark import in_the_file, read_watermark
from reporting.research.files import FileRow, Finished, file_row
from sync_server.research_files.folder import attempt_folder, digest, place_of, put
from sync_server.research_files.making import (
    Cancelled,
    CannotMake,
    Json,
    LoadsMaker,
    Made,
    Maker,
    Task,
    Tell,
    Wanted,
)

TELL_SECONDS: Final = 0.5
"""The row is told at most so often; a removal is noticed as late."""

_DISK_FULL: Final = (errno.ENOSPC, errno.EDQUOT, errno.EFBIG)


class NothingToMake(Exception):
    """Nobody wants the file: it was removed, or is done."""

    def __init__(self) -> None:
        super().__init__(self.__doc__)


class Busy(Exception):
    """Another worker is making a file of the same content."""

    def __init__(self) -> None:
        super().__init__(self.__doc__)


class AgainLater(Exception):
    """It came to nothing this time; the message says what happened, without anybody's data."""


def make_file(
    engine: Engine, folder: Path, number: int, *, makers: LoadsMaker, keep: timedelta, last: bool
) -> FileRow:
    """Make it; the row as it was begun. `last`: no attempt follows, so it fails for good.

    Raises NothingToMake, Busy (both leave nothing behind), CannotMake (the row says why) and AgainLater.
    """
    with engine.begin() as connection:
        begun = connection.execute(files.begin(number)).one_or_none()
    if begun is None:
        raise NothingToMake
    row = file_row(begun)
    try:
        _make(engine, folder, row, _maker(makers, row.kind), keep)
    except Cancelled as error:
        raise NothingToMake from error
    except Busy as error:
        _end(engine, files.queue_again(row.id, row.attempt, str(error)))
        raise
    except CannotMake as error:
        _end(engine, files.fail(row.id, row.attempt, str(error)))
        raise
    except Exception as error:
        if isinstance(error, OSError) and error.errno in _DISK_FULL:
            why = "The disk of the files is full: make room, or ask for less."
            _end(engine, files.fail(row.id, row.attempt, why))
            raise CannotMake(why) from error
        # The kind alone: a driver's message quotes what it was given.
        why = f"It came to nothing ({type(error).__name__})."
        told = files.fail if last else files.queue_again
        _end(engine, told(row.id, row.attempt, why))
        raise AgainLater(why) from error
    return row


def make_here(engine: Engine, wanted: Wanted, maker: Maker, folder: Path, tell: Tell) -> Made:
    """Make what is wanted into `folder`, without a row: the same bytes as a job's. Raises as makers do."""
    with snapshot(engine) as connection:
        return maker.make(_task(connection, wanted, folder, tell))


def _task(connection: Connection, wanted: Wanted, folder: Path, tell: Tell) -> Task:
    watermark = in_the_file(read_watermark(connection, wanted.study, wanted.sites))
    return Task(wanted=wanted, connection=connection, folder=folder, watermark=watermark, tell=tell)


def content_key(connection: Connection, wanted: Wanted, maker: Maker, watermark: Json) -> str:
    """What was asked for and of which data, as 64 hex digits: equal keys, equal bytes."""
    told = {
        "kind": wanted.kind,
        "study": wanted.study,
        "sites": None if wanted.sites is None else sorted(wanted.sites),
        "identified": wanted.identified,
        "request": wanted.request,
        "data": _data(connection, wanted, maker),
        "watermark": watermark,
        "versions": maker.versions(wanted),
        # What was mended in a release is not to be had from files of the one before.
        "release": version("metricis-sync"),
    }
    return hashlib.sha256(msgspec.json.encode(told, order="deterministic")).hexdigest()


def _data(connection: Connection, wanted: Wanted, maker: Maker) -> Json | str:
    if maker.content is not None:
        return maker.content(connection, wanted)
    return data_state(connection, wanted.study, wanted.sites)


@contextmanager
def snapshot(engine: Engine) -> Iterator[Connection]:
    """A connection whose statements all see one moment, and which changes nothing."""
    reader = engine.execution_options(isolation_level="REPEATABLE READ", postgresql_readonly=True)
    with reader.connect() as connection:
        yield connection


def wanted_of(row: FileRow) -> Wanted:
    """What the row asks for."""
    return Wanted(
        kind=row.kind,
        study=row.study,
        sites=None if row.sites is None else tuple(row.sites),
        identified=row.identified,
        request=row.request,
    )


def _make(engine: Engine, folder: Path, row: FileRow, maker: Maker, keep: timedelta) -> None:
    wanted = wanted_of(row)
    teller = _Teller(engine, row)
    teller.tell(0, None, "reading")
    with snapshot(engine) as connection:
        watermark = read_watermark(connection, wanted.study, wanted.sites)
        key = content_key(connection, wanted, maker, in_the_file(watermark))
        with _locked(engine, key):
            _end_or_cancel(engine, files.note_key(row.id, row.attempt, key))
            finished = _is_there(engine, folder, key, maker.name(wanted), watermark)
            if finished is None:
                with attempt_folder(folder, row.id, row.attempt) as inside:
                    made = maker.make(_task(connection, wanted, inside, teller.tell))
                    teller.look(made.rows)
                    finished = _put(folder, key, made, maker.name(wanted), watermark)
            try:
                _end_or_cancel(engine, files.finish(row.id, row.attempt, finished, keep=keep))
            except Cancelled:
                # At once: it may hold a participant who was erased meanwhile.
                _drop(engine, place_of(folder, key, finished.file_name), key)
                raise


def _maker(makers: LoadsMaker, kind: str) -> Maker:
    # Of this alone: a KeyError of a maker is a defect, and its words may be somebody's code.
    try:
        return makers(kind)
    except LookupError as error:
        raise CannotMake(str(error)) from error


def _drop(engine: Engine, place: Path, key: str) -> None:
    with engine.connect() as connection:
        if not connection.scalar(files.is_needed(key)):
            place.unlink(missing_ok=True)


def _is_there(engine: Engine, folder: Path, key: str, name: str, watermark: Json) -> Finished | None:
    with engine.connect() as connection:
        known = connection.execute(files.select_made(key)).one_or_none()
    if known is None:
        return None
    for path in folder.glob(f"{key}.*"):
        if path.stat().st_size == known.size:
            return Finished(
                file_name=f"{name}{path.suffix}",
                media_type=known.media_type,
                size=known.size,
                sha256=known.sha256,
                rows=known.rows_done,
                watermark=watermark,
            )
    return None


def _put(folder: Path, key: str, made: Made, name: str, watermark: Json) -> Finished:
    size, sha256 = digest(made.path)
    named = f"{name}{made.path.suffix}"
    put(made.path, place_of(folder, key, named))
    return Finished(
        file_name=named,
        media_type=made.media_type,
        size=size,
        sha256=sha256,
        rows=made.rows,
        watermark=watermark,
    )


@contextmanager
def _locked(engine: Engine, key: str) -> Iterator[None]:
    autocommit = engine.execution_options(isolation_level="AUTOCOMMIT")
    with autocommit.connect() as connection:
        if not connection.scalar(files.try_lock(key)):
            raise Busy
        try:
            yield
        finally:
            connection.execute(files.unlock(key))


class _Teller:
    """Tells the row how far it is, now and then; finds out that nobody wants it."""

    def __init__(self, engine: Engine, row: FileRow) -> None:
        self._engine = engine
        self._row = row
        self._told_at = float("-inf")
        self._stage = ""

    def tell(self, done: int, total: int | None, stage: str) -> None:
        """See `making.Tell`. Raises Cancelled."""
        now = time.monotonic()
        if stage == self._stage and now - self._told_at < TELL_SECONDS:
            return
        self._told_at, self._stage = now, stage
        told = files.tell(self._row.id, self._row.attempt, done=done, total=total, stage=stage)
        _end_or_cancel(self._engine, told)

    def look(self, rows: int) -> None:
        """Whether it is wanted still, now that it is made. Raises Cancelled."""
        self._told_at = float("-inf")
        self.tell(rows, rows, "writing")


def _end(engine: Engine, statement: Update) -> None:
    with engine.begin() as connection:
        connection.execute(statement)


def _end_or_cancel(engine: Engine, statement: Update) -> None:
    with engine.begin() as connection:
        if connection.execute(statement).one_or_none() is None:
            raise Cancelled
