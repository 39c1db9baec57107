"""One export, or the bare COPY of its rows, as a process of its own: rows, seconds, seconds of processor, the
most memory it had.

`python -m benchmarks.export_process URL STUDY DATASET FORMAT FOLDER`; `copy` is bare COPY, its bytes
thrown away as they come. Prints JSON.
"""

import json
import sys
import time
from pathlib import Path
from typing import Any, cast

import psycopg

from reporting.compiled import compiled
from reporting.engine import sync_engine
from reporting.research.audience import Audience
from reporting.research.audience import Wanted as Rows
from reporting.research.datasets import DATASETS
from reporting.research.exporting import typed_rows


def main(url: str, study: str, dataset: str, format_: str, folder: Path) -> dict[str, Any]:
    """The figures. Identified: de-identification would keep Postgres busier, and flatter the ratio."""
    started = time.perf_counter()
    rows, size = (_copy if format_ == "copy" else _export)(url, study, dataset, format_, folder)
    seconds = time.perf_counter() - started
    status = Path("/proc/self/status").read_text()
    peak = next(int(line.split()[1]) for line in status.splitlines() if line.startswith("VmHWM"))
    busy = time.process_time()
    return {"rows": rows, "bytes": size, "seconds": seconds, "processor_s": busy, "peak_mb": peak / 1024}


def _copy(url: str, study: str, dataset: str, _: str, __: Path) -> tuple[int, int]:
    statement, parameters = compiled(typed_rows(DATASETS[dataset], Audience.IDENTIFIED, Rows(study)))
    engine = sync_engine(url)
    size = 0
    with engine.connect() as connection:
        driver = cast(psycopg.Connection[Any], connection.connection.driver_connection)
        with driver.cursor() as cursor:
            with cursor.copy(f"COPY ({statement}) TO STDOUT (FORMAT csv)".encode(), parameters) as stream:
                for row in stream:
                    size += len(row)
            return cursor.rowcount, size


def _export(url: str, study: str, dataset: str, format_: str, folder: Path) -> tuple[int, int]:
    # Here, so that bare COPY is measured without them.
    from sync_server.exports.exporting import MAKER  # noqa: PLC0415
    from sync_server.research_files.making import Wanted  # noqa: PLC0415
    from sync_server.research_files.running import make_here  # noqa: PLC0415

    request = {"datasets": [dataset], "format": format_}
    wanted = Wanted(kind="export", study=study, sites=None, identified=True, request=request)
    made = make_here(sync_engine(url), wanted, MAKER, folder, lambda *_: None)
    size = made.path.stat().st_size
    made.path.unlink()
    return made.rows, size


if __name__ == "__main__":
    _, url_, study_, dataset_, named, folder_ = sys.argv
    print(json.dumps(main(url_, study_, dataset_, named, Path(folder_))))
