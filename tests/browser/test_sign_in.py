"""Signing in, out, for the first time and with a second factor, as people do it."""

import time

import pytest
from passlib.totp import TOTP  # type: ignore[import-untyped]

from tests.browser import pictures
from tests.browser.accessibility import assert_accessible
from tests.browser.conftest import Visit
from tests.browser.keyboard import tab_stops, tab_to
from tests.browser.portal import PASSWORD, Portal, sign_in
from tests.browser.visitor import SECOND_GENERATION

pytestmark = pytest.mark.asyncio(loop_scope="session")

NEW_PASSWORD = "a horse of another colour"


async def test_the_page_is_light_accessible_and_in_the_visitors_language(visit: Visit) -> None:
    visitor = await visit(language="fr-CA")
    await visitor.on_line(SECOND_GENERATION)
    await visitor.open("/portal/")
    await visitor.on_line(None)

    assert visitor.path == "/portal/sign-in"
    assert await visitor.page.locator("html").get_attribute("lang") == "fr"
    await visitor.page.get_by_role("link", name="English").click()
    await visitor.page.get_by_role("heading", name="Sign in").wait_for()
    assert sum((await visitor.received()).values()) < 60_000
    await assert_accessible(visitor)
    await pictures.take(visitor, "sign-in")
    for page, name in (("forgotten", "forgotten"), ("password#token=of-a-mail", "invitation")):
        await visitor.open(f"/portal/sign-in/{page}")
        await assert_accessible(visitor)
        await pictures.take(visitor, name)
    await visitor.open("/portal/sign-in")
    assert await tab_stops(visitor.page) == [
        'link "Skip to the content"',
        'textbox "Email address"',
        'textbox "Password"',
        'button "Sign in"',
        'link "Français"',
    ]


async def test_with_the_keyboard_alone_a_wrong_password_is_told_and_a_right_one_leads_to_the_page_asked_for(
    visit: Visit, portal: Portal
) -> None:
    portal.join("keyboard@example.org", everywhere="researcher")
    visitor = await visit()
    await visitor.open("/portal/account")
    keyboard = visitor.page.keyboard
    await tab_to(visitor.page, 'textbox "Email address"')
    await keyboard.type("keyboard@example.org")
    await tab_to(visitor.page, 'textbox "Password"')
    await keyboard.type("not this one")
    await keyboard.press("Enter")

    told = visitor.page.get_by_role("alert")
    assert await told.inner_text() == "Wrong email address or password."
    assert await told.evaluate("element => element === document.activeElement")
    assert await visitor.page.get_by_label("Email address").input_value() == "keyboard@example.org"
    await assert_accessible(visitor)
    await tab_to(visitor.page, 'textbox "Password"')
    await keyboard.type(PASSWORD)
    await keyboard.press("Enter")
    await visitor.page.get_by_role("heading", name="My account").wait_for()
    assert visitor.path == "/portal/account"
    await visitor.page.keyboard.press("Tab")
    await keyboard.press("Enter")
    assert await visitor.page.locator("main").evaluate("element => element === document.activeElement")


async def test_without_javascript_a_temporary_password_is_changed_and_one_signs_out(
    visit: Visit, portal: Portal
) -> None:
    portal.join("new@example.org", everywhere="coordinator", temporary=True)
    visitor = await visit(javascript=False)
    await visitor.open("/portal/sites")
    await sign_in(visitor, "new@example.org")

    assert visitor.path.startswith("/portal/account/password")
    await visitor.page.get_by_label("Current password").fill(PASSWORD)
    await visitor.page.get_by_label("New password", exact=True).fill(NEW_PASSWORD)
    await visitor.page.get_by_label("The new password again").fill(NEW_PASSWORD + "s")
    await visitor.page.get_by_role("button", name="Change password").click()
    assert "This is not the same as above." in await visitor.page.locator("main").inner_text()
    await visitor.page.get_by_label("Current password").fill(PASSWORD)
    await visitor.page.get_by_label("New password", exact=True).fill(NEW_PASSWORD)
    await visitor.page.get_by_label("The new password again").fill(NEW_PASSWORD)
    await visitor.page.get_by_role("button", name="Change password").click()
    await visitor.page.get_by_text("Your password is changed.").wait_for()
    await visitor.page.get_by_role("button", name="Sign out").click()
    await visitor.page.get_by_text("You are signed out.").wait_for()
    await visitor.open("/portal/sites")
    await sign_in(visitor, "new@example.org", NEW_PASSWORD)
    assert await visitor.page.get_by_role("heading", level=1).inner_text() == "Sites"


async def test_a_second_factor_is_set_up_and_its_recovery_code_signs_in(visit: Visit, portal: Portal) -> None:
    portal.join("careful@example.org", everywhere="admin", name="Rosa Quispe")
    visitor = await visit()
    page = visitor.page
    await visitor.open("/portal/account/second-factor")
    await sign_in(visitor, "careful@example.org")
    await page.get_by_role("button", name="Set it up").click()
    secret = (await page.locator(".big-code").inner_text()).replace(" ", "").strip()
    await assert_accessible(visitor)
    await pictures.take(visitor, "second-factor-secret")
    code = TOTP(key=secret, format="base32").generate(int(time.time())).token
    await page.get_by_label("Code", exact=True).fill(str(code))
    await page.get_by_role("button", name="Confirm").click()
    recovery = await page.locator(".codes code").first.inner_text()
    await assert_accessible(visitor)
    await pictures.take(visitor, "recovery-codes")
    await page.get_by_role("button", name="Sign out").click()
    await sign_in(visitor, "careful@example.org")

    await page.get_by_role("heading", name="Your code").wait_for()
    await assert_accessible(visitor)
    await pictures.take(visitor, "code")
    await page.get_by_label("Code", exact=True).fill("000000")
    await page.get_by_role("button", name="Sign in").click()
    assert "That code is wrong" in await page.get_by_role("alert").inner_text()
    await page.get_by_label("Code", exact=True).fill(recovery)
    await page.get_by_role("button", name="Sign in").click()
    await page.get_by_role("heading", level=1, name="Hello").wait_for()
