"""Verifying a set without a server: every file is there, and is what was written.

Before a restore the bytes are compared, which is quick; `backup --check` also reads every line. Postgres's
dump was read to its end when it was made; its bytes say that it is still the same.
"""

from collections.abc import Callable, Iterable
from pathlib import Path

from replication.dump.lines import DumpDamaged, check_bytes, check_dump
from sync_server.backup.manifest import DatabaseFile, File, Manifest, PostgresDump, Run

Tell = Callable[[str], None]


def check_set(directory: Path, manifest: Manifest, *, tell: Tell = lambda _: None) -> list[str]:
    """What is wrong with any file of any run, a sentence each. Raises OSError."""
    problems = []
    for run in manifest.runs:
        for database in run.databases:
            path = directory / run.directory / database.file
            tell(f"{run.directory}/{database.file}")
            try:
                check_dump(path, database.written)
            except DumpDamaged as damage:
                problems.append(f"run {run.number}: {damage}")
        for path, file in _others(directory, run):
            tell(str(path.relative_to(directory)))
            try:
                check_bytes(path, file.bytes, file.sha256)
            except DumpDamaged as damage:
                problems.append(f"run {run.number}: {damage}")
    return problems


def _others(directory: Path, run: Run) -> Iterable[tuple[Path, File]]:
    here = directory / run.directory
    yield from ((here / file.name, file) for file in run.winners)
    yield from ((here / "keys" / file.name, file) for file in run.keys)
    if run.postgres is not None:
        yield here / run.postgres.file.name, run.postgres.file


def check_needed(
    directory: Path,
    chains: Iterable[list[tuple[Run, DatabaseFile]]],
    last: Run,
    dump: tuple[Run, PostgresDump] | None,
) -> None:
    """Compare the bytes of what a restore will read: `dump` of Postgres, and keys of the last run. Raises
    DumpDamaged, OSError.
    """
    for chain in chains:
        for run, database in chain:
            written = database.written
            check_bytes(directory / run.directory / database.file, written.bytes, written.sha256)
    files = [(directory / last.directory / "keys" / file.name, file) for file in last.keys]
    if dump is not None:
        files.append((directory / dump[0].directory / dump[1].file.name, dump[1].file))
    for path, file in files:
        check_bytes(path, file.bytes, file.sha256)
