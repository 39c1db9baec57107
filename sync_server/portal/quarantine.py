"""Quarantine: what was stored and could not become results, by cause; one document, with the place marked
that is wrong, and what a person does about it.

| what happens | what is shown |
|---|---|
| the document was mended, or its tablet has saved it anew | that it has left quarantine |
| it is no longer in the site database, or no JSON | the problem, and that it cannot be shown |
| the site databases do not answer | the problem, and that the document cannot be shown now |
| the place that is wrong is in a list that is too long for a form | a patch is written as JSON |
"""

import asyncio
from functools import partial
from typing import Any, Final

import msgspec

from sync_server.api.parameters import Text
from sync_server.api.seams import StoreUnreachable
from sync_server.errors import NotFound
from sync_server.portal.asking import api
from sync_server.portal.cookie import PATH
from sync_server.portal.excerpts import Line, excerpt, is_whole, steps_of, value_at
from sync_server.portal.forms import Field, Form
from sync_server.portal.mending import HOW, NO_PATCH, patch_request
from sync_server.portal.pages import Look, Page, Values

ENTRIES = api("GET", "/api/quarantine")
GROUPS = api("GET", "/api/quarantine/groups")
DOCUMENT = api("GET", "/api/quarantine/documents/{site}")
PATCH = api("POST", "/api/quarantine/patch")
RETRY = api("POST", "/api/quarantine/retry")
WAIVE = api("POST", "/api/quarantine/waive")

_A_PAGE: Final = 100
_LARGEST_INSIDE: Final = 60_000

_REASON = Field("reason", "long", hint=True, max_length=10_000)


def _of_one(values: dict[str, Any]) -> dict[str, Any]:
    return {"site": values["site"], "doc_ids": [values["doc_id"]], "reason": values.get("reason")}


def _problems(values: dict[str, Any]) -> dict[str, Any]:
    try:
        problems = msgspec.json.decode(values["problems"])
    except (msgspec.DecodeError, RecursionError):
        problems = values["problems"]
    return {"reason": values["reason"], "problems": problems}


RETRY_CAUSE = Form(
    name="retry_cause",
    calls=RETRY,
    fields=(
        Field("site", "hidden"),
        Field("code", "hidden"),
        Field("reason", "long", required=False, max_length=10_000),
    ),
)
WAIVE_CAUSE = Form(
    name="waive_cause",
    calls=WAIVE,
    fields=(Field("problems", "hidden", max_length=200_000), _REASON),
    build=_problems,
)
RETRY_DOCUMENT = Form(
    name="retry_document",
    calls=RETRY,
    fields=(Field("site", "hidden"), Field("doc_id", "hidden")),
    build=_of_one,
)
PATCH_DOCUMENT = Form(
    name="patch_document",
    calls=PATCH,
    fields=(
        *(Field(name, "hidden") for name in ("site", "doc_id", "rev")),
        Field("path", "hidden", required=False),
        Field("inside", "hidden", required=False),
        Field("how", "choice", choices=HOW, default="text"),
        Field("value", required=False, is_alternative=True, hint=True),
        Field("patch", "long", required=False, is_alternative=True, hint=True),
        Field("reason", "long", hint=True, max_length=10_000, for_good=True),
    ),
    build=patch_request,
    tries=PATCH,
)
_PROBLEM = tuple(Field(name, "hidden") for name in ("site", "doc_id", "code", "path"))
WAIVE_DOCUMENT = Form(name="waive_document", calls=WAIVE, fields=(*_PROBLEM, _REASON))
UNWAIVE_DOCUMENT = Form(
    name="unwaive_document", calls=api("POST", "/api/quarantine/unwaive"), fields=(*_PROBLEM, _REASON)
)


class QuarantineFilters(msgspec.Struct, frozen=True, kw_only=True):
    """As the routes take them; `waived` may be `any`. With a `code`: its documents, otherwise causes."""

    site: Text | None = None
    type: Text | None = None
    code: Text | None = None
    at: Text | None = None
    waived: Text = "false"
    page: Text = "1"

    @property
    def asked(self) -> dict[str, Any]:
        """The query of the routes."""
        found = {name: getattr(self, name) for name in ("site", "type", "code", "at", "page")}
        return found | {"waived": None if self.waived == "any" else self.waived}


class DocumentFilters(msgspec.Struct, frozen=True, kw_only=True):
    """Which document; without `rev` the revision that was quarantined last."""

    site: Text
    document: Text
    rev: Text | None = None


class Shown(msgspec.Struct, frozen=True):
    """What is shown of a document: lines, the value that is wrong, and what a form needs to change it."""

    lines: list[Line]
    value: str
    inside: str | None
    """The member of the document with the place in it, as JSON; None: the form cannot change it."""


async def quarantine(look: Look) -> Values:
    """Causes, or the documents of one."""
    wanted: QuarantineFilters = look.filters
    if wanted.code is None:
        return {"groups": await look.ask(GROUPS, **wanted.asked), "entries": None}
    entries = await look.ask(ENTRIES, per_page=_A_PAGE, **wanted.asked)
    sites = {row.site for row in entries.data}
    if wanted.site is not None or len(sites) == 1:
        look.fill(RETRY_CAUSE, site=wanted.site or next(iter(sites)), code=wanted.code)
    problems = [
        {"site": row.site, "doc_id": row.doc_id, "code": row.code, "path": row.path}
        for row in entries.data
        if not row.waived
    ]
    look.fill(WAIVE_CAUSE, problems=msgspec.json.encode(problems).decode() if problems else "")
    return {"groups": None, "entries": entries, "waivable": len(problems)}


async def document(look: Look) -> Values:
    """One quarantined revision."""
    wanted: DocumentFilters = look.filters
    about: dict[str, Any] = {"site": wanted.site, "doc_id": wanted.document}
    ask = partial(look.ask, DOCUMENT, path={"site": wanted.site}, document=wanted.document, rev=wanted.rev)
    is_away = False
    try:
        # A document may be megabytes, and never changes at its revision.
        found = await ask(content=not look.is_for_parts)
    except NotFound:
        return {"found": None, "shown": None, "about": about, "can_patch": False}
    except StoreUnreachable:
        # What is wrong stands in Postgres.
        found, is_away = await ask(content=False), True
    can_patch = found.type == "session" and found.document is not None
    shown = None
    if found.document is not None:
        shown = await asyncio.to_thread(_shown, bytes(found.document), found.path)
    problem = {**about, "code": found.code, "path": found.path}
    look.fill(RETRY_DOCUMENT, **about)
    look.fill(WAIVE_DOCUMENT, **problem)
    look.fill(UNWAIVE_DOCUMENT, **problem)
    inside = None if shown is None else shown.inside
    look.fill(
        PATCH_DOCUMENT,
        **about,
        rev=found.rev,
        path="" if inside is None else found.path,
        inside=inside,
        how="text",
        patch="" if inside is not None else NO_PATCH,
    )
    return {"found": found, "shown": shown, "about": about, "can_patch": can_patch, "is_away": is_away}


def _shown(body: bytes, path: str) -> Shown:
    content = msgspec.json.decode(body)
    if isinstance(content, dict):
        content.pop("_revisions", None)
    steps = steps_of(path)
    value = value_at(content, steps)
    text = "" if value is None or not steps else msgspec.json.encode(value).decode()
    return Shown(excerpt(content, path), text, _inside(content, path))


def _inside(content: Any, path: str) -> str | None:
    steps = steps_of(path)
    if not steps or not is_whole(path) or not isinstance(content, dict) or not isinstance(steps[0], str):
        return None
    if not any(isinstance(step, int) for step in steps):
        return "null"
    inside = msgspec.json.encode(content.get(steps[0])).decode()
    return inside if len(inside) <= _LARGEST_INSIDE else None


PAGES = [
    Page(
        name="quarantine",
        path=f"{PATH}/quarantine",
        template="quarantine/quarantine.html",
        view=quarantine,
        reads=(ENTRIES, GROUPS),
        forms=(RETRY_CAUSE, WAIVE_CAUSE),
        filters=QuarantineFilters,
        live=("list",),
    ),
    Page(
        name="quarantined",
        path=f"{PATH}/quarantine/document",
        template="quarantine/document.html",
        view=document,
        reads=(DOCUMENT,),
        forms=(RETRY_DOCUMENT, PATCH_DOCUMENT, WAIVE_DOCUMENT, UNWAIVE_DOCUMENT),
        filters=DocumentFilters,
        live=("state",),
        area="quarantine",
    ),
]
