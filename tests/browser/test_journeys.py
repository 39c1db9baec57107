"""A running system, a new site, a real tablet: from the first code that is scanned to a researcher's file."""

import asyncio
import csv
import io
import os
import re
import signal
import zipfile
from collections import Counter
from collections.abc import Iterator
from pathlib import Path

import pytest
from playwright.async_api import Page

from replication.http.access import allow_everything
from tests.browser import pictures
from tests.browser.accessibility import assert_accessible
from tests.browser.conftest import Visit
from tests.browser.field import (
    SCORED,
    SITE,
    STUDY,
    TABLET,
    FirstDay,
    Tablet,
    first_day,
    join,
    made_halfway,
    read,
)
from tests.browser.portal import PASSWORD, sign_in
from tests.browser.visitor import Visitor
from tests.contract.couch import embedded_in
from tests.end_to_end.system import ADMIN, System, running
from tests.interop.pouchdb import node
from tests.job_processes import until

pytestmark = pytest.mark.asyncio(loop_scope="session")

OWN_PASSWORD = "a horse of another colour"
SITE_ADMIN = "rosa@clinic.example"
SOON_MS = 60_000
"""What has to go through tablet, store, projector and page."""


@pytest.fixture(scope="module")
def system(tmp_path_factory: pytest.TempPathFactory) -> Iterator[System]:
    """Everything that `sync-server up` starts; nobody is there but the admin of its settings."""
    with running(tmp_path_factory.mktemp("journeys") / "data", PORTAL_LIVE_SECONDS="1") as started:
        yield started


async def test_a_new_site_admin_enrols_a_tablet_and_mends_what_it_brings_and_a_researcher_has_the_rows(
    arrive: Visit, system: System, shared_field_sessions: Path | None, tmp_path: Path
) -> None:
    executable = node()
    # What people did is not pictured.
    day = first_day(None if pictures.asked() else shared_field_sessions, tmp_path)
    admin, rosa = await arrive(system.base_url), await arrive(system.base_url)
    await _a_site_admin_is_invited(admin, rosa)
    tablet = await _a_tablet_is_enrolled(rosa, executable, tmp_path)
    state = await rosa.context.storage_state()
    tabs = [await arrive(system.base_url, state=state) for _ in range(2)]
    await _the_first_sync_arrives(rosa, tablet, day, system)
    join(system, "remi@clinic.example", "researcher")
    remi = await arrive(system.base_url)
    await asyncio.gather(
        _a_session_is_mended(rosa, system, day),
        _a_conflict_is_decided(tabs[0], system, day),
        _a_replication_is_retried(tabs[1], system, tmp_path),
        _a_job_is_retried(admin, system),
        _scores_are_plotted_and_rows_exported(remi, system, day),
    )


async def _send(page: Page, summary: str, button: str, **fields: str) -> None:
    """Open a form that is folded away, fill it in and send it."""
    panel = page.locator("details.panel", has=page.get_by_text(summary, exact=True))
    await panel.get_by_text(summary, exact=True).click()
    for label, text in fields.items():
        field = panel.get_by_label(re.compile(f"^{label.replace('_', ' ')}( .optional.)?$"))
        if await field.evaluate("field => field.tagName") == "SELECT":
            await field.select_option(text)
        else:
            await field.fill(text)
    await panel.get_by_role("button", name=button, exact=True).click()


async def _a_site_admin_is_invited(admin: Visitor, rosa: Visitor) -> None:
    """An admin sets up a site and a study, and invites who is to look after it; they sign in."""
    page = admin.page
    await admin.open("/portal/sites")
    await sign_in(admin, *ADMIN)
    await _send(page, "Set up a site", "Set up", Code=SITE, Timezone="America/Lima")
    await page.get_by_text("The site is set up.").wait_for()
    await admin.open("/portal/studies")
    await _send(page, "Create a study", "Create", Code=STUDY)
    await page.get_by_text("The study is created.").wait_for()
    await admin.open(f"/portal/studies/{STUDY}")
    await _send(page, "Add a site", "Add", Site=SITE)
    await page.get_by_text("The study runs at this site now.").wait_for()
    invited = {"Email_address": SITE_ADMIN, "Role": "admin", "Only_at_this_site": SITE}
    await _send(page, "Invite somebody", "Invite", **invited)
    password = (await page.locator(".big-code").inner_text()).strip()

    page = rosa.page
    await rosa.open(f"/portal/sites/{SITE}")
    await sign_in(rosa, SITE_ADMIN, password)
    await page.get_by_text("Your password was set by somebody else.").wait_for()
    await page.get_by_label("Current password").fill(password)
    await page.get_by_label("New password", exact=True).fill(OWN_PASSWORD)
    await page.get_by_label("The new password again").fill(OWN_PASSWORD)
    await page.get_by_role("button", name="Change password").click()
    await page.get_by_text("Your password is changed.").wait_for()


async def _a_tablet_is_enrolled(rosa: Visitor, executable: str, directory: Path) -> Tablet:
    page = rosa.page
    await page.get_by_role("link", name="Sites", exact=True).click()
    await page.get_by_role("link", name=SITE).click()
    await page.get_by_text("No tablets yet").wait_for()
    await _send(page, "Enrol a tablet or hub", "Make the code", Name=TABLET, Label="Blue case")
    await page.get_by_role("img", name="QR code").wait_for()
    await assert_accessible(rosa)
    await pictures.take(rosa, "enrolment")
    tablet = await Tablet.scan(rosa, executable, directory / "seen-by-the-tablet.png")
    await page.get_by_role("link", name="Done", exact=True).click()
    return tablet


async def _the_first_sync_arrives(rosa: Visitor, tablet: Tablet, day: FirstDay, system: System) -> None:
    """The service is restarted meanwhile; the page is looked at all the time, and is not loaded again."""
    page = rosa.page
    row = page.get_by_role("row", name="Blue case")
    await row.get_by_text("Never").first.wait_for()
    await page.get_by_text("Live", exact=True).wait_for()
    await page.evaluate("() => { window.isTheSamePage = true; }")
    os.kill(system.record.children["serve"], signal.SIGTERM)
    await asyncio.gather(tablet.push(day), page.get_by_text("Not live").wait_for())
    await page.get_by_text("Live", exact=True).wait_for(timeout=SOON_MS)
    await row.locator("[data-label='Last sync'] time").wait_for(timeout=SOON_MS)
    health = page.get_by_role("region", name="How it syncs")
    for fact, number in (("In quarantine", "1"), ("Conflicts", "2")):
        shown = health.locator(".facts > div", has_text=fact).get_by_role("link", name=number)
        await shown.wait_for(timeout=SOON_MS)
    assert await page.evaluate("() => window.isTheSamePage")
    sessions = {each["_id"].removeprefix("session:") for each in (*read(day.file), *day.more, day.twice[0])}
    with system.connect() as connection:
        found = "SELECT id FROM sessions WHERE site = %s"
        await until(lambda: {row[0] for row in connection.execute(found, (SITE,))} == sessions)


async def _a_session_is_mended(rosa: Visitor, system: System, day: FirstDay) -> None:
    page = rosa.page
    health = page.get_by_role("region", name="How it syncs")
    await health.locator(".facts > div", has_text="In quarantine").get_by_role("link").click()
    await page.get_by_role("link", name="Unknown value").click()
    await page.get_by_role("link", name=day.faulty["_id"]).click()
    assert await page.locator("mark").inner_text() == '"status": "lost",'
    await page.get_by_label("The right value").fill("completed")
    await page.get_by_label("Reason", exact=True).first.fill("The site was asked.")
    await page.get_by_label("The right value").press("Enter")
    await page.get_by_text("With this it becomes a session of the results").wait_for()
    await pictures.take(rosa, "quarantined")
    await assert_accessible(rosa)
    await page.get_by_role("button", name="Mend it").click()
    await page.get_by_text("It is mended, and is being read again").wait_for()
    await page.get_by_text("It has left quarantine").wait_for(timeout=SOON_MS)
    await page.get_by_role("button", name="Mend it").wait_for(state="hidden")
    session = day.faulty["_id"].removeprefix("session:")
    assert system.value("SELECT status FROM sessions WHERE id = %s", session) == "completed"
    assert system.value("SELECT count(*) FROM quarantine") == 0


async def _a_conflict_is_decided(rosa: Visitor, system: System, day: FirstDay) -> None:
    page, session = rosa.page, day.twice[0]["_id"].removeprefix("session:")
    await rosa.open(f"/portal/conflicts?site={SITE}")
    await page.get_by_role("link", name=session).click()
    await page.get_by_role("link", name="Take all of version B").click()
    await page.get_by_role("group", name="Visit").get_by_role("radio").first.check()
    await page.get_by_role("button", name="Preview").click()
    await page.get_by_role("heading", name="What the results would then hold").wait_for()
    await pictures.take(rosa, "conflict-preview")
    await assert_accessible(rosa)
    await page.get_by_label("Reason").fill("The paper form says so.")
    await page.get_by_role("button", name="Decide").click()
    await page.get_by_text("It is decided").wait_for()
    await page.get_by_role("link", name=session).wait_for(state="detached", timeout=SOON_MS)
    await rosa.open(f"/portal/conflicts/session?session={session}&site={SITE}")
    await page.get_by_text("Nothing is left to decide here").wait_for()
    union = page.get_by_role("region", name="What the results hold now")
    await union.locator(".facts > div", has_text="Visit").get_by_text("month-3").wait_for()
    (run,) = day.twice[0]["tasks"][:1]
    chosen = "SELECT rt_ms FROM trials WHERE session_id = %s AND task = %s AND run = %s AND trial_index = %s"
    trial = (session, run["task"], run["run"], run["trials"][0]["trial_index"])
    assert system.value("SELECT visit FROM sessions WHERE id = %s", session) == "month-3"
    # Trials may be locked just now, by whoever watches the export: not in this thread.
    assert await asyncio.to_thread(system.value, chosen, *trial) == 412


async def _a_replication_is_retried(rosa: Visitor, system: System, directory: Path) -> None:
    """The other side has no such database, for an hour as it were, and then has."""
    page = rosa.page
    async with embedded_in(directory / "centre", allow_everything) as centre:
        await rosa.open("/portal/replication")
        address = f"{centre.base}/site-{SITE}"
        filled = {"Site": SITE, "Name": "to-the-centre", "Address_of_the_other_side": address}
        await _send(page, "Make a replication job", "Make it", **filled)
        await page.get_by_text("The job is made, and begins.").wait_for()
        await page.get_by_role("cell", name="Failing, tried again").wait_for(timeout=SOON_MS)
        with system.connect() as connection:
            connection.execute("UPDATE replication_jobs SET stuck_since = now() - interval '1 hour'")
        await page.get_by_role("cell", name="Stuck").wait_for()
        (await centre.call("PUT", f"/site-{SITE}")).ok(201)
        await page.get_by_role("button", name="Retry to-the-centre").click()
        await page.get_by_text("The job is tried again now.").wait_for()
        await page.get_by_role("cell", name="Running").wait_for(timeout=SOON_MS)
        assert await page.get_by_role("cell", name="Stuck").count() == 0
        well = "SELECT state = 'running' AND stuck_since IS NULL FROM replication_jobs"
        assert system.value(well)
        sessions = system.value("SELECT count(*) FROM documents WHERE type = 'session'")
        while (await centre.call("GET", f"/site-{SITE}")).ok()["doc_count"] < sessions:  # noqa: ASYNC110 (another process counts)
            await asyncio.sleep(0.1)
        # The centre goes away again: nobody has to hear of that.
        await page.get_by_role("link", name="to-the-centre").click()
        await page.get_by_role("button", name="Pause").click()
        await page.get_by_text("Paused").first.wait_for()


async def _a_job_is_retried(admin: Visitor, system: System) -> None:
    page = admin.page
    with system.connect() as connection:
        connection.execute(
            "INSERT INTO outbox (kind, key, state, attempts, error, ended_at, payload, payload_sha256) VALUES"
            " ('event', 'session.completed/9', 'dead', 12, 'no answer', now(), '{}', 'x')"
        )
    await admin.open("/portal/jobs?kind=event")
    await page.get_by_role("link", name="Event for webhooks").click()
    await page.get_by_role("button", name="Retry now").click()
    await page.get_by_text("It is tried again now.").wait_for()
    await page.get_by_role("heading", name="What was tried").wait_for()
    await page.locator("dl").get_by_text("Done").wait_for()
    assert await page.get_by_role("button", name="Retry now").count() == 0
    assert system.value("SELECT state FROM outbox WHERE key = 'session.completed/9'") == "done"


async def _scores_are_plotted_and_rows_exported(remi: Visitor, system: System, day: FirstDay) -> None:
    await _scores_are_filtered_and_plotted(remi, system)
    await _rows_are_exported(remi, system, day)


async def _scores_are_filtered_and_plotted(remi: Visitor, system: System) -> None:
    page = remi.page
    await remi.open("/portal/research")
    await sign_in(remi, "remi@clinic.example", PASSWORD)
    await page.get_by_role("link", name=STUDY).first.click()
    await page.get_by_label("Score").select_option("simple_reaction_time_std_rt")
    await page.get_by_label("Site").select_option(SITE)
    await page.get_by_role("button", name="Filter").click()
    await page.wait_for_url(f"**score=simple_reaction_time_std_rt**site={SITE}**")
    shown = page.get_by_role("region", name="Distribution")
    people = await shown.get_by_role("row", name="retest").get_by_role("cell").first.inner_text()
    counted = (
        "SELECT count(DISTINCT participant) FROM sessions JOIN scores ON scores.session_id = sessions.id"
        " WHERE visit = 'retest' AND task = %s AND scores.name = 'std_rt' AND value IS NOT NULL"
    )
    assert int(people) == system.value(counted, SCORED)
    await page.get_by_role("img", name="second visit against first").wait_for()
    await page.get_by_role("rowheader", name="Test–retest, ICC(2,1)").wait_for()


async def _rows_are_exported(remi: Visitor, system: System, day: FirstDay) -> None:
    page = remi.page
    await page.get_by_role("link", name="Exports").click()
    await page.get_by_text("Ask for an export").click()
    await page.get_by_label("Trials", exact=True).check()
    await page.get_by_label("Only rows with").fill("visit=retest")
    await assert_accessible(remi)
    row = page.get_by_role("row", name="sessions_wide, trials")

    async def ask() -> None:
        await page.get_by_role("button", name="Ask for it").click()
        await page.get_by_text("It is being made.").wait_for()

    async with made_halfway(system, ask):
        await row.get_by_text("%").wait_for()
    link = row.get_by_role("link", name="Download")
    await link.wait_for()
    await assert_accessible(remi)
    async with page.expect_download() as coming:
        await link.click()
    download = await coming.value
    content = await asyncio.to_thread(Path(await download.path()).read_bytes)
    with zipfile.ZipFile(io.BytesIO(content)) as archive:
        rows = list(csv.DictReader(io.StringIO(archive.read("trials.csv").decode("utf-8-sig"))))
    exported = Counter(tuple(each[name] for name in ("task", "run", "trial_index", "rt_ms")) for each in rows)
    stored = (
        "SELECT task, run::text, trial_index::text, coalesce(rt_ms::text, '') FROM trials"
        " JOIN sessions ON sessions.site = trials.site AND id = session_id WHERE visit = 'retest'"
    )
    with system.connect() as connection:
        assert exported == Counter(connection.execute(stored).fetchall())
        assert exported.total() == day.trials()
        # The link that was clicked has the focus, and holds nothing up.
        assert await link.evaluate("link => link === document.activeElement")
        connection.execute("UPDATE research_files SET file_name = 'renamed.zip'")
        await link.get_by_text("renamed.zip").wait_for(state="attached")
    await row.get_by_role("button", name="Remove").click()
    await page.get_by_text("The export is removed.").wait_for()
