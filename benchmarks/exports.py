"""Exports of trials beside bare COPY of the same rows, in turn, in one run: rows a second, ratio, memory.

COPY is of the same SELECT in the same order, its bytes read and thrown away. What is compressed, hashed and
described besides is what an export costs. Formats that are written row by row are measured on a database of
their own, smaller.

With `--data-dir` the large database is kept, and found again by the next run of the same size.
"""

import json
import statistics
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import psycopg
from rich.console import Console
from rich.table import Table

from benchmarks.research_rows import STUDIES, fill
from tests.embedded.supervised import SupervisedSystem

DURABLE = ("-m", "sync_server.embedded")
LARGE, SMALL = STUDIES
OF_ROWS = ("ndjson", "parquet", "spss", "excel")
SHARE = 0.8
"""Of the trials, in the larger study."""


def measure(
    trials: int, rounds: int, small_trials: int, data_dir: Path | None, console: Console
) -> dict[str, Any]:
    """Figures by format; `trials` in the exported study."""
    with _filled(int(trials / SHARE), data_dir, console) as url:
        csv = compare(url, rounds)
    with _filled(int(small_trials / SHARE), None, console) as url:
        others = {each: run(url, LARGE, "trials", each) for each in ("copy", *OF_ROWS)}
    return {"csv": csv, "others": others}


@contextmanager
def _filled(trials: int, data_dir: Path | None, console: Console) -> Iterator[str]:
    """The address of a database of at least so many trials."""
    with (
        tempfile.TemporaryDirectory(prefix="metricis-bench-") as directory,
        SupervisedSystem(data_dir or Path(directory) / "data", program=DURABLE) as system,
    ):
        with psycopg.connect(system.owner_url) as connection:
            row = connection.execute("SELECT count(*) FROM trial_rows").fetchone()
        if row is None or row[0] < trials:
            console.print(f"Writing {trials:,} trials …")
            filled = fill(system.owner_url, trials)
            console.print(f"{filled.trials:,} trials of {filled.sessions:,} {filled.corpus}")
        yield system.database_url


def compare(database_url: str, rounds: int) -> dict[str, Any]:
    """CSV and COPY in turn; medians of seconds, and the ratio of rows a second."""
    copies, exports = [], []
    for _ in range(rounds):
        copies.append(run(database_url, LARGE, "trials", "copy"))
        exports.append(run(database_url, LARGE, "trials", "csv"))
    if copies[0]["rows"] != exports[0]["rows"]:
        raise ValueError(f"{copies[0]['rows']} rows copied, {exports[0]['rows']} exported")
    told = {"copy": _median(copies), "csv": _median(exports)}
    ratios = [one["seconds"] / other["seconds"] for one, other in zip(copies, exports, strict=True)]
    return {**told, "ratios": ratios, "ratio": statistics.median(ratios)}


def run(database_url: str, study: str, dataset: str, format_: str) -> dict[str, Any]:
    """One of them, as a process."""
    with tempfile.TemporaryDirectory(prefix="metricis-bench-") as folder:
        command = [sys.executable, "-m", "benchmarks.export_process"]
        given = (database_url, study, dataset, format_, folder)
        printed = subprocess.run([*command, *given], check=True, capture_output=True, text=True).stdout
    figures: dict[str, Any] = json.loads(printed)
    return {**figures, "rows_s": figures["rows"] / figures["seconds"]}


def _median(figures: list[dict[str, Any]]) -> dict[str, Any]:
    return {name: statistics.median(each[name] for each in figures) for name in figures[0]}


def table(figures: dict[str, Any]) -> Table:
    """For people."""
    told = Table("", "rows", "rows/s", "of COPY", "MB", "memory, MB", title="Exports of trials")
    csv = figures["csv"]
    shown = [("COPY", csv["copy"], 1.0), ("csv", csv["csv"], csv["ratio"])]
    copied = figures["others"].get("copy")
    for name, each in figures["others"].items():
        shown.append((f"{name}, smaller", each, each["rows_s"] / copied["rows_s"]))
    for name, each, ratio in shown:
        told.add_row(
            name,
            f"{each['rows']:,.0f}",
            f"{each['rows_s']:,.0f}",
            f"{ratio:.2f}",
            f"{each['bytes'] / 1e6:,.0f}",
            f"{each['peak_mb']:.0f}",
        )
    return told
