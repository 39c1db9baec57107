"""Verifying a store's directory while nobody serves it: does every file hold what it says?

SQLite proves that its pages are whole. That the pages say something true is proved here, from what a reader
would need, one document after the other and never the whole database at once:

    what is checked                                   what a defect would mean
    ----------------------------------------------    -------------------------------------------------
    the file opens, its pages are whole               nothing in it can be trusted
    identity, counters and limits are there           the database cannot be opened or written
    trees decode and have a leaf                      the document cannot be read or written
    the row agrees with its tree (winner, leaves)     feeds and listings show another revision than reads
    kept revisions have their content, as JSON        a read fails
    content has its attachments, digests match        a read fails, or gives other bytes than were sent
    sequences are unique and not beyond update_seq    a feed leaves changes out
    counters are what they count                      totals are wrong

Content that nothing refers to is no defect: a write that failed half-way may leave it, and compaction drops
it. It is counted.
"""

import contextlib
import os
import sqlite3
from collections.abc import Callable, Iterator
from pathlib import Path

import msgspec

from replication import revtree
from replication.revtree import Node, RevTree
from replication.store.bodies import decode_attachments
from replication.store.connection import SCHEMA_VERSION
from replication.store.purging import referenced
from replication.store.registry import SUFFIX, lock_directory, name_of
from replication.store.writing import encode_leaves, read_meta
from replication.wire.attachments import digest_of

MOST_PROBLEMS = 100
"""Told of one file; a broken one would have one for each document."""

_META = {"uuid": str, "update_seq": int, "doc_count": int, "deleted_count": int, "revs_limit": int}
_META_2 = {"purge_seq": int, "purged_infos_limit": int, "data_size": int}
"""What schema 2 keeps besides."""

_any = msgspec.json.Decoder()


class FileReport(msgspec.Struct):
    """What was found in one file. `problems` are sentences; none: the file is sound."""

    file: str
    database: str | None
    documents: int = 0
    leaves: int = 0
    attachments: int = 0
    unused: int = 0
    """Bodies and attachments that nothing refers to."""
    problems: list[str] = msgspec.field(default_factory=list)


class _TooMany(Exception):
    """Enough problems were found to know."""


def check_directory(directory: Path) -> list[FileReport]:
    """A report on every file, in the order of their names. Raises DirectoryInUse, FileNotFoundError."""
    if not directory.is_dir():
        raise FileNotFoundError(directory)
    lock = lock_directory(directory)
    try:
        return [check_file(path) for path in sorted(directory.glob(f"*{SUFFIX}"))]
    finally:
        os.close(lock)


def check_file(path: Path) -> FileReport:
    """A report on one database's file, which is not written to."""
    report = FileReport(path.name, name_of(path))
    if report.database is None:
        report.problems.append("the file's name is not that of a database")
    try:
        with contextlib.closing(_opened(path)) as connection:
            connection.execute("BEGIN")
            with contextlib.suppress(_TooMany):
                _check(connection, report)
    except sqlite3.Error as error:
        report.problems.append(f"SQLite cannot read it: {error}")
    except (LookupError, TypeError, ValueError, msgspec.MsgspecError) as error:
        # Values of another kind than the store writes; nobody can list all of them.
        report.problems.append(f"what it holds cannot be understood: {type(error).__name__}: {error}")
    return report


def _opened(path: Path) -> sqlite3.Connection:
    log = path.with_name(path.name + "-wal")
    # Without a log there is nothing to recover, and no side file has to be made beside the database.
    mode = "mode=ro" if log.exists() and log.stat().st_size else "mode=ro&immutable=1"
    return sqlite3.connect(f"{path.absolute().as_uri()}?{mode}", uri=True, isolation_level=None)


def _check(connection: sqlite3.Connection, report: FileReport) -> None:
    tell = _teller(report)
    damaged = False
    for (text,) in connection.execute("PRAGMA integrity_check(10)"):
        if text != "ok":
            damaged = True
            tell(f"integrity_check: {text}")
    (version,) = connection.execute("PRAGMA user_version").fetchone()
    if not 0 < version <= SCHEMA_VERSION:
        tell(f"schema {version} is unknown; this program knows {SCHEMA_VERSION}")
        return
    if damaged:
        return
    meta = read_meta(connection)
    wrong = [
        name
        for name, kind in (_META if version == 1 else _META | _META_2).items()
        if not isinstance(meta.get(name), kind)
    ]
    for name in wrong:
        tell(f"meta: {name} is {meta.get(name)!r}")
    if wrong:
        return
    used = _check_documents(connection, meta, report, tell)
    _check_attachments(connection, report, tell)
    _check_sizes(connection, meta, tell)
    (bodies,) = connection.execute("SELECT count(*) FROM bodies").fetchone()
    report.unused += bodies - used


def _teller(report: FileReport) -> Callable[[str], None]:
    def tell(problem: str) -> None:
        report.problems.append(problem)
        if len(report.problems) >= MOST_PROBLEMS:
            report.problems.append("… and maybe more")
            raise _TooMany

    return tell


def _check_documents(
    connection: sqlite3.Connection,
    meta: dict[str, str | int],
    report: FileReport,
    tell: Callable[[str], None],
) -> int:
    """How many bodies the documents use."""
    update_seq, deleted_count, used = int(meta["update_seq"]), 0, 0
    last_seq = 0
    rows = connection.execute("SELECT seq, id, rev, body, deleted, leaves, tree FROM docs ORDER BY seq")
    for seq, doc_id, *shown, stored in rows:
        report.documents += 1
        deleted_count += bool(shown[2])
        if seq <= last_seq or seq > update_seq:
            tell(f"{doc_id!r}: sequence {seq} follows {last_seq}, and update_seq is {update_seq}")
        last_seq = seq
        try:
            tree = revtree.decode_tree(stored)
        except msgspec.DecodeError as error:
            tell(f"{doc_id!r}: the tree cannot be decoded: {error}")
            continue
        used += sum(node.body is not None for node in tree.values())
        report.leaves += len(leaves := revtree.leaves(tree))
        for problem in _problems_of(connection, tree, leaves, shown):
            tell(f"{doc_id!r}: {problem}")
    counted = {"doc_count": report.documents - deleted_count, "deleted_count": deleted_count}
    for name, number in counted.items():
        if meta[name] != number:
            tell(f"{name} is {meta[name]}, and there are {number}")
    return used


def _problems_of(
    connection: sqlite3.Connection, tree: RevTree, leaves: list[Node], shown: list[object]
) -> Iterator[str]:
    """What is wrong with one document. `shown`: its row's rev, body, deleted, leaves."""
    if not leaves:
        yield "no revision is a leaf"
        return
    winner = leaves[0]
    if shown != [str(winner.rev), winner.body, int(winner.deleted), encode_leaves(tree)]:
        yield f"the row does not show the winner {winner.rev} and the leaves"
    for node in tree.values():
        if node.body is not None:
            yield from _problems_of_content(connection, node)
        elif not node.superseded:
            yield f"leaf {node.rev} has no content"


def _problems_of_content(connection: sqlite3.Connection, node: Node) -> Iterator[str]:
    row = connection.execute("SELECT json, attachments FROM bodies WHERE body = ?", (node.body,)).fetchone()
    if row is None:
        yield f"the content of {node.rev} is missing"
        return
    try:
        _any.decode(row[0])
        attachments = decode_attachments(row[1])
    except (msgspec.DecodeError, RecursionError) as error:
        yield f"the content of {node.rev} is not JSON: {error}"
        return
    for name, kept in attachments.items():
        found = connection.execute(
            "SELECT length(data) FROM attachments WHERE digest = ?", (kept.digest,)
        ).fetchone()
        if found is None:
            yield f"attachment {name!r} of {node.rev} is missing"
        elif found[0] != kept.kept_length:
            yield f"attachment {name!r} of {node.rev} has {found[0]} bytes instead of {kept.kept_length}"


def _check_attachments(
    connection: sqlite3.Connection, report: FileReport, tell: Callable[[str], None]
) -> None:
    used = referenced(connection)
    for digest, data in connection.execute("SELECT digest, data FROM attachments"):
        report.attachments += 1
        report.unused += digest not in used
        if digest_of(data) != digest:
            tell(f"attachment {digest}: the data has another digest, {digest_of(data)}")


def _check_sizes(
    connection: sqlite3.Connection, meta: dict[str, str | int], tell: Callable[[str], None]
) -> None:
    if "data_size" not in meta:  # schema 1 kept none
        return
    (bodies,) = connection.execute("SELECT coalesce(sum(length(json)), 0) FROM bodies").fetchone()
    (data,) = connection.execute("SELECT coalesce(sum(length(data)), 0) FROM attachments").fetchone()
    if meta["data_size"] != bodies + data:
        tell(f"data_size is {meta['data_size']}, and there are {bodies + data} bytes")
