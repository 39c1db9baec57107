"""What a backup set holds: `manifest.json`, and the chain of files that a database is restored from.

    set/
      manifest.json            written last and atomically: what is not in it is no part of the set
      0001/                    a run: everything (the base)
        site-lima.jsonl.gz     `replication.dump.lines`
        postgres.dump          pg_dump's custom format
        keys/                  with `--with-keys`
      0002/                    a later run: leaves that changed since, and Postgres whole

A database's chain is its last file that began at the start of its feed, and the files of later runs. A
database that a run found gone has no chain: it is not restored.

| what happens | what follows |
|---|---|
| a run dies, the disk is full | its directory is not in the manifest; the next run clears it away |
| the manifest is of a newer format, or damaged | UnusableSet, before anything is read or written |
| it comes from anywhere: runs in no order, names of files outside, values that are none | the same |
| two runs into one set at once | the second is refused (`locked`) |
"""

import fcntl
import os
import re
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import msgspec

from replication.dump.lines import Written
from reporting.sites import site_of
from sync_server.embedded.atomic_file import write_atomically

FORMAT = 1
MANIFEST = "manifest.json"
_LOCK = ".lock"
_SERVER_VERSION = re.compile(r"[1-9][0-9]{4,7}")


class UnusableSet(Exception):
    """The directory is no backup set, or not one that can be used for this; the message says why."""


class File(msgspec.Struct, frozen=True):
    """A file of a run, with its size and SHA-256."""

    name: str
    bytes: int
    sha256: str


class DatabaseFile(msgspec.Struct, frozen=True, kw_only=True):
    """One database in one run: the leaves of documents that changed after `since` up to `until`.

    `base`: from the start of the feed; `why` says so where more was asked for than was possible. `instance`
    names the database as it was created, where the server tells.
    """

    database: str
    file: str
    base: bool
    why: str = ""
    since: str
    until: str
    instance: str
    documents: int
    written: Written
    security: msgspec.Raw = msgspec.Raw(b"{}")
    """The database's `_security`."""


class PostgresDump(msgspec.Struct, frozen=True):
    """`schema` is the migration that the dumped schema had; versions as PostgreSQL tells them."""

    file: File
    server_version: str
    """As PostgreSQL numbers it: "180001"."""
    pg_dump_version: str
    schema: str


class KeyMarks(msgspec.Struct, frozen=True):
    """By what the keys of the deployment are recognised; they cannot be made from these."""

    signing: str
    encryption: list[str]


class Run(msgspec.Struct, frozen=True, kw_only=True):
    """One run. Times are RFC 3339. `gone`: databases of earlier runs that the server had no more."""

    number: int
    started: str
    finished: str
    databases: list[DatabaseFile]
    gone: list[str] = []
    postgres: PostgresDump | None = None
    marks: KeyMarks | None = None
    keys: list[File] = []
    winners: list[File] = []

    @property
    def directory(self) -> str:
        """The name of its directory."""
        return directory_of(self.number)


class Manifest(msgspec.Struct, frozen=True, kw_only=True):
    """A set: its runs in their order. `id` is in the databases too, as a mark (`making`)."""

    format: int
    id: str
    runs: list[Run]


class SecurityNames(msgspec.Struct):
    """Whom a `_security` names."""

    names: list[str] = []
    roles: list[str] = []


class Security(msgspec.Struct):
    """A database's `_security`, as far as a restore looks at it."""

    admins: SecurityNames = msgspec.field(default_factory=SecurityNames)
    members: SecurityNames = msgspec.field(default_factory=SecurityNames)

    @property
    def names_somebody(self) -> bool:
        """Whether anybody is let in by it."""
        return any((self.admins.names, self.admins.roles, self.members.names, self.members.roles))


class _Format(msgspec.Struct):
    format: int


def directory_of(number: int) -> str:
    """`1` → `"0001"`."""
    return f"{number:04}"


def read_manifest(directory: Path) -> Manifest:
    """The manifest of a set. Raises UnusableSet."""
    path = directory / MANIFEST
    try:
        content = path.read_bytes()
        told = msgspec.json.decode(content, type=_Format)
        if told.format != FORMAT:
            raise UnusableSet(
                f"{directory} is a backup set of format {told.format}; this release reads {FORMAT}."
            )
        manifest = msgspec.json.decode(content, type=Manifest)
    except FileNotFoundError as error:
        raise UnusableSet(f"{directory} is no backup set: it has no {MANIFEST}.") from error
    except (OSError, msgspec.DecodeError, RecursionError) as error:
        raise UnusableSet(f"{path} cannot be read: {error}.") from error
    if not manifest.runs:
        raise UnusableSet(f"{directory} holds no run.")
    for name in _names(manifest):
        # Names become paths and databases; a manifest may come from anywhere.
        if Path(name).name != name or name in {"", ".", ".."} or "\0" in name:
            raise UnusableSet(f"{path} names a file outside of the set: {name!r}.")
    last = 0
    for run in manifest.runs:
        if run.number <= last:
            raise UnusableSet(
                f"{path} has run {run.number} after run {last}: runs are numbered from 1 in their order."
            )
        last = run.number
        _check_values(run)
    return manifest


def _check_values(run: Run) -> None:
    """What a restore would stumble over after it has begun to write. Raises UnusableSet."""
    twice = [name for name, n in Counter(file.database for file in run.databases).items() if n > 1]
    if twice:
        raise UnusableSet(f"Run {run.number} has {twice[0]} twice.")
    for file in run.databases:
        try:
            security_of(file)
        except msgspec.DecodeError as error:
            raise UnusableSet(
                f"Run {run.number} has a _security of {file.database} that is none: {error}."
            ) from error
    if run.postgres is not None and _SERVER_VERSION.fullmatch(run.postgres.server_version) is None:
        raise UnusableSet(
            f"Run {run.number} has a Postgres of version {run.postgres.server_version!r}, which is none."
        )


def security_of(file: DatabaseFile) -> Security:
    """The database's `_security`. Raises msgspec.DecodeError."""
    return msgspec.json.decode(file.security, type=Security)


def _names(manifest: Manifest) -> Iterator[str]:
    for run in manifest.runs:
        for database in run.databases:
            yield database.file
            if site_of(database.database) is None:
                raise UnusableSet(f"{database.database!r} is no site database.")
        files = [*run.keys, *run.winners, *([run.postgres.file] if run.postgres else [])]
        yield from (file.name for file in files)


def write_manifest(directory: Path, manifest: Manifest) -> None:
    """Replace the set's manifest; on disk when this returns. Raises OSError."""
    write_atomically(directory / MANIFEST, msgspec.json.format(msgspec.json.encode(manifest)) + b"\n")


def last_of(manifest: Manifest, database: str) -> DatabaseFile | None:
    """A database's last file; None where there is none, or a later run found it gone."""
    for run in reversed(manifest.runs):
        if database in run.gone:
            return None
        for file in run.databases:
            if file.database == database:
                return file
    return None


def chains(manifest: Manifest) -> dict[str, list[tuple[Run, DatabaseFile]]]:
    """The files that each database is restored from, in their order."""
    found: dict[str, list[tuple[Run, DatabaseFile]]] = {}
    for run in manifest.runs:
        for gone in run.gone:
            found.pop(gone, None)
        for file in run.databases:
            if file.base:
                found[file.database] = []
            if file.database not in found:
                raise UnusableSet(
                    f"{file.database} has an increment in run {run.number} and no base before it."
                )
            found[file.database].append((run, file))
    return found


def last_with_postgres(manifest: Manifest) -> tuple[Run, PostgresDump] | None:
    """The newest run that has a dump of Postgres."""
    for run in reversed(manifest.runs):
        if run.postgres is not None:
            return run, run.postgres
    return None


def up_to(manifest: Manifest, run: int | None) -> Manifest:
    """The set as it was after that run; None: as it is. Raises UnusableSet."""
    if run is None:
        return manifest
    runs = [each for each in manifest.runs if each.number <= run]
    if not runs or runs[-1].number != run:
        raise UnusableSet(
            f"The set has no run {run}: it has {', '.join(str(r.number) for r in manifest.runs)}."
        )
    return msgspec.structs.replace(manifest, runs=runs)


@contextmanager
def locked(directory: Path) -> Iterator[None]:
    """Alone with a set; the kernel's lock ends with the process. Raises UnusableSet, OSError."""
    descriptor = os.open(directory / _LOCK, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
    try:
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError as error:
            raise UnusableSet(f"Another process is at work on {directory}.") from error
        yield
    finally:
        os.close(descriptor)
