"""Logins, from a password to their end."""

import asyncio
from typing import Literal

import msgspec
from aiohttp.test_utils import TestClient, TestServer

from sync_server.app import build_app
from sync_server.keys import ENDED_LOGINS
from sync_server.settings import Settings
from tests.administration.office import Office
from tests.administration.people import EMAIL, PASSWORD, bearer, join, log_in, refresh, tokens
from tests.api.calls import Api
from tests.gateway.processes import environment, run

OTHER = "another horse battery"


async def test_refresh_gives_new_tokens_and_a_used_one_ends_the_login(office: Office) -> None:
    person = join(office)
    first = await tokens(office.api)
    second = (await refresh(office.api, first["refresh_token"])).body
    assert second["refresh_token"] != first["refresh_token"]
    assert (await bearer(office.api, second).get("/api/auth/me")).body["id"] == person
    other_login = await tokens(office.api)

    stolen = await refresh(office.api, first["refresh_token"])
    assert stolen.error == (401, "not_authenticated")
    assert (await refresh(office.api, second["refresh_token"])).status == 401
    for opened in (first, second):
        assert (await bearer(office.api, opened).get("/api/sessions")).error == (401, "not_authenticated")
    assert (await bearer(office.api, other_login).get("/api/sessions")).status == 200
    assert (await refresh(office.api, other_login["refresh_token"])).status == 200
    assert (await refresh(office.api, "a" * 43)).status == 401
    assert (await refresh(office.api, "no token")).error == (422, "invalid_request")
    assert office.rows("SELECT end_reason FROM logins WHERE ended_at IS NOT NULL") == [
        ("refresh_token_reused",)
    ]
    acts = office.rows("SELECT action, actor, after->>'reason' FROM audit_log ORDER BY id")
    assert acts == [
        ("login.begin", EMAIL, None),
        ("login.begin", EMAIL, None),
        ("login.end", "unknown", "refresh_token_reused"),
    ]
    stored = str(office.rows("SELECT * FROM logins, refresh_tokens, audit_log"))
    assert first["refresh_token"] not in stored
    assert PASSWORD not in stored


async def test_one_of_two_refreshes_at_once_wins_and_the_login_ends(office: Office) -> None:
    join(office)
    token = (await tokens(office.api))["refresh_token"]
    answers = await asyncio.gather(*(refresh(office.api, token) for _ in range(4)))
    assert sorted(answer.status for answer in answers) == [200, 401, 401, 401]
    [winner] = [answer.body for answer in answers if answer.status == 200]
    assert (await bearer(office.api, winner).get("/api/auth/me")).status == 401
    assert (await refresh(office.api, winner["refresh_token"])).status == 401


async def test_what_expired_refreshes_nothing_and_ends_nothing(office: Office) -> None:
    join(office)
    first = await tokens(office.api)
    office.rows("UPDATE refresh_tokens SET expires_at = now() - interval '1 second'")
    assert (await refresh(office.api, first["refresh_token"])).status == 401
    assert office.rows("SELECT ended_at FROM logins") == [(None,)]
    assert (await bearer(office.api, first).get("/api/auth/me")).status == 200
    office.rows("UPDATE logins SET expires_at = now() - interval '1 second'")
    assert (await bearer(office.api, first).get("/api/auth/me")).status == 401


async def test_own_logins_are_listed_and_ended_one_by_one_or_all_others(office: Office) -> None:
    person = join(office)
    phone, laptop, mine = [await tokens(office.api) for _ in range(3)]
    here = bearer(office.api, mine)
    listed = (await here.get("/api/user-sessions")).body["data"]
    assert [login["current"] for login in listed] == [True, False, False]
    assert {login["method"] for login in listed} == {"password"}
    assert "sha256" not in str(listed)
    of_phone = listed[2]["id"]
    stranger = office.as_("coordinator")
    assert (await stranger.delete(f"/api/user-sessions/{of_phone}")).error == (404, "not_found")
    assert (await stranger.get("/api/user-sessions", person=str(person))).error == (403, "not_allowed")

    for _ in range(2):
        assert (await here.call("DELETE", f"/api/user-sessions/{of_phone}")).status == 204
    assert (await bearer(office.api, phone).get("/api/sessions")).status == 401
    assert (await refresh(office.api, phone["refresh_token"])).status == 401
    assert (await here.call("DELETE", "/api/user-sessions")).status == 204
    assert (await bearer(office.api, laptop).get("/api/sessions")).status == 401
    assert (await here.get("/api/sessions")).status == 200
    ended = (await here.get("/api/user-sessions", active="false")).body["data"]
    assert {login["end_reason"] for login in ended} == {"ended"}

    admin = office.as_("admin")
    of_theirs = (await admin.get("/api/user-sessions", person=str(person))).body["data"]
    assert [login["current"] for login in of_theirs] == [False]
    assert (await office.api.call("DELETE", "/api/user-sessions")).status == 401
    assert (await admin.delete(f"/api/user-sessions?person={person}")).status == 204
    assert (await here.get("/api/sessions")).status == 401
    actions = {action for (action,) in office.rows("SELECT action FROM audit_log")}
    assert actions == {"login.begin", "login.end", "login.end_all"}


async def test_logging_out_ends_the_login_and_its_refresh_token(office: Office) -> None:
    join(office)
    mine = await tokens(office.api)
    assert (await bearer(office.api, mine).call("POST", "/api/auth/logout")).status == 204
    assert (await bearer(office.api, mine).get("/api/auth/me")).status == 401
    assert (await refresh(office.api, mine["refresh_token"])).status == 401
    # A token without a login cannot be ended, and that is no failure.
    assert (await office.as_("researcher").post("/api/auth/logout")).status == 204


async def test_who_waits_for_the_end_of_a_login_is_told_wherever_it_was_ended(office: Office) -> None:
    join(office)
    mine = await tokens(office.api)
    [(login,)] = office.rows("SELECT id FROM logins")
    ended = office.gateway.app[ENDED_LOGINS]
    waiting = [asyncio.create_task(ended.wait(login)) for _ in range(2)]
    cancelled = asyncio.create_task(ended.wait(login))
    await asyncio.sleep(0)
    cancelled.cancel()
    # As from another process whose notification was lost: looked up within a second.
    office.rows("UPDATE logins SET ended_at = now(), end_reason = 'ended'")
    await asyncio.wait_for(asyncio.gather(*waiting), 10)
    assert await ended.known(login)
    assert (await bearer(office.api, mine).get("/api/auth/me")).status == 401


async def test_a_temporary_password_opens_nothing_but_its_change(office: Office) -> None:
    join(office, role="admin", temporary=True)
    office.as_("admin")
    mine = await tokens(office.api)
    assert mine["password_change_required"] is True
    here = bearer(office.api, mine)
    for path in ("/api/sessions", "/api/users", "/api/user-sessions", "/api/audit"):
        assert (await here.get(path)).error == (403, "password_change_required")
    assert (await here.get("/api/auth/me")).body["password_change_required"] is True
    change = {"current_password": PASSWORD, "new_password": OTHER}
    wrong = await here.call("POST", "/api/auth/change-password", json={**change, "current_password": "x"})
    assert wrong.error == (403, "not_allowed")
    same = await here.call("POST", "/api/auth/change-password", json={**change, "new_password": PASSWORD})
    assert same.error == (422, "invalid_request")
    short = await here.call("POST", "/api/auth/change-password", json={**change, "new_password": "short"})
    assert short.error == (422, "invalid_request")
    assert (await here.call("POST", "/api/auth/change-password", json=change)).status == 204
    assert (await here.get("/api/sessions")).status == 200
    assert (await log_in(office.api)).error == (401, "not_authenticated")
    again = await log_in(office.api, OTHER)
    assert again.body["password_change_required"] is False


async def test_changing_the_password_ends_all_other_logins(office: Office) -> None:
    person = join(office)
    mine, other = await tokens(office.api), await tokens(office.api)
    change = {"current_password": PASSWORD, "new_password": OTHER}
    here = bearer(office.api, mine)
    assert (await here.call("POST", "/api/auth/change-password", json=change)).status == 204
    assert (await here.get("/api/sessions")).status == 200
    assert (await refresh(office.api, mine["refresh_token"])).status == 200
    assert (await bearer(office.api, other).get("/api/sessions")).status == 401
    assert (await refresh(office.api, other["refresh_token"])).status == 401
    acts = office.rows("SELECT action, after FROM audit_log WHERE entity_id = %s", str(person))
    assert acts[-1] == ("password.change", {"logins_ended": 1})
    assert OTHER not in str(office.rows("SELECT * FROM audit_log, users"))


async def test_a_second_process_with_logins_in_memory_does_not_start(
    office: Office, office_settings: Settings
) -> None:
    env = {
        "DATABASE_URL": office_settings.database_url,
        "REDIS_URL": office_settings.redis_url,
        "DATA_DIR": str(office_settings.data_dir / "second"),
        "PORT": "1",
    }
    ended = await asyncio.to_thread(run, "serve", env=environment(**env))
    ended.failed_with("Another process serves this database", "SESSION_STORAGE_BACKEND=redis")


async def test_a_login_ended_in_one_process_is_ended_in_the_other(
    office: Office, office_settings: Settings
) -> None:
    join(office)
    async with TestClient(TestServer(build_app(_elsewhere(office_settings, "redis")))) as client:
        there = Api(client, {})
        mine = await tokens(there)
        assert (await bearer(office.api, mine).get("/api/sessions")).status == 200
        assert (await bearer(office.api, mine).call("POST", "/api/auth/logout")).status == 204
        assert (await bearer(there, mine).get("/api/sessions")).status == 401
        # Guesses in one process block the account in the other, for right passwords too.
        office.rows("UPDATE logins SET created_at = now() - interval '1 year'")
        wrong = [await log_in(api, "wrong password") for api in (there, office.api, there, office.api, there)]
        assert {answer.error for answer in wrong} == {(401, "not_authenticated")}
        for api in (there, office.api):
            blocked = await log_in(api)
            assert blocked.error == (429, "too_many_requests")
            assert 1 <= int(blocked.headers["Retry-After"]) <= 5


def _elsewhere(settings: Settings, backend: Literal["memory", "redis"]) -> Settings:

    return msgspec.structs.replace(
        settings, data_dir=settings.data_dir / "second", session_storage_backend=backend
    )
