"""`/api/auth`: logging in and out, and who is logged in.

`POST /api/auth/login` gives an access token and a refresh token. The access token opens the API for minutes;
before it expires, the refresh token is exchanged for two new ones. A refresh token is good once: see
`identity.logins` for what becomes of a login when one is shown again.
"""

import uuid
from datetime import UTC, datetime, timedelta
from typing import Annotated, Literal

import msgspec
from aiohttp import web
from msgspec import Meta

from reporting.audit import record_entry
from reporting.tables import logins
from sync_server.api import own_password, own_second_factor
from sync_server.api.answers import answer
from sync_server.api.bodies import read_form, read_json
from sync_server.api.call import Call, Nothing
from sync_server.api.rights import Area, areas
from sync_server.api.route import get, plain, post
from sync_server.api.visiting import RefreshToken, Token, entrance, too_many, visitor_of
from sync_server.errors import NotAuthenticated, SecondFactorRequired
from sync_server.identity.access_tokens import Person, Role, issue_access_token
from sync_server.identity.attempts import Blocked
from sync_server.identity.logging_in import CodeRequired, LoggedIn, UnusableLink, WrongPassword
from sync_server.identity.logins import Refreshed, Reused, end, refresh
from sync_server.identity.people import Membership, Self, read_self
from sync_server.identity.visitors import visited
from sync_server.keys import ENGINE, SETTINGS

_FORM_LIMIT = 16 * 1024
_BODY_LIMIT = 16 * 1024


class LoginForm(msgspec.Struct, frozen=True):
    """OAuth2's password form (RFC 6749, section 4.3.2); `username` is the email address. `otp` is a code of
    the authenticator app, or a recovery code, where the account asks for one.

    Scope and client are what OAuth2 libraries send along; there are none here, so they are not looked at.
    """

    username: str
    password: str
    otp: Annotated[str, Meta(max_length=100)] = ""
    grant_type: Literal["password"] = "password"
    scope: str = ""
    client_id: str = ""
    client_secret: str = ""


class Tokens(msgspec.Struct, frozen=True):
    """`expires_in` is the access token's, in seconds. With `password_change_required` it opens nothing but
    `/api/auth/change-password`, `/api/auth/me` and `/api/auth/logout`.
    """

    access_token: str
    refresh_token: str
    expires_in: int
    password_change_required: bool
    token_type: Literal["bearer"] = "bearer"  # noqa: S105 (OAuth2's word for the scheme)


class RefreshBody(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """The login's newest refresh token."""

    refresh_token: RefreshToken


class RedeemBody(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """The token of a link, and a code where the account asks for one."""

    token: Token
    otp: Annotated[str, Meta(max_length=100)] = ""


class Me(msgspec.Struct, frozen=True):
    """Who is logged in, and what they may do where. `role` is the one they have everywhere; null: what they
    may do is in `memberships`.
    """

    id: int
    email: str
    name: str
    role: Role | None
    language: str
    login: str | None
    password_change_required: bool
    second_factor: bool
    memberships: list[Membership]
    rights: list[Area]


async def log_in(request: web.Request) -> web.Response:
    """Log in with email address and password.

    401 `not_authenticated` with the same message and after the same time, whether the account or the password
    is wrong; 401 `second_factor_required` where the password is right and a code is needed; 429 after too
    many failures.
    """
    form = await read_form(request, LoginForm, limit=_FORM_LIMIT)
    try:
        logged_in = await entrance(request).by_password(
            form.username, form.password, form.otp, visitor_of(request)
        )
    except Blocked as error:
        raise too_many(error) from error
    except WrongPassword as error:
        raise NotAuthenticated("Wrong email address or password.") from error
    except CodeRequired as error:
        raise SecondFactorRequired(str(error)) from error
    return answer(_tokens(request, logged_in))


async def redeem_magic_link(request: web.Request) -> web.Response:
    """Log in with a magic link.

    The link is used by the login: where a code is needed (401 `second_factor_required`) it is still good.
    """
    body = await read_json(request, RedeemBody, limit=_BODY_LIMIT)
    try:
        logged_in = await entrance(request).by_link(body.token, body.otp, visitor_of(request))
    except Blocked as error:
        raise too_many(error) from error
    except UnusableLink as error:
        raise NotAuthenticated(str(error)) from error
    except CodeRequired as error:
        raise SecondFactorRequired(str(error)) from error
    return answer(_tokens(request, logged_in))


async def refresh_tokens(request: web.Request) -> web.Response:
    """Exchange a refresh token for new tokens; the one shown is good once.

    Shown again it ends its login, whoever shows it: store the new one before using it, and never ask twice at
    once. When an answer was lost, log in again.
    """
    body = await read_json(request, RefreshBody, limit=_BODY_LIMIT)
    visitor = visitor_of(request)
    async with request.app[ENGINE].begin() as connection:
        outcome = await refresh(
            connection,
            body.refresh_token,
            now=datetime.now(UTC),
            lifetime=timedelta(days=request.app[SETTINGS].refresh_token_expire_days),
            address=visitor.address,
        )
        if isinstance(outcome, Reused) and outcome.ended:
            entry = visited(
                visitor,
                "login.end",
                outcome.person,
                known=False,
                after={"login": outcome.login, "reason": "refresh_token_reused"},
            )
            await connection.execute(record_entry(entry))
    if not isinstance(outcome, Refreshed):
        raise NotAuthenticated("This refresh token opens nothing any more: log in again.")
    return answer(_tokens(request, outcome))


async def log_out(call: Call[Nothing, Nothing]) -> None:
    """End the login of this access token, with its refresh token."""
    login = call.caller.login
    if login is not None and await end(call.connection, "logged_out", logins.c.id == login):
        await call.record("login.end", "login", login, after={"reason": "logged_out"})


async def me(call: Call[Nothing, Nothing]) -> Me:
    """Who is logged in, and what they may do where."""
    caller = call.caller
    row: Self = await read_self(call.connection, caller.person.id)
    return Me(
        id=caller.person.id,
        email=caller.person.email,
        name=row.name,
        role=caller.person.role,
        language=row.language,
        login=caller.login,
        password_change_required=caller.password_is_temporary,
        second_factor=row.second_factor,
        memberships=row.memberships,
        rights=areas(caller),
    )


def _tokens(request: web.Request, outcome: LoggedIn | Refreshed) -> Tokens:
    settings = request.app[SETTINGS]
    lifetime = timedelta(minutes=settings.access_token_expire_minutes)
    token = issue_access_token(
        Person(outcome.person.id, outcome.person.email, outcome.person.role),
        secret=settings.jwt_secret_key,
        algorithm=settings.jwt_algorithm,
        now=datetime.now(UTC),
        lifetime=lifetime,
        token_id=uuid.uuid4().hex,
        login=outcome.login,
    )
    return Tokens(
        access_token=token,
        refresh_token=outcome.refresh_token,
        expires_in=int(lifetime.total_seconds()),
        password_change_required=outcome.password_is_temporary,
    )


ROUTES = [
    plain(
        "POST",
        "/api/auth/login",
        log_in,
        right="public",
        body=LoginForm,
        consumes="application/x-www-form-urlencoded",
        answer=Tokens,
        errors=(415,),
        limit=_FORM_LIMIT,
    ),
    plain(
        "POST",
        "/api/auth/magic-link/redeem",
        redeem_magic_link,
        right="public",
        body=RedeemBody,
        answer=Tokens,
        limit=_BODY_LIMIT,
    ),
    plain(
        "POST",
        "/api/auth/refresh",
        refresh_tokens,
        right="public",
        body=RefreshBody,
        answer=Tokens,
        limit=_BODY_LIMIT,
    ),
    post("/api/auth/logout", log_out, right="own account", status=204),
    get("/api/auth/me", me, right="own account"),
    *own_password.ROUTES,
    *own_second_factor.ROUTES,
]
