"""Who looks at a page: the cookie's login, as Postgres says it stands now; and the pages that sign in.

A code is asked for on a second page. What the first one has shown (a password that was right) is sealed in
the form of the second for five minutes: not the password, but which one it was, so that it is of no use
once the password is changed. Each code that is tried counts, as at `/api/auth/login`.

| what happens | what follows |
|---|---|
| nobody is signed in any more, and a form was sent | the same, with the words that nothing was done |
| nobody is signed in | 303 to `/portal/sign-in?next=…`, and from there back; only to a path of the portal |
| wrong address or password | the same page (401), after the same time, with the same words |
| too many failures | the same page (429), and when to come again |
| the second page is five minutes old, or the password was changed | the first page again |
"""

import secrets
import time
from datetime import UTC, datetime, timedelta
from typing import Final, Literal, NamedTuple
from urllib.parse import unquote, urlencode, urlsplit

import msgspec
import structlog
from aiohttp import hdrs, web
from sqlalchemy.ext.asyncio import AsyncConnection
from yarl import URL

from sync_server.caller_address import caller_address
from sync_server.errors import NotAuthenticated, PasswordChangeRequired
from sync_server.identity.callers import Caller, read_caller
from sync_server.identity.logging_in import Halfway
from sync_server.identity.logins import use_login
from sync_server.identity.people import select_shown
from sync_server.identity.principals import CALLER
from sync_server.keys import ENGINE, SEALER, SETTINGS
from sync_server.portal.cookie import LANGUAGE, PATH, VISIT, SignedIn, read_cookie, set_cookie
from sync_server.portal.texts import LANGUAGES, Texts, preferred, texts_in
from sync_server.sealing import CannotOpen

SIGN_IN: Final = f"{PATH}/sign-in"
PASSWORD_PAGE: Final = f"{PATH}/account/password"
SECOND_STEP_SECONDS: Final = 300


class Who(NamedTuple):
    """Somebody who is signed in."""

    caller: Caller
    signed_in: SignedIn
    name: str
    texts: Texts


WHO = web.RequestKey("who", Who)
"""Once they are known, also for the page that says what went wrong."""


async def recognise(
    request: web.Request, connection: AsyncConnection, *, with_temporary_password: bool = False
) -> Who:
    """Who looks. Raises NotAuthenticated, and PasswordChangeRequired unless a temporary password will do."""
    signed_in = read_cookie(request)
    if signed_in is None:
        raise NotAuthenticated("Nobody is signed in.")
    caller = await read_caller(connection, signed_in.person, login=signed_in.login)
    if caller is None:
        raise NotAuthenticated("This login has ended.")
    shown = (await connection.execute(select_shown(signed_in.person))).one()
    structlog.contextvars.bind_contextvars(person=caller.person.id)
    language = next(each for each in LANGUAGES if each == shown.language)
    request[CALLER] = caller
    who = request[WHO] = Who(caller, signed_in, shown.name or caller.person.email, texts_in(language))
    if caller.password_is_temporary and not with_temporary_password:
        raise PasswordChangeRequired("Set a password of your own first.")
    return who


async def stay_signed_in(request: web.Request, response: web.StreamResponse, who: Who) -> None:
    """Make the cookie anew where it is a few minutes old, and note that the login was used."""
    settings = request.app[SETTINGS]
    if not who.signed_in.is_to_be_renewed(settings.portal_idle_minutes):
        return
    lifetime = timedelta(days=settings.refresh_token_expire_days)
    used = use_login(
        who.signed_in.login, expires_at=datetime.now(UTC) + lifetime, address=caller_address(request)
    )
    async with request.app[ENGINE].begin() as connection:
        lasts = (await connection.execute(used)).rowcount == 1
    if lasts:
        set_cookie(request, response, person=who.signed_in.person, login=who.signed_in.login)


def visitors_texts(request: web.Request) -> Texts:
    """The texts for who is not signed in: as chosen here before, or as the browser asks."""
    chosen = request.cookies.get(LANGUAGE)
    for language in LANGUAGES:
        if language == chosen:
            return texts_in(language)
    return texts_in(preferred(request.headers.get("Accept-Language", "")))


def visit_of(request: web.Request) -> str:
    """What the tokens of forms depend on for who is not signed in."""
    visit = request.cookies.get(VISIT, "")
    return visit if visit.isascii() and 20 <= len(visit) <= 100 else secrets.token_urlsafe(24)


def to_sign_in(request: web.Request) -> str:
    """Where one signs in, and comes back from; who has sent a form is told there that nothing was done."""
    back = _looked_at(request).without_query_params("done", "live")
    told = {} if back.path == f"{PATH}/" else {"next": str(back)}
    if request.method != "GET":
        told["done"] = "nothing"
    return f"{SIGN_IN}?{urlencode(told)}" if told else SIGN_IN


def _looked_at(request: web.Request) -> URL:
    """The page: that with the form, where one was sent."""
    if request.method == "GET":
        return request.rel_url
    try:
        return URL(request.headers.get(hdrs.REFERER, "")).relative()
    except ValueError:
        return request.rel_url


def own_path(text: str | None) -> str:
    """Where to go on: a path of the portal, whatever was asked for."""
    home = f"{PATH}/"
    if text is None or not text.isprintable() or "\\" in text or not text.startswith(home):
        return home
    parts = urlsplit(text)
    # As the browser takes it: `%2e%2e` leads upwards too.
    path = unquote(parts.path)
    is_safe = not parts.scheme and not parts.netloc and ".." not in path.replace("\\", "/").split("/")
    return text if is_safe and not path.startswith(SIGN_IN) else home


class _Step(msgspec.Struct, frozen=True):
    halfway: Halfway
    until: int
    kind: Literal["second step of signing in"]


def seal_step(request: web.Request, halfway: Halfway) -> str:
    """For the form of the second page."""
    step = _Step(halfway, int(time.time()) + SECOND_STEP_SECONDS, "second step of signing in")
    return request.app[SEALER].seal(msgspec.json.encode(step).decode()).decode()


def open_step(request: web.Request, sealed: str) -> Halfway | None:
    """What the first page has shown; None where that was not here, or too long ago."""
    try:
        step = msgspec.json.decode(request.app[SEALER].open(sealed.encode()), type=_Step)
    except (CannotOpen, msgspec.MsgspecError, UnicodeEncodeError):
        return None
    return step.halfway if time.time() <= step.until else None
