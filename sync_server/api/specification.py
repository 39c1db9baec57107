"""The OpenAPI 3.1 document of routes, made from what they declare.

| of a route | becomes |
|---|---|
| query struct | parameters, with their constraints |
| parts of its path | parameters |
| body struct | request body |
| answer, `status`, `also` | responses; a handler that returns None answers 204 |
| `errors`, and the general ones | responses with the error's schema |
| 428 among its errors | the header `If-Match` |
| POST in one transaction | the header `Idempotency-Key` |
| right | security, and `x-right` |
| docstring | summary and description |
"""

import re
import types
from collections.abc import Iterator, Sequence
from typing import Any, Union, get_args, get_origin

import msgspec
from aiohttp import web

from sync_server.api.call import ListQuery, Nothing, PageOf
from sync_server.api.route import Route

GENERAL_ERRORS = (400, 401, 403, 404, 413, 422, 429, 503)

_TEMPLATE = "#/components/schemas/{name}"
_ETAG = {"ETag": {"description": "The version of what was read.", "schema": {"type": "string"}}}
_BUDGET = {
    name: {"description": text, "schema": {"type": "integer"}}
    for name, text in {
        "X-RateLimit-Limit": "Requests in any minute.",
        "X-RateLimit-Remaining": "How many are left.",
        "X-RateLimit-Reset": "Seconds until the next is given back.",
    }.items()
}
_MEANINGS = {
    400: "Not JSON, or not HTTP.",
    401: "No credential, or one that is not valid.",
    403: "The credential does not allow this.",
    404: "There is no such thing, or not for this caller.",
    409: "Taken, changed meanwhile, or not in the state for this.",
    406: "No such kind of answer, or not on this server: see Accept.",
    410: "Gone.",
    412: "Somebody changed it since it was read.",
    413: "The body is too large.",
    415: "Another content type is taken.",
    422: "Not the shape, or not the values, that are taken; `details` name the path.",
    416: "The range begins behind the end.",
    428: "Send If-Match.",
    429: "Too many requests; Retry-After says when to come again.",
    503: "Something that is needed is away; try again.",
}


class ErrorTold(msgspec.Struct, frozen=True):
    """`code` is for programs, `message` for people."""

    code: str
    message: str
    details: Any = None


class Error(msgspec.Struct, frozen=True):
    """What every failure answers."""

    error: ErrorTold


def specification(routes: Sequence[Route], *, version: str, server: str) -> dict[str, Any]:
    """The document, as JSON values. Raises TypeError for a type that has no JSON schema."""
    schemas = _Schemas(routes)
    paths: dict[str, dict[str, Any]] = {}
    for route in routes:
        paths.setdefault(_path(route), {})[route.method.lower()] = _operation(route, schemas)
    return {
        "openapi": "3.1.0",
        "info": {
            "title": "Metricis Sync",
            "version": version,
            "description": "Studies, participants, tablets and what they collect. `x-right` is who may call.",
            "license": {"name": "Apache-2.0", "identifier": "Apache-2.0"},
        },
        "servers": [{"url": server}],
        "tags": [{"name": tag} for tag in dict.fromkeys(_tag(route) for route in routes)],
        "paths": paths,
        "components": {"schemas": schemas.components, "securitySchemes": _SECURITY},
    }


_SECURITY = {
    "person": {"type": "http", "scheme": "bearer", "bearerFormat": "JWT"},
    "password": {"type": "oauth2", "flows": {"password": {"tokenUrl": "/api/auth/login", "scopes": {}}}},
    "device": {"type": "http", "scheme": "bearer", "description": "The credential of an enrolled device."},
}


class _Schemas:
    """JSON schemas of all types that the routes name, and the components that they refer to."""

    def __init__(self, routes: Sequence[Route]) -> None:
        wanted: list[Any] = [Error]
        for route in routes:
            wanted += [route.query, *(each for _, each in _answers(route) if _is_schema(each))]
            if _is_schema(route.body):
                wanted.append(route.body)
        # By identity: a parametrised type is made anew each time it is asked for, and equal.
        found, components = msgspec.json.schema_components(wanted, ref_template=_TEMPLATE)
        self.components: dict[str, Any] = dict(components)
        self._by_type = {repr(kind): schema for kind, schema in zip(wanted, found, strict=True)}

    def of(self, kind: Any) -> dict[str, Any]:
        """The schema of a type."""
        return dict(self._by_type[repr(kind)])

    def resolved(self, kind: Any) -> dict[str, Any]:
        """The same, written out where it is a component."""
        return self._resolve(self.of(kind))

    def of_wanted_fields(self, kind: Any) -> dict[str, Any]:
        """The schema of a page whose reader may ask for some fields only."""
        page = self.resolved(kind)
        rows = page["properties"]["data"]
        row = self._resolve(rows["items"])
        partial = {
            **page,
            "title": f"{page['title']} of some fields",
            "properties": {**page["properties"], "data": {**rows, "items": {**row, "required": []}}},
        }
        return {"anyOf": [self.of(kind), partial]}

    def _resolve(self, schema: dict[str, Any]) -> dict[str, Any]:
        if "$ref" not in schema:
            return dict(schema)
        return dict(self.components[schema["$ref"].removeprefix(_TEMPLATE.format(name=""))])


def _operation(route: Route, schemas: _Schemas) -> dict[str, Any]:
    operation: dict[str, Any] = {
        "operationId": re.sub(r"\W+", "_", f"{route.method.lower()}{route.path}").strip("_"),
        "tags": [_tag(route)],
        "summary": route.summary,
        "description": route.description,
        "x-right": route.right,
        "security": _security(route),
        "parameters": list(_parameters(route, schemas)),
        "responses": {str(status): told for status, told in sorted(_responses(route, schemas))},
    }
    if route.body is not Nothing:
        schema = schemas.of(route.body) if _is_schema(route.body) else {}
        operation["requestBody"] = {"required": True, "content": {route.consumes: {"schema": schema}}}
    return operation


def _security(route: Route) -> list[dict[str, list[str]]]:
    match route.right:
        case "public":
            return []
        case "device":
            return [{"device": []}]
        case _:
            return [{"person": []}, {"password": []}]


def _parameters(route: Route, schemas: _Schemas) -> Iterator[dict[str, Any]]:
    for name in re.findall(r"{(\w+)", route.path):
        schema = {"type": "string", "minLength": 1}
        yield {"name": name, "in": "path", "required": True, "schema": schema}
    query = schemas.resolved(route.query)
    for name, schema in query.get("properties", {}).items():
        is_required = name in query.get("required", ())
        yield {"name": name, "in": "query", "required": is_required, "schema": _parameter(schema)}
    if 428 in route.errors:
        yield _header("If-Match", "The ETag of what was read, or * to overwrite what is there.")
    if route.heeds_key:
        text = "Sent again with the same key and body, the request is done once and answered the same."
        yield _header("Idempotency-Key", text, minLength=1, maxLength=255)


def _header(name: str, text: str, **schema: Any) -> dict[str, Any]:
    return {
        "name": name,
        "in": "header",
        "required": False,
        "description": text,
        "schema": {"type": "string", **schema},
    }


def _parameter(schema: dict[str, Any]) -> dict[str, Any]:
    """Without null, which no query string can say: what is absent is left out."""
    alternatives = [each for each in schema.get("anyOf", ()) if each != {"type": "null"}]
    kept = {name: value for name, value in schema.items() if name != "anyOf"}
    if kept.get("default", ...) is None:
        del kept["default"]
    match alternatives:
        case []:
            return kept
        case [only]:
            return {**only, **kept}
        case _:
            return {"anyOf": alternatives, **kept}


def _responses(route: Route, schemas: _Schemas) -> Iterator[tuple[int, dict[str, Any]]]:
    told = set()
    for status, kind in _answers(route):
        if status in told:
            continue
        told.add(status)
        yield status, _response(route, kind, schemas)
    conflict = (409,) if route.secret and route.heeds_key else ()
    for status in sorted({*GENERAL_ERRORS, *route.errors, *conflict} - told):
        content: dict[str, Any] = {"application/json": {"schema": schemas.of(Error)}}
        if status == 400:
            # What is no HTTP never gets as far as to the API.
            content["text/plain"] = {}
        yield status, {"description": _MEANINGS.get(status, "Failure."), "content": content}


def _response(route: Route, kind: Any, schemas: _Schemas) -> dict[str, Any]:
    headers = dict(_BUDGET)
    response: dict[str, Any] = {"description": route.summary or "Done.", "headers": headers}
    if kind is None:
        return response
    if not _is_schema(kind):
        response["content"] = {route.produces: {}}
        return response
    if "row_version" in getattr(kind, "__struct_fields__", ()):
        headers.update(_ETAG)
    by_fields = issubclass(route.query, ListQuery) and _is_page(kind)
    schema = schemas.of_wanted_fields(kind) if by_fields else schemas.of(kind)
    others: dict[str, Any] = {media: {} for media in route.also_produces}
    response["content"] = {"application/json": {"schema": schema}, **others}
    return response


def _answers(route: Route) -> list[tuple[int, Any]]:
    """Statuses of success and what they are answered with: a type, None, or what has no schema."""
    answer = route.answer
    if route.plain and answer is None:
        own: list[Any] = [web.StreamResponse]
    elif get_origin(answer) in (Union, types.UnionType):
        own = [None if each is types.NoneType else each for each in get_args(answer)]
    else:
        own = [None if answer is types.NoneType else answer]
    own.sort(key=lambda kind: not _is_schema(kind))
    return [(204 if kind is None else route.status, kind) for kind in own] + list(route.also.items())


def _is_schema(kind: Any) -> bool:
    is_response = isinstance(kind, type) and issubclass(kind, web.StreamResponse)
    return not (kind is None or kind is Nothing or kind is bytes or is_response)


def _is_page(kind: Any) -> bool:
    origin = get_origin(kind) or kind
    return isinstance(origin, type) and issubclass(origin, PageOf)


def _path(route: Route) -> str:
    return re.sub(r"{(\w+):[^}]*}", r"{\1}", route.path)


def _tag(route: Route) -> str:
    return route.path.removeprefix("/api/").partition("/")[0]
