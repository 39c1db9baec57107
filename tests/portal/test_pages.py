"""All pages, walked: who sees them, that nothing that came in is markup, how large they are."""

import gzip
import re
from typing import Any

import pytest

from sync_server.identity.access_tokens import Role
from sync_server.policy import RIGHTS
from sync_server.portal.live import OVER
from sync_server.portal.pages import Page
from sync_server.portal.routes import NAVIGATION, PAGES
from sync_server.portal.texts import Language, texts_in
from tests.portal.browser import Browser, Shown
from tests.portal.conftest import Portal
from tests.portal.world import address_of

pytestmark = pytest.mark.asyncio(loop_scope="session")

FIRST_PAGE_BYTES = 60_000
STYLESHEET_BYTES = 20_480
ROLES: tuple[Role, ...] = ("admin", "coordinator", "researcher", "read-only")


def may(page: Page, role: Role) -> bool:
    """What the policy says of the page, from its tables alone."""
    rights: list[Any] = [route.right for route in page.reads]
    return all(right in ("own account", "public") or role in RIGHTS[right] for right in rights)


async def test_each_role_sees_the_pages_that_the_policy_allows_and_links_to_no_others(portal: Portal) -> None:
    for role in ROLES:
        browser = await portal.signed_in(f"{role}@example.org", role)
        for page in PAGES:
            shown = await browser.get(address_of(page))
            assert shown.status == (200 if may(page, role) else 403), (role, page.name, shown.text)
            if shown.status == 403:
                assert "Your role does not allow this." in shown.text
                assert "alert(" not in shown.main
            if page.live and role == "read-only":
                asked = {"Accept": "text/event-stream"}
                async with browser.session.get(browser.base + address_of(page), headers=asked) as followed:
                    if shown.status == 403:
                        assert await followed.read() == OVER, page.name
            linked = set(re.findall(r'<li><a href="(/portal/[^"]*)"', shown.text))
            assert {each.path for each in NAVIGATION if may(each, role)} <= linked
            assert not {each.path for each in NAVIGATION if not may(each, role)} & linked
    reader = await portal.signed_in("member@example.org", "read-only", study="ABC")
    assert (await reader.get("/portal/sites/hyderabad")).status == 200
    assert (await reader.get("/portal/sites/lima")).status == 404
    for path in ("/portal/sites/lima/devices/tablet-2", "/portal/sites/lima/receipts?document=x"):
        assert (await reader.get(path)).status in (404, 200)
    site = await reader.get("/portal/sites/hyderabad")
    assert not site.forms("enrol")
    assert not site.forms("change_site")
    home = await reader.get("/portal/")
    assert "Hyderabad Clinic" in home.text
    assert "Hospital Santa Rosa" not in home.text


async def test_a_page_behind_the_last_is_the_last(portal: Portal) -> None:
    browser = await portal.signed_in("last-page@example.org")
    for path, there in (("quarantine", "$.study"), ("jobs", "webhook"), ("audit", "device.rename")):
        assert there in (await browser.get(f"/portal/{path}?page=900")).main, path


async def test_an_address_that_is_markup_or_nonsense_is_told_as_text(portal: Portal) -> None:
    browser = await portal.signed_in("address@example.org")
    hostile = await browser.get(f"/portal/sites/{'%3Cscript%3Ealert(1)%3C%2Fscript%3E'}")
    assert (hostile.status, "<script>alert" in hostile.text) == (404, False)
    asked = await browser.get("/portal/audit?actor=%22%3E%3Cscript%3Ealert(1)")
    assert (asked.status, "<script>alert" in asked.text) == (200, False)
    assert (await browser.get("/portal/audit?nobody=1")).status == 422
    assert (await browser.get("/portal/audit?page=x")).status == 422
    assert (await browser.get("/portal/nothing/here")).status == 404


@pytest.mark.parametrize("language", ["en", "fr"])
async def test_the_first_page_is_light_and_in_ones_own_words(portal: Portal, language: Language) -> None:
    browser = await portal.signed_in(f"{language}@example.org", language=language)
    home = await browser.get("/portal/")
    assert home.headers["Content-Encoding"] in ("gzip", "deflate")
    files = re.findall(r'(?:href|src)="(/portal/static/[^"]+)"', home.text)
    assert len(files) == 3
    scripts = await _with_imports(browser, files)
    sizes = {path: len(gzip.compress(shown.text.encode())) for path, shown in scripts.items()}
    assert sum(sizes.values()) + len(gzip.compress(home.text.encode())) < FIRST_PAGE_BYTES
    for path, shown in scripts.items():
        assert shown.headers["Content-Encoding"] == "gzip", path
        assert "immutable" in shown.headers["Cache-Control"], path
        if path.endswith(".css"):
            assert len(shown.text.encode()) < STYLESHEET_BYTES
    assert (await browser.get(files[0].replace(".", ".0", 1))).status == 404
    assert f'<html lang="{language}">' in home.text
    for page in NAVIGATION:
        assert (
            f"<span>{texts_in(language)(f'page.{page.name}').replace(chr(39), '&#39;')}</span>" in home.text
        )


async def _with_imports(browser: Browser, files: list[str]) -> dict[str, Shown]:
    found: dict[str, Shown] = {}
    wanted = list(files)
    while wanted:
        path = wanted.pop()
        if path not in found:
            found[path] = await browser.get(path)
            assert found[path].status == 200, path
            wanted += re.findall(r'from "(/portal/static/[^"]+)"', found[path].text)
    return found
