"""Live parts under somebody's hands, and the end of a login while its pages are open."""

import asyncio

import psycopg
import pytest
from playwright.async_api import Request, Route, expect

from tests.browser.accessibility import assert_accessible
from tests.browser.conftest import Visit
from tests.browser.portal import Portal, sign_in
from tests.browser.visitor import PATIENCE_MS, Visitor

pytestmark = pytest.mark.asyncio(loop_scope="session")

SITE = "/portal/sites/lima"


async def test_a_part_waits_for_the_focus_to_leave_it_and_what_is_typed_outlives_the_login(
    visit: Visit, portal: Portal
) -> None:
    portal.join("livia@example.org", everywhere="admin")
    reads, types, listens = await visit(), await visit(), await visit()
    await reads.open(SITE)
    await sign_in(reads, "livia@example.org")
    await reads.page.get_by_text("Live", exact=True).wait_for()
    await listens.page.clock.install()
    with portal.connect() as connection:
        for visitor in (types, listens):
            # Playwright has two types for one thing.
            await visitor.context.add_cookies(await reads.context.cookies())  # type: ignore[arg-type]
            await visitor.open(SITE)
        await asyncio.gather(
            _a_part_waits_until_the_focus_has_left_it(reads, connection),
            _what_is_typed_stays(types),
            _a_silent_line_is_given_up(listens),
        )
        connection.execute(
            "UPDATE logins SET ended_at = now(), end_reason = 'ended' FROM users"
            " WHERE users.id = person AND email = 'livia@example.org'"
        )
        told = types.page.get_by_role("alert")
        await asyncio.gather(
            reads.page.wait_for_url("**/portal/sign-in?next=*lima"),
            expect(told).to_contain_text("you are signed out", timeout=PATIENCE_MS),
        )
    assert await types.page.get_by_label("Name").last.input_value() == "Lima, the old hospital"
    await assert_accessible(types)


async def _a_part_waits_until_the_focus_has_left_it(reads: Visitor, connection: psycopg.Connection) -> None:
    page = reads.page
    link = page.get_by_role("row").filter(has_text="tablet-2").get_by_role("link")
    await page.get_by_role("heading", name="Tablets and hubs").click()
    while not await link.evaluate("link => link === document.activeElement"):
        await page.keyboard.press("Tab")
    connection.execute("UPDATE device_labels SET label = 'green case' WHERE device = 'tablet-2'")
    connection.execute("UPDATE checkpoints SET pending = 4711 WHERE site = 'lima'")
    await page.get_by_text("4,711").wait_for()
    assert await link.evaluate("link => link === document.activeElement")
    assert await page.get_by_text("green case").count() == 0
    await page.get_by_text("Enrol a tablet or hub").focus()
    await page.get_by_text("green case").wait_for()


async def _what_is_typed_stays(types: Visitor) -> None:
    page = types.page
    await page.get_by_text("Change name or timezone").click()
    name = page.get_by_label("Name").last
    await name.fill("Lima, the old hospital")
    await page.get_by_text("4,711").wait_for()
    assert await name.evaluate("field => field === document.activeElement")
    assert await name.input_value() == "Lima, the old hospital"


async def _a_silent_line_is_given_up(listens: Visitor) -> None:
    """The page comes again, and says what it shows by now; also after an answer that is no stream."""
    page = listens.page
    live = page.get_by_text("Live", exact=True)
    await live.wait_for()
    began = await page.locator("main").get_attribute("data-live")
    await page.get_by_text("4,711").wait_for()

    def goes_on(request: Request) -> bool:
        return "live=" in request.url and not request.url.endswith(str(began))

    await page.route("**live=**", lambda route: route.fulfill(status=404, body="a proxy without a service"))
    async with page.expect_request(goes_on):
        await page.clock.fast_forward(100_000)
        await page.clock.fast_forward(10_000)
    await page.get_by_text("Not live").wait_for()
    await page.unroute("**live=**")
    async with page.expect_request(goes_on):
        await page.clock.fast_forward(10_000)
    await live.wait_for()


async def test_the_numbers_of_a_large_study_come_after_its_page_and_can_be_asked_for_again(
    visit: Visit, portal: Portal
) -> None:
    portal.join("lars@example.org", everywhere="admin")
    looks = await visit()
    with portal.connect() as connection:
        connection.execute("INSERT INTO studies (code) VALUES ('LARGE')")
        connection.execute(
            "INSERT INTO sessions (site, id, study, participant, status, started_at, rev)"
            " SELECT 'lima', 'large-' || n, 'LARGE', 'l' || n, 'completed', now(), '1-a'"
            " FROM generate_series(1, 501) n"
        )
        try:
            await looks.open("/portal/research")
            await sign_in(looks, "lars@example.org")
            page, arrives = looks.page, asyncio.Event()

            async def hold(route: Route) -> None:
                await arrives.wait()
                await route.abort()

            await page.route("**part=results", hold)
            await looks.open("/portal/research/LARGE")
            part = page.locator("[data-part=results]")
            await page.get_by_role("status").get_by_text("being computed").wait_for()
            assert await part.get_attribute("aria-busy") == "true"
            await assert_accessible(looks)
            arrives.set()
            await page.get_by_role("alert").get_by_text("It did not arrive").wait_for()
            assert await part.get_attribute("aria-busy") == "false"
            await page.unroute("**part=results")
            await page.get_by_role("button", name="Try again").press("Enter")
            await page.get_by_text("No score has been measured").wait_for()
            focused = await page.evaluate("document.activeElement.textContent")
            assert focused == "Quality flags"
            await assert_accessible(looks)
            looks.complaints[:] = [each for each in looks.complaints if "part=results" not in each]
        finally:
            connection.execute("DELETE FROM sessions WHERE study = 'LARGE'")
            connection.execute("DELETE FROM studies WHERE code = 'LARGE'")
