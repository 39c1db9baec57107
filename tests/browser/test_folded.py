"""What a page has folded away, and what is shown once: accessible like the rest."""

import pytest

from tests.browser import pictures
from tests.browser.accessibility import assert_accessible
from tests.browser.conftest import Visit
from tests.browser.portal import Portal, sign_in

pytestmark = pytest.mark.asyncio(loop_scope="session")


async def test_what_is_folded_away_is_accessible_too(visit: Visit, portal: Portal) -> None:
    portal.join("unfolds@example.org", everywhere="admin", name="Rosa Quispe")
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
    await pictures.take(visitor, "hub-code")
