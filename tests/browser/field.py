"""A site's first day: its documents, the tablet that scans a page and pushes them, the people who look on."""

import asyncio
import gzip
import os
import secrets
import signal
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any, NamedTuple

import aiohttp
import msgspec
import psycopg
import zxingcpp
from PIL import Image
from sqlalchemy import insert

from reporting.engine import sync_engine
from reporting.tables import memberships
from sync_server.demo.generate import generate_sessions
from sync_server.identity.access_tokens import Role
from sync_server.identity.users import insert_user
from tests.administration.people import password_hash
from tests.browser.visitor import Visitor
from tests.end_to_end.system import System
from tests.interop.pouchdb import run_tablet
from tests.job_processes import until

Document = dict[str, Any]

SITE = "lima"
STUDY = "SRO"
TABLET = "lima-tab-2"
SCORED = "simple_reaction_time"


class FirstDay(NamedTuple):
    """What the tablet holds: a file of sessions, `more` of the same people, and two that need a hand."""

    file: Path
    more: list[Document]
    faulty: Document
    twice: tuple[Document, Document]

    def trials(self) -> int:
        """How many the sessions in the file have."""
        return sum(len(run["trials"]) for document in read(self.file) for run in document["tasks"])


def read(path: Path) -> Iterator[Document]:
    """The documents of a file."""
    with gzip.open(path, "rb") as file:
        for line in file:
            yield msgspec.json.decode(line)


def first_day(field_sessions: Path | None, directory: Path) -> FirstDay:
    """Of the field sessions, as they lie; of generated ones where there are none."""
    if field_sessions is not None:
        again, baseline = field_sessions / "retest-lima.ndjson.gz", field_sessions / "complete-lima.ndjson.gz"
    else:
        print("\nNo field sessions beside the checkout: generated ones are pushed instead.")
        again, baseline = directory / "retest.ndjson.gz", directory / "complete.ndjson.gz"
        for path, visit, seed in ((again, "retest", 7), (baseline, "baseline", 8)):
            sessions = generate_sessions(120, site=SITE, seed=seed)
            made = [{**each, "study": STUDY, "visit": visit} for each in sessions]
            path.write_bytes(gzip.compress(b"\n".join(map(msgspec.json.encode, made))))
    people = {document["participant"] for document in read(again)}
    firsts = list(read(baseline))
    more = [
        each
        for each in firsts
        if each["participant"] in people and any(run["task"] == SCORED for run in each["tasks"])
    ]
    others = [each for each in firsts if each not in more]
    faulty, contradicted = others[0], others[1]
    (first_run, *rest) = contradicted["tasks"]
    (first_trial, *trials) = first_run["trials"]

    def version(revision: str, **changes: Any) -> Document:
        run = {**first_run, "trials": [{**first_trial, "rt": changes.pop("rt")}, *trials]}
        revisions = {"start": 1, "ids": [revision]}
        return {
            **contradicted,
            **changes,
            "tasks": [run, *rest],
            "_rev": f"1-{revision}",
            "_revisions": revisions,
        }

    twice = (version("a" * 32, rt=412, visit="baseline"), version("b" * 32, rt=388, visit="month-3"))
    return FirstDay(again, more, {**faulty, "status": "lost"}, twice)


class Tablet:
    """A PouchDB with what it was told when it was enrolled."""

    def __init__(self, node: str, url: str) -> None:
        self._node = node
        self.url = url

    @classmethod
    async def scan(cls, visitor: Visitor, node: str, picture: Path) -> "Tablet":
        """Scan the QR code on the page, and redeem what it says as the app does."""
        await visitor.page.locator("svg.qr").screenshot(path=picture)
        with Image.open(picture) as image:
            (found,) = zxingcpp.read_barcodes(image.convert("L"))
        told = msgspec.json.decode(found.text)
        assert told["v"] == 1
        assert told["code"] == (await visitor.page.locator(".big-code").inner_text()).strip()
        handed_in = {"code": told["code"], "installation": secrets.token_urlsafe(24)}
        async with aiohttp.ClientSession() as http, http.post(told["urls"][0], json=handed_in) as answer:
            assert answer.status == 201, await answer.text()
            enrolled = await answer.json()
        login = f"://{enrolled['username']}:{enrolled['password']}@"
        return cls(node, enrolled["url"].replace("://", login))

    async def push(self, day: FirstDay) -> None:
        """Push everything, whatever is restarted meanwhile."""
        job = {
            "url": self.url,
            "files": [str(day.file)],
            "docs": [*day.more, day.faulty],
            "edits": list(day.twice),
            "attempts": 60,
        }
        assert (await run_tablet(self._node, job))["denied"] == []


def join(system: System, email: str, role: Role) -> None:
    """Somebody of the study, with an account and `PASSWORD`."""
    engine = sync_engine(system.record.database_url)
    try:
        with engine.begin() as connection:
            person = connection.execute(insert_user(email, password_hash(), None)).scalar_one()
            connection.execute(insert(memberships).values(person=person, study=STUDY, role=role))
    finally:
        engine.dispose()


@asynccontextmanager
async def made_halfway(system: System, ask: Callable[[], Awaitable[None]]) -> AsyncIterator[None]:
    """`ask` for a file of trials; meanwhile its worker has told how far it is, and stands still.

    It meets locked trials, and goes on from there in very small steps.
    """
    worker = system.record.children["work-reports"]
    with system.connect() as looking:
        try:
            with system.connect() as holding, holding.transaction():
                holding.execute("LOCK TABLE trial_rows IN ACCESS EXCLUSIVE MODE")
                await ask()
                await until(lambda: _file(looking)[0] == "running" and _waits(looking))
                os.kill(worker, signal.SIGSTOP)
            while not 0 < _file(looking)[1] < _file(looking)[2]:
                assert _file(looking)[0] == "running", "it was made too soon"
                os.kill(worker, signal.SIGCONT)
                await asyncio.sleep(0.02)
                os.kill(worker, signal.SIGSTOP)
                # It tells twice a second at most.
                await asyncio.sleep(0.5)
            yield
        finally:
            os.kill(worker, signal.SIGCONT)


def _file(connection: psycopg.Connection) -> tuple[str, int, int]:
    row = connection.execute(
        "SELECT state, coalesce(rows_done, 0), coalesce(rows_total, 0) FROM research_files"
    ).fetchone()
    return row or ("", 0, 0)


def _waits(connection: psycopg.Connection) -> bool:
    """Whether who makes files waits for a lock."""
    waiting = connection.execute(
        "SELECT FROM pg_stat_activity WHERE application_name = 'metricis-files' AND wait_event_type = 'Lock'"
    )
    return waiting.fetchone() is not None
