"""A researcher filters scores, looks at plots, asks for an export, sees it made, and downloads it."""

import asyncio
import hashlib
from pathlib import Path

import pytest

from sync_server.research_files.folder import place_of
from tests.browser.accessibility import assert_accessible
from tests.browser.conftest import Visit
from tests.browser.portal import Portal, sign_in

pytestmark = pytest.mark.asyncio(loop_scope="session")

CONTENT = b"PK the rows of a study"
KEY = hashlib.sha256(CONTENT).hexdigest()


async def test_a_researcher_filters_plots_exports_and_downloads(portal: Portal, visit: Visit) -> None:
    portal.join("remi@example.org", study="RET", role="researcher", name="Remi")
    researcher = await visit()
    page = researcher.page
    await researcher.open("/portal/research")
    await sign_in(researcher, "remi@example.org")

    await page.get_by_role("link", name="Retest").first.click()
    await page.get_by_role("img", name="first: distribution").wait_for()
    await page.get_by_label("Score").select_option("simple_reaction_time_std_rt")
    await page.get_by_label("Site").select_option("lima")
    await page.get_by_role("button", name="Filter").click()
    await page.wait_for_url("**score=simple_reaction_time_std_rt**site=lima**")
    shown = page.get_by_role("region", name="Distribution")
    assert await shown.get_by_role("row", name="first").get_by_role("cell").first.inner_text() == "20"
    await page.get_by_role("img", name="second visit against first").wait_for()
    await page.get_by_role("rowheader", name="Test–retest, ICC(2,1)").wait_for()

    await page.get_by_role("link", name="Exports").click()
    await page.get_by_text("Ask for an export").click()
    await page.get_by_label("Trials", exact=True).check()
    await page.get_by_label("Format").select_option("parquet")
    await assert_accessible(researcher)
    await page.get_by_role("button", name="Ask for it").click()
    await page.get_by_text("It is being made.").wait_for()
    row = page.get_by_role("row", name="sessions_wide, trials")
    await row.get_by_text("Waiting").wait_for()

    # What a worker does: it says how far it is, and puts the file in its place.
    with portal.connect() as connection:
        connection.execute(
            "UPDATE research_files SET state = 'running', stage = 'trials', rows_done = 3, rows_total = 4"
            " WHERE asked_by = 'remi@example.org'"
        )
        await row.get_by_text("75 %").wait_for()
        place = place_of(portal.service.data_dir / "research_files", KEY, "RET.zip")
        place.parent.mkdir(parents=True, exist_ok=True)
        place.write_bytes(CONTENT)
        connection.execute(
            "UPDATE research_files SET state = 'done', content_key = %(key)s, file_name = 'RET.zip',"
            " media_type = 'application/zip', size = %(size)s, sha256 = %(key)s,"
            " expires_at = now() + interval '7 days' WHERE asked_by = 'remi@example.org'",
            {"key": KEY, "size": len(CONTENT)},
        )
    link = row.get_by_role("link", name="Download")
    await link.wait_for()
    await assert_accessible(researcher)
    async with page.expect_download() as coming:
        await link.click()
    download = await coming.value
    assert download.suggested_filename == "RET.zip"
    assert await asyncio.to_thread(Path(await download.path()).read_bytes) == CONTENT
    await row.get_by_role("button", name="Remove").click()
    await page.get_by_text("The export is removed.").wait_for()
