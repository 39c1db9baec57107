"""The cookie of `POST /db/_session`: a device's credential that comes by itself for a while.

Clients made for CouchDB log in once and then send the cookie. What it holds is the credential itself, so
whatever ends the credential (revocation above all) ends the session in the same moment, on every process.
A browser sends cookies by itself, also for another site's page; so it is `SameSite=Strict`, and a request
that says it comes from another origin is not taken for the device's.

| request | outcome |
|---|---|
| a cookie and an `Authorization` header | the header counts |
| an `Origin` that is not this host | the cookie does not count |
| a cookie older than its ten minutes | the client has dropped it |
"""

from typing import Final
from urllib.parse import urlsplit

from aiohttp import web

NAME: Final = "AuthSession"
LIFETIME_SECONDS: Final = 600


def session_token(request: web.Request) -> str | None:
    """The credential in the request's cookie; None where there is none that counts."""
    token = request.cookies.get(NAME)
    if not token or not token.isascii():
        return None
    origin = request.headers.get("Origin")
    if origin is not None and urlsplit(origin).netloc != request.host:
        return None
    return token


def session_cookie(token: str, *, secure: bool) -> str:
    """The `Set-Cookie` header that begins a session."""
    attributes = f"Version=1; Path=/; Max-Age={LIFETIME_SECONDS}; HttpOnly; SameSite=Strict"
    return f"{NAME}={token}; {attributes}" + ("; Secure" if secure else "")
