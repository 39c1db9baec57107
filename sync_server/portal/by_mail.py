"""What comes by mail: a link that sets a password (invited, or forgotten), a link that signs in.

The token stands after `#` in the link: browsers send that to no server, and a script of the page puts it into
the form. Without the script it is pasted. Nothing happens by looking at such a page: programs that look at
the links of mails would use them up.

| what happens | what follows |
|---|---|
| the link was used, has expired, was never sent | the same page (401), which says so |
| somebody asks for a mail | the same page and the same time, whether there is such an account or not |
| the account asks for a code | the page of the link again, with a field for it; the link is still good |
"""

from collections.abc import Awaitable, Callable
from typing import Final

import msgspec
from aiohttp import web
from multidict import CIMultiDict

from sync_server.api.call import Given, Nothing
from sync_server.api.own_password import ask_for_mail
from sync_server.api.visiting import entrance, visitor_of
from sync_server.errors import InvalidRequest, NotAuthenticated
from sync_server.identity.attempts import Blocked
from sync_server.identity.logging_in import CodeRequired, UnusableLink
from sync_server.identity.mail_links import PATHS
from sync_server.portal.asking import api
from sync_server.portal.entrance import (
    MOST_CHARACTERS,
    blocked,
    go_on,
    page_of,
    posted_form,
    storable_text,
)
from sync_server.portal.signing_in import SIGN_IN

RESET: Final = api("POST", "/api/auth/reset-password")

Answering = Callable[[web.Request], Awaitable[web.StreamResponse]]


async def show_forgotten(request: web.Request) -> web.StreamResponse:
    """Ask for a mail with a link to set another password."""
    return page_of(request, "forgotten.html", sent=False)


async def forgotten(request: web.Request) -> web.StreamResponse:
    """Have it sent."""
    posted = await posted_form(request, "forgotten")
    try:
        await ask_for_mail(request.app, storable_text(posted.get("email", "")), "password_reset")
    except InvalidRequest:
        return page_of(request, "forgotten.html", status=422, sent=False, problem="sign_in.no_address")
    return page_of(request, "forgotten.html", sent=True)


async def show_new_password(request: web.Request) -> web.StreamResponse:
    """Set a password with a link."""
    return page_of(request, "new_password.html", link="")


async def new_password(request: web.Request) -> web.StreamResponse:
    """Set it."""
    posted = await posted_form(request, "password")
    link, password = posted.get("link", ""), posted.get("password", "")
    problem, status = None, 422
    if password != posted.get("again"):
        problem = "field.not_the_same"
    else:
        try:
            body = msgspec.convert({"token": link, "password": password}, RESET.body)
            given = Given({}, CIMultiDict[str](), Nothing(), body)
            await RESET.change(request, None, given)
        except msgspec.ValidationError as error:
            in_password = "$.password" in str(error)
            problem = "form.change_password.new_password_wrong" if in_password else "sign_in.unusable_link"
        except NotAuthenticated:
            problem, status = "sign_in.unusable_link", 401
    if problem is not None:
        return page_of(request, "new_password.html", status=status, problem=problem, link=link)
    raise web.HTTPSeeOther(f"{SIGN_IN}?done=password")


async def show_link(request: web.Request) -> web.StreamResponse:
    """Sign in with a link."""
    return page_of(request, "link.html", link="", needs_code=False)


async def sign_in_by_link(request: web.Request) -> web.StreamResponse:
    """Sign in with it."""
    posted = await posted_form(request, "link")
    link, otp = posted.get("link", ""), storable_text(posted.get("otp", "").strip()[:100])
    shown = {"link": link, "needs_code": bool(otp)}
    try:
        logged_in = await entrance(request).by_link(
            storable_text(link[:MOST_CHARACTERS]), otp, visitor_of(request)
        )
    except Blocked as error:
        return blocked(request, "link.html", error, shown)
    except UnusableLink:
        return page_of(request, "link.html", status=401, problem="sign_in.unusable_link", **shown)
    except CodeRequired as error:
        problem = "sign_in.wrong_code" if error.wrong else None
        return page_of(
            request,
            "link.html",
            status=401 if error.wrong else 200,
            problem=problem,
            link=link,
            needs_code=True,
        )
    return go_on(request, logged_in, "/portal/")


PAGES: Final[list[tuple[str, Answering, Answering]]] = [
    (f"{SIGN_IN}/forgotten", show_forgotten, forgotten),
    (f"{SIGN_IN}/password", show_new_password, new_password),
    (f"{SIGN_IN}/link", show_link, sign_in_by_link),
]

LINKS: Final = {
    PATHS["password_reset"]: f"{SIGN_IN}/password",
    PATHS["invitation"]: f"{SIGN_IN}/password",
    PATHS["magic_link"]: f"{SIGN_IN}/link",
}
"""Where links of mails lead to."""
