"""Links of mails: they set a password, or sign in, once."""

import re

import pytest

from reporting.engine import sync_engine
from sync_server.identity.mail_links import Purpose, insert_link
from sync_server.identity.secret_tokens import new_token
from tests.portal.browser import Browser, Shown
from tests.portal.conftest import Portal

pytestmark = pytest.mark.asyncio(loop_scope="session")


def mailed(portal: Portal, person: int, purpose: Purpose) -> str:
    """The token of a link that was mailed."""
    token = new_token()
    engine = sync_engine(portal.database_url)
    with engine.begin() as connection:
        connection.execute(insert_link(token, person, purpose))
    engine.dispose()
    return token


async def send(browser: Browser, page: Shown, **fields: str) -> Shown:
    token = re.search(r'name="token" value="([^"]+)"', page.text)
    assert token is not None
    return await browser.post(page.url.path, {"token": token[1], **fields})


async def test_an_invitation_sets_a_password_once_and_nothing_is_used_up_by_looking(portal: Portal) -> None:
    person, browser = portal.join("ivo@example.org"), portal.browser()
    link = mailed(portal, person, "invitation")
    page = await browser.get("/reset-password")
    assert page.url.path == "/portal/sign-in/password"
    password = {"password": "a horse of my own", "again": "a horse of my own"}
    unequal = await send(browser, page, link=link, **{**password, "again": "x"})
    assert (unequal.status, "This is not the same as above." in unequal.text) == (422, True)
    short = await send(browser, page, link=link, password="short", again="short")
    assert (short.status, "12 characters or more" in short.text) == (422, True)
    assert (await send(browser, page, link="nonsense", **password)).status == 422
    done = await send(browser, page, link=link, **password)
    assert (done.url.path, "Your password is changed." in done.text) == ("/portal/sign-in", True)
    again = await send(browser, page, link=link, **password)
    assert (again.status, "This link was used, or has expired." in again.text) == (401, True)
    assert (await browser.sign_in("ivo@example.org", "a horse of my own")).url.path == "/portal/"


async def test_a_magic_link_signs_in_once(portal: Portal) -> None:
    person, browser = portal.join("max@example.org"), portal.browser()
    link = mailed(portal, person, "magic_link")
    page = await browser.get("/magic-link")
    assert (await send(browser, page, link=link + "x")).status == 401
    assert (await send(browser, page, link=link)).url.path == "/portal/"
    assert browser.cookie() is not None
    assert (await send(portal.browser(), page, link=link)).status == 403
    other = portal.browser()
    assert (await send(other, await other.get("/magic-link"), link=link)).status == 401


async def test_who_has_forgotten_the_password_is_told_the_same_whether_there_is_an_account(
    portal: Portal,
) -> None:
    browser = portal.browser()
    page = await browser.get("/portal/sign-in/forgotten")
    told = [await send(browser, page, email=email) for email in ("nobody@example.org", "ada@example.org")]
    assert [(each.status, "If there is an account" in each.text) for each in told] == [(200, True)] * 2
    assert (await send(browser, page, email="no address")).status == 422
