"""Signing in and out: what opens the portal, what does not, and what a browser keeps of it."""

import asyncio
import re
import time
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Literal

import msgspec
import pytest
from passlib.totp import TOTP  # type: ignore[import-untyped]

from sync_server.keys import SEALER
from sync_server.portal.cookie import SignedIn
from tests.embedded.supervised import SupervisedSystem
from tests.identity.outage import postgres_away
from tests.portal.browser import PASSWORD, Shown
from tests.portal.conftest import Portal, serving

pytestmark = pytest.mark.asyncio(loop_scope="session")


async def test_a_cookie_that_no_script_reads_opens_the_portal_and_nothing_else_until_signing_out(
    portal: Portal,
) -> None:
    person = portal.join("ada1@example.org")
    browser = portal.browser()
    assert (await browser.get("/", follow=False)).headers["Location"] == "/portal/"
    away = await browser.get("/portal/sites/lima?page=1", follow=False)
    assert away.status == 303
    assert away.headers["Location"] == "/portal/sign-in?next=%2Fportal%2Fsites%2Flima%3Fpage%3D1"

    shown = await browser.sign_in("ada1@example.org", next="/portal/sites/lima?page=1")
    assert (shown.status, str(shown.url.relative())) == (200, "/portal/sites/lima?page=1")
    cookie = browser.cookie()
    assert cookie is not None
    (login,) = portal.rows("SELECT id, method FROM logins WHERE person = %s", person)
    assert login[0] not in cookie
    in_api = await browser.get("/api/auth/me")
    assert in_api.status == 401
    assert (await browser.get("/api/auth/me", Authorization=f"Bearer {cookie}")).status == 401

    page = await browser.get("/portal/account")
    assert "This one" in page.text
    assert (await browser.get("/portal/sign-in", follow=False)).status == 303
    page = await browser.get("/portal/")
    left = await browser.post("/portal/account/password", page.form("sign_out"))
    assert (left.status, left.url.path) == (200, "/portal/sign-in")
    assert "You are signed out." in left.text
    assert browser.cookie() is None
    kept = await browser.get("/portal/", follow=False, Cookie=f"portal={cookie}")
    assert kept.status == 303
    assert portal.rows("SELECT end_reason FROM logins WHERE person = %s", person) == [("logged_out",)]
    late = await browser.post("/portal/sites?show=holding", {"form": "create_site", "code": "late"})
    assert "nothing of what you sent was done" in late.text
    assert late.url.query["next"] == "/portal/sites?show=holding"
    assert "next=/portal/sites?show%3Dholding" in late.text
    here = f"{portal.base}/portal/jobs?state=dead"
    head = await browser.post("/portal/account", {"form": "language"}, Referer=here)
    assert head.url.query["next"] == "/portal/jobs?state=dead"
    outside = await browser.post("/portal/account", {}, follow=False, Referer="https://evil.example/portal/x")
    assert "evil" not in outside.headers["Location"]


async def test_the_cookie_is_http_only_same_site_and_of_the_portal_and_secure_behind_tls(
    portal: Portal,
) -> None:
    portal.join("ada2@example.org")
    browser = portal.browser()
    page = await browser.get("/portal/sign-in")
    token = re.search(r'name="token" value="([^"]+)"', page.text)
    assert token is not None
    fields = {"token": token[1], "email": "ada2@example.org".upper(), "password": PASSWORD}
    signed_in = await browser.post("/portal/sign-in", fields, follow=False)
    attributes = signed_in.headers["Set-Cookie"].split("; ")[1:]
    assert sorted(attributes) == ["HttpOnly", "Path=/portal", "SameSite=Lax"]
    for name, value in {
        "Cache-Control": "no-store",
        "X-Content-Type-Options": "nosniff",
        "X-Frame-Options": "DENY",
        "Referrer-Policy": "same-origin",
    }.items():
        assert page.headers[name] == value
    policy = page.headers["Content-Security-Policy"]
    assert "default-src 'none'" in policy
    assert "unsafe" not in policy
    assert "frame-ancestors 'none'" in policy


async def test_who_is_wrong_is_told_the_same_and_who_goes_on_guessing_has_to_wait(portal: Portal) -> None:
    portal.join("ada3@example.org")
    browser = portal.browser()

    def told(page: Shown) -> tuple[int, list[str]]:
        return page.status, re.findall(r'role="alert">.*?<p>(.*?)</p>', page.text, re.DOTALL)

    wrong = (401, ["Wrong email address or password."])
    assert told(await browser.sign_in("ada3@example.org", password="not this one")) == wrong
    assert told(await browser.sign_in("nobody@example.org")) == wrong
    assert told(await browser.sign_in("x\0\ud83d@example.org".encode(errors="replace").decode())) == wrong
    for _ in range(4):
        await browser.sign_in("ada3@example.org", password="not this one")
    blocked = await browser.sign_in("ada3@example.org")
    assert blocked.status == 429
    assert "Too many attempts. Please try again in" in blocked.text
    assert int(blocked.headers["Retry-After"]) > 0


async def test_a_login_that_ends_elsewhere_an_old_cookie_and_anything_else_that_is_sealed_open_nothing(
    portal: Portal,
) -> None:
    person = portal.join("ada4@example.org")
    here, there = portal.browser(), portal.browser()
    await here.sign_in("ada4@example.org")
    await there.sign_in("ada4@example.org")
    page = await here.get("/portal/account")
    ended = await here.send(page, "end_login")
    assert "That login has ended." in ended.text
    assert (await there.get("/portal/", follow=False)).status == 303
    sealer = portal.app[SEALER]
    (login,) = portal.rows("SELECT id FROM logins WHERE ended_at IS NULL AND person = %s", person)

    def cookie(value: Any) -> str:
        return f"portal={sealer.seal(msgspec.json.encode(value).decode()).decode()}"

    async def status(sent: str) -> int:
        return (await portal.browser().get("/portal/", follow=False, Cookie=sent)).status

    now = int(time.time())
    kind: Literal["signed in at the portal"] = "signed in at the portal"
    assert await status(cookie(SignedIn(person, login[0], now, kind))) == 200
    assert await status(cookie(SignedIn(person, login[0], now - 240 * 60 - 5, kind))) == 303
    assert await status(cookie(SignedIn(person + 1, login[0], now, kind))) == 303
    assert await status(cookie({"person": person, "login": login[0], "made_at": now})) == 303
    assert await status("portal=x") == 303
    renewed = await portal.browser().get(
        "/portal/", Cookie=cookie(SignedIn(person, login[0], now - 400, kind))
    )
    assert "portal=" in renewed.headers["Set-Cookie"]
    looked = SignedIn(person, login[0], now - 90, kind)
    assert [looked.is_to_be_renewed(minutes) for minutes in (5, 240)] == [True, False]
    portal.rows("UPDATE users SET active = false WHERE id = %s", person)
    assert await status(cookie(SignedIn(person, login[0], now, kind))) == 303


async def test_a_temporary_password_opens_only_the_page_that_changes_it(portal: Portal) -> None:
    browser = await portal.signed_in("ada5@example.org", password_is_temporary=True)
    page = await browser.get("/portal/sites")
    assert page.url.path == "/portal/account/password"
    assert "Please choose one of your own" in page.text
    async with asyncio.timeout(20):
        followed = await browser.get("/portal/sites", Accept="text/event-stream")
    assert followed.text == "event: over\ndata: {}\n\n"
    file = await browser.get("/portal/studies/SRO/participants.csv", follow=False)
    assert (file.status, file.headers["Location"]) == (303, "/portal/account/password")
    posted = await browser.post("/portal/sites", {"form": "create_site"}, follow=False)
    assert posted.headers["Location"] == "/portal/account/password"
    new = {"current_password": PASSWORD, "new_password": "a horse of my own", "again": "a horse of mine"}
    assert "This is not the same as above." in (await browser.send(page, "change_password", **new)).text
    short = {**new, "new_password": "short", "again": "short"}
    refused = await browser.send(page, "change_password", **short)
    assert (refused.status, "12 characters or more, and another" in refused.text) == (422, True)
    wrong = {**new, "current_password": "x", "again": new["new_password"]}
    refused = await browser.send(page, "change_password", **wrong)
    assert (refused.status, "The current password is wrong." in refused.text) == (403, True)
    done = await browser.send(page, "change_password", **{**new, "again": new["new_password"]})
    assert (done.status, "Your password is changed." in done.text) == (200, True)
    assert (await browser.get("/portal/sites")).url.path == "/portal/sites"


async def test_a_second_factor_is_set_up_here_and_asked_for_on_a_page_of_its_own(portal: Portal) -> None:
    browser = await portal.signed_in("ada6@example.org")
    page = await browser.get("/portal/account/second-factor")
    shown = await browser.send(page, "start_factor")
    assert shown.status == 200
    found = re.search(r'small-code">([A-Z2-7]+)<', shown.text)
    assert found is not None
    totp = TOTP(key=found[1], format="base32")
    step = int(datetime.now(UTC).timestamp()) // 30
    assert (
        "not the code that the app shows now"
        in (await browser.send(shown, "confirm_factor", code="000000")).text
    )
    codes = await browser.send(shown, "confirm_factor", code=totp.generate((step - 1) * 30).token)
    recovery = re.findall(r"<li><code>([a-z0-9-]+)</code>", codes.text)
    assert len(recovery) >= 8

    other = portal.browser()
    asked = await other.sign_in("ada6@example.org")
    assert "Your account asks for a second proof" in asked.text
    assert PASSWORD not in asked.text
    assert other.cookie() is None

    def second(page: Shown, otp: str) -> dict[str, str]:
        hidden = dict(re.findall(r'name="(token|step|next)" value="([^"]+)"', page.text))
        return {**hidden, "otp": otp}

    wrong = await other.post("/portal/sign-in/code", second(asked, "000000"))
    assert (wrong.status, "That code is wrong" in wrong.text) == (401, True)
    entered = await other.post("/portal/sign-in/code", second(wrong, recovery[0]))
    assert (entered.status, entered.url.path) == (200, "/portal/")
    used = await portal.browser().post("/portal/sign-in/code", second(wrong, recovery[0]))
    assert used.status == 403  # another browser's visit
    again = await (late := portal.browser()).sign_in("ada6@example.org")
    portal.rows("UPDATE users SET password_hash = 'another' WHERE email = %s", "ada6@example.org")
    outdated = await late.post("/portal/sign-in/code", second(again, recovery[1]))
    assert (outdated.status, "That took too long" in outdated.text) == (401, True)


async def test_behind_tls_the_cookie_is_secure_and_while_postgres_is_away_a_page_says_so(
    postgres_server: SupervisedSystem, database_url: str, redis_url: str, tmp_path: Path
) -> None:
    settings = {
        "public_url": "https://portal.example",
        "auth_rate_limit_per_minute": 2,
        "trusted_proxies": ("127.0.0.1",),
    }
    via = "203.0.113.7"
    async with serving(database_url, redis_url, tmp_path, **settings) as portal:
        portal.join("ada@example.org")
        page = await (browser := portal.browser()).get("/portal/sign-in")
        assert page.headers["Strict-Transport-Security"]
        token = re.search(r'name="token" value="([^"]+)"', page.text)
        assert token is not None
        # The test speaks no TLS: what a browser would send back is put in by hand.
        visit = page.headers.getall("Set-Cookie")[0].split(";")[0]
        fields = {"token": token[1], "email": "ada@example.org", "password": PASSWORD}
        signed_in = await browser.post(
            "/portal/sign-in",
            fields,
            follow=False,
            Cookie=visit,
            X_Forwarded_For=via,
            Origin="https://portal.example",
        )
        assert signed_in.status == 303
        attributes = signed_in.headers["Set-Cookie"].split("; ")
        assert sorted(attributes[1:]) == ["HttpOnly", "Path=/", "SameSite=Lax", "Secure"]
        cookie = attributes[0]
        neighbours = cookie.replace("__Host-portal=", "portal=")
        away = await browser.get("/portal/sites", follow=False, Cookie=neighbours)
        assert (away.status, away.headers["Location"][:15]) == (303, "/portal/sign-in")
        forgotten = away.headers["Set-Cookie"].split("; ")
        assert forgotten[0] == '__Host-portal=""'
        assert {"Max-Age=0", "Path=/", "Secure"} <= set(forgotten)
        with postgres_away(postgres_server.superuser_url, database_url):
            away = await browser.get("/portal/sites", Cookie=cookie)
            assert (away.status, away.headers["Refresh"]) == (503, "5")
            assert "The data cannot be reached right now." in away.text
            assert "This page tries again by itself." in away.text
            assert (await browser.get("/portal/sign-in")).status == 200
            failed = await browser.post("/portal/sign-in", fields, Cookie=visit, X_Forwarded_For=via)
            assert (failed.status, "Refresh" in failed.headers) == (503, False)
            assert "nothing is done twice" in failed.text
        assert (await browser.get("/portal/sites", Cookie=cookie)).status == 200
        slowed = await browser.post("/portal/sign-in", fields, Cookie=visit, X_Forwarded_For=via)
        assert (slowed.status, "Please wait a moment." in slowed.text) == (429, True)
        assert int(slowed.headers["Retry-After"]) > 0
