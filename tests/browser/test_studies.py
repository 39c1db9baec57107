"""A coordinator enrols somebody, sees their visits, and moves one that somebody else has moved meanwhile."""

from datetime import UTC, datetime, timedelta

import pytest
from playwright.async_api import FilePayload

from tests.browser import pictures
from tests.browser.accessibility import assert_accessible
from tests.browser.conftest import Visit
from tests.browser.portal import Portal, sign_in

pytestmark = pytest.mark.asyncio(loop_scope="session")


async def test_a_coordinator_enrols_somebody_and_moves_a_visit_that_was_changed_meanwhile(
    portal: Portal, visit: Visit
) -> None:
    portal.join("cora@example.org", study="SRO", role="coordinator", name="Cora Medina")
    coordinator = await visit()
    page = coordinator.page
    await coordinator.open("/portal/studies/SRO/participants")
    await sign_in(coordinator, "cora@example.org")

    await page.get_by_text("Add a participant").click()
    adding = page.locator("form", has=page.get_by_role("button", name="Add", exact=True))
    # The browser would not send it: the service says what is wrong as well.
    await adding.evaluate("form => { form.noValidate = true; }")
    await adding.get_by_label("Code").fill("new one")
    await adding.get_by_label("Site").select_option("lima")
    await adding.get_by_role("button", name="Add").click()
    code = adding.get_by_label("Code")
    await page.get_by_text("Letters, digits, dots, - and _ only").wait_for()
    assert await code.evaluate("field => field === document.activeElement")
    await assert_accessible(coordinator)
    await code.fill("SR-130")
    await adding.get_by_role("button", name="Add").click()
    await page.get_by_text("The participant is on the roster.").wait_for()

    await page.get_by_label("Code begins with").fill("SR-130")
    await page.get_by_role("button", name="Filter").click()
    await page.get_by_role("link", name="SR-130").click()
    visits = page.get_by_role("region", name="Visits")
    await visits.get_by_role("link", name="Week 4").wait_for()
    await visits.get_by_role("link", name="Baseline").click()

    other = await visit(state=await coordinator.context.storage_state())
    await other.open(coordinator.path)
    for person, days in ((other, 2), (coordinator, 4)):
        day = (datetime.now(UTC) + timedelta(days=days)).date().isoformat()
        await person.page.get_by_text("Move it to another day").click()
        moving = person.page.locator("form", has=person.page.get_by_label("New day"))
        await moving.get_by_label("New day").fill(day)
        await moving.get_by_label("Reason").fill(f"They come {days} days later")
        await moving.get_by_role("button", name="Move").click()
        if person is other:
            await person.page.get_by_text("The visit is moved.").wait_for()

    refused = page.get_by_role("alert")
    await refused.get_by_text("Somebody has changed this since you looked.").wait_for()
    await page.get_by_text("It is now:").first.wait_for()
    assert await page.get_by_label("Reason").first.input_value() == "They come 4 days later"
    await assert_accessible(coordinator)
    await pictures.take(coordinator, "visit-changed-meanwhile")
    await page.get_by_role("button", name="Move").click()
    await page.get_by_text("The visit is moved.").wait_for()
    await page.get_by_text("This day was chosen by somebody").wait_for()
    await assert_accessible(coordinator)


async def test_a_mapping_is_checked_while_it_is_typed_and_a_file_is_read_into_its_field(
    portal: Portal, visit: Visit
) -> None:
    portal.join("ada.maps@example.org", everywhere="admin", name="Rosa Quispe")
    admin = await visit()
    page = admin.page
    await admin.open("/portal/studies/SRO/redcap/mapping")
    await sign_in(admin, "ada.maps@example.org")
    mapping = page.get_by_role("textbox", name="Mapping")
    await mapping.fill("project: {key: sro}\nnothing: here")
    await page.locator("[data-tried]").get_by_text("nothing").wait_for()
    assert "done" not in admin.path
    await assert_accessible(admin)

    await admin.open("/portal/studies/SRO/import")
    table = b"code,site,status\nSR-131,lima,screened\nSR 132,lima,screened\n"
    chosen = FilePayload(name="people.csv", mimeType="text/csv", buffer=table)
    latin = FilePayload(
        name="latin.csv", mimeType="text/csv", buffer="code,contact_name\nz,Zoé".encode("latin-1")
    )
    await page.get_by_label("Choose a file").set_input_files([latin])
    await page.get_by_text("This file is not UTF-8.").wait_for()
    assert await page.get_by_role("textbox", name="Rows").input_value() == ""
    await page.get_by_label("Choose a file").set_input_files([chosen])
    await page.get_by_role("button", name="Check first").click()
    await page.get_by_text("This is what an import would do.").wait_for()
    assert await page.get_by_role("textbox", name="Rows").input_value() == table.decode().strip()
    await assert_accessible(admin)
    await pictures.take(admin, "import-checked")
