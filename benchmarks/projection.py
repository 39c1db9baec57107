"""The projector against the limit, and against what other tools make of a feed.

Three loads take turns in one run, the medians count; all of them durable (`fsync=on`):

- *projector*: `sync-server project`, from a stored feed (this store over HTTP, a process of its own) to
  committed rows in every results table;
- *bare COPY*: the very rows that it has written, from prepared bytes into the same tables, in the very same
  transactions (rows of one of them share `projected_at`); on one connection and on two, as the projector has;
- *raw bodies*: one row a document, (id, rev, body as JSONB), by COPY, 100 a transaction, read from the same
  stored feed: what a tool does which copies a feed into Postgres and leaves the rest to its users;
- *raw bodies, prepared*: the same without reading the feed.

Bare COPY and what is prepared read no feed, decode nothing and share the processors with nobody.
"""

import asyncio
import statistics
import tempfile
import time
from collections import defaultdict
from collections.abc import Iterable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import aiohttp
import msgspec
import psycopg
from psycopg import sql
from rich.console import Console
from rich.table import Table

from benchmarks.corpus import corpus
from benchmarks.large_documents import large_documents
from benchmarks.projector_process import Drained, drain
from benchmarks.raw_copier import CREATE as CREATE_POSITIONS
from benchmarks.raw_copier import copy_feeds
from benchmarks.servers import Server, this_store
from replication.client import CouchClient
from replication.push import Outgoing, batches
from reporting.tables import RESULTS
from tests.embedded.supervised import SupervisedSystem

DURABLE = ("-m", "sync_server.embedded")
RAW_BATCH = 100
BATCH_BYTES = 8 * 1024 * 1024
_EMPTIED = ", ".join(table.name for table in RESULTS)
_CREATE_RAW = "CREATE TABLE raw_bodies (id text, rev text NOT NULL, body jsonb, PRIMARY KEY (id))"

Transaction = Sequence[tuple[str, bytes]]
"""Tables and the lines to copy into them."""


def measure(rounds: int, large: int, console: Console) -> dict[str, Any]:
    """Seconds, documents and trials a second, ratios, memory in MiB."""
    kind, documents = corpus(None)
    with (
        tempfile.TemporaryDirectory(prefix="metricis-bench-") as directory,
        SupervisedSystem(Path(directory) / "data", program=DURABLE) as system,
    ):
        figures = _rounds(system, Path(directory), documents, rounds, console)
        if large:
            console.print(f"A backlog of {large} large documents …")
            figures["large_documents"] = _large(system, Path(directory), large)
    return {"corpus": kind, **figures}


def _rounds(
    system: SupervisedSystem,
    directory: Path,
    documents: Mapping[str, Sequence[Outgoing]],
    rounds: int,
    console: Console,
) -> dict[str, Any]:
    raw = list(_raw_batches(documents))
    seconds: dict[str, list[float]] = defaultdict(list)
    drained: list[Drained] = []
    rows: dict[str, list[Transaction]] = {}
    with _store(directory / "field", documents) as store, _owner(system) as owner:
        owner.execute(_CREATE_RAW)
        owner.execute(CREATE_POSITIONS)
        for number in range(rounds):
            console.print(f"Round {number + 1} of {rounds} …")
            _empty(system)
            drained.append(_drain(store, system, directory, sites=len(documents)))
            seconds["projector"].append(drained[-1].seconds)
            rows = rows or _prepared(owner)
            trials = _value(owner, "SELECT count(*) FROM trials")
            for name, connections in (("bare COPY", 1), ("bare COPY, 2 connections", 2)):
                _empty(system)
                seconds[name].append(_copied(system, rows, connections))
            databases = [f"site-{site}" for site in documents]
            seconds["raw bodies"].append(copy_feeds(store.base, databases, system.owner_url, batch=RAW_BATCH))
            owner.execute("TRUNCATE raw_bodies, raw_positions")
            seconds["raw bodies, prepared"].append(
                _copied(system, {"": [[("raw_bodies", lines)] for lines in raw]}, 1)
            )
            owner.execute("TRUNCATE raw_bodies")
    count = sum(map(len, documents.values()))
    medians = {name: statistics.median(each) for name, each in seconds.items()}
    return {
        "documents": count,
        "trials": trials,
        "transactions": sum(map(len, rows.values())),
        "seconds": dict(seconds),
        "documents_s": {name: count / each for name, each in medians.items()},
        "trials_s": {
            name: trials / each for name, each in medians.items() if not name.startswith("raw bodies")
        },
        "projector_to": {name: each / medians["projector"] for name, each in medians.items()},
        "processor_seconds": {
            name: statistics.median(each.processor_seconds[name] for each in drained)
            for name in drained[0].processor_seconds
        },
        "projector_peak_mib": max(each.peak_mib for each in drained),
    }


def _large(system: SupervisedSystem, directory: Path, count: int) -> dict[str, float]:
    """Two sites, which the projector reads at once, with large documents of one task run each."""
    documents = {site: list(large_documents(count // 2, site=site)) for site in ("lima", "nairobi")}
    sizes = [len(each.json) / 1e6 for found in documents.values() for each in found]
    _empty(system)
    with _store(directory / "large", documents) as store:
        del documents
        result = _drain(store, system, directory, sites=2)
    return {
        "documents": len(sizes),
        "smallest_mb": min(sizes),
        "largest_mb": max(sizes),
        "megabytes_s": sum(sizes) / result.seconds,
        "projector_peak_mib": result.peak_mib,
    }


def _store(directory: Path, documents: Mapping[str, Sequence[Outgoing]]) -> "_StoredFeed":
    return _StoredFeed(directory, documents)


class _StoredFeed:
    """A store process that holds these documents, by site."""

    def __init__(self, directory: Path, documents: Mapping[str, Sequence[Outgoing]]) -> None:
        self._process = this_store(directory)
        self._documents = documents

    def __enter__(self) -> Server:
        server = self._process.__enter__()
        asyncio.run(_fill(server.base, self._documents))
        self._documents = {}
        return server

    def __exit__(self, *failure: Any) -> None:
        self._process.__exit__(*failure)


async def _fill(base: str, documents: Mapping[str, Sequence[Outgoing]]) -> None:
    async with aiohttp.ClientSession() as http:
        client = CouchClient(http, base)
        for site, found in documents.items():
            await client.create(f"site-{site}")
            for batch in batches(found, size=BATCH_BYTES):
                refused = await client.push(f"site-{site}", [each.json for each in batch])
                assert not refused, refused[0]


def _drain(store: Server, system: SupervisedSystem, directory: Path, *, sites: int) -> Drained:
    assert store.pid is not None
    return drain(store.base, store.pid, system.database_url, system.redis_url, directory, sites=sites)


def _owner(system: SupervisedSystem) -> psycopg.Connection:
    # Autocommit: an open transaction that has read a table keeps it from being emptied.
    return psycopg.connect(system.owner_url, autocommit=True)


def _empty(system: SupervisedSystem) -> None:
    """Empty tables, and nothing left to write for the server from the load before."""
    with _owner(system) as owner:
        owner.execute(f"TRUNCATE {_EMPTIED}, checkpoints".encode())
    with psycopg.connect(system.superuser_url, autocommit=True) as superuser:
        superuser.execute("CHECKPOINT")


def _prepared(owner: psycopg.Connection) -> dict[str, list[Transaction]]:
    """What the projector has written, by site and transaction."""
    written: dict[str, list[Transaction]] = defaultdict(list)
    transactions = owner.execute(
        "SELECT site, array_agg(doc_id), array_agg(substr(doc_id, 9)) FROM documents"
        " GROUP BY site, projected_at ORDER BY projected_at"
    ).fetchall()
    for site, doc_ids, session_ids in transactions:
        named = {"site": site, "doc_ids": doc_ids, "session_ids": session_ids}
        lines = [(table.name, _lines(owner, table.name, _identity(table.c), named)) for table in RESULTS]
        written[site].append([(table, each) for table, each in lines if each])
    return written


def _identity(columns: Iterable[Any]) -> str:
    names = {column.name for column in columns}
    return next((each for each in ("session_id", "doc_id") if each in names), "id" if "id" in names else "")


def _lines(owner: psycopg.Connection, table: str, identity: str, named: Mapping[str, Any]) -> bytes:
    if not identity:
        return b""
    ids = named["doc_ids" if identity == "doc_id" else "session_ids"]
    query = sql.SQL("COPY (SELECT * FROM {} WHERE site = {} AND {} = ANY({})) TO STDOUT").format(
        sql.Identifier(table), sql.Literal(named["site"]), sql.Identifier(identity), sql.Literal(ids)
    )
    with owner.cursor().copy(query) as copy:
        return b"".join(bytes(piece) for piece in copy)


def _copied(system: SupervisedSystem, work: Mapping[str, Sequence[Transaction]], connections: int) -> float:
    """Seconds until all transactions are committed; each connection takes whole sites."""

    def run(parts: Sequence[Sequence[Transaction]]) -> None:
        with psycopg.connect(system.owner_url) as connection:
            for part in parts:
                for transaction in part:
                    _commit(connection, transaction)

    shares = [list(work.values())[number::connections] for number in range(connections)]
    with ThreadPoolExecutor(connections) as threads:
        started = time.perf_counter()
        list(threads.map(run, shares))
        return time.perf_counter() - started


def _commit(connection: psycopg.Connection, transaction: Transaction) -> None:
    for table, lines in transaction:
        with connection.cursor().copy(f"COPY {table} FROM STDIN".encode()) as copy:
            copy.write(lines)
    connection.commit()


def _raw_batches(documents: Mapping[str, Sequence[Outgoing]]) -> Iterator[bytes]:
    """Lines of `raw_bodies`, 100 documents each."""
    lines = [
        b"\t".join((each.id.encode(), each.rev.encode(), _body(each).replace(b"\\", b"\\\\")))
        for found in documents.values()
        for each in found
    ]
    for start in range(0, len(lines), RAW_BATCH):
        yield b"\n".join(lines[start : start + RAW_BATCH]) + b"\n"


def _body(pushed: Outgoing) -> bytes:
    members = msgspec.json.decode(pushed.json, type=dict[str, msgspec.Raw])
    return msgspec.json.encode({name: each for name, each in members.items() if name != "_revisions"})


def _value(connection: psycopg.Connection, query: str) -> int:
    row = connection.execute(query.encode()).fetchone()
    assert row is not None
    return int(row[0])


def tables(figures: dict[str, Any]) -> Iterator[Table]:
    """The figures for people."""
    title = f"{figures['documents']:,} {figures['corpus']}, {figures['trials']:,} trials"
    table = Table(title=f"{title}, {figures['transactions']} transactions")
    for name in ("", "seconds, median", "documents/s", "trials/s", "the projector's share"):
        table.add_column(name, justify="right" if name else "left")
    for name, rounds in figures["seconds"].items():
        trials = figures["trials_s"].get(name)
        table.add_row(
            name,
            f"{statistics.median(rounds):.2f}",
            f"{figures['documents_s'][name]:,.0f}",
            "" if trials is None else f"{trials:,.0f}",
            f"{figures['projector_to'][name]:.2f}",
        )
    yield table
    rest = Table(title="Processors and memory")
    rest.add_column("")
    rest.add_column("", justify="right")
    for name, spent in figures["processor_seconds"].items():
        rest.add_row(f"processor seconds of the {name}", f"{spent:.2f}")
    rest.add_row("peak memory of the projector, MiB", f"{figures['projector_peak_mib']:,.0f}")
    for name, value in figures.get("large_documents", {}).items():
        rest.add_row(f"large documents: {name}", f"{value:,.1f}")
    yield rest
