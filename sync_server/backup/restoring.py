"""A set into an empty deployment: keys, Postgres, every leaf of every site database; then compared.

    verify the set ─▶ is it empty? ─▶ marker ─▶ keys ─▶ Postgres ─▶ site databases ─▶ compare ─▶ marker away

| what happens | what follows |
|---|---|
| a byte of the set is damaged, the keys are wrong, the schema is unknown | refused, nothing is written |
| the deployment holds something | refused, with what, unless its marker says that this restore began |
| something is at work on its Postgres | refused, with what: it would see half a deployment |
| the last run has no Postgres | that of the newest run that has one: it knows of erasures |
| it dies | started again it goes on: Postgres is one transaction, leaves that are there stay |
| documents that were erased | left out, and counted |
| a document is refused, or leaves are not those of the set | told; the marker stays: not complete |
"""

import asyncio
from collections.abc import Callable, Sequence
from contextlib import suppress
from pathlib import Path
from typing import NamedTuple

import msgspec
from sqlalchemy import Connection

from replication.client import NotWritten
from replication.dump.comparing import Comparison, ExpectedLeaves
from replication.dump.loading import Loaded, load_file
from replication.dump.place import Place, retried
from replication.errors import DatabaseExists
from reporting.engine import async_engine
from reporting.sites import database_of, site_of
from sync_server.backup import postgres
from sync_server.backup.checking import check_needed
from sync_server.backup.erased import unless_erased
from sync_server.backup.keys import check_keys, place_keys
from sync_server.backup.making import Progress
from sync_server.backup.manifest import (
    DatabaseFile,
    Manifest,
    PostgresDump,
    Run,
    UnusableSet,
    chains,
    last_with_postgres,
    security_of,
)
from sync_server.embedded.atomic_file import write_atomically
from sync_server.gateway.erased import ErasedFingerprints
from sync_server.sealing import load_sealer

MARKER = ".restore.json"
_LOOKS = 5
_BETWEEN_LOOKS_S = 0.2


class NotEmpty(Exception):
    """The deployment to restore into holds something; the message says what."""


class InUse(Exception):
    """Processes are at work on the deployment to restore into; the message says which."""


class Target(NamedTuple):
    """An empty deployment. `owner_url` is of the role that is to own the tables, `app_role` the service's;
    `grant` gives that role what it needs.
    """

    place: Place
    data_dir: Path
    encryption_keys: tuple[str, ...]
    owner_url: str
    app_role: str | None
    grant: Callable[[Connection], None] | None
    pg_restore: Path | None = None


class RestoredDatabase(msgspec.Struct):
    """What became of a database; `left_out` leaves were erased."""

    database: str
    stored: int
    known: int
    left_out: int
    refused: list[NotWritten]
    comparison: Comparison

    @property
    def is_whole(self) -> bool:
        """Whether every leaf that is to be there is there."""
        return not self.refused and not self.comparison.different


class Plan(NamedTuple):
    """What is restored from a set: which run's Postgres, which chains of files."""

    directory: Path
    manifest: Manifest
    chains: dict[str, list[tuple[Run, DatabaseFile]]]

    @property
    def last(self) -> Run:
        """The run that the keys are taken from."""
        return self.manifest.runs[-1]

    @property
    def postgres(self) -> tuple[Run, PostgresDump] | None:
        """The newest dump of Postgres, which may be of an earlier run; None where no run has one."""
        return last_with_postgres(self.manifest)

    @property
    def content_bytes(self) -> int:
        """Bytes of all lines to be read."""
        return sum(file.written.counts.content_bytes for chain in self.chains.values() for _, file in chain)


class _Marker(msgspec.Struct):
    set: str
    run: int
    postgres: bool = False


def plan_restore(directory: Path, manifest: Manifest, sites: Sequence[str]) -> Plan:
    """Look at the set, byte by byte. Raises UnusableSet, DumpDamaged, PostgresFailed, OSError."""
    found = chains(manifest)
    asked = {database_of(site) for site in sites}
    if asked - found.keys():
        raise UnusableSet(f"The set holds no database {', '.join(sorted(asked - found.keys()))}.")
    chosen = {name: chain for name, chain in sorted(found.items()) if not asked or name in asked}
    plan = Plan(directory, manifest, chosen)
    check_needed(directory, chosen.values(), plan.last, plan.postgres)
    if plan.postgres is not None:
        postgres.check_schema(plan.postgres[1].schema)
    return plan


def begun(plan: Plan, data_dir: Path) -> bool:
    """Whether this restore was begun there and is to go on. Raises NotEmpty for another one."""
    try:
        marker = msgspec.json.decode((data_dir / MARKER).read_bytes(), type=_Marker)
    except FileNotFoundError:
        return False
    if (marker.set, marker.run) != (plan.manifest.id, plan.last.number):
        raise NotEmpty(
            f"{data_dir} holds the beginning of a restore of run {marker.run} of another set ({marker.set}): "
            "finish that one, or begin with an empty directory."
        )
    return True


async def restore_set(
    plan: Plan, target: Target, tell: Progress, *, new_keys: bool = False
) -> list[RestoredDatabase]:
    """Fill the deployment; what became of each database.

    Raises InUse, NotEmpty, WrongKeys and the errors of the keys, PostgresFailed, psycopg.Error, DumpDamaged,
    CouchError, OSError; started again it goes on.
    """
    await check_unused(target)
    marker = _Marker(plan.manifest.id, plan.last.number)
    if begun(plan, target.data_dir):
        marker = msgspec.json.decode((target.data_dir / MARKER).read_bytes(), type=_Marker)
    else:
        await check_empty(plan, target)
    last = plan.last
    if last.keys:
        place_keys(plan.directory / last.directory / "keys", last.keys, target.data_dir)
    if last.marks is not None and not new_keys:
        check_keys(last.marks, target.data_dir, target.encryption_keys)
    _write(marker, target.data_dir)
    if plan.postgres is not None and not marker.postgres:
        await _restore_postgres(plan.directory, *plan.postgres, target, tell)
        marker.postgres = True
        _write(marker, target.data_dir)
    restored = await _databases(plan, target, tell)
    if all(each.is_whole for each in restored):
        (target.data_dir / MARKER).unlink()
    return restored


async def _restore_postgres(
    directory: Path, run: Run, dump: PostgresDump, target: Target, tell: Progress
) -> None:
    tell("Postgres", None, None, dump.file.bytes)
    program, _ = await postgres.find_program("pg_restore", target.pg_restore, int(dump.server_version))
    file = directory / run.directory / dump.file.name
    await postgres.restore(program, target.owner_url, file, app_role=target.app_role)
    postgres.bring_up_to_date(target.owner_url, target.grant)


def _write(marker: _Marker, data_dir: Path) -> None:
    write_atomically(data_dir / MARKER, msgspec.json.encode(marker))


async def check_unused(target: Target) -> None:
    """Raises InUse where a process of a deployment is connected to its Postgres; psycopg.Error."""
    at_work: list[str] = []
    # A connection that was closed is listed until Postgres has ended its own process.
    for _ in range(_LOOKS):
        at_work = postgres.at_work(target.owner_url)
        if not at_work:
            return
        await asyncio.sleep(_BETWEEN_LOOKS_S)
    raise InUse(
        f"Something is at work on the deployment's Postgres: {', '.join(at_work)}. Stop every process of "
        "it first: service, projector, relay, workers."
    )


async def check_empty(plan: Plan, target: Target) -> None:
    """Raises NotEmpty, with what is there; psycopg.Error, CouchError."""
    there = []
    for name in await retried(target.place.client.all_dbs):
        if site_of(name) is None:
            continue
        # Design documents are what provisioning leaves in a database.
        page = await retried(target.place.client.changes, name, "0", limit=100)
        if any(not change.id.startswith("_design/") for change in page.changes):
            there.append(f"documents in {name}")
    if plan.postgres is not None:
        there += postgres.filled_tables(target.owner_url)
    if there:
        shown = ", ".join(there[:8]) + (" …" if len(there) > 8 else "")
        raise NotEmpty(f"The deployment is not empty: {shown}. A restore needs an empty one.")


async def _databases(plan: Plan, target: Target, tell: Progress) -> list[RestoredDatabase]:
    engine = async_engine(target.owner_url, application_name="metricis-restore")
    sealer = load_sealer(target.encryption_keys, target.data_dir)
    known = ErasedFingerprints(engine, sealer.fingerprints)
    done = 0
    total = plan.content_bytes

    def read(more: int) -> None:
        nonlocal done
        done += more
        tell("Site databases", None, None, min(done, total))

    try:
        return [await _database(plan, target, name, known, read) for name in plan.chains]
    finally:
        await engine.dispose()


async def _database(
    plan: Plan, target: Target, name: str, known: ErasedFingerprints, read: Callable[[int], None]
) -> RestoredDatabase:
    place, chain = target.place, plan.chains[name]
    with suppress(DatabaseExists):
        await retried(place.client.create, name)
    keep = unless_erased(known, site_of(name) or name)
    loaded = Loaded()
    with ExpectedLeaves() as expected:
        for run, file in chain:
            path = plan.directory / run.directory / file.file
            await load_file(place, name, path, expected, loaded, keep=keep, tell=read)
        comparison = await expected.compare(place.client, name)
    await _restore_security(place, name, chain[-1][1])
    return RestoredDatabase(name, loaded.stored, loaded.known, loaded.left_out, loaded.refused, comparison)


async def _restore_security(place: Place, name: str, file: DatabaseFile) -> None:
    # One that names nobody would open the database to everybody on an Apache CouchDB.
    if security_of(file).names_somebody:
        path = f"/{name}/_security"
        await retried(place.client.request, "PUT", path, dict[str, object], raw_body=bytes(file.security))
