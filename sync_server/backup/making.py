"""One run of a backup: site databases first, then Postgres, then the manifest.

The order makes them consistent. Whatever document is in the set was put on record before it was stored, so
the dump that follows has its entry. Rows of documents that came in between are marked as gone by the
projector after a restore, until their tablets push them again.

A run continues a database where the last one ended only if it is still the same database, which a mark in it
(`_local/metricis-backup-<set>`) tells: it is written after reading, and holds the run's number.

| situation | mark | the run takes |
|---|---|---|
| nothing happened, or the last run died after its mark | of the last run, or later | what changed since |
| recreated, or put back from before the last run | older, or none | everything, and says why |
| another instance, where the server tells it | | everything, and says why |
| the server does not know the sequence any more | | everything: it answers from the start |
"""

import hashlib
import shutil
import uuid
from collections.abc import Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, NamedTuple, Protocol

import msgspec

from replication.dump.lines import Written, check_dump
from replication.dump.place import Place, retried
from replication.dump.winners import dump_winners
from replication.dump.writing import DatabaseChanged, dump_database, instance_of
from replication.errors import NotFound
from reporting.sites import database_of, site_of
from sync_server.backup import postgres
from sync_server.backup.keys import copy_keys, marks_of
from sync_server.backup.manifest import (
    FORMAT,
    MANIFEST,
    DatabaseFile,
    File,
    Manifest,
    PostgresDump,
    Run,
    UnusableSet,
    directory_of,
    last_of,
    locked,
    read_manifest,
    write_manifest,
)
from sync_server.embedded.atomic_file import sync_directory

_HASHED_AT_ONCE = 1024 * 1024


class Progress(Protocol):
    """Hears how far a part has come: documents (or None) of how many, where known, and bytes."""

    def __call__(self, part: str, done: int | None, total: int | None, size: int) -> None:
        """The part's present state."""


class Source(NamedTuple):
    """What is backed up. `postgres_url` None: the databases alone."""

    place: Place
    data_dir: Path
    encryption_keys: tuple[str, ...]
    postgres_url: str | None
    pg_dump: Path | None = None


class Wanted(NamedTuple):
    """What a run is to hold. `sites` empty: all."""

    sites: Sequence[str] = ()
    incremental: bool = False
    keys: bool = False
    winners: bool = False


async def make_backup(source: Source, directory: Path, wanted: Wanted, tell: Progress) -> Manifest:
    """Add a run to the set in `directory`, or make the set; its manifest.

    Raises UnusableSet, PostgresFailed, psycopg.Error, CouchError, DumpDamaged, DatabaseChanged, OSError and
    the errors of the keys. The set is then what it was before.
    """
    _make_directory(directory)
    with locked(directory):
        before = _before(directory, incremental=wanted.incremental)
        number = before.runs[-1].number + 1 if before.runs else 1
        into = directory / directory_of(number)
        if into.exists():
            shutil.rmtree(into)
        _make_directory(into)
        run = await _run(source, before, into, wanted, tell)
        sync_directory(into)
        sync_directory(directory)
        manifest = msgspec.structs.replace(before, runs=[*before.runs, run])
        write_manifest(directory, manifest)
        return manifest


def _make_directory(directory: Path) -> None:
    directory.mkdir(mode=0o700, parents=True, exist_ok=True)


def _before(directory: Path, *, incremental: bool) -> Manifest:
    if (directory / MANIFEST).exists():
        if not incremental:
            raise UnusableSet(
                f"{directory} holds a set already: add to it with --incremental, or name another."
            )
        return read_manifest(directory)
    others = [path.name for path in directory.iterdir() if path.name not in {".lock", directory_of(1)}]
    if others:
        raise UnusableSet(f"{directory} holds other files ({others[0]}); give an empty directory.")
    return Manifest(format=FORMAT, id=uuid.uuid4().hex, runs=[])


async def _run(source: Source, before: Manifest, into: Path, wanted: Wanted, tell: Progress) -> Run:
    started = _now()
    program = None
    if source.postgres_url is not None:
        # What cannot end well is refused before the databases are read, which may take hours.
        version = postgres.server_version(source.postgres_url)
        program = await postgres.find_program("pg_dump", source.pg_dump, version)
    names, gone = await _databases(source.place, before, wanted.sites)
    databases, winners = [], []
    for name in names:
        try:
            dumped = await _database(source.place, before, name, into, tell)
        except NotFound:
            gone.append(name)
            continue
        databases.append(dumped)
        if wanted.winners:
            path = into / f"{name}.winners"
            await dump_winners(source.place, name, path)
            winners.append(file_of(path))
    dump = None
    if program is not None and source.postgres_url is not None:
        dump = await _postgres(program, source.postgres_url, into, tell)
    return Run(
        number=int(into.name),
        started=started,
        finished=_now(),
        databases=databases,
        gone=gone,
        postgres=dump,
        marks=marks_of(source.data_dir, source.encryption_keys),
        keys=copy_keys(source.data_dir, into / "keys") if wanted.keys else [],
        winners=winners,
    )


async def _databases(place: Place, before: Manifest, sites: Sequence[str]) -> tuple[list[str], list[str]]:
    there = {name for name in await retried(place.client.all_dbs) if site_of(name) is not None}
    asked = {database_of(site) for site in sites}
    if asked - there:
        raise UnusableSet(f"There is no database {', '.join(sorted(asked - there))}.")
    if asked:
        return sorted(asked), []
    known = {file.database for run in before.runs for file in run.databases}
    return sorted(there), sorted(name for name in known - there if last_of(before, name) is not None)


async def _database(place: Place, before: Manifest, name: str, into: Path, tell: Progress) -> DatabaseFile:
    """Dump one database and read the file back. Raises NotFound where it was deleted meanwhile."""
    last = last_of(before, name)
    since, why = await _since(place, before, last, name)
    path = into / f"{name}.jsonl.gz"

    def read(documents: int, pending: int | None, size: int) -> None:
        tell(name, documents, None if pending is None else documents + pending, size)

    try:
        dumped = await dump_database(place, name, path, since=since, tell=read)
    except DatabaseChanged as changed:
        path.unlink()
        since, why = "0", str(changed)
        dumped = await dump_database(place, name, path, tell=read)
    security = await retried(place.client.request, "GET", f"/{name}/_security", dict[str, Any])
    await _mark(place, before.id, name, int(into.name), dumped.until)
    _check(path, dumped.written, name, tell)
    return DatabaseFile(
        database=name,
        file=path.name,
        base=since == "0",
        why=why,
        since=since,
        until=dumped.until,
        instance=dumped.instance,
        documents=dumped.documents,
        written=dumped.written,
        security=msgspec.Raw(msgspec.json.encode(security)),
    )


def _check(path: Path, written: Written, name: str, tell: Progress) -> None:
    done = size = 0

    def read(more: int) -> None:
        nonlocal done, size
        done, size = done + 1, size + more
        tell(f"{name}: verifying", done, written.counts.leaves, size)

    check_dump(path, written, tell=read)


async def _since(place: Place, before: Manifest, last: DatabaseFile | None, name: str) -> tuple[str, str]:
    """Where to read on, and why from the start where that is not wanted."""
    if last is None:
        return "0", ""
    number = next(run.number for run in reversed(before.runs) if last in run.databases)
    if await instance_of(place.client, name) != last.instance:
        return "0", "the database was recreated or put back since the last run: taken whole"
    mark = await retried(place.client.local, name, _mark_id(before.id))
    if mark is None or not isinstance(mark.get("run"), int) or mark["run"] < number:
        return "0", "the database does not remember the last run, it was recreated or put back: taken whole"
    return last.until, ""


async def _mark(place: Place, set_id: str, name: str, number: int, until: str) -> None:
    mark = {"run": number, "seq": until}
    await retried(place.client.put_local, name, _mark_id(set_id), mark)


def _mark_id(set_id: str) -> str:
    return f"metricis-backup-{set_id}"


async def _postgres(program: tuple[Path, str], url: str, into: Path, tell: Progress) -> PostgresDump:
    path = into / "postgres.dump"
    schema = postgres.schema_of(url)
    version = postgres.server_version(url)
    await postgres.dump(program[0], url, path, tell=lambda size: tell("Postgres", None, None, size))
    beside = program[0].with_name("pg_restore")
    restorer, _ = await postgres.find_program("pg_restore", beside if beside.exists() else None, version)
    await postgres.read_back(restorer, path)
    return PostgresDump(file_of(path), str(version), program[1], schema)


def file_of(path: Path) -> File:
    """A file with its size and SHA-256. Raises OSError."""
    digest = hashlib.sha256()
    with path.open("rb") as file:
        while piece := file.read(_HASHED_AT_ONCE):
            digest.update(piece)
    return File(path.name, path.stat().st_size, digest.hexdigest())


def _now() -> str:
    return datetime.now(UTC).isoformat(timespec="seconds").replace("+00:00", "Z")
