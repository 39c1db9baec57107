"""What people do about what went wrong, with the service, a projector, a relay and a worker as processes."""

import asyncio
from collections.abc import AsyncIterator, Iterator
from contextlib import ExitStack
from typing import Any

import psycopg
import pytest
import pytest_asyncio

from sync_server.settings import Settings
from tests.browser import pictures
from tests.browser.accessibility import assert_accessible
from tests.browser.conftest import Visit
from tests.browser.portal import Portal, sign_in
from tests.browser.visitor import Visitor
from tests.documents.examples import a_session, a_task_run, a_trial
from tests.job_processes import process, until
from tests.portal.site_store import SiteStore
from tests.portal.world import MARK

pytestmark = pytest.mark.asyncio(loop_scope="session")

SITE = "cusco"
NOTE = "" if pictures.asked() else MARK


@pytest.fixture(scope="module")
def processes(portal: Portal) -> Iterator[None]:
    """All that runs beside the service."""
    service = portal.service.settings
    settings = Settings(
        database_url=service["DATABASE_URL"],
        redis_url=service["REDIS_URL"],
        data_dir=portal.service.data_dir,
        port=portal.service.port,
    )
    with portal.connect() as connection:
        # The world's replications have no other side.
        connection.execute("UPDATE replication_jobs SET desired = 'paused'")
    with ExitStack() as running:
        for command in ("project", "relay", "work"):
            running.enter_context(process(command, settings))
        yield


@pytest_asyncio.fixture(loop_scope="session")
async def store(portal: Portal, processes: None) -> AsyncIterator[SiteStore]:
    """A site whose tablet has handed in a session with a fault, and one session twice."""
    with portal.connect() as connection:
        connection.execute(
            "INSERT INTO sites (code, name, timezone) VALUES ('cusco', 'Cusco', 'America/Lima')"
        )
        connection.execute(
            "INSERT INTO outbox (kind, key, state, attempts, error, ended_at, payload, payload_sha256) VALUES"
            " ('event', 'session.completed/9', 'dead', 12, 'no answer', now(), '{}', 'x')"
        )
    trials = [a_trial(number) for number in range(1, 400)]
    faulty = a_session("7f3a", status="lost", note=NOTE, tasks=[a_task_run() | {"trials": trials}])

    def twice(visit: str, rt: int) -> dict[str, Any]:
        return a_session("9c41", visit=visit, tasks=[a_task_run() | {"trials": [a_trial(1, rt=rt)]}])

    async with SiteStore(portal.base_url, portal.service.data_dir, SITE) as store:
        await store.save(faulty, "1-a")
        await store.save(twice("baseline", 412), "1-a")
        await store.save(twice("month-3", 388), "1-b")
        with portal.connect() as connection:
            await until(lambda: _states(connection) == {"quarantined", "conflicted"})
        yield store


def _states(connection: psycopg.Connection) -> set[str]:
    found = connection.execute("SELECT state FROM documents WHERE site = 'cusco' AND type = 'session'")
    return {str(row[0]) for row in found}


async def test_what_is_folded_away_is_accessible_too(visit: Visit, portal: Portal) -> None:
    portal.join("unfolds@example.org", everywhere="admin")
    visitor = await visit()
    await visitor.open("/portal/replication")
    await sign_in(visitor, "unfolds@example.org")
    await visitor.page.get_by_role("heading", name="Replication").wait_for()
    for path in ("replication", "quarantine?code=missing_member&site=lima", "jobs/1", "replication/1"):
        await visitor.open(f"/portal/{path}")
        for summary in await visitor.page.locator("summary").all():
            await summary.click()
        await assert_accessible(visitor)
    await visitor.open("/portal/replication/hubs")
    await visitor.page.get_by_text("Enrol a hub").click()
    await visitor.page.get_by_label("Site").fill("lima")
    await visitor.page.get_by_label("Name").fill("hub-9")
    await visitor.page.get_by_role("button", name="Make the code").click()
    await visitor.page.get_by_role("heading", name="Enrol hub-9").wait_for()
    await assert_accessible(visitor)


async def test_a_session_is_mended_and_leaves_a_conflict_is_decided_and_a_job_runs_again_as_each_is_seen(
    visit: Visit, portal: Portal, store: SiteStore
) -> None:
    portal.join("repairs@example.org", everywhere="admin", name="Rosa Quispe")
    first = await visit()
    await first.open(f"/portal/conflicts?site={SITE}")
    await sign_in(first, "repairs@example.org")
    await first.page.get_by_role("heading", name="Conflicts").wait_for()
    state = await first.context.storage_state()
    others = [await visit(state=state), await visit(state=state)]
    await asyncio.gather(_decide(first), _mend(others[0]), _retry(others[1]))


async def _mend(visitor: Visitor) -> None:
    page = visitor.page
    await visitor.open(f"/portal/quarantine?site={SITE}")
    await page.get_by_role("link", name="Unknown value").click()
    await page.get_by_role("link", name="session:7f3a").click()
    assert await page.locator("mark").inner_text() == '"status": "lost",'
    await page.get_by_label("The right value").fill("completed")
    await page.get_by_label("Reason").first.fill("The paper form says so.")
    await page.get_by_label("The right value").press("Enter")
    told = page.get_by_text("With this it becomes a session of the results")
    await told.wait_for()
    await pictures.take(visitor, "mending")
    await assert_accessible(visitor)
    await page.get_by_label("Reason", exact=True).first.fill("The site was asked.")
    await page.get_by_role("button", name="Mend it").click()
    await page.get_by_text("It is mended, and is being read again").wait_for()
    await page.get_by_text("It has left quarantine").wait_for()
    await page.get_by_role("button", name="Mend it").wait_for(state="hidden")


async def _decide(visitor: Visitor) -> None:
    page = visitor.page
    await page.get_by_role("link", name="9c41").click()
    await page.get_by_role("link", name="Take all of version B").click()
    await page.get_by_role("group", name="Visit").get_by_role("radio").first.check()
    await page.get_by_role("button", name="Preview").click()
    await page.get_by_role("heading", name="What the results would then hold").wait_for()
    await pictures.take(visitor, "deciding")
    await assert_accessible(visitor)
    await page.get_by_label("Reason").fill("The paper form says so.")
    await page.get_by_role("button", name="Decide").click()
    await page.get_by_text("It is decided").wait_for()
    await page.get_by_role("link", name="9c41").wait_for(state="detached")


async def _retry(visitor: Visitor) -> None:
    page = visitor.page
    await visitor.open("/portal/jobs?kind=event")
    await page.get_by_role("link", name="Event for webhooks").click()
    await page.get_by_role("button", name="Retry now").click()
    await page.get_by_text("It is tried again now.").wait_for()
    await page.get_by_role("heading", name="What was tried").wait_for()
    await page.locator("dl").get_by_text("Done").wait_for()
    assert await page.get_by_role("button", name="Retry now").count() == 0
