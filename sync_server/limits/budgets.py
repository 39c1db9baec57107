"""Whose budget a request of the API takes from.

| request | budget | of |
|---|---|---|
| `/api/health…`, `/api/metrics` | none: no watcher is told to wait | |
| `/api/auth/…`, `/api/sync/enrol` | `AUTH_RATE_LIMIT_PER_MINUTE` | person or address |
| `/api/sync/…` with a valid device credential | DEVICE_PER_MINUTE | the credential |
| `/portal/sign-in`, when something is sent | `AUTH_RATE_LIMIT_PER_MINUTE` | the address |
| other pages of the portal | PORTAL_PER_MINUTE | the person of a cookie, or the address |
| files of the portal | none: each is fetched once | |
| everything else | `RATE_LIMIT_PER_MINUTE` | the person of a valid token, or the address |

A token's signature is enough: Postgres is not asked for what may have to be refused. An IPv6 address counts
with its /64, which is what a single customer has.
"""

from datetime import UTC, datetime
from ipaddress import ip_address, ip_network

from aiohttp import web

from sync_server.areas import is_below
from sync_server.caller_address import caller_address
from sync_server.errors import NotAuthenticated
from sync_server.identity.device_credentials import CredentialError, extract_token
from sync_server.identity.principals import signed_claims
from sync_server.keys import SETTINGS, VERIFIER
from sync_server.limits.window import Budget
from sync_server.portal.cookie import PATH as PORTAL
from sync_server.portal.cookie import read_cookie
from sync_server.portal.security import STATIC

DEVICE_PER_MINUTE = 600
"""A tablet asks for receipts once a sync, and a site syncs all its tablets at the same moment."""

PORTAL_PER_MINUTE = 600
"""A page is one request, and so is each look at whether a part of it has changed."""

_UNLIMITED = ("/api/health", "/api/metrics")


def budget_of(request: web.Request) -> Budget | None:
    """The table of this module; None: not limited."""
    path, settings = request.path, request.app[SETTINGS]
    if is_below(path, PORTAL):
        return _budget_of_page(request)
    if not path.startswith("/api/") or any(
        path == each or path.startswith(f"{each}/") for each in _UNLIMITED
    ):
        return None
    if path.startswith("/api/auth/") or path == "/api/sync/enrol":
        return Budget(f"auth:{_principal(request)}", settings.auth_rate_limit_per_minute)
    if path.startswith("/api/sync/"):
        device = _device(request)
        if device is not None:
            return Budget(f"device:{device}", DEVICE_PER_MINUTE)
    return Budget(f"api:{_principal(request)}", settings.rate_limit_per_minute)


def _budget_of_page(request: web.Request) -> Budget | None:
    if is_below(request.path, STATIC):
        return None
    address = by_address(caller_address(request))
    if request.method == "POST" and is_below(request.path, f"{PORTAL}/sign-in"):
        return Budget(f"auth:{address}", request.app[SETTINGS].auth_rate_limit_per_minute)
    signed_in = read_cookie(request)
    whose = address if signed_in is None else f"person-{signed_in.person}"
    return Budget(f"portal:{whose}", PORTAL_PER_MINUTE)


def by_address(address: str | None) -> str:
    """The name of an address in keys of budgets."""
    try:
        parsed = ip_address(address or "")
    except ValueError:
        return address or "unknown"
    return str(ip_network(f"{parsed}/64", strict=False)) if parsed.version == 6 else str(parsed)


def _principal(request: web.Request) -> str:
    try:
        claims = signed_claims(request)
    except NotAuthenticated:
        claims = None
    return by_address(caller_address(request)) if claims is None else f"person-{claims.person.id}"


def _device(request: web.Request) -> str | None:
    token = extract_token(request.headers.get("Authorization"))
    if token is None:
        return None
    try:
        return request.app[VERIFIER].verify(token, now=datetime.now(UTC)).id
    except CredentialError:
        return None
