"""Replication jobs at work: a hub's service with relay and worker, and a centre with a password."""

import asyncio
from collections.abc import AsyncIterator, Callable, Mapping
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

from aiohttp import web

from replication.client import basic_login
from replication.errors import Unauthorized
from replication.http.access import Access, FullAccess, Operation
from reporting.compiled import execute_in
from reporting.replication_jobs.requests import ask_for_look
from tests.administration.desk import Desk
from tests.contract.couch import Couch, embedded_in
from tests.gateway.gateway import session

PATIENCE = 20.0
USER, PASSWORD = "hub-lima", "s3cret-of-the-centre"
JOBS = "/api/replication/jobs"


class Centre:
    """Another server's store; whoever does not send its password is refused."""

    def __init__(self) -> None:
        self.password = PASSWORD
        self.couch: Couch

    async def authorize(self, request: web.Request, operation: Operation, database: str | None) -> Access:  # noqa: ARG002
        if request.headers.get("Authorization") != basic_login(USER, self.password)()["Authorization"]:
            raise Unauthorized("Name or password is incorrect.")
        return FullAccess()

    def url(self, database: str) -> str:
        return f"{self.couch.base}/{database}"

    async def ids(self, database: str) -> list[str]:
        rows = (await self.couch.get(f"/{database}/_all_docs")).ok()["rows"]
        return [row["id"] for row in rows]


@asynccontextmanager
async def at_centre(directory: Path, *databases: str) -> AsyncIterator[Centre]:
    """A centre with these databases, empty."""
    centre = Centre()
    async with embedded_in(directory, centre.authorize) as couch:
        couch.session.headers.update(basic_login(USER, PASSWORD)())
        centre.couch = couch
        for name in databases:
            (await couch.put(f"/{name}", None)).ok(201)
        yield centre


async def look(desk: Desk) -> None:
    """Have the worker look at all jobs now."""
    execute_in(desk.office.connection, ask_for_look())
    await desk.drain()


async def watched(
    desk: Desk, job: int, is_wanted: Callable[[Mapping[str, Any]], bool], *, admin: Any = None
) -> dict[str, Any]:
    """The job, looked at until it is as it is wanted."""
    admin = admin or desk.office.as_("admin")
    body: dict[str, Any] = {}
    try:
        async with asyncio.timeout(PATIENCE):
            while True:
                await look(desk)
                body = (await admin.get(f"{JOBS}/{job}")).body
                if is_wanted(body):
                    return body
                await asyncio.sleep(0.1)
    except TimeoutError as error:
        raise AssertionError(body) from error


def is_in(*states: str) -> Callable[[Mapping[str, Any]], bool]:
    return lambda body: body["state"] in states


async def make_job(desk: Desk, centre: Centre, **members: Any) -> dict[str, Any]:
    """A job of lima with the centre, through the API."""
    body = {
        "site": "lima",
        "name": "up",
        "kind": "collected",
        "url": centre.url("site-lima"),
        "credential": {"user": USER, "password": PASSWORD},
        **members,
    }
    answer = await desk.office.as_("admin").post(JOBS, body)
    assert answer.status == 201, answer.body
    made: dict[str, Any] = answer.body
    return made


async def collect(desk: Desk, *names: str) -> None:
    """Sessions that came to the hub."""
    gateway = desk.office.gateway
    documents = [session(name) for name in names]
    assert await gateway.push("site-lima", *documents, token=gateway.service) == []


async def arrived(centre: Centre, *wanted: str) -> None:
    """Wait until the centre has exactly these documents."""
    found: list[str] = []
    try:
        async with asyncio.timeout(PATIENCE):
            while (found := await centre.ids("site-lima")) != sorted(wanted):  # noqa: ASYNC110 (another server's)
                await asyncio.sleep(0.05)
    except TimeoutError as error:
        raise AssertionError(found) from error
