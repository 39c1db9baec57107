"""Layouts of the table of trials, compared with the same rows in one run.

The field sessions (or generated ones) are written again and again under new ids, until every design has so
many rows; the designs take turns at every transaction of 100 sessions, so what else the machine does meets
all of them. Timed is COPY and commit of lines that were made before. `shared_buffers` is set small, so that
an index outgrows it at sizes that a benchmark can make.
"""

import itertools
import statistics
import tempfile
import time
import uuid
from collections import defaultdict
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import psycopg
from rich.console import Console
from rich.table import Table

from benchmarks.corpus import corpus
from benchmarks.field_rows import SessionLines, session_lines
from benchmarks.trial_designs import DESIGNS, Design, Template, template
from tests.embedded.supervised import SupervisedSystem

SESSIONS_A_TRANSACTION = 100
SAMPLES = 40
REPLACED_SHARE = 0.1
DURABLE = ("-m", "sync_server.embedded")
LARGE = 100_000_000

Key = tuple[bytes, bytes, int]
"""A written session: its site, its id, and which template it was made from."""


class _Written:
    """One design's tables and what was written into them."""

    def __init__(self, url: str, design: Design, sessions: Sequence[SessionLines]) -> None:
        self.design = design
        self.templates: list[Template] = [template(design, session) for session in sessions]
        self.seconds: list[float] = []
        self.rows: list[int] = []
        self._numbers = 1
        self.connection = psycopg.connect(url, autocommit=True)
        self.connection.execute(f"CREATE SCHEMA {design.schema}".encode())
        self.connection.execute(f"SET search_path = {design.schema}".encode())
        for statement in design.create:
            self.connection.execute(statement.encode())

    def write(self, keys: Sequence[Key], *, replacing: bool = False) -> float:
        """Write these sessions in one transaction; the seconds it took."""
        lines: dict[str, list[bytes]] = defaultdict(list)
        for _, session_id, position in keys:
            for each in self.templates[position].under(session_id, self._numbers):
                lines[each.statement].append(each.lines)
            self._numbers += len(self.templates[position].session.task_runs)
        started = time.perf_counter()
        with self.connection.transaction():
            for site, session_id, _ in keys if replacing else ():
                for statement in self.design.delete:
                    named = {"site": site.decode(), "session_id": session_id.decode()}
                    self.connection.execute(statement.encode(), named)
            for statement, parts in lines.items():
                with self.connection.cursor().copy(statement.encode()) as copy:
                    for part in parts:
                        copy.write(part)
        return time.perf_counter() - started

    def timed(self, query: str, **parameters: str) -> float:
        """Seconds until the last row of a query is here."""
        started = time.perf_counter()
        self.connection.execute(query.encode(), parameters).fetchall()
        return time.perf_counter() - started

    def sizes(self) -> tuple[int, int]:
        """Bytes of heaps (what is stored beside them included) and of their indexes."""
        row = self.connection.execute(
            "SELECT sum(pg_table_size(c.oid)), sum(pg_indexes_size(c.oid)) FROM pg_class AS c"
            " WHERE relnamespace = current_schema::regnamespace AND relkind = 'r'"
        ).fetchone()
        assert row is not None
        return int(row[0]), int(row[1])

    def vacuum(self) -> float:
        """Seconds."""
        started = time.perf_counter()
        for (name,) in self.connection.execute(
            "SELECT relname FROM pg_class WHERE relnamespace = current_schema::regnamespace AND relkind = 'r'"
        ).fetchall():
            self.connection.execute(f"VACUUM (ANALYZE) {name}".encode())
        return time.perf_counter() - started


def measure(
    rows: int, shared_buffers_mb: int, console: Console, *, names: Sequence[str] = ()
) -> dict[str, Any]:
    """Figures by design; bytes a row, rows a second, milliseconds."""
    kind, documents = corpus(None)
    sessions = session_lines(documents)
    designs = [design for design in DESIGNS if not names or design.name in names]
    with tempfile.TemporaryDirectory(prefix="metricis-bench-") as directory:
        data = Path(directory) / "data"
        with SupervisedSystem(data, program=DURABLE) as system:
            _set_buffers(system, shared_buffers_mb)
        with SupervisedSystem(data, program=DURABLE) as system:
            console.print(f"{rows:,} trials of {len(sessions)} {kind}, again and again, into each design …")
            written = [_Written(system.owner_url, design, sessions) for design in designs]
            keys = _grow(written, sessions, rows)
            figures = {each.design.name: _asked(each, keys) for each in written}
            _replace(written, keys, figures)
    return {"corpus": kind, "rows": rows, "shared_buffers_mb": shared_buffers_mb, "designs": figures}


def _set_buffers(system: SupervisedSystem, megabytes: int) -> None:
    with psycopg.connect(system.superuser_url, autocommit=True) as connection:
        connection.execute(f"ALTER SYSTEM SET shared_buffers = '{megabytes}MB'".encode())


def _new_keys(sessions: Sequence[SessionLines]) -> Iterator[Key]:
    """Sessions under new random ids, as tablets make them."""
    for position in itertools.cycle(range(len(sessions))):
        yield sessions[position].site, str(uuid.uuid4()).encode(), position


def _grow(written: Sequence[_Written], sessions: Sequence[SessionLines], rows: int) -> list[Key]:
    source = _new_keys(sessions)
    keys: list[Key] = []
    total = 0
    while total < rows:
        batch = list(itertools.islice(source, SESSIONS_A_TRANSACTION))
        count = sum(sessions[position].n_trials for _, _, position in batch)
        for each in written:
            each.seconds.append(each.write(batch))
            each.rows.append(count)
        keys += batch
        total += count
    return keys


def _rate(written: _Written, part: slice) -> float:
    """Median rows a second of some transactions."""
    pairs = zip(written.rows[part], written.seconds[part], strict=True)
    return statistics.median(rows / seconds for rows, seconds in pairs)


def _asked(written: _Written, keys: Sequence[Key]) -> dict[str, float]:
    total = sum(written.rows)
    tenth = max(1, len(written.rows) // 10)
    written.vacuum()
    heap, index = written.sizes()
    sample = keys[:: max(1, len(keys) // SAMPLES)]
    reads = [
        written.timed(written.design.read, site=site.decode(), session_id=session_id.decode())
        for site, session_id, _ in sample
    ]
    scans = [written.timed(written.design.aggregate, task="stroop") for _ in range(3)]
    return {
        "heap_bytes_row": heap / total,
        "index_bytes_row": index / total,
        "copy_rows_s_first_tenth": _rate(written, slice(0, tenth)),
        "copy_rows_s_last_tenth": _rate(written, slice(-tenth, None)),
        "read_session_ms": statistics.median(reads) * 1000,
        "aggregate_task_s": statistics.median(scans),
        "aggregate_extra_s": written.timed(written.design.aggregate_extra, task="stroop"),
        "gigabytes_100m": (heap + index) / total * LARGE / 1e9,
    }


def _replace(written: Sequence[_Written], keys: Sequence[Key], figures: dict[str, dict[str, float]]) -> None:
    """Replace one session at a time, then a tenth of all; vacuum."""
    sample = keys[:: max(1, len(keys) // SAMPLES)]
    took = defaultdict(list)
    for key in sample:
        for each in written:
            took[each.design.name].append(each.write([key], replacing=True))
    replaced = keys[:: round(1 / REPLACED_SHARE)]
    for start in range(0, len(replaced), SESSIONS_A_TRANSACTION):
        for each in written:
            each.write(replaced[start : start + SESSIONS_A_TRANSACTION], replacing=True)
    for each in written:
        before = sum(each.sizes())
        figures[each.design.name] |= {
            "replace_session_ms": statistics.median(took[each.design.name]) * 1000,
            "vacuum_tenth_replaced_s": each.vacuum(),
            "bytes_row_tenth_replaced": before / sum(each.rows),
        }
        each.connection.close()


def tables(figures: dict[str, Any]) -> Iterator[Table]:
    """The figures for people: a column a design."""
    designs = figures["designs"]
    table = Table(title=f"{figures['rows']:,} trials, shared_buffers {figures['shared_buffers_mb']} MB")
    table.add_column("")
    for name in designs:
        table.add_column(name, justify="right")
    for measure_name in next(iter(designs.values())):
        values = [each[measure_name] for each in designs.values()]
        table.add_row(
            measure_name, *(f"{value:,.1f}" if value < 1000 else f"{value:,.0f}" for value in values)
        )
    yield table
