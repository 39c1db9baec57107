"""What no stored text, number or date can be, in every place of every call: the service never fails, and
answers with a status that its specification has.
"""

import asyncio
import json
from collections.abc import Callable, Iterator
from typing import Any
from urllib.parse import quote, urlencode

import aiohttp
import pytest
import yarl

from sync_server.api.route import Route
from sync_server.api.routes import API_ROUTES
from sync_server.api.specification import specification
from tests.administration.administration_examples import FURTHER
from tests.administration.authorization import EXAMPLES, SITE, filled
from tests.administration.example import Example
from tests.administration.served import Served, served
from tests.embedded.supervised import SupervisedSystem

AT_ONCE = 8

PARTS = ("%00", "%ED%A0%80", "9" * 19, "2147483648", "%C2%B2", "x" * 3000, "0001-01-01T00:00:00%2B14:00")
"""As parts of a path and values of a query: NUL, half a character, numbers that no column holds, …"""

TEXTS = (r'"\u0000"', r'"a\n"', r'"\ud800"', '"9999-12-31T23:59:59-23:59"', '"0001-01-01T00:00:00+14:00"')
VALUES = (*TEXTS, json.dumps("x" * 3000), "9223372036854775808", "null", "[" * 600)
"""As members of a body, in JSON."""

TABLES = (
    b"\0",
    b"code\n\0\n",
    b"code,site\na,\0\nb,lima\n",
    b"code,site,contact_name\nc,lima,\0\n",
    b"code,site,language\nd,lima,\0\n",
    b"code,site,status,enrolled_on\ne,lima,enrolled,0001-01-01\nf,lima,enrolled,9999-12-31\n",
    b"code\n" + b"g" * 200_000 + b"\n",
    b'code\n"h\n',
    b"\xff\xfe",
)
"""As CSV."""

_PAGES = {"page", "per_page", "order", "fields"}
"""The same in every list: one is enough."""

BYTES = b"\xff\xfe"
MARK = "\ue000"


@pytest.fixture
def attacked(
    postgres_server: SupervisedSystem, redis_url: str, dropping: Callable[[str], None]
) -> Iterator[Served]:
    with served(postgres_server, redis_url, dropping) as running:
        yield running


def places(value: Any) -> Iterator[Any]:
    """The value, each time with a mark in another place of it."""
    match value:
        case dict():
            for name, member in value.items():
                yield {**value, name: MARK}
                for inner in places(member):
                    yield {**value, name: inner}
            yield {**value, MARK: 1}
        case list():
            for index, member in enumerate(value):
                for inner in (MARK, *places(member)):
                    yield [*value[:index], inner, *value[index + 1 :]]


def requests(route: Route, example: Example) -> Iterator[tuple[str, bytes | None]]:
    """(path and query, body): each with something in one place."""
    values = {name: quote(filled(value, SITE), safe="") for name, value in example.path.items()}
    good = route.path
    for name, value in values.items():
        good = good.replace("{" + name + "}", value)
    query = filled(dict(example.query), SITE)
    body = None if example.body is None else filled(example.body, SITE)
    sent = None if body is None else json.dumps(body).encode()
    if example.text is not None:
        sent = filled(example.text, SITE).encode()
        for table in TABLES:
            yield f"{good}?{urlencode({**query, 'dry_run': 'false', 'on_error': 'skip'})}", table
    for name in values:
        for part in PARTS:
            path = route.path.replace("{" + name + "}", part)
            for other, value in values.items():
                path = path.replace("{" + other + "}", value)
            yield f"{path}?{urlencode(query)}", sent
    for field in set(route.query.__struct_fields__) - _PAGES:
        name = field.rstrip("_")
        for part in PARTS:
            others = {each: value for each, value in query.items() if each != name}
            yield f"{good}?{urlencode(others)}&{name}={part}", sent
    for marked in places(body):
        as_value = json.dumps(marked, ensure_ascii=False)
        for value in VALUES:
            name = value if value in TEXTS else '"x"'
            hostile = as_value.replace(f'"{MARK}": ', f"{name}: ")
            yield f"{good}?{urlencode(query)}", hostile.replace(f'"{MARK}"', value).encode()
    if body is not None:
        yield f"{good}?{urlencode(query)}", BYTES


async def test_nothing_makes_the_service_fail(attacked: Served) -> None:
    turn = asyncio.Semaphore(AT_ONCE)
    by_name = {(route.method, route.path): route for route in API_ROUTES}
    calls = [(by_name[name], example) for name, example in [*EXAMPLES.items(), *FURTHER]]
    token = attacked.tokens["admin", "everywhere"]
    paths = specification(API_ROUTES, version="1", server="/")["paths"]

    async def ask(route: Route, target: str, body: bytes | None) -> str | None:
        # What is deleted could not be asked for any more.
        version = '"0"' if route.method == "DELETE" else "*"
        media = "application/json" if route.consumes != "text/csv" else route.consumes
        headers = {"Authorization": f"Bearer {token}", "Content-Type": media, "If-Match": version}
        url = yarl.URL(attacked.base_url + target, encoded=True)
        async with turn, http.request(route.method, url, data=body, headers=headers) as answer:
            told = await answer.read()
        if answer.status < 500 and str(answer.status) in paths[route.path][route.method.lower()]["responses"]:
            return None
        return f"{route.method} {target[:200]} {(body or b'')[:200]!r}: {answer.status} {told[:120]!r}"

    asked = [(route, *request) for route, example in calls for request in requests(route, example)]
    async with aiohttp.ClientSession() as http:
        found = await asyncio.gather(*(ask(*each) for each in asked))
    problems = [each for each in found if each is not None]
    print(f"\n{len(asked)} requests of {len(calls)} calls")
    assert not problems, "\n".join(problems)


@pytest.mark.parametrize(
    "head",
    [
        b"GET /api/studies/\xff HTTP/1.1",
        b"GET /api/nothing/\xff HTTP/1.1",
        b"GET /api/studies?\xff=1 HTTP/1.1",
        b"GET /api/studies?q=\xff HTTP/1.1",
        b"GET /api/studies HTTP/1.1\r\nUser-Agent: \xff\r\nX-Request-ID: \xff",
        b"POST /api/auth/logout HTTP/1.1\r\nIdempotency-Key: \xff\r\nContent-Length: 0",
        b"PATCH /api/studies/SRO HTTP/1.1\r\nIf-Match: \xff\r\nContent-Length: 2\r\n\r\n{}",
    ],
)
async def test_bytes_that_are_no_text_do_not_make_it_fail(service: Served, head: bytes) -> None:
    port = yarl.URL(service.base_url).port
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    head, _, body = head.partition(b"\r\n\r\n")
    token = service.tokens["admin", "everywhere"].encode()
    about = b"\r\nHost: host\r\nConnection: close\r\nContent-Type: application/json\r\nAuthorization: Bearer "
    writer.write(head + about + token + b"\r\n\r\n" + body)
    told = await reader.read()
    writer.close()
    version, status, _ = told.split(b" ", 2)
    assert version.startswith(b"HTTP/1.")
    assert int(status) < 500, told
