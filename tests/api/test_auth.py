"""Logging in, and which tokens open the API."""

import base64
import json
from datetime import UTC, datetime, timedelta

import jwt
import pytest
from aiohttp import web
from sqlalchemy import Engine, update

from reporting.tables import users
from sync_server.identity import users as accounts
from sync_server.identity.passwords import verify_password
from sync_server.keys import SETTINGS
from tests.api.calls import EMAIL, PASSWORD, Answer, Api, person_headers

PERSONS_ROUTES = [
    "/api/auth/me",
    "/api/sessions",
    "/api/sessions/a",
    "/api/sessions/a/trials",
    "/api/quarantine",
]


async def log_in(api: Api, **fields: str) -> Answer:
    return await api.sending().call("POST", "/api/auth/login", data=fields)


async def test_right_password_gives_a_token_that_opens_the_api(api: Api) -> None:
    answer = await log_in(api, username=EMAIL.upper(), password=PASSWORD, grant_type="password", scope="")
    assert answer.status == 200
    assert answer.body.keys() == {
        "access_token",
        "refresh_token",
        "token_type",
        "expires_in",
        "password_change_required",
    }
    assert (answer.body["token_type"], answer.body["expires_in"]) == ("bearer", 1800)
    assert answer.headers["Cache-Control"] == "no-store"
    me = await api.sending(Authorization=f"Bearer {answer.body['access_token']}").get("/api/auth/me")
    assert (me.status, me.body["email"], me.body["role"]) == (200, EMAIL, "researcher")
    assert me.body["memberships"] == []
    assert [area["study"] for area in me.body["rights"]] == [None]
    assert "results.read" in me.body["rights"][0]["rights"]


async def test_unknown_account_and_wrong_password_get_the_same_answer(api: Api, engine: Engine) -> None:
    refused = [
        await log_in(api, username=EMAIL, password="wrong password"),
        await log_in(api, username="bob@example.org", password=PASSWORD),
        await log_in(api, username="no address", password=PASSWORD),
        await log_in(api, username="' OR 1=1 --", password="' OR 1=1 --"),
        await log_in(api, username="", password=""),
        await log_in(api, username=EMAIL, password="x" * 5000),
    ]
    with engine.begin() as connection:
        connection.execute(update(users).values(active=False))
    refused.append(await log_in(api, username=EMAIL, password=PASSWORD))
    assert {answer.error for answer in refused} == {(401, "not_authenticated")}
    assert len({json.dumps(answer.body) for answer in refused}) == 1
    assert {answer.headers["WWW-Authenticate"] for answer in refused} == {"Bearer"}


@pytest.mark.parametrize("email", [EMAIL, "bob@example.org"])
async def test_login_verifies_one_password_whether_the_account_exists_or_not(
    api: Api, monkeypatch: pytest.MonkeyPatch, email: str
) -> None:
    verified = 0

    async def counting(password: str, password_hash: str | None) -> bool:
        nonlocal verified
        verified += 1
        return await verify_password(password, password_hash)

    monkeypatch.setattr(accounts, "verify_password", counting)
    await log_in(api, username=email, password="wrong password")
    assert verified == 1


@pytest.mark.parametrize(
    ("fields", "details"),
    [
        ({"username": EMAIL}, None),
        ({"password": PASSWORD}, None),
        ({"username": EMAIL, "password": PASSWORD, "grant_type": "code"}, {"parameter": "grant_type"}),
        ({"username": EMAIL, "password": PASSWORD, "email": EMAIL}, {"unknown": ["email"]}),
        ({"username": EMAIL + "\0", "password": PASSWORD}, {"parameter": "username"}),
    ],
    ids=str,
)
async def test_form_that_is_not_the_password_form_is_refused(
    api: Api, fields: dict[str, str], details: object
) -> None:
    answer = await log_in(api, **fields)
    assert answer.error == (422, "invalid_request")
    assert answer.details == details
    assert PASSWORD not in json.dumps(answer.body)


async def test_login_body_of_another_kind_is_refused(api: Api) -> None:
    form = {"Content-Type": "application/x-www-form-urlencoded"}
    url = "/api/auth/login"
    as_json = await api.sending().call("POST", url, json={"username": EMAIL, "password": PASSWORD})
    assert as_json.error == (415, "unsupported_media_type")
    latin = await api.sending(**form).call("POST", url, data=b"username=%ff&password=x")
    assert latin.error == (422, "invalid_request")
    raw = await api.sending(**form).call("POST", url, data=b"username=\xff&password=x")
    assert raw.error == (422, "invalid_request")
    many = await api.sending(**form).call("POST", url, data="&".join(f"f{n}=1" for n in range(50)))
    assert many.error == (422, "invalid_request")


async def test_login_body_beyond_its_limit_is_refused_with_and_without_a_length(api: Api) -> None:
    caller = api.sending(Content_Type="application/x-www-form-urlencoded")

    async def chunks() -> object:  # an async generator: sent chunked, without a length
        for _ in range(20):
            yield b"x" * 1000

    for data in (b"x" * 20_000, chunks()):
        answer = await caller.call("POST", "/api/auth/login", data=data)
        assert answer.error == (413, "too_large")
        assert answer.details == {"limit": 16384}


async def test_routes_of_people_need_a_token(api: Api) -> None:
    for authorization in ({}, {"Authorization": "Basic YTpi"}, {"Authorization": "Bearer"}):
        for path in PERSONS_ROUTES:
            answer = await api.sending(**authorization).get(path)
            assert answer.error == (401, "not_authenticated")
            assert answer.headers["WWW-Authenticate"] == "Bearer"


async def test_expired_token_opens_nothing(api: Api, app: web.Application) -> None:
    yesterday = person_headers(1, app[SETTINGS], now=datetime.now(UTC) - timedelta(days=1))
    answer = await api.sending(**yesterday).get("/api/sessions")
    assert answer.error == (401, "not_authenticated")
    assert "expired" in answer.body["error"]["message"]


def forge(headers: dict[str, str], how: str) -> str:
    """A token like the one in `headers`, with something wrong."""
    token = headers["Authorization"].removeprefix("Bearer ")
    claims = jwt.decode(token, options={"verify_signature": False})
    secret = "development-only-never-in-production"
    match how:
        case "unsigned":
            return jwt.encode(claims, "", algorithm="none")
        case "other secret":
            return jwt.encode(claims, "x" * 40, algorithm="HS256")
        case "other algorithm":
            return jwt.encode(claims, secret * 2, algorithm="HS512")
        case "other audience":
            return jwt.encode({**claims, "aud": "sync"}, secret, algorithm="HS256")
        case "other issuer":
            return jwt.encode({**claims, "iss": "else"}, secret, algorithm="HS256")
        case "admin under the old signature":
            head, _, signature = token.split(".")
            payload = base64.urlsafe_b64encode(json.dumps({**claims, "role": "admin"}).encode())
            return f"{head}.{payload.rstrip(b'=').decode()}.{signature}"
    raise ValueError(how)


@pytest.mark.parametrize(
    "how",
    [
        "unsigned",
        "other secret",
        "other algorithm",
        "other audience",
        "other issuer",
        "admin under the old signature",
    ],
)
async def test_forged_token_opens_nothing(api: Api, how: str) -> None:
    forged = forge(dict(api.headers), how)
    answer = await api.sending(Authorization=f"Bearer {forged}").get("/api/auth/me")
    assert answer.error == (401, "not_authenticated")


async def test_token_of_a_closed_account_opens_nothing(api: Api, engine: Engine) -> None:
    assert (await api.get("/api/sessions")).status == 200
    with engine.begin() as connection:
        connection.execute(update(users).values(active=False))
    assert (await api.get("/api/sessions")).error == (401, "not_authenticated")


async def test_me_tells_the_role_of_now_not_of_the_token(api: Api, engine: Engine) -> None:
    with engine.begin() as connection:
        connection.execute(update(users).values(role="coordinator"))
    assert (await api.get("/api/auth/me")).body["role"] == "coordinator"
