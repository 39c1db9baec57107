"""What a page is: a path, the routes of the API that it reads, the forms that it has, a template.

    SITE = Page(
        name="site",
        path="/portal/sites/{site}",
        template="sites/site.html",
        view=site,
        reads=(api("GET", "/api/sites/{site}"),),
        also=(api("GET", "/api/sync/enrolments"),),
        forms=(ENROL,),
        live=("health", "tablets"),
    )

    async def site(look: Look) -> Values:
        return {"site": await look.ask(GET_SITE), "codes": await look.ask_if_allowed(GET_CODES)}

Who may not call a route that the page `reads` is not shown the page, nor a link to it; what it reads `also`
is left out where the role does not allow it. A route that is not declared cannot be asked.
"""

from collections.abc import Awaitable, Callable, Iterable, Mapping
from typing import Any

import msgspec
from aiohttp import hdrs, web

from sync_server.api.call import etag
from sync_server.api.names import storable
from sync_server.api.parameters import Text, convert_fields
from sync_server.api.route import Route
from sync_server.errors import NotAllowed
from sync_server.identity.callers import Caller
from sync_server.keys import SEALER
from sync_server.portal.asking import Asking, path_parts
from sync_server.portal.forms import Filled, Form
from sync_server.portal.texts import Texts
from sync_server.portal.tokens import new_token

Values = Mapping[str, Any]
View = Callable[["Look"], Awaitable[Values]]

OWN_PARAMETERS = frozenset({"done", "live", "part", "whole"})
"""Query parameters that all pages have, beside the page's own filters."""


class NoFilters(msgspec.Struct, frozen=True):
    """A page without query parameters of its own."""


class Paged(msgspec.Struct, frozen=True, kw_only=True):
    """A page of a list."""

    page: Text = "1"


class Page(msgspec.Struct, frozen=True, kw_only=True):
    """See the module."""

    name: str
    path: str
    template: str
    view: Any
    """A View."""
    reads: tuple[Route, ...]
    also: tuple[Route, ...] = ()
    forms: tuple[Form, ...] = ()
    live: tuple[str, ...] = ()
    """Blocks of the template that are sent again when they change."""
    later: tuple[str, ...] = ()
    """Blocks that may be left out at first, where they take long: the page's script asks for them (`?part=`),
    or a link does (`?whole=on`), and `Look.may_take_long` says whether they are meant.
    """
    filters: Any = NoFilters
    """A Struct: the query parameters that the page takes, all text, as they stand in its form of filters."""
    area: str | None = None
    """The page of the navigation that it belongs to; None: it is one itself."""
    with_temporary_password: bool = False

    def may_be_seen(self, caller: Caller) -> bool:
        """Whether the caller's role allows all that it reads, somewhere."""
        try:
            for route in self.reads:
                route.admit(caller)
        except NotAllowed:
            return False
        return True


class Look:
    """Somebody looks at a page: what its view asks with."""

    def __init__(
        self, request: web.Request, page: Page, asking: Asking, *, caller: Caller, texts: Texts, subject: str
    ) -> None:
        self.request = request
        self.page = page
        self.caller = caller
        self.texts = texts
        self.forms: dict[str, Filled] = {}
        self.common: dict[str, Any] = {
            "sign_out": new_token(request.app[SEALER], subject, "password sign_out"),
            "language": new_token(request.app[SEALER], subject, "account language"),
        }
        """Tokens of the forms that stand in the head of every page."""
        self._asking = asking
        given = [(name, value) for name, value in request.query.items() if name not in OWN_PARAMETERS]
        # An empty field of a form of filters is none.
        self.filters: Any = convert_fields(
            [(name, value) for name, value in given if value], page.filters, what="filter"
        )
        for form in page.forms:
            self.forms[form.name] = Filled(
                form=form, token=new_token(request.app[SEALER], subject, f"{page.name} {form.name}")
            )

    @property
    def is_for_parts(self) -> bool:
        """Whether only the live parts are looked at, again and again: not all has to be asked for them."""
        return "text/event-stream" in self.request.headers.get(hdrs.ACCEPT, "")

    @property
    def may_take_long(self) -> bool:
        """Whether somebody waits for what takes long: the page has been shown without it."""
        return "part" in self.request.query or "whole" in self.request.query

    def path(self, name: str) -> str:
        """A part of the page's path."""
        return storable(self.request.match_info[name])

    async def ask(self, route: Route, /, *, path: Mapping[str, str] | None = None, **query: Any) -> Any:
        """What the route answers, as its handler returns it: parts of its path are the page's unless given,
        a parameter that is None is left out, a page behind the last one is the last.

        Raises ApiError, and LookupError for a route that the page does not declare.
        """
        if not any(route is each for each in (*self.page.reads, *self.page.also)):
            raise LookupError(f"page {self.page.name} does not say that it reads {route.method} {route.path}")
        given = path or {}
        parts = {name: given[name] if name in given else self.path(name) for name in path_parts(route)}
        asked = {name: _text(value) for name, value in query.items() if value not in (None, "")}
        found = await self._asking.ask(route, parts, asked)
        at = getattr(found, "pagination", None)
        if at is None or not 0 < at.pages < at.page:
            return found
        # A list has become shorter, or the address is made up: nobody is to think that there is nothing.
        return await self._asking.ask(route, parts, {**asked, "page": str(at.pages)})

    async def ask_if_allowed(
        self, route: Route, /, *, path: Mapping[str, str] | None = None, **query: Any
    ) -> Any:
        """The same; None where the caller's role does not allow it."""
        try:
            return await self.ask(route, path=path, **query)
        except NotAllowed:
            return None

    def offer(self, form: Form, field: str, choices: Iterable[tuple[str, str]] | None) -> None:
        """What can be picked in a field: values, and what they are called; None: too many, it is put in."""
        filled = self.forms[form.name]
        filled.choices = {**filled.choices, field: None if choices is None else list(choices)}

    def fill(self, form: Form, row_version: int | None = None, **values: Any) -> None:
        """Put what there is now into a form; `row_version` is that of what the form changes."""
        filled = self.forms[form.name]
        filled.values = {name: "" if value is None else str(value) for name, value in values.items()}
        filled.version = None if row_version is None else etag(row_version)


def _text(value: Any) -> str:
    return ("true" if value else "false") if isinstance(value, bool) else str(value)
