"""Answering requests of pages: looking at one, sending a form of it.

| request | answer |
|---|---|
| GET, nobody signed in | 303 to sign-in, and back |
| GET, with a temporary password | 303 to the page that changes it |
| GET, a route that the page reads refuses | the page that says so, with the route's status |
| GET with `part` | that block of the page alone: what the page's script asks for afterwards |
| POST without the form's token, or from elsewhere | 403, nothing is done |
| POST that the route carries out | 303 to the page, which says so; or the answer, where it is told once |
| POST that only tries or asks | the page as it is now, what was typed, what was answered |
| POST that the route refuses | the page as it is now, what was typed, the error; with the route's status |
"""

from collections.abc import Mapping
from typing import Any, Final
from urllib.parse import quote, urlencode

import msgspec
from aiohttp import web
from sqlalchemy.ext.asyncio import AsyncConnection

from reporting.queries.snapshot import snapshot
from sync_server.api.bodies import read_form_pairs
from sync_server.errors import ApiError, NotAllowed, NotAuthenticated, NotFound
from sync_server.keys import ENGINE
from sync_server.portal.asking import Asking, change, path_parts
from sync_server.portal.cookie import forget_cookie
from sync_server.portal.forms import Form, Refusal, refusal_of
from sync_server.portal.pages import OWN_PARAMETERS, Look, Page, Values
from sync_server.portal.rendering import RENDERING
from sync_server.portal.signing_in import Who, own_path, recognise, stay_signed_in
from sync_server.portal.tokens import may_be_ours

MOST_FIELDS: Final = 200
"""More than the largest form has: a decision about so many contradictions as are decided at once."""

Posted = Mapping[str, str]


class Served:
    """A page as handlers of aiohttp."""

    def __init__(self, page: Page) -> None:
        self._page = page

    async def get(self, request: web.Request) -> web.StreamResponse:
        """Show the page."""
        async with snapshot(request.app[ENGINE]) as connection:
            who = await self._recognise(request, connection)
            part = request.query.get("part")
            if part is not None and part not in self._page.later:
                raise NotFound("There is no such part of this page.")
            look, values = await looked_at(request, self._page, who, connection)
        if part is not None:
            return self._part(request, part, who, look, values)
        response = self._response(request, who, look, values)
        await stay_signed_in(request, response, who)
        return response

    async def post(self, request: web.Request) -> web.StreamResponse:
        """Carry out a form of the page."""
        async with request.app[ENGINE].connect() as connection:
            who = await self._recognise(request, connection)
        limit = max((form.largest for form in self._page.forms), default=0)
        posted = dict(await read_form_pairs(request, limit=limit, most_fields=MOST_FIELDS))
        form = next((each for each in self._page.forms if each.name == posted.get("form")), None)
        if form is None:
            raise NotFound("There is no such form on this page.")
        purpose = f"{self._page.name} {form.name}"
        if not may_be_ours(request, who.signed_in.login, purpose, posted.get("token", "")):
            raise NotOurForm
        typed = form.read(posted)
        tries = form.is_trying(posted)
        wrong = form.wrong(typed, tries=tries)
        if wrong:
            return await self._again(request, form, typed, posted, Refusal(422, wrong))
        try:
            answered = await _carry_out(request, who, form, typed, posted, tries=tries)
        except NotAuthenticated:
            raise
        except (ApiError, msgspec.ValidationError) as error:
            return await self._again(request, form, typed, posted, refusal_of(form, error))
        if tries or form.asks:
            return await self._again(request, form, typed, posted, Refusal(200), tried=answered)
        if form.shows is not None:
            return await self._told_once(request, form, answered)
        done = web.HTTPSeeOther(self._after(request, form, posted))
        if form.ends_login:
            forget_cookie(request, done)
        raise done

    async def _recognise(self, request: web.Request, connection: AsyncConnection) -> Who:
        return await recognise(
            request, connection, with_temporary_password=self._page.with_temporary_password
        )

    async def _again(
        self,
        request: web.Request,
        form: Form,
        typed: Mapping[str, str],
        posted: Posted,
        refusal: Refusal,
        *,
        tried: Any = None,
    ) -> web.Response:
        """The page as it is now, with what was typed, and what is wrong or was answered."""
        async with snapshot(request.app[ENGINE]) as connection:
            who = await self._recognise(request, connection)
            look, values = await looked_at(request, self._page, who, connection)
        filled = look.forms[form.name]
        filled.current = filled.values if refusal.is_outdated else {}
        filled.values = typed
        filled.errors = {name: _sentence(who, form, name, text) for name, text in refusal.errors.items()}
        for field in form.fields:
            own = f"form.{form.name}.{field.name}_wrong"
            if field.name in filled.errors and own in who.texts and typed[field.name]:
                filled.errors[field.name] = who.texts(own)
        filled.problem, filled.detail, filled.tried = refusal.problem, refusal.detail, tried
        unseen = [
            field.name for field in form.fields if field.kind == "hidden" and field.name in filled.errors
        ]
        if unseen and filled.problem is None:
            filled.problem, filled.detail = "problem.invalid_request", filled.errors[unseen[0]]
        if filled.problem not in (*who.texts.texts, None):
            filled.problem = "problem.refused"
        filled.hidden = {name: posted[name] for name in (*path_parts(form.calls), "back") if name in posted}
        return self._response(request, who, look, {**values, "refused": filled}, status=refusal.status)

    async def _told_once(self, request: web.Request, form: Form, answered: Any) -> web.Response:
        async with snapshot(request.app[ENGINE]) as connection:
            who = await self._recognise(request, connection)
            look, values = await looked_at(request, self._page, who, connection)
        shown = {**values, "answer": answered}
        return self._response(request, who, look, shown, template=form.shows or self._page.template)

    def _part(self, request: web.Request, part: str, who: Who, look: Look, values: Values) -> web.Response:
        context = context_of(request, self._page, who, look, values)
        [html] = request.app[RENDERING].parts(self._page.template, (part,), who.texts, context)
        return page_response(html)

    def _after(self, request: web.Request, form: Form, posted: Posted) -> str:
        if form.then is not None:
            quoted = {name: quote(part, safe="") for name, part in request.match_info.items()}
            path = form.then.format_map(quoted)
        elif posted.get("back"):
            path = own_path(posted["back"])
        else:
            path = str(request.rel_url.without_query_params(*OWN_PARAMETERS))
        return f"{path}{'&' if '?' in path else '?'}{urlencode({'done': form.name})}"

    def _response(
        self,
        request: web.Request,
        who: Who,
        look: Look,
        values: Values,
        *,
        status: int = 200,
        template: str | None = None,
    ) -> web.Response:
        rendering = request.app[RENDERING]
        context = context_of(request, self._page, who, look, values)
        html = rendering.page(self._page, template or self._page.template, who.texts, context)
        return page_response(html, status=status)


class NotOurForm(NotAllowed):
    """A form that no page of this login has: nothing is done."""

    code = "not_our_form"

    def __init__(self) -> None:
        super().__init__("This form was not sent from a page of yours, or you have signed in anew since.")


async def looked_at(
    request: web.Request, page: Page, who: Who, connection: AsyncConnection
) -> tuple[Look, Values]:
    """What the page's view asks, on this connection."""
    for route in page.reads:
        route.admit(who.caller)
    asking = Asking(request, who.caller, connection)
    look = Look(request, page, asking, caller=who.caller, texts=who.texts, subject=who.signed_in.login)
    return look, await page.view(look)


def context_of(request: web.Request, page: Page, who: Who, look: Look, values: Values) -> dict[str, Any]:
    """What a template of a page is given."""
    here = request.rel_url.without_query_params(*OWN_PARAMETERS)
    done = request.query.get("done", "")
    return {
        "page": page,
        "who": who,
        "links": request.app[RENDERING].navigation(page, who),
        "forms": look.forms,
        "filters": look.filters,
        "here": str(here),
        "done": f"form.{done}.done" if f"form.{done}.done" in who.texts else None,
        "refused": None,
        "may": who.caller.may_somewhere,
        "can": lambda right, study: who.caller.scope(right).sees_study(study),
        **look.common,
        **values,
    }


def page_response(html: str, *, status: int = 200) -> web.Response:
    """A page, compressed."""
    response = web.Response(text=html, content_type="text/html", status=status)
    response.enable_compression()
    return response


def _sentence(who: Who, form: Form, name: str, text: str) -> str:
    """What is wrong with a field: a text of the portal, with what the field takes, or the API's sentence."""
    if text not in who.texts:
        return text
    field = next((each for each in form.fields if each.name == name), None)
    if field is None:
        return who.texts(text)
    takes = {
        "longest": field.longest,
        "shortest": field.min_length,
        "lowest": field.minimum,
        "highest": field.maximum,
    }
    told = {name: "…" if value is None else who.texts.number(value) for name, value in takes.items()}
    return who.texts(text, **told)


async def _carry_out(
    request: web.Request, who: Who, form: Form, typed: Posted, posted: Posted, *, tries: bool
) -> Any:
    given = form.parts({**posted, **typed, **request.match_info})
    if form.own_account:
        given["person"] = str(who.caller.person.id)
    route = form.tries if tries and form.tries is not None else form.calls
    missing = [name for name in path_parts(route) if name not in given]
    if missing:
        raise NotFound("This form does not say what it is about.")
    query = form.query(typed, request.match_info)
    body = form.body(typed, request.match_info)
    if tries and route is not form.calls:
        body = {name: value for name, value in body.items() if name in route.body.__struct_fields__}
    elif tries and "dry_run" in getattr(route.body, "__struct_fields__", ()):
        body["dry_run"] = True
    elif tries:
        query["dry_run"] = "true"
    return await change(
        request,
        who.caller,
        route,
        path={name: given[name] for name in path_parts(route)},
        body=body,
        query=query,
        version=posted.get("version", "*") if form.versioned else None,
        # Nothing is done: who sends it next does it.
        key=None if tries or form.asks else posted.get("key") or None,
    )
