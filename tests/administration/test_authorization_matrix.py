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
from tests.administration.authorization import (
    EXAMPLES,
    OTHER_SITE,
    PLACES,
    ROLES,
    SITE,
    Example,
    filled,
    may,
)
from tests.administration.served import Served

AT_ONCE = 8

PRINCIPALS: list[tuple[Role, str]] = [(role, place) for role in ROLES for place in PLACES]
EVERYBODY: list[tuple[Role, str] | str] = ["nobody", "garbage", *PRINCIPALS]


def test_every_route_says_who_may_call_it_and_has_an_example() -> None:
    known = {*RIGHTS, "own account", "device", "public"}
    assert [route.path for route in API_ROUTES if route.right not in known] == []
    needed = {(route.method, route.path) for route in API_ROUTES if route.right not in ("public", "device")}
    missing = sorted(needed - EXAMPLES.keys())
    assert missing == [], "add an Example of each to EXAMPLES in tests/administration/authorization.py"
    assert sorted(EXAMPLES.keys() - needed) == [], "no route has these examples any more"
    assert len({(route.method, route.path) for route in API_ROUTES}) == len(API_ROUTES)


def cells() -> Iterator[tuple[Route, Example, str, tuple[Role, str] | str]]:
    """(route, example, site, principal): 18 principals on 2 sites for each route."""
    for route in API_ROUTES:
        example = EXAMPLES.get((route.method, route.path), Example())
        for site in (SITE, OTHER_SITE):
            for principal in EVERYBODY:
                yield route, example, site, principal


def problem_of(
    route: Route, example: Example, site: str, principal: tuple[Role, str] | str, status: int
) -> str | None:
    """What is wrong with this answer; None: nothing."""
    if route.right == "public":
        right = status not in (403, 500)
    elif isinstance(principal, str) or route.right == "device":
        right = status == 401
    elif may(route, *principal, example.reach, site):
        refusals = (401, 403) if example.may_be_missing else (401, 403, 404)
        right = status not in refusals and status < 500
    elif route.right != "own account" and principal[0] not in RIGHTS[route.right]:
        right = status == 403
    else:
        right = status in (403, 404)
    return None if right else f"{principal} at {site}: {route.method} {route.path} answers {status}"


async def test_everybody_may_do_what_the_policy_says_and_nothing_else(service: Served) -> None:
    turn = asyncio.Semaphore(AT_ONCE)

    async def ask(route: Route, example: Example, site: str, principal: tuple[Role, str] | str) -> str | None:
        headers = {"Content-Type": "application/json"}
        if principal != "nobody":
            token = "garbage" if isinstance(principal, str) else service.tokens[principal]
            headers["Authorization"] = f"Bearer {token}"
        parts = {name: quote(filled(value, site), safe="") for name, value in example.path.items()}
        path = route.path
        for name in example.path:
            path = path.replace("{" + name + "}", parts[name])
        body = None if example.body is None else json.dumps(filled(example.body, site))
        url = service.base_url + path.replace("{", "").replace("}", "")
        query: Any = filled(dict(example.query), site)
        async with (
            turn,
            http.request(
                route.method, url, params=query, data=body, headers=headers, allow_redirects=False
            ) as answer,
        ):
            await answer.read()
            return problem_of(route, example, site, principal, answer.status)

    walked = list(cells())
    async with aiohttp.ClientSession() as http:
        found = await asyncio.gather(*(ask(*cell) for cell in walked))
    problems = [each for each in found if each is not None]
    print(f"\n{len(walked)} cells: {len(API_ROUTES)} routes, {len(PRINCIPALS) + 2} principals, 2 sites")
    assert problems == []
    assert len(walked) == len(API_ROUTES) * 2 * (len(ROLES) * len(PLACES) + 2)


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
    assert may(route, role, place, reach, site) is expected
