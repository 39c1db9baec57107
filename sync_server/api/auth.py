"""`/api/auth`: logging in with a password, and who is logged in."""

import uuid
from datetime import UTC, datetime, timedelta
from typing import Literal

import msgspec
from aiohttp import web

from sync_server.api.answers import answer
from sync_server.api.bodies import read_form
from sync_server.api.route import plain
from sync_server.errors import NotAuthenticated
from sync_server.identity.access_tokens import issue_access_token
from sync_server.identity.principals import require_person
from sync_server.identity.users import authenticate
from sync_server.keys import ENGINE, SETTINGS

_FORM_LIMIT = 16 * 1024


class LoginForm(msgspec.Struct, frozen=True):
    """OAuth2's password form (RFC 6749, section 4.3.2); `username` is the email address.

    Scope and client are what OAuth2 libraries send along; there are none here, so they are not looked at.
    """

    username: str
    password: str
    grant_type: Literal["password"] = "password"
    scope: str = ""
    client_id: str = ""
    client_secret: str = ""


class AccessToken(msgspec.Struct, frozen=True):
    """`expires_in` is in seconds."""

    access_token: str
    expires_in: int
    token_type: Literal["bearer"] = "bearer"  # noqa: S105 (OAuth2's word for the scheme)


async def log_in(request: web.Request) -> web.Response:
    """`POST /api/auth/login` → AccessToken.

    401 with the same message and after the same time, whether the account or the password is wrong.
    """
    form = await read_form(request, LoginForm, limit=_FORM_LIMIT)
    person = await authenticate(request.app[ENGINE], email=form.username, password=form.password)
    if person is None:
        raise NotAuthenticated("Wrong email address or password.")
    settings = request.app[SETTINGS]
    lifetime = timedelta(minutes=settings.access_token_expire_minutes)
    token = issue_access_token(
        person,
        secret=settings.jwt_secret_key,
        algorithm=settings.jwt_algorithm,
        now=datetime.now(UTC),
        lifetime=lifetime,
        token_id=uuid.uuid4().hex,
    )
    return answer(AccessToken(access_token=token, expires_in=int(lifetime.total_seconds())))


async def me(request: web.Request) -> web.Response:
    """`GET /api/auth/me` → the caller's Person."""
    return answer(await require_person(request))


ROUTES = [
    plain(
        "POST",
        "/api/auth/login",
        log_in,
        right="public",
        body=LoginForm,
        consumes="application/x-www-form-urlencoded",
        answer=AccessToken,
        errors=(415,),
        limit=_FORM_LIMIT,
    ),
    plain("GET", "/api/auth/me", me, right="own account"),
]
