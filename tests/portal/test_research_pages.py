"""Research: what is shown of scores, how files are asked for, and who may change how people are shown."""

import hashlib
import re
from contextlib import ExitStack

import pytest

from sync_server.keys import QUESTIONS, SETTINGS
from sync_server.limits.questions import MOST_OF_A_PERSON
from sync_server.research_files.folder import place_of
from tests.portal.conftest import Portal
from tests.portal.world import MARK

pytestmark = pytest.mark.asyncio(loop_scope="session")

HERE = "/portal/research/RET"


def finish(portal: Portal, number: int, content: bytes) -> None:
    """What a worker does: put a file in the folder, and say so."""
    portal.rows(
        "UPDATE research_files SET state = 'done', content_key = %s, file_name = 'RET.zip',"
        " media_type = 'application/zip', size = %s, sha256 = %s, expires_at = now() + interval '7 days'"
        " WHERE id = %s",
        hashlib.sha256(content).hexdigest(),
        len(content),
        hashlib.sha256(content).hexdigest(),
        number,
    )
    place = place_of(portal.app[SETTINGS].files_folder, hashlib.sha256(content).hexdigest(), "RET.zip")
    place.parent.mkdir(parents=True, exist_ok=True)
    place.write_bytes(content)


async def test_scores_are_plotted_by_visit_with_a_table_that_says_the_same(portal: Portal) -> None:
    reader = await portal.signed_in("scores@example.org", "read-only", study="RET")
    page = await reader.get(HERE)
    assert page.status == 200
    assert page.text.count('<svg class="plot"') == 2
    assert '<svg class="plot square"' in page.text
    assert re.search(r"Histogram of values from [\d.]+ to [\d.]+\. Median [\d.]+", page.text)
    assert re.search(r'data-label="People">30</td>', page.text)
    assert re.search(r"Measured at both</th><td[^>]*>28</td>", page.text)
    assert "It falls" in page.text
    assert "many_timeouts" in page.text
    other = await reader.get(f"{HERE}?score=simple_reaction_time_std_rt&site=nairobi")
    assert re.search(r'data-label="People">10</td>', other.text)
    assert 'value="simple_reaction_time_std_rt" selected' in other.text
    same = await reader.get(f"{HERE}?first=first&second=first")
    assert "There is no change to show" in same.text
    assert (await reader.get(f"{HERE}?score=no_such")).status == 404
    assert "No score has been measured" in (await reader.get(f"{HERE}?site=atlantis")).text
    assert (await reader.get(f"{HERE}?page=2")).status == 422
    # A study that somebody is no member of is none.
    assert (await reader.get("/portal/research/SRO")).status == 404
    # Looking is all that this role may.
    assert (await reader.get(f"{HERE}/exports")).status == 403
    assert f"{HERE}/exports" not in page.text
    assert not (await reader.get(f"{HERE}/policy")).forms("change_policy")


async def test_a_study_without_results_says_so(portal: Portal) -> None:
    admin = await portal.signed_in("no-scores@example.org")
    portal.rows("INSERT INTO studies (code) VALUES ('EMPTY')")
    page = await admin.get("/portal/research/EMPTY")
    assert (page.status, "No score has been measured" in page.text) == (200, True)
    assert "No quality flags" in page.text


async def test_the_codebook_says_what_columns_mean_in_the_readers_language(portal: Portal) -> None:
    reader = await portal.signed_in("codebook@example.org", "researcher", language="fr")
    page = await reader.get(f"{HERE}/codebook?dataset=trials&q=rt_ms")
    assert "<code>rt_ms</code>" in page.text
    assert "<code>stage</code>" not in page.text
    assert "Nombre" in page.text
    assert "Aucune colonne" in (await reader.get(f"{HERE}/codebook?q=%3Cscript%3E")).text
    assert (await reader.get(f"{HERE}/codebook?dataset=secrets")).status == 404


async def test_an_export_is_asked_for_followed_downloaded_and_removed(portal: Portal) -> None:
    browser = await portal.signed_in("takes@example.org", "researcher", study="RET")
    page = await browser.get(f"{HERE}/exports")
    assert 'name="identified"' not in page.text
    wanted = {"sessions_wide": "on", "format": "csv", "language": "en"}
    nothing = await browser.send(page, "ask_export", format="csv", language="en")
    assert (nothing.status, "Choose one dataset at least." in nothing.text) == (422, True)
    refused = await browser.send(page, "ask_export", **wanted, identified="on")
    assert refused.status == 403
    condition = await browser.send(page, "ask_export", **wanted, where="no_such=1")
    assert (condition.status, 'id="ask_export-where-error"' in condition.text) == (422, True)
    asked = await browser.send(
        page, "ask_export", **wanted, trials="on", where="visit=first\r\n\r\n site=lima"
    )
    assert "It is being made." in asked.text
    [(number, request)] = portal.rows(
        "SELECT id, request FROM research_files WHERE asked_by = 'takes@example.org'"
    )
    assert (request["datasets"], request["where"]) == (
        ["sessions_wide", "trials"],
        ["site=lima", "visit=first"],
    )
    assert "Waiting" in asked.main
    # Files that others have asked for are not this one's.
    assert asked.main.count('<th scope="row">') == 1
    link = f"{HERE}/exports/{number}/file"
    assert (await browser.get(link)).status == 409
    portal.rows(
        "UPDATE research_files SET state = 'running', stage = 'trials', rows_done = 1, rows_total = 4"
        " WHERE id = %s",
        number,
    )
    assert '<progress max="1" value="0.25"' in (await browser.get(f"{HERE}/exports")).text
    content = b"PK the rows"
    finish(portal, number, content)
    ready = await browser.get(f"{HERE}/exports")
    assert f'href="{link}"' in ready.text
    given = await browser.get(link)
    assert (given.status, given.text) == (200, content.decode())
    assert given.headers["Content-Disposition"] == 'attachment; filename="RET.zip"'
    part = await browser.get(link, Range="bytes=3-5")
    assert (part.status, part.text) == (206, "the")
    assert portal.rows(
        "SELECT count(*) FROM audit_log WHERE action = 'export.download' AND entity_id = %s", str(number)
    ) == [(2,)]
    other = await portal.signed_in("takes-nothing@example.org", "researcher", study="RET")
    assert (await other.get(link)).status == 404
    gone = await browser.send(ready, "remove_export")
    assert "The export is removed." in gone.text
    assert (await browser.get(link)).status == 410


async def test_a_report_is_asked_for_of_what_it_is_about(portal: Portal) -> None:
    browser = await portal.signed_in("reports@example.org", "coordinator", study="RET")
    page = await browser.get(f"{HERE}/reports")
    nobody = {"kind": "participant", "participant": MARK, "identified": "on", "language": "fr"}
    assert (await browser.send(page, "ask_report", **nobody)).status == 404
    incomplete = await browser.send(page, "ask_report", kind="site", language="en")
    assert (incomplete.status, "needs a site" in incomplete.text) == (422, True)
    asked = await browser.send(page, "ask_report", **nobody | {"participant": "r1"})
    assert "It is being made." in asked.text
    assert "codes and dates as they are" in asked.main


async def test_a_policy_is_changed_by_admins_who_are_told_what_that_means(portal: Portal) -> None:
    admin = await portal.signed_in("policy@example.org")
    page = await admin.get(f"{HERE}/policy")
    policy = {"participants": "pseudonym", "dates": "days", "shift_days": "90"}
    wrong = await admin.send(page, "change_policy", **policy | {"shift_days": "0"})
    assert wrong.status == 422
    changed = await admin.send(page, "change_policy", **policy, new_pseudonyms="on")
    assert "It is changed, from the next look and the next export on." in changed.text
    assert "Days since enrolment only" in changed.main
    assert re.search(r'<ul lang="en"><li>', changed.text)
    late = await admin.send(page, "change_policy", **policy)
    assert late.status == 412


async def test_the_numbers_of_a_large_study_come_after_its_page(
    portal: Portal, monkeypatch: pytest.MonkeyPatch
) -> None:
    reader = await portal.signed_in("large@example.org", "read-only", study="RET")
    at_once = await reader.get(HERE)
    assert "data-later" not in at_once.text
    monkeypatch.setattr("sync_server.portal.research.AT_ONCE", 10)
    asked = f"{HERE}?site=nairobi&amp;score=simple_reaction_time_std_rt"
    page = await reader.get(asked.replace("&amp;", "&"))
    assert (page.status, '<svg class="plot' in page.text) == (200, False)
    assert f'data-part="results" data-later="{asked}&amp;part=results">' in page.text
    assert f'<a href="{asked}&amp;whole=on">Show them</a>' in page.text
    # What can be filtered by is there already.
    assert re.search(r'<option value="simple_reaction_time_std_rt" selected>', page.text)

    part = await reader.get(f"{HERE}?part=results")
    assert part.status == 200
    assert part.text.strip().startswith("<section")
    assert part.text.count('<svg class="plot"') == 2
    assert part.text.strip() in at_once.text
    whole = await reader.get(f"{HERE}?whole=on")
    assert part.text.strip() in whole.text
    assert "data-later" not in whole.text
    assert (await reader.get(f"{HERE}?part=filters")).status == 404
    assert (await reader.get(f"{HERE}?score=no_such")).status == 404

    # As many questions as one may ask at once are at work.
    questions = portal.app[QUESTIONS]
    person = portal.rows("SELECT id FROM users WHERE email = 'large@example.org'")[0][0]
    with ExitStack() as asking:
        for _ in range(MOST_OF_A_PERSON):
            asking.enter_context(questions.at_work(person))
        busy = await reader.get(f"{HERE}?part=results")
        assert (busy.status, busy.headers["Retry-After"]) == (429, "2")
        assert (await reader.get(HERE)).status == 200
