"""Query strings as typed values.

A filter that is misspelt and silently ignored gives a researcher the wrong sessions, so anything that a
route does not know is refused by name; so is a parameter given twice, of which only one could count.

| query | refused with |
|---|---|
| `?participants=s012` (unknown) | 422, `details.unknown` |
| `?site=lima&site=quito` | 422, `details.repeated` |
| `?page=0`, `?status=done`, `?from=yesterday`, `?site=` | 422, `details.parameter` |
| NUL or unpaired surrogates in a value (Postgres cannot compare with them) | 422, `details.parameter` |
"""

import re
from collections.abc import Iterable
from datetime import UTC, date, datetime, time
from typing import Annotated, TypeVar

import msgspec
from aiohttp import web
from msgspec import Meta

from reporting.queries.snapshot import Page
from sync_server.errors import InvalidRequest

Text = Annotated[str, Meta(min_length=1, max_length=1000)]
RunNumber = Annotated[int, Meta(ge=-(2**31), lt=2**31)]

Query = TypeVar("Query", bound=msgspec.Struct)

# A `+` that was not percent-encoded reads as a space: `…T03:01:35+02:00` arrives as `…T03:01:35 02:00`.
_UNENCODED_OFFSET = re.compile(r"([Tt ]\d\d:\d\d:\d\d(?:\.\d+)?) (\d\d:\d\d)")
_AWARE = Annotated[datetime, Meta(tz=True)]
_DATE = re.compile(r"\d{4}-\d\d-\d\d")


def row_number(text: str) -> int:
    """The number that a part of a path names; 0, which no row has, where it is none that a row can have."""
    return int(text) if text.isascii() and text.isdecimal() and len(text) < 19 else 0


class PageQuery(msgspec.Struct, frozen=True, kw_only=True):
    """`page` counts from 1; at most 500 rows a page."""

    page: Annotated[int, Meta(ge=1, le=10_000_000)] = 1
    per_page: Annotated[int, Meta(ge=1, le=500)] = 50

    @property
    def wanted_page(self) -> Page:
        return Page(number=self.page, size=self.per_page)


def read_query(request: web.Request, query_type: type[Query], *, takes_others: bool = False) -> Query:
    """The request's query as `query_type`; `takes_others`: what it does not know is read by the handler.

    Raises InvalidRequest.
    """
    given = list(request.query.items())
    if takes_others:
        known = {field.encode_name for field in msgspec.structs.fields(query_type)}
        given = [(name, value) for name, value in given if name in known]
    return convert_fields(given, query_type, what="query parameter")


def convert_fields(given: list[tuple[str, str]], fields_type: type[Query], *, what: str) -> Query:
    """Names and values (all text) as `fields_type`; `what` is what the messages call a field.

    Raises InvalidRequest.
    """
    known = {field.encode_name for field in msgspec.structs.fields(fields_type)}
    names = [name for name, _ in given]
    _refuse(what, "unknown", (name for name in names if name not in known))
    _refuse(what, "repeated", (name for name in names if names.count(name) > 1))
    for name, value in given:
        if "\0" in value or not _is_unicode(value):
            raise InvalidRequest(
                f"{name} holds a character that no stored text has.", details={"parameter": name}
            )
    try:
        return msgspec.convert(dict(given), fields_type, strict=False)
    except msgspec.ValidationError as error:
        # "Expected `int` >= 1 - at `$.page`"; a missing field is told without a path.
        message, _, path = str(error).partition(" - at `$.")
        parameter = path.rstrip("`")
        if not parameter:
            raise InvalidRequest(f"{message}.") from error
        raise InvalidRequest(f"{parameter}: {message}.", details={"parameter": parameter}) from error


def first_moment(text: str | None, parameter: str) -> datetime | None:
    """The moment that a time or a date (its beginning, UTC) names. Raises InvalidRequest."""
    return _moment(text, parameter, time.min)


def last_moment(text: str | None, parameter: str) -> datetime | None:
    """The moment that a time or a date (its end, UTC) names. Raises InvalidRequest."""
    return _moment(text, parameter, time.max)


def _moment(text: str | None, parameter: str, time_of_day: time) -> datetime | None:
    if text is None:
        return None
    try:
        if _DATE.fullmatch(text):
            return datetime.combine(date.fromisoformat(text), time_of_day, UTC)
        moment: datetime = msgspec.convert(_UNENCODED_OFFSET.sub(r"\1+\2", text), _AWARE)
    except ValueError as error:
        raise InvalidRequest(
            f"{parameter} is neither a date (2016-07-22) nor a time with its zone (2016-07-22T03:01:35Z).",
            details={"parameter": parameter},
        ) from error
    return moment


def _refuse(what: str, problem: str, names: Iterable[str]) -> None:
    refused = sorted(set(names))
    if refused:
        raise InvalidRequest(
            f"{problem.capitalize()} {what}: {', '.join(refused)}.", details={problem: refused}
        )


def _is_unicode(text: str) -> bool:
    try:
        text.encode()
    except UnicodeEncodeError:
        return False
    return True
