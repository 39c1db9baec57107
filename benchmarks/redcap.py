"""Sessions to REDCap against what the throttle allows: requests, seconds, and whether any is there twice.

A double of REDCap's API answers in a thread of this process, with REDCap's own limit of 600 requests a minute
an address. Half of the sessions are of a second visit, so that each record gets two. Then all are asked for
again, as after a change of the mapping that changes no value. The ratio is the time that the throttle asks
for so many requests, by the time that it took: 1 means that nothing else was waited for. `cpu_s` is this
process's, the double's share included.
"""

import asyncio
import tempfile
import time
from collections import Counter
from pathlib import Path
from typing import Any

from rich.console import Console
from rich.table import Table

from tests.embedded.supervised import SupervisedSystem
from tests.redcap.pushed import STUDY, Study, cognition_project, resources_of, settings_for, work
from tests.redcap_double.double import Double
from tests.redcap_double.running import running_in_thread

_ROWS = (
    "INSERT INTO participants (study, code, site, redcap_id) SELECT 'A', 'p' || n, 'lima', n::text"
    " FROM generate_series(1, %(records)s) AS n",
    "INSERT INTO sessions (site, id, study, participant, visit, status, started_at, rev)"
    " SELECT 'lima', visit || lpad(n::text, 6, '0'), 'A', 'p' || n, visit, 'completed',"
    " '2026-03-01 12:00+00'::timestamptz + n * interval '1 minute', '1-a'"
    " FROM generate_series(1, %(records)s) AS n, (VALUES ('baseline'), ('retest')) AS of (visit)",
    "INSERT INTO scores SELECT site, id, 'simple_reaction_time', 1, 'avg_rt', 200 + length(participant), 1"
    " FROM sessions",
)


def measure(sessions: int, per_minute: int, console: Console) -> dict[str, Any]:
    """Figures of the first push and of a second one in which nothing has changed."""
    with tempfile.TemporaryDirectory(prefix="metricis-bench-") as name:
        directory = Path(name)
        double = Double([cognition_project()])
        with SupervisedSystem(directory / "data") as system, running_in_thread(double) as address:
            settings = settings_for(system.database_url, directory, redcap_requests_per_minute=per_minute)
            with Study(settings, address.url, double.token) as study:
                study.found()
                for statement in _ROWS:
                    study.rows.execute(statement.encode(), {"records": sessions // 2})
                figures: dict[str, Any] = {"sessions": sessions // 2 * 2, "requests_per_minute": per_minute}
                for run in ("first", "again"):
                    console.print(f"{run} …")
                    double.requests.clear()
                    study.resync()
                    figures[run] = asyncio.run(_push(study)) | _of_double(double, per_minute)
                    figures[run]["ratio"] = figures[run]["allowed_s"] / figures[run]["seconds"]
                states = study.ask("SELECT state, count(*) FROM redcap_ledger GROUP BY state")
                figures["states"] = dict(states)
    return figures


async def _push(study: Study) -> dict[str, Any]:
    jobs = 0
    async with resources_of(study.settings) as resources:
        started, worked = time.perf_counter(), time.process_time()
        while await work(study, resources):
            jobs += 1
            study.ask("UPDATE outbox SET next_attempt_at = now() WHERE kind = 'redcap' AND state = 'pending'")
        spent = {"seconds": time.perf_counter() - started, "cpu_s": time.process_time() - worked}
        return {**spent, "jobs": jobs}


def _of_double(double: Double, per_minute: int) -> dict[str, Any]:
    uids = Counter(
        values["cog_session_uid"]
        for values in double.project.records.rows.values()
        if "cog_session_uid" in values
    )
    requests = double.requests.count()
    return {
        "requests": requests,
        "imports": double.requests.count("record", "import"),
        "busiest_minute": double.requests.busiest_minute(),
        "allowed_s": (requests - 1) * 60 / per_minute,
        "instances": sum(uids.values()),
        "duplicates": sum(number - 1 for number in uids.values()),
    }


def table(figures: dict[str, Any]) -> Table:
    """Both runs, side by side."""
    shown = Table(
        title=f"{figures['sessions']} sessions of study {STUDY}, {figures['requests_per_minute']}/min"
    )
    shown.add_column("")
    for run in ("first", "again"):
        shown.add_column(run, justify="right")
    names = (
        "seconds",
        "cpu_s",
        "allowed_s",
        "ratio",
        "jobs",
        "requests",
        "imports",
        "busiest_minute",
        "instances",
        "duplicates",
    )
    for name in names:
        values = [figures[run][name] for run in ("first", "again")]
        shown.add_row(name, *(f"{value:.2f}" if isinstance(value, float) else str(value) for value in values))
    return shown
