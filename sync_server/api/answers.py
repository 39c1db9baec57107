"""Answers of the API: JSON, straight from typed values."""

from typing import Any, TypeVar

import msgspec
from aiohttp import web

from reporting.queries.snapshot import Listed, Page

Row = TypeVar("Row", bound=msgspec.Struct)


class Pagination(msgspec.Struct, frozen=True):
    """Where in a list this page is. An empty list has 0 pages."""

    page: int
    per_page: int
    total: int
    pages: int


def answer(value: Any, *, status: int = 200) -> web.Response:
    """`value` as JSON; times are RFC 3339."""
    return web.Response(
        status=status, body=msgspec.json.encode(value), content_type="application/json", charset="utf-8"
    )


def page_of(listed: Listed[Row], page: Page) -> Pagination:
    """Where this page of a list is."""
    return Pagination(
        page=page.number,
        per_page=page.size,
        total=listed.total,
        pages=-(-listed.total // page.size),
    )
