"""Replication jobs, hubs and jobs of the outbox, as a person at them."""

import re

import pytest

from tests.portal.conftest import Portal
from tests.portal.world import MARK

pytestmark = pytest.mark.asyncio(loop_scope="session")


async def test_a_replication_job_is_made_paused_resumed_changed_restarted_and_deleted(portal: Portal) -> None:
    browser = await portal.signed_in("operator@example.org")
    page = await browser.get("/portal/replication")
    fields = {
        "site": "quito",
        "name": "to-centre",
        "kind": "collected",
        "direction": "usual",
        "url": "https://centre.example/db/site-quito",
        "user": MARK,
        "password": "a secret of theirs",
        "continuous": "on",
    }
    wrong = await browser.send(page, "create_replication", **{**fields, "name": "to centre", "url": ""})
    assert wrong.status == 422
    assert "It begins with a letter or digit" in wrong.text
    assert "a secret" not in wrong.text
    no_url = await browser.send(page, "create_replication", **{**fields, "url": "ftp://x"})
    assert no_url.status == 422
    assert re.search(r'class="field wrong">\s*<label for="create_replication-url"', no_url.text)
    selector = await browser.send(page, "create_replication", **{**fields, "kind": "custom", "selector": "{"})
    assert "This is no JSON" in selector.text
    nul = await browser.send(
        page, "create_replication", **{**fields, "kind": "custom", "selector": '{"a": "\\u0000"}'}
    )
    assert (nul.status, "a character that no stored text has" in nul.text) == (422, True)
    made = await browser.send(page, "create_replication", **fields)
    assert "The job is made, and begins." in made.text, re.findall(
        r'role="alert".*?</div>|class="error".*?</p>', made.text, re.DOTALL
    )
    assert "a secret" not in made.text
    assert (await browser.send(page, "create_replication", **fields, key="another")).status == 409
    ((number,),) = portal.rows("SELECT id FROM replication_jobs WHERE site = 'quito'")
    job = await browser.get(f"/portal/replication/{number}")
    assert "Being begun" in job.text
    assert "The job rests." in (await browser.send(job, "pause_replication")).text
    paused = await browser.get(f"/portal/replication/{number}")
    assert not paused.forms("pause_replication")
    assert "The job goes on" in (await browser.send(paused, "resume_replication")).text
    assert "tried again" in (await browser.send(job, "retry_replication")).text
    change = {"name": "to-the-centre", "url": fields["url"], "user": "", "continuous": ""}
    outdated = await browser.send(job, "change_replication", **change)
    assert (outdated.status, "Somebody has changed this" in outdated.text) == (412, True)
    changed = await browser.send(outdated, "change_replication", **change)
    assert "The job is changed." in changed.text
    assert portal.rows("SELECT name, continuous FROM replication_jobs WHERE site = 'quito'") == [
        ("to-the-centre", False)
    ]
    elsewhere = await browser.send(
        changed, "change_replication", **change | {"url": "https://evil.example/db/x"}
    )
    assert "give it again" in elsewhere.text
    restarted = await browser.send(changed, "restart_replication", reason="the disk was lost")
    assert "Everything is compared from the beginning." in restarted.text
    deleted = await browser.send(restarted, "cancel_replication")
    assert (deleted.url.path, "The job is deleted." in deleted.text) == ("/portal/replication", True)
    ended = await browser.get(f"/portal/replication/{number}")
    assert not ended.forms("cancel_replication")
    assert (await browser.get("/portal/replication/999999")).status == 404
    stuck = await browser.get("/portal/replication?stuck=true")
    assert "to-regional-centre" in stuck.text
    assert "from-regional-centre" not in stuck.text


async def test_a_hub_is_enrolled_with_the_command_that_starts_it(portal: Portal) -> None:
    browser = await portal.signed_in("hubs@example.org")
    page = await browser.get("/portal/replication/hubs")
    assert page.text.count("hub-1") >= 4
    told = await browser.send(
        page, "enrol_hub", site="nairobi", device="hub-2", label=MARK, valid_minutes="60"
    )
    assert told.status == 200
    assert re.search(rf"sync-server hub --centre {portal.base} --site nairobi --code [A-Z0-9-]+ ", told.text)
    nowhere = await browser.send(
        page, "enrol_hub", site="atlantis", device="hub-2", label="", valid_minutes="60", key="another"
    )
    assert nowhere.status == 404


async def test_a_job_that_was_given_up_is_retried_or_discarded(portal: Portal) -> None:
    portal.rows(
        "INSERT INTO outbox (kind, key, state, error, ended_at, payload, payload_sha256) SELECT 'mail',"
        " 'given-up/' || n, 'dead', %s, now(), '{}', 'x' FROM generate_series(1, 2) n",
        MARK,
    )
    (first, second) = [
        row[0] for row in portal.rows("SELECT id FROM outbox WHERE key LIKE 'given-up/%' ORDER BY 1")
    ]
    browser = await portal.signed_in("jobs@example.org")
    listed = await browser.get("/portal/jobs?kind=mail")
    assert "given-up/1" in listed.text
    assert "<script>alert" not in listed.text
    button = next(form for form in listed.forms("retry_listed_job") if form["id"] == str(first))
    assert "It is tried again now." in (await browser.post("/portal/jobs?kind=mail", button)).text
    assert portal.rows("SELECT state FROM outbox WHERE id = %s", first) == [("pending",)]
    page = await browser.get(f"/portal/jobs/{second}")
    assert "This is needed." in (await browser.send(page, "discard_job", reason=" ")).text
    discarded = await browser.send(page, "discard_job", reason=MARK)
    assert "It will not be done." in discarded.text
    assert not discarded.forms("discard_job")
    assert "It is tried again now." in (await browser.send(discarded, "retry_job")).text
    coordinator = await portal.signed_in("operations-looks@example.org", "coordinator")
    seen = await coordinator.get(f"/portal/jobs/{second}")
    assert (seen.status, seen.forms("retry_job"), seen.forms("discard_job")) == (200, [], [])
    assert not (await coordinator.get("/portal/replication")).forms("create_replication")
