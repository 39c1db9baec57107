"""The days of a coordinator: participants and their visits, contacts, files, consent."""

import re
from collections.abc import Mapping
from contextlib import ExitStack

import pytest

from sync_server.keys import QUESTIONS
from sync_server.limits.questions import MOST_OF_A_PERSON
from tests.portal.browser import Browser, Shown
from tests.portal.conftest import Portal
from tests.portal.world import MARK

pytestmark = pytest.mark.asyncio(loop_scope="session")

ABC = "/portal/studies/ABC"
ESCAPED = "&lt;script&gt;alert(&#34;x&#34;)&lt;/script&gt;"


def error_of(page: Shown, field: str) -> str:
    """What stands beside a field."""
    found = re.search(rf'id="{field}-error">.*?</svg>(.*?)</p>', page.text, re.DOTALL)
    return "" if found is None else found[1].strip()


async def participant(browser: Browser, code: str, **fields: str) -> Shown:
    page = await browser.get(f"{ABC}/participants")
    given = {"code": code, "site": "hyderabad", "status": "enrolled", **fields}
    return await browser.send(page, "add_participant", **given)


async def plan(portal: Portal, study: str = "ABC") -> None:
    """The study has one visit, on the day of enrolment."""
    portal.rows(
        "INSERT INTO visit_definitions (study, code, title, anchor, window_after_days)"
        " VALUES (%s, 'first', 'First', 'enrolment', 30) ON CONFLICT DO NOTHING",
        study,
    )


async def test_a_participant_is_added_once_and_faults_stand_beside_the_fields(portal: Portal) -> None:
    browser = await portal.signed_in("roster@example.org", "coordinator", study="ABC")
    for fields, field, sentence in (
        ({"code": "no spaces"}, "code", "Letters, digits, dots, - and _ only"),
        ({"code": "a1", "site": ""}, "site", "This is needed."),
        ({"code": "a1", "language": "español!"}, "language", "A language is its tag"),
        ({"code": "a1", "status": "screened", "enrolled_on": "2026-01-01"}, "enrolled_on", ""),
        ({"code": "a1", "site": "lima"}, "site", "ABC does not run at lima"),
    ):
        wrong = await participant(browser, **{"code": "a1", **fields})
        assert wrong.status in (409, 422), fields
        assert sentence in error_of(wrong, f"add_participant-{field}"), fields
        assert f'value="{fields["code"]}"' in wrong.text
    assert portal.rows("SELECT count(*) FROM participants WHERE study = 'ABC' AND code = 'a1'") == [(0,)]
    contact = {"contact_name": MARK, "contact_email": "a1@example.org"}
    done = await participant(browser, "a1", language="en", **contact)
    assert "The participant is on the roster." in done.text
    assert (await participant(browser, "a1")).status == 409
    filtered = await browser.get(f"{ABC}/participants?q=a1&site=hyderabad&status=enrolled&consent=none")
    assert 'href="/portal/studies/ABC/participants/a1"' in filtered.text
    assert "No participants here" in (await browser.get(f"{ABC}/participants?q=zz")).text
    assert (await browser.get(f"{ABC}/participants?status=gone")).status == 422
    elsewhere = await browser.get("/portal/studies/SRO/participants")
    assert elsewhere.status == 404


async def test_a_contact_is_shown_on_request_only_and_each_reading_is_on_record(portal: Portal) -> None:
    browser = await portal.signed_in("contact@example.org", "coordinator", study="ABC")
    await participant(browser, "c1", contact_name=MARK, contact_phone="+91 11")
    one = f"{ABC}/participants/c1"
    readings = (
        "SELECT count(*) FROM audit_log WHERE action = 'participant.read_contact' AND entity_id = 'ABC/c1'"
    )
    hidden = await browser.get(one)
    assert "+91 11" not in hidden.text
    assert not hidden.forms("change_contact")
    assert portal.rows(readings) == [(0,)]
    for site in ("cross-site", "same-site"):
        led = await browser.get(f"{one}?contact=shown", Sec_Fetch_Site=site)
        assert (led.status, "+91 11" in led.text, portal.rows(readings)) == (200, False, [(0,)])
    shown = await browser.get(f"{one}?contact=shown")
    assert "+91 11" in shown.text
    assert ESCAPED in shown.text
    assert portal.rows(readings) == [(1,)]
    changed = await browser.send(shown, "change_contact", name="Asha", email="", phone="+91 12")
    assert "The contact is changed." in changed.text
    reader = await portal.signed_in("reader@example.org", "researcher", study="ABC")
    seen = await reader.get(f"{one}?contact=shown")
    assert (seen.status, "+91 12" in seen.text) == (403, False)
    assert "Show the contact" not in (await reader.get(one)).text


async def test_a_withdrawal_takes_a_reason_and_visits_follow(portal: Portal) -> None:
    await plan(portal)
    browser = await portal.signed_in("status@example.org", "coordinator", study="ABC")
    await participant(browser, "w1")
    one = f"{ABC}/participants/w1"
    page = await browser.get(one)
    assert "First" in page.main
    wrong = await browser.send(page, "participant_status", status="withdrawn", reason="")
    assert (wrong.status, error_of(wrong, "participant_status-reason")) == (
        422,
        "A withdrawal takes a reason.",
    )
    done = await browser.send(page, "participant_status", status="withdrawn", reason=MARK)
    assert "The status is changed; visits follow." in done.text
    late = await browser.send(page, "participant_status", status="completed", reason="x", key="other")
    assert late.status == 412
    quiet = await browser.send(await browser.get(one), "opt_out", channel="email")
    assert "Wants no reminders by: Email." in quiet.text
    again = await browser.send(quiet, "opt_in", channel="email", reason="they asked")
    assert "Reminders are planned again." in again.text
    rows = portal.rows("SELECT state FROM visits WHERE study = 'ABC' AND participant = 'w1'")
    assert set(rows) == {("cancelled",)}


async def test_a_visit_is_moved_by_one_of_two_and_the_other_sees_both_days(portal: Portal) -> None:
    await plan(portal)
    browser = await portal.signed_in("visits@example.org", "coordinator", study="ABC")
    await participant(browser, "v1", enrolled_on="2030-03-01")
    one = f"{ABC}/visits/v1/first"
    first, second = await browser.get(one), await browser.get(one)
    assert error_of(await browser.send(first, "move_visit", due_on="2030-03-05"), "move_visit-reason")
    moved = await browser.send(first, "move_visit", due_on="2030-03-05", reason=MARK)
    assert "The visit is moved." in moved.text
    assert ESCAPED in moved.main
    late = await browser.send(second, "move_visit", due_on="2030-03-09", reason="holidays")
    assert late.status == 412
    assert "Somebody has changed this since you looked." in late.text
    assert 'value="2030-03-09"' in late.text
    assert "<strong>2030-03-05</strong>" in late.text
    again = await browser.send(late, "move_visit", due_on="2030-03-09", reason="holidays")
    assert "The visit is moved." in again.text
    back = await browser.send(again, "unmove_visit", reason="as planned")
    assert "due on its planned day again" in back.text
    cancelled = await browser.send(back, "cancel_visit", reason="ill")
    assert "The visit is cancelled." in cancelled.text
    assert not cancelled.forms("move_visit")
    restored = await browser.send(cancelled, "restore_visit", reason="well again")
    assert "The visit is planned again." in restored.text
    listed = await browser.get(f"{ABC}/visits?participant=v1")
    assert "Friday 1 Mar 2030" in listed.text
    for view in ("overdue", "week", "month", "all"):
        assert (await browser.get(f"{ABC}/visits?show={view}")).status == 200
    nowhere = await browser.get(f"{ABC}/visits/v1/none")
    assert nowhere.status == 404


async def test_today_is_the_day_at_the_sites(portal: Portal) -> None:
    """The two sites lie 25 hours apart: it is never the same day at both."""
    zones = {"pago": "Pacific/Pago_Pago", "kiritimati": "Pacific/Kiritimati"}
    portal.rows("INSERT INTO studies (code, title, status) VALUES ('FAR', '', 'active')")
    for site, zone in zones.items():
        portal.rows("INSERT INTO sites (code, timezone) VALUES (%s, %s)", site, zone)
        portal.rows("INSERT INTO study_sites (study, site) VALUES ('FAR', %s)", site)
        portal.rows(
            "INSERT INTO participants (study, code, site, status) VALUES ('FAR', %s, %s, 'enrolled')",
            *(site, site),
        )
        portal.rows(
            "INSERT INTO visits (study, participant, code, site, state, due_on, anchor, offset_days,"
            " window_before_days, window_after_days) VALUES ('FAR', %s, 'first', %s, 'due',"
            " (now() AT TIME ZONE %s)::date, 'enrolment', 0, 0, 0)",
            *(site, site, zone),
        )
    browser = await portal.signed_in("far@example.org", "coordinator", study="FAR")
    page = await browser.get("/portal/studies/FAR/visits")
    assert [f"/FAR/participants/{site}" in page.main for site in zones] == [True, True]
    assert page.main.count("· today") == 2


async def test_a_file_is_tried_before_it_is_taken_and_comes_out_again(portal: Portal) -> None:
    browser = await portal.signed_in("files@example.org", "coordinator", study="ABC")
    page = await browser.get(f"{ABC}/import")
    count = "SELECT count(*) FROM participants WHERE study = 'ABC' AND code LIKE 'f%%'"
    good = "code,site,status\nf1,hyderabad,screened\nf2,hyderabad,screened\n"
    bad = good + "f3,<script>alert(1)</script>,screened\n"

    async def send(text: str, **more: str) -> Shown:
        return await browser.send(page, "import_participants", text=text, on_error="stop", reason="", **more)

    tried = await send(good, **{"try": "on"})
    assert "Nothing has been changed yet." in tried.text
    assert "2 new" in tried.text
    refused = await send(bad, key="k1")
    assert "Nothing was imported." in refused.text
    assert "&lt;script&gt;" in refused.main
    unreadable = await send("nothing\nof,it", key="k2")
    assert unreadable.status == 422
    assert portal.rows(count) == [(0,)]
    assert "The file is imported." in (await send(good, key="k3")).text
    assert portal.rows(count) == [(2,)]
    again = await send(good, key="k4")
    assert "2 as they are" in again.text
    many = "code,site,status\n" + "".join(f"many-{n},hyderabad,screened\n" for n in range(12_000))
    assert "12,000 new" in (await send(many, **{"try": "on"})).text

    out = await browser.get(f"{ABC}/participants.csv")
    assert out.headers["Content-Type"].startswith("text/csv")
    assert "f1,hyderabad,screened" in out.text
    assert "contact_name" not in out.text
    assert "contact_name" in (await browser.get(f"{ABC}/participants.csv?contact=true")).text
    led = await browser.get(f"{ABC}/participants.csv?contact=true", Sec_Fetch_Site="cross-site")
    assert (led.status, "contact_name" in led.text) == (403, False)
    ((person,),) = portal.rows("SELECT id FROM users WHERE email = 'files@example.org'")
    with ExitStack() as sent_slowly:
        for _ in range(MOST_OF_A_PERSON):
            sent_slowly.enter_context(portal.app[QUESTIONS].at_work(person))
        assert (await browser.get(f"{ABC}/participants.csv")).status == 429
    reader = await portal.signed_in("files-reader@example.org", "read-only", study="ABC")
    assert (await reader.get(f"{ABC}/participants.csv")).status == 403
    assert (await portal.browser().get(f"{ABC}/participants.csv", follow=False)).status == 303


async def test_consent_is_written_published_and_withdrawn(portal: Portal) -> None:
    browser = await portal.signed_in("consent@example.org", "coordinator", study="ABC")
    page = await browser.get(f"{ABC}/consent")
    fields = {"id": "part", "title": MARK, "language_1": "en", "text_1": MARK, "required": "on"}
    assert "The draft is saved." in (await browser.send(page, "create_consent_form", **fields)).text
    taken = await browser.send(page, "create_consent_form", **{**fields, "key": "other"})
    assert (taken.status, "There is one with this name already." in taken.text) == (409, True)
    one = f"{ABC}/consent/part"
    form = await browser.get(one)
    half = await browser.send(form, "change_consent_form", title="x", language_1="en", text_1="")
    assert error_of(half, "change_consent_form-text_1")
    texts: Mapping[str, str] = {"language_1": "en", "text_1": MARK, "language_2": "hi", "text_2": "पाठ"}
    saved = await browser.send(form, "change_consent_form", title="Part", **texts)
    assert "The draft is saved." in saved.text
    published = await browser.send(saved, "publish_consent_form", supersedes="on")
    assert "The version is published." in published.text
    rows = portal.rows("SELECT version, supersedes, texts ->> 'hi' FROM consent_forms WHERE id = 'part'")
    assert rows == [(1, True, "पाठ")]

    await participant(browser, "k1")
    portal.rows(
        "INSERT INTO consents (site, id, study, participant, form, form_version, signed_at, has_signature,"
        " flags, rev) VALUES ('hyderabad', 'k1', 'ABC', 'k1', 'part', 1, now(), false, '{}', '1-a')"
    )
    assert (await browser.get(f"{ABC}/signatures/hyderabad/k1")).status == 404
    shown = await browser.get(f"{ABC}/participants/k1")
    gone = await browser.send(shown, "withdraw_consent", form_id="", reason=MARK)
    assert "The withdrawal is recorded." in gone.text
    assert ESCAPED in gone.main
    assert portal.rows("SELECT reason FROM consent_withdrawals WHERE participant = 'k1'") == [(MARK,)]


async def test_who_may_only_look_is_shown_no_form_and_sends_none(portal: Portal) -> None:
    coordinator = await portal.signed_in("sends@example.org", "coordinator", study="SRO")
    reader = await portal.signed_in("looks@example.org", "read-only", study="SRO")
    for path in ("", "/participants", "/participants/p2", "/visits/p2/baseline", "/consent", "/schedule"):
        shown = await reader.get(f"/portal/studies/SRO{path}")
        assert shown.status == 200, path
        assert set(re.findall(r'name="form" value="(\w+)"', shown.text)) == {"language", "sign_out"}, path
    assert "REDCap</a>" not in (await reader.get("/portal/studies/SRO")).text
    assert (await reader.get("/portal/studies/SRO/redcap")).status == 403
    own = await coordinator.get("/portal/studies/SRO/visits/p2/baseline")
    foreign = await reader.post(
        "/portal/studies/SRO/visits/p2/baseline",
        {**own.form("cancel_visit"), "reason": "x"},
    )
    assert foreign.status == 403
    assert portal.rows(
        "SELECT cancelled_cause FROM visits WHERE participant = 'p2' AND code = 'baseline'"
    ) == [(None,)]
