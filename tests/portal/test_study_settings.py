"""What coordinators and admins set: studies, schedules, reminders, REDCap, batteries, people."""

import json
import re

import pytest

from sync_server.portal import study_pages
from tests.portal.conftest import Portal
from tests.portal.test_study_pages import ESCAPED, error_of
from tests.portal.world import MARK

pytestmark = pytest.mark.asyncio(loop_scope="session")


async def test_a_study_is_created_changed_and_runs_somewhere_until_it_ends_there(
    portal: Portal, monkeypatch: pytest.MonkeyPatch
) -> None:
    admin = await portal.signed_in("creates@example.org")
    page = await admin.get("/portal/studies")
    wrong = await admin.send(page, "create_study", code="no spaces", title=MARK)
    assert "Letters, digits, - and _ only" in error_of(wrong, "create_study-code")
    assert "The study is created." in (await admin.send(page, "create_study", code="NEW", title=MARK)).text
    one = await admin.get("/portal/studies/NEW")
    assert ESCAPED in one.main
    changed = await admin.send(one, "change_study", title="New", description=MARK, consent_required="on")
    assert "The study is changed." in changed.text
    late = await admin.send(one, "study_status", status="active")
    assert late.status == 412
    active = await admin.send(changed, "study_status", status="active", reason="we begin")
    assert "The status is changed." in active.text
    assert "The study runs at this site now." in (await admin.send(active, "add_site", site="quito")).text
    assert (await admin.send(active, "add_site", site="atlantis")).status == 404
    monkeypatch.setattr(study_pages, "MOST_CHOICES", 0)
    many = await admin.get("/portal/studies/NEW")
    assert '<input id="add_site-site"' in many.main
    assert '<input id="remove_site-site"' in many.main
    assert (await admin.send(many, "add_site", site="atlantis")).status == 404
    assert "The study runs at this site now." in (await admin.send(many, "add_site", site="quito")).text
    roster = await admin.get("/portal/studies/NEW/participants?site=quito")
    assert re.search('<input id="f-site"[^>]* value="quito"', roster.main)
    monkeypatch.undo()
    battery = await admin.send(active, "add_battery", name="self-regulation@2")
    assert "Tablets get this battery" in battery.text
    assert "Tablets lose this battery" in (await admin.send(battery, "remove_battery")).text
    ended = await admin.send(battery, "remove_site", site="quito", reason=MARK)
    assert "The study has ended at this site." in ended.text
    assert portal.rows("SELECT count(*) FROM study_sites WHERE study = 'NEW'") == [(0,)]


async def test_a_schedule_says_what_a_change_would_do_before_it_is_done(portal: Portal) -> None:
    admin = await portal.signed_in("plans@example.org")
    page = await admin.get("/portal/studies/SRO/schedule")
    fields = {"code": "week-2", "title": MARK, "anchor": "enrolment", "offset_days": "14"}
    fields |= {"window_before_days": "3", "window_after_days": "3", "position": "1"}
    tried = await admin.send(page, "define_visit", **{**fields, "try": "on"})
    assert tried.status == 200
    assert re.search(r"\d\d visits would change\.", tried.text)
    assert "Nothing has been changed yet." in tried.text
    assert 'value="week-2"' in tried.text
    assert portal.rows("SELECT count(*) FROM visit_definitions WHERE code = 'week-2'") == [(0,)]
    circle = await admin.send(page, "define_visit", **{**fields, "anchor": "week-2"})
    assert error_of(circle, "define_visit-anchor")
    far = await admin.send(page, "define_visit", **{**fields, "offset_days": "-4000"})
    assert error_of(far, "define_visit-offset_days")
    done = await admin.send(tried, "define_visit", **fields)
    assert "The visit is on the schedule." in done.text
    again = await admin.send(done, "define_visit", **fields)
    assert (again.status, "There is one with this name already." in again.text) == (409, True)

    one = await admin.get("/portal/studies/SRO/schedule/week-2")
    later = {**fields, "offset_days": "21"}
    changed = await admin.send(one, "change_definition", **later)
    assert "The schedule is changed; visits have followed." in changed.text
    assert (await admin.send(one, "change_definition", **later, key="o")).status == 412
    gone = await admin.send(changed, "retire_definition", reason=MARK, **{"try": "on"})
    assert re.search(r"\d+ visits? would change\.", gone.text)
    retired = await admin.send(gone, "retire_definition", reason=MARK)
    assert "its open visits are cancelled" in retired.text
    assert (await admin.get("/portal/studies/SRO/schedule/none")).status == 404


async def test_reminders_are_tried_written_read_and_cancelled(portal: Portal) -> None:
    admin = await portal.signed_in("reminds@example.org", name=MARK)
    page = await admin.get("/portal/studies/SRO/reminders")
    fields = {"code": "day-before", "moment": "before_due", "days": "1", "send_at": "09:00"}
    fields |= {"channel": "email", "useful_hours": "12", "repeat_every_days": "0", "repeat_times": "0"}
    tried = await admin.send(page, "add_rule", **{**fields, "try": "on"})
    assert re.search(r"\d+ reminders would be planned\.", tried.text)
    assert portal.rows("SELECT count(*) FROM reminder_rules WHERE code = 'day-before'") == [(0,)]
    unknown = await admin.send(page, "add_rule", **{**fields, "visits": "nowhere"})
    assert "There is no visit with one of these codes." in error_of(unknown, "add_rule-visits")
    assert "The rule is in use." in (await admin.send(tried, "add_rule", **fields)).text

    rule = await admin.get("/portal/studies/SRO/reminders/day-before")
    wrong = await admin.send(rule, "add_text", language="en", subject="", text="Dear {nobody}")
    assert "nobody" in error_of(wrong, "add_text-text")
    await admin.send(rule, "add_text", language="en", subject=MARK, text=f"{MARK} on {{due_on}}")
    text = await admin.get("/portal/studies/SRO/reminders/day-before/en")
    assert ESCAPED in text.main
    assert "A test is on its way to you." in (await admin.send(text, "send_test")).text
    changed = await admin.send(text, "change_text", subject="Tomorrow", text="Tomorrow: {visit}")
    assert "The text is saved." in changed.text
    assert "The text is deleted." in (await admin.send(changed, "remove_text")).text
    retired = await admin.send(rule, "retire_rule", reason="enough")
    assert "what it had planned is cancelled" in retired.text

    half = await admin.send(
        page, "reminder_settings", quiet_from="21:00", quiet_to="", clock="site", most_per_day="2",
        language_of_texts="en",
    )  # fmt: skip
    assert error_of(half, "reminder_settings-quiet_to")
    waiting = (await admin.get("/portal/studies/SRO/reminders?participant=p12&rule=week-before")).form(
        "cancel_reminder"
    )
    done = await admin.post("/portal/studies/SRO/reminders", {**waiting, "reason": MARK})
    assert "The reminder is cancelled." in done.text
    listed = await admin.get("/portal/studies/SRO/reminders?participant=p12&state=cancelled")
    assert f"Cancelled by somebody: {ESCAPED}" in listed.text


async def test_a_battery_is_drafted_published_and_never_changes(portal: Portal) -> None:
    admin = await portal.signed_in("drafts@example.org")
    page = await admin.get("/portal/batteries")
    broken = await admin.send(page, "new_battery", id="short", title="", definition='{"tasks": [')
    assert "cannot be read" in error_of(broken, "new_battery-definition")
    for hostile in ("[" * 50_000, '{"tasks": [{"task": "\\ud800"}]}'):
        refused = await admin.send(page, "new_battery", id="short", title="", definition=hostile)
        assert "cannot be read" in error_of(refused, "new_battery-definition")
    unknown = await admin.send(
        page, "new_battery", id="short", title="", definition='{"tasks": [{"task": "nothing"}]}'
    )
    assert unknown.status == 422
    assert "nothing" in unknown.text
    definition = json.dumps({"tasks": [{"task": "digit_span"}], "description": MARK})
    made = await admin.send(page, "new_battery", id="short", title=MARK, definition=definition)
    assert "The draft is saved." in made.text
    one = await admin.get("/portal/batteries/short")
    published = await admin.send(one, "publish_battery")
    assert "The version is published." in published.text
    assert ESCAPED in published.main
    same = await admin.send(published, "publish_battery")
    assert same.status == 409
    dropped = await admin.send(published, "drop_battery_draft")
    assert "The draft is gone" in dropped.text
    assert (await admin.get("/portal/batteries/short?version=1")).status == 200
    assert (await admin.get("/portal/batteries/short?version=9")).status == 404


async def test_a_mapping_is_checked_before_it_is_saved_and_the_ledger_is_tried_again(portal: Portal) -> None:
    admin = await portal.signed_in("maps@example.org")
    page = await admin.get("/portal/studies/SRO/redcap/mapping")
    typed = "project: {key: sro}\nnothing: " + MARK
    for more in ({"try": "on"}, {}):
        wrong = await admin.send(page, "save_mapping", mapping=typed, reason="", **more)
        assert wrong.status == 422
        assert "alert(&#34;x&#34;)" in wrong.text
    assert (await admin.send(page, "save_mapping", mapping="", reason="")).status == 422
    redcap = await admin.get("/portal/studies/SRO/redcap?state=parked")
    token = await admin.send(
        redcap, "connect_redcap", url="https://redcap.example.org/api/", api_token="short"
    )
    assert "A token has 32 hex digits." in error_of(token, "connect_redcap-api_token")
    assert "short" not in token.main
    paused = await admin.send(redcap, "pause_project", reason=MARK)
    assert "until it goes on" in paused.text
    assert ESCAPED in paused.main
    assert "It goes on." in (await admin.send(paused, "resume_project")).text
    (entry,) = portal.rows("SELECT id FROM redcap_ledger WHERE state = 'parked'")[0]
    one = await admin.get(f"/portal/studies/SRO/redcap/sessions/{entry}")
    assert "The value is out of range" in one.text
    assert "It is tried again." in (await admin.send(one, "retry_redcap")).text
    assert (await admin.get(f"/portal/studies/ABC/redcap/sessions/{entry}")).status == 404
    kept = await admin.send(redcap, "keep_here")
    assert "The value kept here counts" in kept.text
    assert portal.rows("SELECT conflicts FROM redcap_pulled WHERE record = '104'") == [(None,)]
    coordinator = await portal.signed_in("maps-not@example.org", "coordinator", study="SRO")
    seen = await coordinator.get("/portal/studies/SRO/redcap/mapping")
    assert (seen.status, "cog_session_uid" in seen.text, seen.forms("save_mapping")) == (200, True, [])


async def test_people_are_invited_given_roles_and_closed(portal: Portal) -> None:
    admin = await portal.signed_in("manages@example.org")
    page = await admin.get("/portal/studies/ABC")
    invited = await admin.send(
        page,
        "invite",
        email="new@example.org",
        name=MARK,
        role="coordinator",
        site="hyderabad",
        language="en",
    )
    assert invited.status == 200
    assert "It is shown only now." in invited.text
    password = re.search(r'big-code">([^<]+)<', invited.text)
    assert password is not None
    people = await admin.get("/portal/users?email=new@example.org")
    found = re.search(r"/portal/users/(\d+)", people.text)
    assert found is not None
    assert password[1] not in people.text
    path = f"/portal/users/{found[1]}"
    one = await admin.get(path)
    wrong = await admin.send(one, "put_membership", study="ABC", role="researcher", site="lima")
    assert wrong.status == 422
    member = await admin.send(one, "put_membership", study="SRO", role="researcher", site="", key="k")
    assert "The membership is saved." in member.text
    ended = await admin.post(path, member.forms("end_membership")[0])
    assert "The membership has ended." in ended.text
    role = {"email": "new@example.org", "name": MARK, "role_everywhere": "researcher", "language": "fr"}
    assert "The account is changed." in (await admin.send(ended, "change_user", **role)).text
    assert (await admin.send(ended, "change_user", **role, key="o")).status == 412
    closed = await admin.send(ended, "close_account")
    assert "The account is closed" in closed.text
    assert "The account is open again." in (await admin.send(closed, "open_account")).text
    rows = portal.rows("SELECT role, language FROM users WHERE email = 'new@example.org'")
    assert rows == [("researcher", "fr")]
    coordinator = await portal.signed_in("manages-not@example.org", "coordinator", study="SRO")
    assert not (await coordinator.get("/portal/studies/SRO")).forms("invite")
