"""The service under requests made from its own specification, as everybody: it never fails, and answers only
what it says that it answers.

`FUZZ_REQUESTS` is about how many requests are made, shared by the routes; where it is set, they are others
each time. Half of them are made as who may do everything, and half overwrite whatever version there is: the
others hardly get beyond the door.
"""

import os
from collections.abc import Callable, Iterator
from typing import Any, cast

import pytest
import requests
import schemathesis
from hypothesis import HealthCheck, Phase, given, settings
from hypothesis import strategies as st
from schemathesis.checks import not_a_server_error
from schemathesis.core.failures import FailureGroup
from schemathesis.specs.openapi.checks import (
    content_type_conformance,
    response_schema_conformance,
    status_code_conformance,
)

from sync_server.api.routes import API_ROUTES
from tests.administration.authorization import PLACES, ROLES
from tests.administration.served import Served, served
from tests.embedded.supervised import SupervisedSystem

IS_SEARCH = "FUZZ_REQUESTS" in os.environ
EXAMPLES = max(3, int(os.environ.get("FUZZ_REQUESTS", "300")) // len(API_ROUTES))

ADMIN = 2 + len(PLACES) * ROLES.index("admin")
"""The place among the tokens of an admin everywhere."""

CHECKS = [
    not_a_server_error,
    status_code_conformance,
    content_type_conformance,
    response_schema_conformance,
]

EXCLUDED: dict[tuple[str, str], str] = {
    ("GET", "/api/docs/{asset}"): "files of the page, of several content types",
}
"""Routes that are not asked, each with the reason."""


@pytest.fixture(scope="module")
def fuzzed(
    postgres_server: SupervisedSystem, redis_url: str, dropping: Callable[[str], None]
) -> Iterator[Served]:
    """A service of its own: admins are asked to change what they like."""
    with served(postgres_server, redis_url, dropping) as running:
        yield running


def test_service_answers_what_its_specification_says(fuzzed: Served) -> None:
    document = requests.get(f"{fuzzed.base_url}/api/openapi.json", timeout=30).json()
    schema = schemathesis.openapi.from_dict(document)
    tokens = [None, "garbage", *(fuzzed.tokens[role, place] for role in ROLES for place in PLACES)]
    asked: set[tuple[str, str]] = set()
    problems: list[str] = []
    with requests.Session() as session:
        # One connection each: cases take seconds to be made, and a server closes what is idle.
        session.headers["Connection"] = "close"
        for result in schema.get_all_operations():
            operation: Any = cast("Any", result).ok()
            key = (operation.method.upper(), operation.path)
            if key not in EXCLUDED:
                asked.add(key)
                problems += _problems(operation, fuzzed.base_url, session, tokens)
    assert not problems, "\n\n".join(problems)
    told = {(method.upper(), path) for path, each in document["paths"].items() for method in each}
    assert asked == told - EXCLUDED.keys()
    assert EXCLUDED.keys() <= told


def _problems(
    operation: Any, base_url: str, session: requests.Session, tokens: list[str | None]
) -> list[str]:
    modes = [schemathesis.GenerationMode.POSITIVE]
    if list(operation.iter_parameters()) or operation.body:
        modes.append(schemathesis.GenerationMode.NEGATIVE)
    cases = st.one_of([operation.as_strategy(generation_mode=mode) for mode in modes])

    @settings(
        max_examples=EXAMPLES,
        deadline=None,
        derandomize=not IS_SEARCH,
        database=None,
        phases=[Phase.generate],
        suppress_health_check=list(HealthCheck),
    )
    @given(
        case=cases,
        token=st.one_of(st.just(tokens[ADMIN]), st.sampled_from(tokens)),
        overwrites=st.booleans(),
    )
    def ask(case: Any, token: str | None, *, overwrites: bool) -> None:
        # Its own credential, whatever was made up for the case.
        headers = {name: value for name, value in (case.headers or {}).items() if name != "Authorization"}
        if overwrites:
            headers["If-Match"] = "*"
        case.headers = headers if token is None else {**headers, "Authorization": f"Bearer {token}"}
        response = case.call(base_url=base_url, session=session, timeout=30)
        case.validate_response(response, checks=CHECKS)

    try:
        ask()
    except (FailureGroup, Exception) as error:  # noqa: BLE001 (all of them are told together)
        return [f"{operation.method.upper()} {operation.path}: {_all_of(error)}"]
    return []


def _all_of(error: BaseException) -> str:
    """The error, and those in it."""
    inner = error.exceptions if isinstance(error, BaseExceptionGroup) else ()
    return "\n".join([f"{type(error).__name__}: {error}", *(_all_of(each) for each in inner)])
