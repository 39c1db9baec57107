"""The API's own specification: valid, whole, and true."""

import json
import re

import msgspec
from openapi_spec_validator import OpenAPIV31SpecValidator

from sync_server.api.call import Call, ListQuery, Nothing, PageOf
from sync_server.api.route import get, plain, post
from sync_server.api.routes import API_ROUTES
from sync_server.api.specification import specification
from tests.administration.office import Office


class Thing(msgspec.Struct, frozen=True):
    """A thing."""

    name: str
    row_version: int


class ThingsQuery(ListQuery, frozen=True, kw_only=True):
    """Which."""

    kind: str | None = None


async def list_things(call: Call[ThingsQuery, Nothing]) -> PageOf[Thing]:
    """List things.

    All of them.
    """
    raise NotImplementedError


async def make_thing(call: Call[Nothing, Thing]) -> Thing | None:
    """Make a thing."""
    raise NotImplementedError


async def hand_out(request: object) -> None:
    """Hand out a file."""


async def test_specification_is_valid_served_and_names_every_route(office: Office) -> None:
    answer = await office.api.get("/api/openapi.json")
    assert answer.status == 200
    document = answer.body
    OpenAPIV31SpecValidator(document).validate()
    told = {(method.upper(), path) for path, methods in document["paths"].items() for method in methods}
    assert told == {(route.method, route.path) for route in API_ROUTES}
    operations = [each for methods in document["paths"].values() for each in methods.values()]
    assert all(each["summary"] and each["tags"] for each in operations)
    assert len({each["operationId"] for each in operations}) == len(operations)
    for route in API_ROUTES:
        operation = document["paths"][route.path][route.method.lower()]
        assert operation["x-right"] == route.right
        assert bool(operation["security"]) is (route.right != "public")
        assert {"401", "422", "429", "503"} <= operation["responses"].keys()


async def test_page_needs_no_other_server_and_runs_no_script_of_the_page_itself(office: Office) -> None:
    page = await office.api.get("/api/docs")
    policy = page.headers["Content-Security-Policy"]
    assert "script-src 'self';" in policy
    assert "default-src 'none'" in policy
    assert "//" not in page.body
    for asset, kind in (
        ("swagger-ui-bundle.js", "text/javascript"),
        ("start.js", "text/javascript"),
        ("swagger-ui.css", "text/css"),
    ):
        assert f"docs/{asset}" in page.body
        answer = await office.api.get(f"/api/docs/{asset}")
        assert (answer.status, answer.headers["Content-Type"].partition(";")[0]) == (200, kind)
    for asset in ("index.html", "..%2F__init__.py", "none"):
        assert (await office.api.get(f"/api/docs/{asset}")).error == (404, "not_found")


def test_specification_says_what_routes_declare() -> None:
    routes = [
        get("/api/things", list_things, right="studies.read"),
        post("/api/things", make_thing, right="studies.write", status=201, errors=(412, 428), secret=True),
        plain("GET", "/api/things/{id}/file", hand_out, right="device", produces="text/csv"),
    ]
    document = specification(routes, version="1", server="/")
    OpenAPIV31SpecValidator(json.loads(json.dumps(document))).validate()
    things = document["paths"]["/api/things"]
    parameters = {each["name"]: each for each in things["get"]["parameters"]}
    assert parameters["per_page"]["schema"] == {
        "type": "integer",
        "minimum": 1,
        "maximum": 500,
        "default": 50,
    }
    assert parameters["kind"]["schema"] == {"type": "string"}
    assert things["get"]["description"] == "List things.\n\nAll of them."
    whole, some = things["get"]["responses"]["200"]["content"]["application/json"]["schema"]["anyOf"]
    assert whole == {"$ref": "#/components/schemas/PageOf_Thing_"}
    assert some["properties"]["data"]["items"]["required"] == []
    made = things["post"]
    assert made["responses"].keys() >= {"201", "204", "409", "412", "428"}
    assert "ETag" in made["responses"]["201"]["headers"]
    assert {each["name"] for each in made["parameters"]} == {"If-Match", "Idempotency-Key"}
    assert made["requestBody"]["content"].keys() == {"application/json"}
    file = document["paths"]["/api/things/{id}/file"]["get"]
    assert file["responses"]["200"]["content"] == {"text/csv": {}}
    assert (file["security"], file["parameters"][0]["name"]) == ([{"device": []}], "id")


def test_patterns_mean_the_same_to_every_reader() -> None:
    """`$` lets a line feed follow in Python, `\\Z` and `\\A` are not known elsewhere."""
    document = specification(API_ROUTES, version="1", server="/")
    patterns = set(re.findall(r'"pattern":"((?:[^"\\]|\\.)*)"', msgspec.json.encode(document).decode()))
    spelt = {json.loads(f'"{pattern}"') for pattern in patterns}
    assert len(spelt) > 5
    assert [each for each in spelt if r"\Z" in each or r"\A" in each] == []
    assert [each for each in spelt if "$" in each.replace(r"$(?!\n)", "")] == []
