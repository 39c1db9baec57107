"""From a tablet's push to committed rows, through every real process.

Two loads on one system. *Backlog*: one tablet a site pushes everything as fast as it is acknowledged.
*Steady*: 100 tablets, one session a minute each. The lag of a document runs from the acknowledgement of its
push until its row is visible to another connection. The limit it is compared with: bare COPY of the very
same trials into an identical table of the same Postgres, in the same run.
"""

import asyncio
import platform
import tempfile
import threading
import time
from collections.abc import Iterable, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import aiohttp
import psutil
import psycopg
from rich.console import Console
from rich.table import Table

from benchmarks.corpus import corpus, generated
from benchmarks.processes import MemoryWatch
from replication.client import CouchClient, basic_login
from replication.push import Outgoing, batches, push_batch
from tests.end_to_end.system import System, running, wait_until

BATCH = 25
STEADY_TABLETS = 100
STEADY_SITE = "steady"
PATIENCE_S = 180.0
LOOK_BACK = timedelta(seconds=30)

Key = tuple[str, str]


class Watcher:
    """When each session's row became visible, by polling Postgres every 20 ms on a connection of its own."""

    def __init__(self, database_url: str) -> None:
        self.visible: dict[Key, float] = {}
        self._url = database_url
        self._stop = threading.Event()
        self._threads = ThreadPoolExecutor(1)
        self._watching: Future[None]

    def __enter__(self) -> "Watcher":
        self._watching = self._threads.submit(self._watch)
        return self

    def __exit__(self, *failure: object) -> None:
        self._stop.set()
        self._threads.shutdown()

    def wait_for(self, keys: Iterable[Key]) -> None:
        """Until all of these were seen. Raises what ended the watching."""

        def seen() -> bool:
            if self._watching.done():
                self._watching.result()
            return self.visible.keys() >= set(keys)

        wait_until(seen, PATIENCE_S, lambda: f"{len(self.visible)} rows visible")

    def _watch(self) -> None:
        # Batches commit out of the order of their start: look back a little, and forget what was seen.
        query = "SELECT site, id, projected_at FROM sessions WHERE projected_at > %s"
        newest = datetime(2000, 1, 1, tzinfo=UTC)
        with psycopg.connect(self._url, autocommit=True) as connection:
            while not self._stop.wait(0.02):
                rows = connection.execute(query, [newest - LOOK_BACK]).fetchall()
                now = time.monotonic()
                for site, session_id, projected_at in rows:
                    self.visible.setdefault((site, session_id), now)
                    newest = max(newest, projected_at)


class Tablet:
    """Pushes documents and notes when each was acknowledged."""

    def __init__(self, enrolment: dict[str, str], acknowledged: dict[Key, float]) -> None:
        self._base, _, self._database = enrolment["url"].rpartition("/")
        self._login = basic_login(enrolment["username"], enrolment["password"])
        self._site = enrolment["site"]
        self._acknowledged = acknowledged

    async def push(self, documents: Sequence[Outgoing]) -> None:
        """Push in batches, one after the other."""
        async with aiohttp.ClientSession() as http:
            client = CouchClient(http, self._base, headers=self._login)
            for batch in batches(documents, count=BATCH):
                pushed = await push_batch(client, self._database, batch)
                assert not pushed.refused, pushed.refused[0]
                now = time.monotonic()
                for document in batch:
                    self._acknowledged[self._site, document.id.removeprefix("session:")] = now


def measure(per_site: int | None, steady_seconds: int, console: Console) -> dict[str, Any]:
    """All figures, as JSON-able values; rates a second, times in milliseconds, memory in MiB."""
    kind, documents = corpus(per_site)
    with (
        tempfile.TemporaryDirectory(prefix="metricis-bench-") as directory,
        running(Path(directory) / "data") as system,
        MemoryWatch(system) as memory,
    ):
        console.print(f"Pushing {sum(map(len, documents.values()))} {kind} …")
        backlog = _backlog(system, documents)
        console.print(f"Steady load for {steady_seconds} s …")
        steady = _steady(system, steady_seconds)
        limit = _bare_copy(system)
    peaks = dict(memory.peaks)
    return {
        "machine": _machine(),
        "corpus": kind,
        "backlog": backlog,
        "steady": steady,
        "bare_copy_trials_s": limit,
        "ratio_to_bare_copy": backlog["committed_trials_s"] / limit,
        "peak_memory_mib": peaks,
    }


def _backlog(system: System, documents: dict[str, list[Outgoing]]) -> dict[str, float]:
    acknowledged: dict[Key, float] = {}
    enrolments = {site: system.enrol(site, f"{site}-tab-1") for site in documents}
    with Watcher(system.record.database_url) as watcher:
        started = time.monotonic()

        async def push_all() -> None:
            tablets = (Tablet(enrolments[site], acknowledged).push(docs) for site, docs in documents.items())
            await asyncio.gather(*tablets)

        asyncio.run(push_all())
        pushed = time.monotonic()
        watcher.wait_for(acknowledged)
    done = max(watcher.visible.values())
    trials = int(system.value("SELECT count(*) FROM trials"))
    return {
        "documents": len(acknowledged),
        "trials": trials,
        "acknowledged_documents_s": len(acknowledged) / (pushed - started),
        "committed_documents_s": len(acknowledged) / (done - started),
        "committed_trials_s": trials / (done - started),
        **_lags(acknowledged, watcher.visible),
    }


def _steady(system: System, seconds: int) -> dict[str, float]:
    acknowledged: dict[Key, float] = {}
    tablet = Tablet(system.enrol(STEADY_SITE, "tab-1"), acknowledged)
    interval = 60 / STEADY_TABLETS
    documents = generated(round(seconds / interval), site=STEADY_SITE, seed=7)
    with Watcher(system.record.database_url) as watcher:

        async def push_paced() -> None:
            pushes = []
            for document in documents:
                pushes.append(asyncio.create_task(tablet.push([document])))
                await asyncio.sleep(interval)
            await asyncio.gather(*pushes)

        asyncio.run(push_paced())
        watcher.wait_for(acknowledged)
    return {"documents": len(acknowledged), **_lags(acknowledged, watcher.visible)}


def _lags(acknowledged: dict[Key, float], visible: dict[Key, float]) -> dict[str, float]:
    # A row may be seen before the tablet has its answer: then it waited for nothing.
    lags = sorted(max(0.0, visible[key] - at) * 1000 for key, at in acknowledged.items())
    if not lags:
        return {}
    return {f"lag_p{share}_ms": lags[min(len(lags) - 1, len(lags) * share // 100)] for share in (50, 99)}


def _bare_copy(system: System) -> float:
    """Trials a second by COPY alone, into tables with the same columns and keys."""
    with psycopg.connect(system.record.owner_url) as connection, connection.cursor() as cursor:
        lines: dict[str, bytes] = {}
        for table in ("trial_rows", "trial_extras"):
            with cursor.copy(f"COPY {table} TO STDOUT".encode()) as out:
                lines[table] = b"".join(bytes(piece) for piece in out)
            cursor.execute(f"CREATE TABLE bare_{table} (LIKE {table} INCLUDING ALL)".encode())
        connection.commit()
        started = time.monotonic()
        for table, copied in lines.items():
            with cursor.copy(f"COPY bare_{table} FROM STDIN".encode()) as into:
                into.write(copied)
        connection.commit()
        elapsed = time.monotonic() - started
        cursor.execute("DROP TABLE bare_trial_rows, bare_trial_extras")
        connection.commit()
    return lines["trial_rows"].count(b"\n") / elapsed


def _machine() -> str:
    memory = psutil.virtual_memory().total / 2**30
    return f"{psutil.cpu_count()} cores, {memory:.0f} GiB, {platform.system()} {platform.machine()}"


def tables(figures: dict[str, Any]) -> Iterable[Table]:
    """The figures for people."""
    load = Table(title=f"From push to committed rows ({figures['machine']}; {figures['corpus']})")
    for name in ("", "backlog", "steady"):
        load.add_column(name, justify="left" if not name else "right")
    for name in figures["backlog"]:
        values = (figures[kind].get(name) for kind in ("backlog", "steady"))
        load.add_row(name, *("" if value is None else f"{value:,.0f}" for value in values))
    yield load
    limit = Table(title="Against the limit, and memory")
    limit.add_column("")
    limit.add_column("", justify="right")
    limit.add_row("bare COPY of the same trials, trials/s", f"{figures['bare_copy_trials_s']:,.0f}")
    limit.add_row("committed trials/s ÷ bare COPY", f"{figures['ratio_to_bare_copy']:.2f}")
    for process, peak in figures["peak_memory_mib"].items():
        limit.add_row(f"peak memory of {process}, MiB", f"{peak:,.0f}")
    yield limit
