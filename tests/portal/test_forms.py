"""Forms: what sends them, what they do once, and what becomes of what is wrong."""

import re

import pytest

from sync_server.keys import SEALER
from sync_server.portal.routes import PAGES
from sync_server.portal.tokens import new_token
from tests.portal.conftest import Portal
from tests.portal.world import MARK, path_of

pytestmark = pytest.mark.asyncio(loop_scope="session")


async def test_no_form_does_anything_without_its_own_token_or_from_another_origin(portal: Portal) -> None:
    browser = await portal.signed_in("bea@example.org")
    (login,) = portal.rows(
        "SELECT logins.id FROM logins JOIN users ON users.id = person WHERE email = 'bea@example.org'"
    )[0]
    sealer = portal.app[SEALER]
    before = portal.rows("SELECT count(*) FROM audit_log")
    for page in PAGES:
        path = path_of(page)
        for form in page.forms:
            fields = {"form": form.name, "reason": "why", "device": "t", "code": "x", "name": "x", "key": "k"}
            token = new_token(sealer, login, f"{page.name} {form.name}")
            tokens = {
                "none": "",
                "of another login": new_token(sealer, "other", f"{page.name} {form.name}"),
                "of another form": new_token(sealer, login, f"{page.name} other"),
            }
            for what, wrong in tokens.items():
                refused = await browser.post(path, {**fields, "token": wrong})
                assert refused.status == 403, (page.name, form.name, what)
                assert "Nothing was done." in refused.text
            if form is not page.forms[0]:
                continue
            for origin in ("https://evil.example", "null"):
                refused = await browser.post(path, {**fields, "token": token}, Origin=origin)
                assert refused.status == 403, (page.name, form.name, origin)
            for site in ("cross-site", "same-site"):
                refused = await browser.post(path, {**fields, "token": token}, Sec_Fetch_Site=site)
                assert refused.status == 403, (page.name, form.name, site)
    assert portal.rows("SELECT count(*) FROM audit_log") == before
    for path in ("", "/code", "/forgotten", "/password", "/link"):
        stranger = await portal.browser().post(f"/portal/sign-in{path}", {"token": "", "email": "x"})
        assert stranger.status == 403, path
    assert (await browser.post("/portal/sites", {"form": "nothing"})).status == 404
    assert (await browser.post("/portal/audit", {})).status == 405
    assert (await browser.post("/portal/sites", {}, Content_Type="text/plain")).status == 415


async def test_a_tablet_is_enrolled_renamed_and_revoked(portal: Portal) -> None:
    browser = await portal.signed_in("cleo@example.org")
    page = await browser.get("/portal/sites/nairobi")
    wrong = await browser.send(page, "enrol", device="tab let", label=MARK, role="tablet", valid_minutes="0")
    assert wrong.status == 422
    assert "It begins with a letter or digit" in wrong.text
    assert "Between 1 minute and 14 days" in wrong.text
    assert "tab let" in wrong.text
    fields = {
        **page.form("enrol"),
        "device": "tablet-77",
        "label": MARK,
        "role": "tablet",
        "valid_minutes": "30",
    }
    told = await browser.post("/portal/sites/nairobi", fields)
    assert told.status == 200
    code = re.search(r'big-code">([A-Z0-9-]+)<', told.text)
    assert code is not None
    assert re.search(r'<svg class="qr" viewBox="0 0 \d+ \d+"', told.text)
    again = await browser.post("/portal/sites/nairobi", fields)
    assert (again.status, code[1] in again.text) == (409, False)
    assert portal.rows("SELECT count(*) FROM enrolment_codes WHERE device = 'tablet-77'") == [(1,)]
    cancels = (await browser.get("/portal/sites/nairobi")).forms("cancel_code")
    cancelled = await browser.post("/portal/sites/nairobi", cancels[0])
    assert "That code opens nothing any more." in cancelled.text

    first = await browser.get("/portal/sites/nairobi/devices/tablet-3")
    second = await browser.get("/portal/sites/nairobi/devices/tablet-3")
    assert "The label is changed." in (await browser.send(first, "rename", label="green case")).text
    late = await browser.send(second, "rename", label="grey case")
    assert late.status == 412
    assert "Somebody has changed this since you looked." in late.text
    assert 'value="grey case"' in late.text
    assert "<strong>green case</strong>" in late.text
    assert "The label is changed." in (await browser.send(late, "rename", label="grey case")).text

    assert "This is needed." in (await browser.send(first, "revoke", reason=" ")).text
    revoked = await browser.send(first, "revoke", reason=MARK)
    assert "It is revoked." in revoked.text
    assert MARK not in revoked.text
    assert "This form was sent before" in (await browser.send(first, "revoke", reason="once more")).text
    refused = await browser.send(first, "revoke", reason="once more", key="another")
    assert refused.status == 409
    assert "This cannot be done as things are." in refused.text
    assert "has no credential in force" in refused.text


async def test_a_site_is_made_once_and_changed(portal: Portal) -> None:
    browser = await portal.signed_in("dora@example.org")
    page = await browser.get("/portal/sites")
    fields = {**page.form("create_site"), "code": "cusco", "name": "Cusco", "timezone": "America/Lima"}
    assert "The site is set up." in (await browser.post("/portal/sites", fields)).text
    assert "The site is set up." in (await browser.post("/portal/sites", fields)).text
    taken = await browser.send(page, "create_site", code="cusco", name="", timezone="UTC", key="another")
    assert (taken.status, "There is one with this name already." in taken.text) == (409, True)
    nowhere = await browser.send(
        page, "create_site", code="puno", name="", timezone="Mars/Crater", key="one more"
    )
    assert (nowhere.status, "There is no such timezone." in nowhere.text) == (422, True)
    long = await browser.send(page, "create_site", code="tacna", name="x" * 1000, timezone="UTC", key="long")
    assert (long.status, "This is too long: 200 characters at most." in long.text) == (422, True)
    huge = await browser.send(
        page, "create_site", code="tacna", name="x" * 400_000, timezone="UTC", key="huge"
    )
    assert (huge.status, "Go back: what you typed is still there." in huge.text) == (413, True)
    page = await browser.get("/portal/sites/cusco")
    changed = await browser.send(page, "change_site", name="", timezone="UTC")
    assert "The site is changed." in changed.text
    assert portal.rows("SELECT name, timezone FROM sites WHERE code = 'cusco'") == [("", "UTC")]


async def test_the_language_is_the_accounts_and_stays_on_the_page(portal: Portal) -> None:
    browser = await portal.signed_in("emma@example.org")
    page = await browser.get("/portal/sites/lima")
    french = await browser.post("/portal/account", {**page.form("language"), "language": "fr"})
    assert french.url.path == "/portal/sites/lima"
    assert '<html lang="fr">' in french.text
    assert "La langue est changée." in french.text
    assert portal.rows("SELECT language FROM users WHERE email = 'emma@example.org'") == [("fr",)]
    visitor = await portal.browser().get("/portal/sign-in", Accept_Language="fr-CA,fr;q=0.8,en;q=0.5")
    assert "Se connecter" in visitor.text
    assert "Sign in" in (await portal.browser().get("/portal/sign-in?language=en", Accept_Language="fr")).text
