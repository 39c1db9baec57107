"""Quarantine and conflicts, as a person at them: what is shown, previewed, done, and refused."""

import html
import re
from pathlib import Path
from typing import Any

import pytest

from tests.documents.examples import a_session, a_task_run, a_trial
from tests.portal.browser import Browser, Shown
from tests.portal.conftest import Portal, serving
from tests.portal.site_store import SiteStore
from tests.portal.world import MARK

pytestmark = pytest.mark.asyncio(loop_scope="session")


def read(shown: Shown) -> str:
    """The words of a page."""
    return " ".join(html.unescape(re.sub(r"<[^>]+>", " ", shown.main)).split())


async def decide(browser: Browser, page: Shown, form: str, **fields: str) -> Shown:
    """Send a form whose further fields have names that are no identifiers."""
    return await browser.post(str(page.url.relative()), {**page.form(form), **fields})


@pytest.fixture
def store(portal: Portal, request: pytest.FixtureRequest) -> SiteStore:
    """A site of the test's own."""
    site = "repair-" + request.node.name.split("_")[2]
    portal.rows("INSERT INTO sites (code, name, timezone) VALUES (%s, '', 'UTC')", site)
    return SiteStore(portal.base, portal.data_dir, site)


async def test_a_quarantined_session_is_shown_previewed_mended_and_leaves(
    portal: Portal, store: SiteStore
) -> None:
    browser = await portal.signed_in("mender@example.org", "coordinator")
    trials = [a_trial(number, rt=MARK if number == 900 else 400) for number in range(1, 1200)]
    async with store:
        await store.save(
            a_session("mend", status="lost", note=MARK, tasks=[a_task_run() | {"trials": trials}]), "1-a"
        )
        await store.project(portal.database_url)
        address = f"/portal/quarantine/document?site={store.site}&document=session:mend"
        page = await browser.get(address)
        assert page.status == 200
        assert "<mark>&#34;status&#34;: &#34;lost&#34;,</mark>" in page.text
        assert "<script>alert" not in page.text
        assert "&lt;script&gt;alert(" in page.main
        assert len(page.text) < 60_000
        wrong = await browser.send(page, "patch_document", how="number", value="many", reason="")
        assert (wrong.status, "This is needed." in wrong.text) == (422, True)
        wrong = await browser.send(page, "patch_document", how="number", value="many", reason=MARK)
        assert (wrong.status, "This is no number." in wrong.text) == (422, True)
        tried = await browser.send(page, "patch_document", how="text", value="gone", **{"try": "on"})
        assert tried.status == 200
        assert "There is another problem after this one" in tried.text
        assert 'value="gone"' in tried.text
        next_one = await browser.send(page, "patch_document", how="text", value="completed", **{"try": "on"})
        assert "Wrong kind of value" in read(next_one)
        patch = '{"status": "completed", "tasks": [{"task": "simon", "run": 1, "trials": []}]}'
        good = await browser.send(page, "patch_document", how="text", value="", patch=patch, **{"try": "on"})
        assert "With this it becomes a session of the results" in read(good)
        assert "Tasks 1 Trials 0" in read(good)
        assert portal.rows("SELECT count(*) FROM corrections WHERE site = %s", store.site) == [(0,)]
        done = await browser.send(good, "patch_document", how="text", value="", patch=patch, reason="phoned")
        assert "It is mended" in done.text
        await store.project(portal.database_url)
        left = await browser.get(address)
        assert "It has left quarantine" in left.text
        late = await browser.send(page, "patch_document", how="text", value="x", reason="again")
        assert (late.status, "There is nothing here" in late.text) == (404, True)


async def test_all_documents_of_a_cause_are_waived_with_a_reason_or_tried_again(
    portal: Portal, store: SiteStore
) -> None:
    browser = await portal.signed_in("waiver@example.org", "coordinator")
    portal.rows(
        "INSERT INTO quarantine (site, doc_id, rev, type, code, path, message) SELECT %s, 'session:' || n,"
        " '1-a', 'session', 'wrong_type', '$.tasks[' || n || '].run', 'It is a text.'"
        " FROM generate_series(1, 3) n",
        store.site,
    )
    listed = await browser.get(f"/portal/quarantine?site={store.site}")
    found = re.search(r'<th scope="row"><a href="([^"]+)"', listed.text)
    assert found is not None
    cause = await browser.get(html.unescape(found[1]))
    assert cause.text.count("session:") >= 3
    assert "$.tasks[*].run" in cause.text
    refused = await browser.send(cause, "waive_cause", reason=" ")
    assert "This is needed." in refused.text
    broken = await browser.send(cause, "waive_cause", reason="known", problems="{")
    assert broken.status == 422
    again = await browser.send(cause, "retry_cause", reason="after the update")
    assert "They are being read again." in again.text
    assert portal.rows("SELECT count(*) FROM replays WHERE site = %s", store.site) == [(3,)]
    waived = await browser.send(cause, "waive_cause", reason="known of this app")
    assert "The problems are waived." in waived.text
    assert "Nothing fits these filters" in waived.text
    assert portal.rows("SELECT count(*) FROM waivers WHERE site = %s", store.site) == [(3,)]
    one = await browser.get(f"/portal/quarantine/document?site={store.site}&document=session:2")
    assert "The document cannot be shown" in one.text
    opened = await browser.send(one, "unwaive_document", reason="it matters")
    assert "The problem counts as open again." in opened.text
    closed = await browser.send(opened, "waive_document", reason="it does not")
    assert "The problem is waived." in closed.text
    reread = await browser.send(one, "retry_document")
    assert "It is being read again." in reread.text
    reader = await portal.signed_in("repairs-reader@example.org", "researcher")
    seen = await reader.get(str(cause.url.relative()) + "&waived=any".replace("&waived=any", ""))
    assert not seen.forms("waive_cause")
    assert "/portal/quarantine/document" not in seen.text
    assert (await reader.get(str(one.url.relative()))).status == 403


async def test_a_conflict_is_looked_at_side_by_side_previewed_and_decided(
    portal: Portal, store: SiteStore
) -> None:
    browser = await portal.signed_in("judge@example.org")

    def saved(visit: str, rt: int) -> dict[str, Any]:
        return a_session("clash", visit=visit, tasks=[a_task_run() | {"trials": [a_trial(1, rt=rt)]}])

    async with store:
        await store.save(saved("baseline", 100), "1-a")
        await store.save(saved(MARK, 200), "1-b")
        await store.project(portal.database_url)
        listed = await browser.get(f"/portal/conflicts?site={store.site}")
        assert "$.visit" in listed.text
        page = await browser.get(f"/portal/conflicts/session?session=clash&site={store.site}")
        assert "Version A" in page.text
        assert "<script>alert" not in page.text
        assert page.text.count(" checked") == 2
        trial = "choose:$.tasks[simon,1].trials[1]"
        chosen = {trial: "1-a", "choose:$.visit": "winner"}
        refused = await decide(browser, page, "resolve", **chosen)
        assert (refused.status, "This is needed." in refused.text) == (422, True)
        assert re.search(r'value="1-a" checked', refused.text)
        tried = await decide(browser, page, "resolve", **chosen | {"try": "on"})
        assert "What the results would then hold" in tried.text
        assert '"rt": 100' in read(tried)
        assert portal.rows("SELECT count(*) FROM corrections WHERE site = %s", store.site) == [(0,)]
        nowhere = await decide(browser, page, "resolve", **{"choose:$.nowhere": "winner"}, reason="why")
        assert nowhere.status == 422
        assert "Nothing was chosen." in (await decide(browser, page, "resolve", reason="why")).text
        side = await browser.get(f"/portal/conflicts/session?session=clash&site={store.site}&side=1-a")
        assert side.text.count('value="1-a" checked') == 2
        done = await decide(browser, page, "resolve", **chosen, reason="the paper form")
        assert "It is decided" in done.text
        await store.project(portal.database_url)
        assert (
            "Nothing fits these filters" in (await browser.get(f"/portal/conflicts?site={store.site}")).text
        )
        after = await browser.get(f"/portal/conflicts/session?session=clash&site={store.site}")
        assert "Nothing is left to decide here" in after.text
        late = await decide(browser, page, "resolve", **chosen, reason="the paper form")
        assert late.status == 409
    ((visit,),) = portal.rows("SELECT visit FROM sessions WHERE site = %s", store.site)
    assert visit == MARK


async def test_a_session_with_very_many_contradictions_is_decided_in_parts(portal: Portal) -> None:
    portal.rows(
        "INSERT INTO conflicts (site, session_id, path, winner_rev, winner_value, other_rev, other_value)"
        " SELECT 'quito', 's-many', '$.tasks[simon,1].trials[' || n || ']', '1-b',"
        " to_jsonb(repeat('x', 9000)),"
        " '1-a', '0' FROM generate_series(1, 2000) n"
    )
    browser = await portal.signed_in("patient@example.org")
    page = await browser.get("/portal/conflicts/session?session=s-many&site=quito")
    assert page.status == 200
    assert page.text.count('type="radio"') == 200
    assert "1,900 more come when these are decided." in page.text
    assert len(page.text) < 400_000
    paths = [f"choose:$.tasks[simon,1].trials[{number}]" for number in range(1, 101)]
    sent = await decide(browser, page, "resolve", **dict.fromkeys(paths, "winner"), reason="all of them")
    assert "too many fields" not in sent.text
    assert "This is needed." in sent.text  # it has no document here, so no revision


async def test_what_is_wrong_is_shown_also_while_the_site_databases_are_away(
    database_url: str, redis_url: str, tmp_path: Path
) -> None:
    nobody = "http://admin:secret@127.0.0.1:1"
    async with serving(database_url, redis_url, tmp_path, couchdb_url=nobody) as without:
        without.rows(
            "INSERT INTO quarantine (site, doc_id, rev, type, code, path, message, quarantined_at) VALUES"
            " ('lima', 'session:q1', '1-a', 'session', 'missing_member', '$.study', '$.study is required.',"
            " now())"
        )
        browser = await without.signed_in("away@example.org")
        page = await browser.get("/portal/quarantine/document?site=lima&document=session:q1")
        assert page.status == 200
        assert "The site databases do not answer." in page.main
        assert "$.study is required." in page.main
        assert not page.forms("patch_document")
