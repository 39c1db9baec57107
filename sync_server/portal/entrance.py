"""The pages of who is not signed in: address and password, then a code where the account asks for one."""

from collections.abc import Mapping
from typing import Any

from aiohttp import web

from sync_server.api.bodies import read_form_pairs
from sync_server.api.visiting import entrance, visitor_of
from sync_server.identity.attempts import Blocked
from sync_server.identity.logging_in import CodeRequired, LoggedIn, WrongPassword
from sync_server.keys import SEALER, SETTINGS
from sync_server.portal.cookie import LANGUAGE, read_cookie, set_cookie, set_language, set_visit
from sync_server.portal.forms import FORM_LIMIT
from sync_server.portal.rendering import RENDERING
from sync_server.portal.serving import NotOurForm, page_response
from sync_server.portal.signing_in import (
    SIGN_IN,
    open_step,
    own_path,
    seal_step,
    visit_of,
    visitors_texts,
)
from sync_server.portal.texts import LANGUAGES, texts_in
from sync_server.portal.tokens import may_be_ours, new_token

MOST_CHARACTERS = 1024

_DONE = {"sign_out": "form.sign_out.done", "password": "form.change_password.done"}

_FORMS = {
    "sign_in.html": "sign-in",
    "code.html": "code",
    "forgotten.html": "forgotten",
    "new_password.html": "password",
    "link.html": "link",
}
"""What the token of a page's form is for."""


async def show_sign_in(request: web.Request) -> web.Response:
    """The page; `?language=fr` changes its language."""
    if read_cookie(request) is not None and "next" not in request.query and "done" not in request.query:
        raise web.HTTPSeeOther(own_path(None))
    chosen = request.query.get("language")
    problem = "sign_in.nothing_done" if request.query.get("done") == "nothing" else None
    response = page_of(request, "sign_in.html", next=own_path(request.query.get("next")), problem=problem)
    if chosen in LANGUAGES:
        set_language(request, response, str(chosen))
    return response


async def sign_in(request: web.Request) -> web.Response:
    """Take address and password."""
    posted = await posted_form(request, "sign-in")
    email, password = posted.get("email", ""), posted.get("password", "")
    shown = {"next": own_path(posted.get("next")), "email": email[:254]}
    try:
        logged_in = await entrance(request).by_password(
            storable_text(email), password[:MOST_CHARACTERS], "", visitor_of(request)
        )
    except Blocked as error:
        return blocked(request, "sign_in.html", error, shown)
    except WrongPassword:
        return page_of(request, "sign_in.html", status=401, problem="sign_in.wrong", **shown)
    except CodeRequired as error:
        if error.halfway is None:
            raise
        return page_of(request, "code.html", step=seal_step(request, error.halfway), next=shown["next"])
    return go_on(request, logged_in, shown["next"])


async def take_code(request: web.Request) -> web.Response:
    """Take the code, after the password."""
    posted = await posted_form(request, "code")
    shown = {"next": own_path(posted.get("next")), "step": posted.get("step", "")}
    halfway = open_step(request, shown["step"])
    if halfway is None:
        return page_of(request, "sign_in.html", status=401, problem="sign_in.too_late", next=shown["next"])
    try:
        logged_in = await entrance(request).by_code(
            halfway, storable_text(posted.get("otp", "").strip()[:100]), visitor_of(request)
        )
    except Blocked as error:
        return blocked(request, "code.html", error, shown)
    except WrongPassword:
        return page_of(request, "sign_in.html", status=401, problem="sign_in.too_late", next=shown["next"])
    except CodeRequired:
        return page_of(request, "code.html", status=401, problem="sign_in.wrong_code", **shown)
    return go_on(request, logged_in, shown["next"])


async def show_code(_: web.Request) -> web.Response:
    """Nothing is here to be looked at: the page of the code comes after the password."""
    raise web.HTTPSeeOther(SIGN_IN)


def go_on(request: web.Request, logged_in: LoggedIn, back: str) -> web.Response:
    """Signed in: to where they wanted to go."""
    response = web.HTTPSeeOther(back)
    set_cookie(request, response, person=logged_in.person.id, login=logged_in.login)
    raise response


async def posted_form(request: web.Request, form: str) -> dict[str, str]:
    """The fields of a form of such a page. Raises NotOurForm."""
    posted = dict(await read_form_pairs(request, limit=FORM_LIMIT))
    if not may_be_ours(request, visit_of(request), form, posted.get("token", "")):
        raise NotOurForm
    return posted


def blocked(request: web.Request, template: str, error: Blocked, shown: Mapping[str, Any]) -> web.Response:
    """The page again, and when to come again."""
    response = page_of(request, template, status=429, problem="sign_in.blocked", wait=error.seconds, **shown)
    response.headers["Retry-After"] = str(error.seconds)
    return response


def page_of(request: web.Request, template: str, *, status: int = 200, **shown: Any) -> web.Response:
    """A page of who is not signed in, with what it shows."""
    visit = visit_of(request)
    chosen = next((each for each in LANGUAGES if each == request.query.get("language")), None)
    texts = visitors_texts(request) if chosen is None else texts_in(chosen)
    values = {
        "token": new_token(request.app[SEALER], visit, _FORMS[template]),
        "mails": request.app[SETTINGS].smtp_url is not None,
        "email": "",
        "problem": None,
        "wait": 0,
        "done": _DONE.get(request.query.get("done", "")),
        "other": next(each for each in LANGUAGES if each != texts.language),
        **shown,
    }
    response = page_response(request.app[RENDERING].html(template, texts, values), status=status)
    set_visit(request, response, visit)
    if LANGUAGE not in request.cookies:
        set_language(request, response, texts.language)
    return response


def storable_text(text: str) -> str:
    """What no stored text has matches no account."""
    return text.encode(errors="replace").decode().replace("\0", "\ufffd")
