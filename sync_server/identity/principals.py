"""The caller of a request: a person with an access token, or a device with a credential.

A handler asks for the principal that it needs; nothing is decided by path. Failures are the API's typed ones
(`NotAuthenticated`, `Unavailable`); the gateway maps the same ones to CouchDB's shape.

| request | failure |
|---|---|
| no token, a broken, expired or foreign one | NotAuthenticated (401) |
| a person's account was closed after the token was issued, or the login has ended | NotAuthenticated (401) |
| a person with a temporary password, anywhere but where it is changed | PasswordChangeRequired (403) |
| a device's credential was revoked, or never enrolled here | NotAuthenticated (401) |
| Basic whose user is not the token's device | NotAuthenticated (401) |
| enrolled credentials have not been read yet | Unavailable (503): the tablet tries again |
"""

from datetime import UTC, datetime

import structlog
from aiohttp import web

from sync_server.errors import NotAuthenticated, PasswordChangeRequired, Unavailable
from sync_server.identity.access_tokens import AccessTokenError, Identified, identify
from sync_server.identity.authorization import bearer_token
from sync_server.identity.callers import Caller, read_caller
from sync_server.identity.device_credentials import CredentialError, DeviceCredential, extract_token
from sync_server.identity.revocations import Standing
from sync_server.identity.session_cookie import session_token
from sync_server.keys import ENDED_LOGINS, ENGINE, KNOWN_CREDENTIALS, SETTINGS, VERIFIER

PRINCIPAL_LOG_FIELDS = ("person", "device", "site")
"""What `require_*` binds to the log context; whoever ends the request unbinds them."""

CALLER = web.RequestKey("caller", Caller)
"""Who calls, once a route has let them in."""

OPEN_WITH_TEMPORARY_PASSWORD = frozenset({"/api/auth/change-password", "/api/auth/me", "/api/auth/logout"})
"""What a person may do whose password is known to whoever made the account."""


async def require_caller(request: web.Request) -> Caller:
    """The person whose access token the request carries, and what they may do where, as it is *now*.

    Raises NotAuthenticated, PasswordChangeRequired.
    """
    identified = await claims_of_token(request)
    if identified is None:
        raise NotAuthenticated("This needs an access token: log in at /api/auth/login.")
    async with request.app[ENGINE].connect() as connection:
        caller = await read_caller(connection, identified.person.id, login=identified.login)
    if caller is None:
        raise NotAuthenticated("This account is closed, or this login has ended: log in again.")
    if caller.password_is_temporary and request.path not in OPEN_WITH_TEMPORARY_PASSWORD:
        raise PasswordChangeRequired(
            "This account has a temporary password: set one of your own at /api/auth/change-password."
        )
    structlog.contextvars.bind_contextvars(person=caller.person.id)
    return caller


async def claims_of_token(request: web.Request) -> Identified | None:
    """Who calls as the access token says, without asking Postgres; None where there is no token.

    For what must also answer while Postgres is away. Raises NotAuthenticated when there is a token that is
    not valid, or of a login that is known to have ended.
    """
    identified = signed_claims(request)
    if (
        identified is not None
        and identified.login is not None
        and await request.app[ENDED_LOGINS].known(identified.login)
    ):
        raise NotAuthenticated("This login has ended: log in again.")
    return identified


def signed_claims(request: web.Request) -> Identified | None:
    """Who calls as the token's signature says, whatever became of the login since; None without a token.

    Raises NotAuthenticated.
    """
    token = bearer_token(request.headers.get("Authorization"))
    if token is None:
        return None
    settings = request.app[SETTINGS]
    try:
        return identify(
            token,
            secret=settings.jwt_secret_key,
            algorithm=settings.jwt_algorithm,
            now=datetime.now(UTC),
        )
    except AccessTokenError as error:
        raise NotAuthenticated(str(error)) from error


async def require_device(request: web.Request) -> DeviceCredential:
    """The device whose credential the request carries: signed here, enrolled, not revoked.

    A `service` credential is enrolled nowhere; its signature and its expiry are enough. Raises
    NotAuthenticated or Unavailable.
    """
    token = extract_token(request.headers.get("Authorization")) or session_token(request)
    if token is None:
        raise NotAuthenticated("This needs a device credential, as Bearer or as the device's Basic password.")
    return await device_of_token(request, token)


async def device_of_token(request: web.Request, token: str) -> DeviceCredential:
    """The device whose credential this is, wherever it came from. Raises as `require_device`."""
    try:
        credential = request.app[VERIFIER].verify(token, now=datetime.now(UTC))
    except CredentialError as error:
        raise NotAuthenticated(str(error)) from error
    if credential.role != "service":
        _refuse_unless_enrolled(await request.app[KNOWN_CREDENTIALS].standing(credential.id, token))
    structlog.contextvars.bind_contextvars(device=credential.device)
    if credential.site is not None:
        structlog.contextvars.bind_contextvars(site=credential.site)
    return credential


def _refuse_unless_enrolled(standing: Standing) -> None:
    match standing:
        case Standing.ENROLLED:
            return
        case Standing.REVOKED:
            raise NotAuthenticated("This credential was revoked: enrol the device again.")
        case Standing.UNKNOWN:
            raise NotAuthenticated("This credential is not enrolled here.")
        case Standing.NOT_READY:
            raise Unavailable("Enrolled devices cannot be read yet.")
