"""The cookie of somebody who is signed in: which login it is, sealed; the login itself is Postgres's.

A login of the portal is one of `logins`, like any other: it is listed, ended from anywhere, and dies with the
account. The cookie goes with the browser. It is made anew while it is used, and is too old after
`PORTAL_IDLE_MINUTES` without a look at a page; what looks by itself (live parts) does not count.

Behind TLS it is called `__Host-portal`: browsers take such a one from this host only, so that a neighbour
under the same domain cannot sign somebody in as somebody else. That asks for `Path=/`; nothing but the portal
reads it.

| cookie | taken for |
|---|---|
| none, one that was sealed with another key, or is something else that this system seals | nobody |
| not used for longer than that | nobody |
| of a login that has ended, of a closed account | nobody: see `signing_in` |
"""

import time
from typing import Final, Literal, Self

import msgspec
from aiohttp import web

from sync_server.keys import SEALER, SETTINGS
from sync_server.sealing import CannotOpen

PATH: Final = "/portal"
NAME: Final = "portal"
HOST_NAME: Final = f"__Host-{NAME}"
LANGUAGE: Final = "portal-language"
VISIT: Final = "portal-visit"

_RENEWED_SECONDS: Final = 300
_LANGUAGE_SECONDS: Final = 365 * 86400


class SignedIn(msgspec.Struct, frozen=True):
    """Who, by which login, and when the cookie was made (seconds since 1970). `kind` tells it from whatever
    else is sealed with the same keys.
    """

    person: int
    login: str
    made_at: int
    kind: Literal["signed in at the portal"]

    @classmethod
    def now(cls, person: int, login: str) -> Self:
        """Of a cookie that is made now."""
        return cls(person, login, int(time.time()), "signed in at the portal")

    def is_to_be_renewed(self, idle_minutes: int) -> bool:
        """Whether it is a few minutes old, or a fifth as old as it may be: only a look makes it anew."""
        return time.time() - self.made_at > min(_RENEWED_SECONDS, idle_minutes * 60 / 5)


def read_cookie(request: web.Request) -> SignedIn | None:
    """What the request's cookie says, by its seal and age alone; None where that is nothing."""
    sealed = request.cookies.get(HOST_NAME if is_secure(request) else NAME, "")
    if not sealed or not sealed.isascii():
        return None
    try:
        signed_in = msgspec.json.decode(request.app[SEALER].open(sealed.encode()), type=SignedIn)
    except (CannotOpen, msgspec.MsgspecError):
        return None
    age = time.time() - signed_in.made_at
    return signed_in if age <= request.app[SETTINGS].portal_idle_minutes * 60 else None


def set_cookie(request: web.Request, response: web.StreamResponse, *, person: int, login: str) -> None:
    """Sign in, or stay so."""
    made = msgspec.json.encode(SignedIn.now(person, login))
    sealed = request.app[SEALER].seal(made.decode()).decode()
    if is_secure(request):
        _set(request, response, HOST_NAME, sealed, path="/")
    else:
        _set(request, response, NAME, sealed)


def forget_cookie(request: web.Request, response: web.StreamResponse) -> None:
    """Sign out, in this browser."""
    if is_secure(request):
        response.del_cookie(HOST_NAME, path="/", secure=True, httponly=True, samesite="Lax")
    else:
        response.del_cookie(NAME, path=PATH, httponly=True, samesite="Lax")


def set_language(request: web.Request, response: web.StreamResponse, language: str) -> None:
    """Of who is not signed in."""
    _set(request, response, LANGUAGE, language, max_age=_LANGUAGE_SECONDS)


def set_visit(request: web.Request, response: web.StreamResponse, visit: str) -> None:
    """What the tokens of forms depend on until somebody is signed in."""
    _set(request, response, VISIT, visit)


def is_secure(request: web.Request) -> bool:
    """Whether people come by TLS, here or in front of here."""
    return request.secure or request.app[SETTINGS].base_url.startswith("https://")


def _set(
    request: web.Request,
    response: web.StreamResponse,
    name: str,
    value: str,
    *,
    max_age: int | None = None,
    path: str = PATH,
) -> None:
    response.set_cookie(
        name,
        value,
        path=path,
        max_age=max_age,
        httponly=True,
        samesite="Lax",
        secure=is_secure(request),
    )
