"""The demo on a running system: enrol a tablet, let it sync, wait for the rows, show the scores."""

import asyncio
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import aiohttp
import msgspec
from rich.console import Console
from rich.table import Table
from sqlalchemy import ColumnElement, Connection, Engine, Row, func, select

from replication.client import CouchClient, basic_login
from replication.push import batches, outgoing, push_batch
from reporting.engine import sync_engine
from reporting.tables import scores, sessions, trials
from sync_server.demo.generate import generate_sessions
from sync_server.embedded.record import SystemRecord
from sync_server.enrolment import Enrolment, enrol_device

SITE = "lima"
DEVICE = "lima-tab-1"
SEED = 2016
PATIENCE_S = 120.0


class DemoFailed(Exception):
    """The demo did not come to its end; the message says where."""


async def run_demo(record: SystemRecord, data_dir: Path, count: int, console: Console) -> None:
    """Sync `count` generated sessions as one tablet and print what was projected. Raises DemoFailed."""
    base_url = record.base_url or ""
    enrolment = await enrol_device(
        site=SITE,
        device=DEVICE,
        role="tablet",
        feed_url=f"{base_url}/db",
        public_base=base_url,
        database_url=record.database_url,
        data_dir=data_dir,
    )
    console.print(f"Enrolled [bold]{DEVICE}[/] for the site database {enrolment.database}.")
    await _sync(enrolment, count, console)
    engine = sync_engine(record.database_url)
    try:
        await _projected(engine, count, console)
        with engine.connect() as connection:
            console.print(_score_table(connection))
    finally:
        engine.dispose()


async def _sync(enrolment: Enrolment, count: int, console: Console) -> None:
    documents = (outgoing(msgspec.json.encode(doc)) for doc in generate_sessions(count, site=SITE, seed=SEED))
    login = basic_login(enrolment.username, enrolment.password)
    base, _, database = enrolment.url.rpartition("/")
    stored = known = 0
    async with aiohttp.ClientSession() as http:
        tablet = CouchClient(http, base, headers=login)
        for batch in batches(documents, count=10):
            pushed = await push_batch(tablet, database, batch)
            if pushed.refused:
                raise DemoFailed(f"A session was refused: {pushed.refused[0].reason}")
            stored += len(pushed.stored)
            known += len(pushed.known)
    console.print(f"The tablet pushed {stored} sessions" + (f" ({known} were there)." if known else "."))


async def _projected(engine: Engine, count: int, console: Console) -> None:
    deadline = time.monotonic() + PATIENCE_S
    while True:
        with engine.connect() as connection:
            n_sessions = connection.execute(select(func.count()).select_from(sessions)).scalar_one()
            n_trials = connection.execute(select(func.count()).select_from(trials)).scalar_one()
        if n_sessions >= count:
            console.print(f"Projected: {n_sessions} sessions, {n_trials} trials.\n")
            return
        if time.monotonic() > deadline:
            raise DemoFailed(f"Only {n_sessions} of {count} sessions were projected in {PATIENCE_S:.0f} s.")
        await asyncio.sleep(0.2)


def _score_table(connection: Connection) -> Table:
    table = Table(title="Scores in Postgres, over all sessions")
    for name in ("task", "score"):
        table.add_column(name, no_wrap=True)
    for name in ("sessions", "mean", "sd", "min", "max"):
        table.add_column(name, justify="right")
    for row in _score_rows(connection):
        table.add_row(row.task, row.name, str(row.n), *map(_number, row[3:]))
    return table


def _number(value: float | None) -> str:
    return "–" if value is None else f"{value:.4g}"


def _score_rows(connection: Connection) -> Sequence[Row[Any]]:
    value: ColumnElement[Any] = scores.c["value"]
    return connection.execute(
        select(
            scores.c.task,
            scores.c.name,
            func.count(value).label("n"),
            func.avg(value),
            func.stddev_samp(value),
            func.min(value),
            func.max(value),
        )
        .group_by(scores.c.task, scores.c.name)
        .order_by(scores.c.task, scores.c.name)
    ).all()
