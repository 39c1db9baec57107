"""The demo on a running system: a study is set up, a tablet enrols, pulls, pushes; the rows and scores.

Where there is a REDCap project, the sessions go there too; where there is a mail server, people are reminded.
"""

import asyncio
import time
from collections import Counter
from collections.abc import Sequence
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
from sync_server.demo import in_redcap, reminded
from sync_server.demo.failure import PATIENCE_S, DemoFailed
from sync_server.demo.generate import generate_sessions
from sync_server.demo.in_redcap import RedcapProject
from sync_server.demo.team import STUDY, NotDone, StudyTeam
from sync_server.embedded.record import SystemRecord
from sync_server.enrolment import Enrolment

SITE = "lima"
DEVICE = "lima-tab-1"
SEED = 2016


async def run_demo(
    record: SystemRecord,
    count: int,
    console: Console,
    *,
    email: str,
    password: str,
    redcap: RedcapProject | None = None,
    mails: bool = False,
) -> None:
    """Set up a study, sync `count` generated sessions as one tablet, and print what came of it.

    `email` and `password` are the admin's. `mails`: the system sends mails, so people are reminded. Raises
    DemoFailed.
    """
    documents = list(generate_sessions(count, site=SITE, seed=SEED))
    engine = sync_engine(record.database_url)
    try:
        async with aiohttp.ClientSession() as http:
            team = await StudyTeam.log_in(http, record.base_url or "", email=email, password=password)
            await team.set_up(SITE, _roster(documents))
            enrolment = await team.enrol_tablet(SITE, DEVICE)
            console.print(
                f"Study [bold]{STUDY}[/] is set up at {SITE}; [bold]{DEVICE}[/] has enrolled itself with a"
                " one-time code."
            )
            if redcap is not None:
                await in_redcap.connect(team, redcap, console)
            if mails:
                await reminded.plan(team, SITE, console)
                documents.append(reminded.late_session(SITE, SEED + 1))
            await _pulled(http, enrolment, documents, console)
            await _sync(http, enrolment, documents, console)
            await _projected(engine, len(documents), console)
            console.print(await _visits(team))
            with engine.connect() as connection:
                console.print(_score_table(connection))
            if redcap is not None:
                await in_redcap.pushed(team, len(documents))
                console.print(*await in_redcap.told(team, http, redcap), sep="\n")
            if mails:
                await reminded.sent(team)
                console.print(*await reminded.told(team), sep="\n")
    except NotDone as error:
        raise DemoFailed(str(error)) from error
    finally:
        engine.dispose()


def _roster(documents: Sequence[dict[str, Any]]) -> list[tuple[str, str]]:
    """Who is in the sessions, enrolled on the day of the first one."""
    first: dict[str, str] = {}
    for document in documents:
        day = str(document["started_at"])[:10]
        code = str(document["participant"])
        first[code] = min(day, first.get(code, day))
    return sorted(first.items())


async def _pulled(
    http: aiohttp.ClientSession, enrolment: Enrolment, documents: Sequence[Any], console: Console
) -> None:
    """Wait until the tablet can pull the study and its roster: the relay publishes within a second."""
    tablet, database = _tablet(http, enrolment)
    wanted = {f"participant:{STUDY}/{code}" for code, _ in _roster(documents)} | {f"study:{STUDY}"}
    deadline = time.monotonic() + PATIENCE_S
    while True:
        page = await tablet.changes(database, "0", limit=10_000)
        found = {change.id for change in page.changes if not change.deleted}
        if wanted <= found:
            kinds = Counter(doc_id.partition(":")[0] for doc_id in found)
            told = ", ".join(f"{number} {kind}" for kind, number in sorted(kinds.items()))
            console.print(f"The tablet pulled what it needs offline: {told}.")
            return
        if time.monotonic() > deadline:
            raise DemoFailed(f"Not published within {PATIENCE_S:.0f} s: {sorted(wanted - found)[:3]} …")
        await asyncio.sleep(0.2)


async def _visits(team: StudyTeam) -> Table:
    told = await team.call("GET", f"/api/visits?study={STUDY}&per_page=500")
    states: dict[str, Counter[str]] = {}
    for visit in told["data"]:
        states.setdefault(visit["code"], Counter())[visit["state"]] += 1
    table = Table(title="Visits, as the sessions completed them")
    columns = ("planned", "due", "completed", "missed", "cancelled")
    table.add_column("visit", no_wrap=True)
    for name in columns:
        table.add_column(name, justify="right")
    for code, counted in states.items():
        table.add_row(code, *(str(counted[name] or "–") for name in columns))
    return table


def _tablet(http: aiohttp.ClientSession, enrolment: Enrolment) -> tuple[CouchClient, str]:
    base, _, database = enrolment.url.rpartition("/")
    return CouchClient(http, base, headers=basic_login(enrolment.username, enrolment.password)), database


async def _sync(
    http: aiohttp.ClientSession, enrolment: Enrolment, collected: Sequence[Any], console: Console
) -> None:
    documents = (outgoing(msgspec.json.encode(document)) for document in collected)
    tablet, database = _tablet(http, enrolment)
    stored = known = 0
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
    # Narrow enough for a terminal of 80 columns, where a cut number would be a wrong one.
    table = Table(title="Scores in Postgres, over all sessions", box=None, pad_edge=False)
    for name in ("task", "score"):
        table.add_column(name, no_wrap=True)
    for name in ("n", "mean", "sd", "min", "max"):
        table.add_column(name, justify="right", no_wrap=True)
    for row in _score_rows(connection):
        table.add_row(row.task, row.name, str(row.n), *map(_number, row[3:]))
    return table


def _number(value: float | None) -> str:
    return "–" if value is None else f"{value:.3g}"


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
