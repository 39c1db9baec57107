"""Copies of a store's directory: taken while it serves, verified, and put back.

A backup is a directory: each database's file as it was at one moment (databases are copied one after the
other), the server's uuid, and a manifest with what each file is. It is made under a temporary name and
renamed when every file is on disk and was read back whole: a directory with the final name is a backup.

    what happens                              what follows
    --------------------------------------    ----------------------------------------------------------------
    clients write meanwhile                   the copy shows the moment at which it began; nobody waits for it
    a database is created meanwhile           it is in the backup or not
    a database is deleted meanwhile           it is left out; what was copied of it goes
    kill -9, a full disk, a defect found      only `….partial` is there, which the next backup replaces
    the same target twice                     refused; nothing is overwritten

A store that is put back has forgotten what came after the backup, and clients have not. So each database gets
a new identity: sequences and checkpoints of before mean "from the start" then, and tablets that still hold
what was lost send it again. The manifest is checked first; a store that holds databases is never touched.
"""

import contextlib
import hashlib
import os
import shutil
import sqlite3
import time
from collections.abc import Callable
from pathlib import Path

import msgspec

from replication.store.check import check_file
from replication.store.identity import FILE as UUID_FILE
from replication.store.registry import SUFFIX, lock_directory, name_of
from replication.store.writing import read_meta

MANIFEST = "manifest.json"
PARTIAL = ".partial"
PAGES_AT_ONCE = 2_000
_HASHED_AT_ONCE = 1024 * 1024

Tell = Callable[[str, int, int], None]
"""Hears of progress: a database's name, its pages that are copied, its pages."""


class CopiedDatabase(msgspec.Struct):
    """One database in a backup. `sha256` is of the file `file`, `bytes` its size."""

    name: str
    file: str
    bytes: int
    sha256: str
    update_seq: int
    documents: int


class Manifest(msgspec.Struct):
    """What a backup holds. Times are Unix times, in seconds."""

    started: int
    finished: int
    databases: list[CopiedDatabase]


class BackupRefused(Exception):
    """The backup cannot be made or put back; the text says why and what to do."""


def back_up(store: Path, target: Path, *, tell: Tell = lambda *_: None) -> Manifest:
    """Copy every database of the store, which may be serving. Raises BackupRefused, OSError."""
    if target.exists():
        raise BackupRefused(f"{target} exists; a backup goes to a directory of its own.")
    if not store.is_dir():
        raise BackupRefused(f"there is no store in {store}.")
    partial = target.with_name(target.name + PARTIAL)
    shutil.rmtree(partial, ignore_errors=True)
    partial.mkdir(mode=0o700, parents=True)
    started = int(time.time())
    copied = []
    for path in sorted(store.glob(f"*{SUFFIX}")):
        one = _copied(path, partial, tell)
        if one is not None:
            copied.append(one)
    if (store / UUID_FILE).exists():
        shutil.copyfile(store / UUID_FILE, partial / UUID_FILE)
        _sync(partial / UUID_FILE)
    manifest = Manifest(started, int(time.time()), copied)
    (partial / MANIFEST).write_bytes(msgspec.json.format(msgspec.json.encode(manifest)) + b"\n")
    _sync(partial / MANIFEST)
    _sync(partial)
    partial.rename(target)
    _sync(target.parent)
    return manifest


def _copied(path: Path, into: Path, tell: Tell) -> CopiedDatabase | None:
    name = name_of(path)
    if name is None:
        return None
    copy = into / path.name
    try:
        _copy_pages(path, copy, lambda done, total: tell(name, done, total))
    except sqlite3.Error as error:
        copy.unlink(missing_ok=True)
        if not path.exists():
            return None
        raise BackupRefused(f"{name} cannot be copied: {error}") from error
    report = check_file(copy)
    if report.problems:
        raise BackupRefused(f"{name} is damaged: {report.problems[0]}; see `sync-server store check`.")
    _sync(copy)
    uri = f"{copy.absolute().as_uri()}?mode=ro&immutable=1"
    with contextlib.closing(sqlite3.connect(uri, uri=True)) as connection:
        update_seq = int(read_meta(connection)["update_seq"])
    return CopiedDatabase(name, copy.name, copy.stat().st_size, _sha256(copy), update_seq, report.documents)


def _copy_pages(path: Path, copy: Path, tell: Callable[[int, int], None]) -> None:
    with (
        contextlib.closing(
            sqlite3.connect(f"{path.absolute().as_uri()}?mode=ro", uri=True, isolation_level=None)
        ) as source,
        contextlib.closing(sqlite3.connect(copy, isolation_level=None)) as target,
    ):
        # The transaction holds the moment: without it every write of the server would begin the copy anew.
        source.execute("BEGIN")
        source.execute("SELECT count(*) FROM meta").fetchone()
        source.backup(target, pages=PAGES_AT_ONCE, progress=lambda _, left, total: tell(total - left, total))
        # Out of WAL: the copy is one file, whole in itself.
        target.execute("PRAGMA journal_mode = DELETE")


def read_manifest(backup: Path) -> Manifest:
    """The manifest of a backup, after a check of every file's bytes. Raises BackupRefused."""
    try:
        manifest = msgspec.json.decode((backup / MANIFEST).read_bytes(), type=Manifest)
    except (OSError, msgspec.DecodeError) as error:
        raise BackupRefused(f"{backup} is not a backup: its {MANIFEST} cannot be read ({error}).") from error
    for one in manifest.databases:
        file = backup / Path(one.file).name
        if not file.is_file():
            raise BackupRefused(f"{file.name} ({one.name}) is missing in {backup}.")
        if _sha256(file) != one.sha256:
            raise BackupRefused(f"{file.name} ({one.name}) is not what was backed up: its SHA-256 differs.")
    return manifest


def restore(backup: Path, store: Path, *, new_uuid: Callable[[], str]) -> Manifest:
    """Put a backup's databases into an empty store that nobody serves. Raises BackupRefused,
    DirectoryInUse, OSError.
    """
    manifest = read_manifest(backup)
    store.mkdir(mode=0o700, parents=True, exist_ok=True)
    lock = lock_directory(store)
    try:
        # A log without its database too: SQLite would take it for that of the file that is put back.
        if any(store.glob(f"*{SUFFIX}*")):
            raise BackupRefused(f"{store} holds databases, or logs (-wal) of some; move them away first.")
        for leftover in store.glob("*.new*"):
            leftover.unlink()
        for one in manifest.databases:
            blank = store / f"{Path(one.file).stem}.new"
            shutil.copyfile(backup / Path(one.file).name, blank)
            with contextlib.closing(sqlite3.connect(blank, isolation_level=None)) as connection:
                connection.execute("UPDATE meta SET value = ? WHERE name = 'uuid'", (new_uuid(),))
            _sync(blank)
        # What is cut short before this leaves nothing: the next start removes files that end with `.new`.
        for one in manifest.databases:
            (store / f"{Path(one.file).stem}.new").rename(store / Path(one.file).name)
        if (backup / UUID_FILE).exists() and not (store / UUID_FILE).exists():
            shutil.copyfile(backup / UUID_FILE, store / UUID_FILE)
            _sync(store / UUID_FILE)
        _sync(store)
    finally:
        os.close(lock)
    return manifest


def _sha256(path: Path) -> str:
    digest = hashlib.sha256()
    with path.open("rb") as file:
        while piece := file.read(_HASHED_AT_ONCE):
            digest.update(piece)
    return digest.hexdigest()


def _sync(path: Path) -> None:
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
