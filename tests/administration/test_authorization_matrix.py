"""Every route of the API, asked by everybody: nobody, and each role in each place, on two sites."""

import asyncio
import json
from collections.abc import Iterator
from typing import Any
from urllib.parse import quote

import aiohttp
import pytest

from sync_server.api.route import Route
from sync_server.api.routes import API_ROUTES
from sync_server.identity.access_tokens import Role
from sync_server.policy import RIGHTS
from tests.administration.administration_examples import FURTHER
from tests.administration.authorization import (
    EXAMPLES,
    OTHER_SITE,
    PLACES,
    ROLES,
    SITE,
    filled,
    is_shown,
    may,
)
from tests.administration.example import Example
from tests.administration.served import Served

AT_ONCE = 8

PRINCIPALS: list[tuple[Role, str]] = [(role, place) for role in ROLES for place in PLACES]
Cell = tuple[Route, Example, str, tuple[Role, str] | str]
EVERYBODY: list[tuple[Role, str] | str] = ["nobody", "garbage", *PRINCIPALS]


def test_every_route_says_who_may_call_it_and_has_an_example() -> None:
    known = {*RIGHTS, "own account", "device", "public"}
    assert [route.path for route in API_ROUTES if route.right not in known] == []
    needed = {(route.method, route.path) for route in API_ROUTES if route.right not in ("public", "device")}
    missing = sorted(needed - EXAMPLES.keys())
    assert missing == [], "add an Example of each to EXAMPLES in tests/administration/authorization.py"
    assert sorted(EXAMPLES.keys() - needed) == [], "no route has these examples any more"
    assert len({(route.method, route.path) for route in API_ROUTES}) == len(API_ROUTES)


def calls() -> list[tuple[Route, Example]]:
    """Every route with its example, and the further ones."""
    by_name = {(route.method, route.path): route for route in API_ROUTES}
    return [
        *((route, EXAMPLES.get(name, Example())) for name, route in by_name.items()),
        *((by_name[name], example) for name, example in FURTHER),
    ]


def cells() -> Iterator[Cell]:
    """(route, example, site, principal): 18 principals for each call, on both sites where it names one."""
    for route, example in calls():
        for site in (SITE, OTHER_SITE) if names_site(example) else (SITE,):
            for principal in EVERYBODY:
                yield route, example, site, principal


def names_site(example: Example) -> bool:
    """Whether the call is another one at the other site."""
    told = [dict(example.path), dict(example.query), example.body, example.text]
    return bool(filled(told, SITE) != filled(told, OTHER_SITE))


def problem_of(cell: Cell, status: int, told: bytes) -> str | None:
    """What is wrong with this answer; None: nothing."""
    route, example, site, principal = cell
    if route.right == "public":
        right = status not in (403, 500)
    elif isinstance(principal, str) or route.right == "device":
        right = status == 401
    elif may(route, *principal, example, site):
        refusals = (401, 403) if example.may_be_missing else (401, 403, 404)
        right = status not in refusals and (status < 500) and shows_no_more(route, principal, told)
    elif route.right != "own account" and principal[0] not in RIGHTS[route.right]:
        right = status == 403
    else:
        right = status in (403, 404)
    shown = told[:200].decode(errors="replace")
    return None if right else f"{principal} at {site}: {route.method} {route.path} answers {status} {shown}"


def shows_no_more(route: Route, principal: tuple[Role, str], told: bytes) -> bool:
    """Whether a list shows only what the caller may see."""
    try:
        answer = json.loads(told)
    except ValueError:
        return True
    rows = answer.get("data") if isinstance(answer, dict) else None
    return not isinstance(rows, list) or all(is_shown(row, route, *principal) for row in rows)


async def test_everybody_may_do_what_the_policy_says_and_nothing_else(service: Served) -> None:
    turn = asyncio.Semaphore(AT_ONCE)

    async def ask(cell: Cell) -> str | None:
        route, example, site, principal = cell
        headers = {"Content-Type": "application/json" if example.text is None else "text/csv"}
        me = "1"
        if principal != "nobody":
            token = "garbage" if isinstance(principal, str) else service.tokens[principal]
            headers["Authorization"] = f"Bearer {token}"
        if not isinstance(principal, str):
            me = str(service.accounts[principal])
        path = route.path
        for name, value in example.path.items():
            path = path.replace("{" + name + "}", quote(filled(value, site, me), safe=""))
        body = None if example.body is None else json.dumps(filled(example.body, site, me))
        if example.text is not None:
            body = filled(example.text, site, me)
        url = service.base_url + path.replace("{", "").replace("}", "")
        query: Any = filled(dict(example.query), site, me)
        async with (
            turn,
            http.request(
                route.method, url, params=query, data=body, headers=headers, allow_redirects=False
            ) as answer,
        ):
            return problem_of(cell, answer.status, await answer.read())

    walked = list(cells())
    async with aiohttp.ClientSession() as http:
        found = await asyncio.gather(*(ask(cell) for cell in walked))
    problems = [each for each in found if each is not None]
    on_both = sum(names_site(example) for _, example in calls())
    print(f"\n{len(walked)} cells: {len(calls())} calls of {len(API_ROUTES)} routes, {on_both} on both sites")
    assert not problems, "\n".join(problems)
    assert len(EVERYBODY) == len(ROLES) * len(PLACES) + 2 == 18
    assert len(walked) == (len(API_ROUTES) + len(FURTHER) + on_both) * 18
    assert len(walked) > 3500


@pytest.mark.parametrize(
    ("role", "place", "reach", "site", "expected"),
    [
        ("coordinator", "everywhere", "everywhere", SITE, True),
        ("coordinator", "in the study", "everywhere", SITE, False),
        ("coordinator", "in the study", "study and site", OTHER_SITE, True),
        ("coordinator", "at the site", "study and site", SITE, True),
        ("coordinator", "at the site", "study and site", OTHER_SITE, False),
        ("coordinator", "at the site", "study", SITE, False),
        ("coordinator", "at the site", "study seen", SITE, True),
        ("coordinator", "at the site", "site", SITE, True),
        ("coordinator", "in another study", "site", SITE, False),
        ("coordinator", "in another study", "anywhere", SITE, True),
        ("researcher", "everywhere", "anywhere", SITE, False),
    ],
)
def test_what_the_matrix_expects(role: Role, place: str, reach: Any, site: str, *, expected: bool) -> None:
    route = next(route for route in API_ROUTES if route.right == "results.decide")
    assert may(route, role, place, Example(reach=reach), site) is expected
