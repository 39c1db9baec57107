"""Every page as an admin sees it: accessible, by keyboard, zoomed, in the dark; its picture."""

from typing import Any

import pytest
import pytest_asyncio
from playwright.async_api import Browser

from sync_server.portal.routes import PAGES
from tests.browser import pictures, scenery
from tests.browser.accessibility import assert_accessible
from tests.browser.conftest import Visit
from tests.browser.keyboard import tab_stops
from tests.browser.portal import Portal, sign_in
from tests.browser.visitor import Visitor
from tests.portal.world import address_of

pytestmark = pytest.mark.asyncio(loop_scope="session")


PICTURED_ELSEWHERE = {"quarantined"}
"""With a document, by the test that mends it."""


@pytest_asyncio.fixture(scope="module", loop_scope="session")
async def admin(browser: Browser, portal: Portal) -> Any:
    """The cookies of somebody who may see everything."""
    portal.join("admin@example.org", everywhere="admin", name="Rosa Quispe")
    visitor = await Visitor.arrive(browser, portal.base_url)
    await visitor.open("/portal/")
    await sign_in(visitor, "admin@example.org")
    await visitor.page.get_by_role("heading", level=1, name="Hello").wait_for()
    state = await visitor.context.storage_state()
    await visitor.leave()
    return state


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
async def test_a_page_is_accessible_and_every_stop_of_the_keyboard_is_seen(
    page: Any, visit: Visit, admin: Any
) -> None:
    visitor = await visit(state=admin)
    shown = scenery.address_of(page) if pictures.asked() else address_of(page, device="tablet-1")
    answer = await visitor.open(shown)

    assert answer.status == 200
    stops = await tab_stops(visitor.page)
    assert stops[0] == 'link "Skip to the content"'
    if page.name not in PICTURED_ELSEWHERE:
        await pictures.take(visitor, page.name.replace("_", "-"))
    await assert_accessible(visitor)


async def test_what_is_not_there_not_allowed_or_cannot_be_asked_is_a_page_too(
    visit: Visit, portal: Portal, admin: Any
) -> None:
    visitor = await visit(state=admin)
    answer = await visitor.open("/portal/sites/atlantis")
    assert answer.status == 404
    await assert_accessible(visitor)
    await pictures.take(visitor, "error-404")

    portal.join("reads@example.org", everywhere="read-only", name="Luc Martin")
    reader = await visit()
    await reader.open("/portal/users")
    await sign_in(reader, "reads@example.org")
    await reader.page.get_by_role("link", name="Home").first.wait_for()
    answer = await reader.open("/portal/users")
    assert answer.status == 403
    await pictures.take(reader, "error-403")

    with portal.without_database():
        answer = await visitor.open("/portal/")
        assert answer.status == 503
        await pictures.take(visitor, "error-503")
    visitor.complaints.clear()
    await visitor.open("/portal/")
    await visitor.page.get_by_role("heading", level=1, name="Hello").wait_for()
