"""The endpoints of `/api/research` on a database of ten million trials: latency by dataset and filter.

A service of its own is asked over HTTP, one request after another, each time for another participant,
session, visit, site or time. Beside it stand two limits of the same run: the same page's statements, sent
again by psycopg alone, without HTTP, rights, JSON or a check of anything; and the smallest call of the API.
Aggregates are shown apart: they read all rows that their filters let through.

With `--data-dir` the database is kept, and found again by the next run of the same size.
"""

import statistics
import tempfile
import time
import uuid
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from pathlib import Path
from random import Random
from typing import Any, NamedTuple

import psycopg
import requests
from rich.console import Console
from rich.table import Table
from sqlalchemy import ClauseElement

from benchmarks.research_rows import fill
from reporting.compiled import compiled
from reporting.engine import connect, sync_engine
from reporting.research.aggregates import read_summary, summarise
from reporting.research.audience import Audience, Wanted
from reporting.research.datasets import DATASETS
from reporting.research.filters import period, read_filters
from reporting.research.pages import read_page
from reporting.research.query import Question, prepare
from reporting.steps import Steps
from sync_server.identity.access_tokens import Person, issue_access_token
from sync_server.identity.users import insert_user
from sync_server.settings import DEVELOPMENT_JWT_SECRET
from tests.embedded.supervised import SupervisedSystem
from tests.gateway.processes import Service

STUDY = "SRO"
DURABLE = ("-m", "sync_server.embedded")
WARM_UP = 3
RESERVED = ("from", "to", "limit", "group_by", "aggregate", "identified")

Params = dict[str, str]


class Case(NamedTuple):
    """A kind of request. Values are filled in from a session of the study and from `_drawn`."""

    dataset: str
    name: str
    params: Params


_OF_SESSIONS = ("sessions_wide", "scores_long", "trials", "quality", "provenance")
_OF_TRIALS = {"group_by": "task,condition", "aggregate": "count,mean:rt_ms,median:rt_ms,sd:rt_ms,p10:rt_ms"}

PAGES = (
    *(Case(name, "first page", {"limit": "100"}) for name in DATASETS),
    *(Case(name, "a participant", {"participant": "{participant}"}) for name in DATASETS),
    *(Case(name, "a session", {"session_id": "{session_id}"}) for name in _OF_SESSIONS),
    *(Case(name, "site and visit", {"site": "{site}", "visit": "{visit}"}) for name in _OF_SESSIONS),
    *(Case(name, "from a day on", {"from": "{day}", "site": "{site}"}) for name in _OF_SESSIONS),
    *(Case(name, "identified", {"identified": "true", "site": "{any_site}"}) for name in _OF_SESSIONS),
    Case("trials", "task and condition", {"task": "{task}", "condition": "incongruent"}),
    Case("trials", "slow trials of a task", {"task": "{task}", "rt_ms.gte": "{slow}"}),
    Case("trials", "rare: few match", {"rt_ms.gte": "{very_slow}"}),
    Case("sessions_wide", "by a score", {"stroop_acc.gte": "{share}"}),
    Case("sessions_wide", "by flags", {"flags_serious.gte": "1", "site": "{any_site}"}),
    Case("scores_long", "a score", {"task": "{task}", "score": "avg_rt"}),
    Case("quality", "by level", {"level": "serious", "site": "{any_site}"}),
    Case("participants", "by sessions", {"sessions.gte": "{few}"}),
    Case("visits", "a visit at a site", {"visit": "{visit}", "site": "{any_site}"}),
)
GROUPS = (
    Case("trials", "a participant", {**_OF_TRIALS, "participant": "{participant}"}),
    Case("trials", "a task of the study", {**_OF_TRIALS, "task": "{task}"}),
    Case("scores_long", "a score by site", {
        "group_by": "site", "aggregate": "count,mean:value,sd:value", "task": "{task}", "score": "avg_rt",
    }),
    Case("sessions_wide", "a score by site and visit", {
        "group_by": "site,visit", "aggregate": "count,median:stroop_avg_rt",
    }),
)  # fmt: skip


def _drawn(case: Case, sittings: Sequence[dict[str, Any]], random: Random) -> Params:
    sitting = random.choice(sittings)
    values = {
        **sitting,
        "visit": sitting["visit"] or "none",
        "day": sitting["started_at"][:10],
        "any_site": random.choice(("hyderabad", "lima", "nairobi", "stanford")),
        "task": random.choice(("stroop", "simon", "attention_network_task", "choice_reaction_time")),
        "slow": random.randint(600, 900),
        "very_slow": 50_000 + random.random(),
        "share": 0.9 + random.random() / 20,
        "few": random.randint(1, 4),
    }
    filled = {name: value.format_map(values) for name, value in case.params.items()}
    return {"study": STUDY, "limit": "100", **filled}


class Asking(NamedTuple):
    """The service over HTTP, and the database beside it."""

    http: requests.Session
    base: str
    bare: psycopg.Connection
    sittings: Sequence[dict[str, Any]]


def measure(
    trials: int, rounds: int, data_dir: Path | None, console: Console, *, database_url: str | None = None
) -> dict[str, Any]:
    """Milliseconds by case: of the endpoint, and of its statements alone."""
    with _database(trials, data_dir, console, database_url) as (url, redis_url):
        token = _somebody(url)
        with (
            tempfile.TemporaryDirectory(prefix="metricis-bench-") as directory,
            Service(
                Path(directory), database_url=url, redis_url=redis_url, RESEARCH_STATEMENT_SECONDS="120"
            ) as service,
            requests.Session() as http,
            connect(url) as bare,
        ):
            http.headers["Authorization"] = f"Bearer {token}"
            base = f"{service.base_url}/api/research"
            sittings = _sittings(http, base)
            console.print(f"{len(sittings)} sittings to ask about …")
            asking = Asking(http, base, bare, sittings)
            smallest = _smallest(asking, service.base_url, rounds)
            console.print(f"the smallest call of the API: {smallest['p50_ms']:,.0f} ms")
            pages = [_case(each, asking, rounds, WARM_UP, console) for each in PAGES]
            groups = [_case(each, asking, 3, 0, console) for each in GROUPS]
            size = bare.execute("SELECT count(*), pg_database_size(current_database()) FROM trial_rows")
            count, size_bytes = size.fetchone() or (0, 0)
    return {
        "trials": count,
        "bytes": size_bytes,
        "smallest": smallest,
        "pages": pages,
        "groups": groups,
    }


@contextmanager
def _database(
    trials: int, data_dir: Path | None, console: Console, database_url: str | None
) -> Iterator[tuple[str, str]]:
    with tempfile.TemporaryDirectory(prefix="metricis-bench-") as directory:
        own = data_dir or Path(directory) / "data"
        with SupervisedSystem(own, program=DURABLE) as system:
            if database_url is not None:
                yield database_url, system.redis_url
                return
            with psycopg.connect(system.owner_url) as connection:
                row = connection.execute("SELECT count(*) FROM trial_rows").fetchone()
            if row is None or row[0] < trials:
                console.print(f"Writing {trials:,} trials …")
                console.print(str(fill(system.owner_url, trials)))
            yield system.database_url, system.redis_url


def _somebody(url: str) -> str:
    """The token of an admin."""
    engine = sync_engine(url)
    email = f"{uuid.uuid4().hex}@clinic.example"
    with engine.begin() as connection:
        person = connection.execute(insert_user(email, "no hash", "admin")).scalar_one()
    engine.dispose()
    return issue_access_token(
        Person(id=person, email=email, role="admin"),
        secret=DEVELOPMENT_JWT_SECRET,
        algorithm="HS256",
        now=datetime.now(UTC),
        lifetime=timedelta(hours=12),
        token_id=uuid.uuid4().hex,
    )


def _sittings(http: requests.Session, base: str) -> list[dict[str, Any]]:
    """Sessions as they are shown, of all the study."""
    found: list[dict[str, Any]] = []
    cursor = None
    columns = "site,participant,visit,session_id,started_at"
    while True:
        params = {"study": STUDY, "columns": columns, "limit": "10000"}
        answer = http.get(f"{base}/sessions_wide", params=params | ({"cursor": cursor} if cursor else {}))
        answer.raise_for_status()
        page = answer.json()
        found += page["data"]
        cursor = page["next"]
        if cursor is None:
            return found


def _case(case: Case, asking: Asking, rounds: int, warm_up: int, console: Console) -> dict[str, Any]:
    random = Random(case.dataset + case.name)
    seconds, alone, rows = [], [], []
    for number in range(-warm_up, rounds):
        params = _drawn(case, asking.sittings, random)
        started = time.perf_counter()
        answer = asking.http.get(f"{asking.base}/{case.dataset}", params=params)
        took = time.perf_counter() - started
        answer.raise_for_status()
        own = _alone(case.dataset, params, asking.bare)
        if number >= 0:
            seconds.append(took)
            alone.append(own)
            rows.append(len(answer.json()["data"]))
    console.print(f"{case.dataset}, {case.name}: {statistics.median(seconds) * 1000:,.0f} ms")
    return {
        "dataset": case.dataset,
        "case": case.name,
        "rows": statistics.median(rows),
        "p50_ms": statistics.median(seconds) * 1000,
        "p95_ms": _p95(seconds) * 1000,
        "max_ms": max(seconds) * 1000,
        "sql_p50_ms": statistics.median(alone) * 1000,
        "sql_p95_ms": _p95(alone) * 1000,
    }


def _smallest(asking: Asking, base_url: str, rounds: int) -> dict[str, float]:
    """What any call costs: who calls, what they may, one row."""
    seconds = []
    for _ in range(rounds):
        started = time.perf_counter()
        asking.http.get(f"{base_url}/api/studies/{STUDY}").raise_for_status()
        seconds.append(time.perf_counter() - started)
    return {"p50_ms": statistics.median(seconds) * 1000, "p95_ms": _p95(seconds) * 1000}


def _alone(dataset: str, params: Params, bare: psycopg.Connection) -> float:
    """Seconds that the same statements take psycopg, sent a second time."""
    asked = [(name, value) for name, value in params.items() if name not in (*RESERVED, "study")]
    described = DATASETS[dataset]
    filters = (*read_filters(described, asked), *period(described, params.get("from"), params.get("to")))
    audience = Audience.IDENTIFIED if "identified" in params else Audience.DEIDENTIFIED
    question = Question(described, audience, Wanted(STUDY), filters)
    recorded: list[tuple[str, Any]] = []
    prepared = _perform(bare, prepare(question), recorded)
    summary = read_summary(described, params.get("group_by"), params.get("aggregate"))
    if summary is None:
        steps = read_page(prepared, list(described.by_name), int(params["limit"]), None)
        _perform(bare, steps, recorded)
    else:
        recorded.append(compiled(summarise(prepared, summary)))
    started = time.perf_counter()
    for sql, parameters in recorded:
        bare.execute(sql.encode(), parameters).fetchall()
    return time.perf_counter() - started


def _perform(bare: psycopg.Connection, steps: Steps[Any], recorded: list[tuple[str, Any]]) -> Any:
    def ask(statement: ClauseElement) -> Any:
        sql, parameters = compiled(statement)
        recorded.append((sql, parameters))
        with bare.cursor(row_factory=psycopg.rows.namedtuple_row) as cursor:
            return cursor.execute(sql.encode(), parameters).fetchall()

    try:
        statement = next(steps)
        while True:
            statement = steps.send(ask(statement))
    except StopIteration as end:
        return end.value


def _p95(seconds: Sequence[float]) -> float:
    return sorted(seconds)[max(0, round(len(seconds) * 0.95) - 1)]


def tables(figures: dict[str, Any]) -> Iterator[Table]:
    """The figures for people."""
    for kind, title in (("pages", "pages"), ("groups", "aggregates")):
        told = f"{figures['trials']:,} trials, {figures['bytes'] / 1e9:.1f} GB: {title}"
        table = Table(title=f"{told}; the smallest call takes {figures['smallest']['p50_ms']:.0f} ms")
        table.add_column("dataset")
        table.add_column("asked for")
        for name in ("rows", "p50 ms", "p95 ms", "max ms", "SQL p50", "SQL p95"):
            table.add_column(name, justify="right")
        for each in figures[kind]:
            numbers = ("rows", "p50_ms", "p95_ms", "max_ms", "sql_p50_ms", "sql_p95_ms")
            table.add_row(each["dataset"], each["case"], *(f"{each[name]:,.0f}" for name in numbers))
        yield table
