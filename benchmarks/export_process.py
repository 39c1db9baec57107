"""One export, or the bare COPY of its rows, as a process of its own: rows, seconds, the most memory it had.

`python -m benchmarks.export_process URL STUDY DATASET FORMAT FOLDER`; `copy` is bare COPY by psql, its bytes
counted in pieces and thrown away. Prints JSON.
"""

import json
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

from reporting.compiled import without_parameters
from reporting.engine import sync_engine
from reporting.research.audience import Audience
from reporting.research.audience import Wanted as Rows
from reporting.research.datasets import DATASETS
from reporting.research.exporting import count_rows, typed_rows
from sync_server.embedded.binaries import postgres_program

PIECE = 1 << 20


def main(url: str, study: str, dataset: str, format_: str, folder: Path) -> dict[str, Any]:
    """The figures. Identified: de-identification would keep Postgres busier, and flatter the ratio."""
    rows, size, seconds = (_copy if format_ == "copy" else _export)(url, study, dataset, format_, folder)
    status = Path("/proc/self/status").read_text()
    peak = next(int(line.split()[1]) for line in status.splitlines() if line.startswith("VmHWM"))
    return {"rows": rows, "bytes": size, "seconds": seconds, "peak_mb": peak / 1024}


def _copy(url: str, study: str, dataset: str, _: str, __: Path) -> tuple[int, int, float]:
    wanted = Rows(study)
    statement = without_parameters(typed_rows(DATASETS[dataset], Audience.IDENTIFIED, wanted))
    with sync_engine(url).connect() as connection:
        rows = connection.scalar(count_rows(DATASETS[dataset], Audience.IDENTIFIED, wanted)) or 0
    command = [str(postgres_program("psql")), "-X", "-q", "-d", url]
    started = time.perf_counter()
    size = 0
    copy = f"COPY ({statement}) TO STDOUT (FORMAT csv)"
    with subprocess.Popen([*command, "-c", copy], stdout=subprocess.PIPE) as process:
        if process.stdout is None:
            raise RuntimeError("psql has no output")
        while piece := process.stdout.read(PIECE):
            size += len(piece)
    if process.returncode != 0:
        raise RuntimeError(f"psql ended with {process.returncode}")
    return rows, size, time.perf_counter() - started


def _export(url: str, study: str, dataset: str, format_: str, folder: Path) -> tuple[int, int, float]:
    started = time.perf_counter()
    from sync_server.exports.exporting import MAKER  # noqa: PLC0415 (not of bare COPY)
    from sync_server.research_files.making import Wanted  # noqa: PLC0415 (likewise)
    from sync_server.research_files.running import make_here  # noqa: PLC0415 (likewise)

    request = {"datasets": [dataset], "format": format_}
    wanted = Wanted(kind="export", study=study, sites=None, identified=True, request=request)
    made = make_here(sync_engine(url), wanted, MAKER, folder, lambda *_: None)
    seconds = time.perf_counter() - started
    size = made.path.stat().st_size
    made.path.unlink()
    return made.rows, size, seconds


if __name__ == "__main__":
    _, url_, study_, dataset_, named, folder_ = sys.argv
    print(json.dumps(main(url_, study_, dataset_, named, Path(folder_))))
