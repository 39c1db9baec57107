"""`filter` of a changes feed: which changes it shows, on top of what its caller may see.

filter                 shows
-------------------    ----------------------------------------------------------------------------------
`_doc_ids`             changes of the documents named in `doc_ids`
`_selector`            leaves that meet a Mango selector (POST)
`_design`              changes of design documents
`_view`                leaves for which the map function of `view` (`design/name`) emits anything
`design/name`          leaves that the function `filters.name` of `_design/design` lets through; it is given
                       the document and the request (method, path, query, headers, userCtx, secObj, peer)
"""

from collections.abc import Mapping, Sequence
from typing import Any

import msgspec

from replication.errors import BadRequest, NotFound, NotImplementedHere
from replication.http.call import Call
from replication.javascript import sandbox
from replication.mango.matching import matches
from replication.mango.refusal import QueryRefused
from replication.mango.selector import parse_selector
from replication.store.properties import read_security
from replication.store.reading import Selection
from replication.store.selecting import LeafFilter, Passes

DESIGN = "_design/"

_encode = msgspec.json.Encoder().encode
_document = msgspec.json.Decoder(dict[str, Any]).decode


class FilterBody(msgspec.Struct):
    """The body of a POST to `_changes`."""

    doc_ids: list[str] | None = None
    selector: Any = None


async def selection(call: Call, body: FilterBody, *, every_leaf: bool) -> Selection:
    """What the request asks to be shown. Raises BadRequest, Forbidden, NotFound, NotImplementedHere."""
    query = call.request.query
    name = query.get("filter")
    visible = call.access.prefixes
    match name:
        case None:
            return Selection(visible)
        case "_doc_ids":
            return Selection(visible, _doc_ids(query.get("doc_ids"), body))
        case "_selector":
            return Selection(visible, leaf_filter=LeafFilter(_by_selector(call, body), every_leaf=every_leaf))
        case "_design":
            return Selection(_designs(visible))
        case "_view":
            if "view" not in query:
                raise BadRequest("`view` filter parameter is not provided.")
            passes = await _by_map(call, *_design_and_name(query["view"], "view"))
        case _ if name.startswith("_"):
            raise BadRequest("unknown builtin filter name")
        case _:
            passes = await _by_function(call, *_design_and_name(name, "filter"))
    return Selection(visible, leaf_filter=LeafFilter(passes, every_leaf=every_leaf))


def _doc_ids(in_query: str | None, body: FilterBody) -> tuple[str, ...]:
    ids = body.doc_ids
    if ids is None and in_query is not None:
        try:
            ids = msgspec.json.decode(in_query, type=list[str])
        except (ValueError, RecursionError) as error:
            raise BadRequest("`doc_ids` filter parameter is not a JSON array of ids.") from error
    if ids is None:
        raise BadRequest("`doc_ids` filter parameter is missing.")
    return tuple(ids)


def _by_selector(call: Call, body: FilterBody) -> Passes:
    if call.request.method != "POST":
        raise BadRequest("Selector must be specified in POST payload")
    try:
        node = parse_selector(body.selector)
    except QueryRefused as error:
        raise BadRequest(f"Selector error: {error.reason}") from error
    return lambda documents: (matches(node, _document(document)) for document in documents)


def _designs(visible: tuple[str, ...] | None) -> tuple[str, ...]:
    return (DESIGN,) if visible is None else tuple(one for one in visible if one.startswith(DESIGN))


def _design_and_name(text: str, parameter: str) -> tuple[str, str]:
    design, slash, name = text.partition("/")
    if not (design and slash and name):
        raise BadRequest(f"`{parameter}` must be of the form `designname/{parameter}name`")
    return design, name


async def _by_map(call: Call, design: str, view: str) -> Passes:
    path = ("views", view, "map")
    source = await _source(call, design, path)
    return lambda documents: sandbox.sandbox_of(source).emits(path, documents)


async def _by_function(call: Call, design: str, name: str) -> Passes:
    path = ("filters", name)
    source = await _source(call, design, path)
    request = _encode(await _request(call))
    return lambda documents: sandbox.sandbox_of(source).passes(path, documents, request)


async def _source(call: Call, design: str, path: Sequence[str]) -> bytes:
    """The design document's JSON, in which there is something at the path."""
    call.check_readable(DESIGN + design)
    _, revision = await (await call.database()).winner(DESIGN + design)
    found: Any = _document(revision.body)
    for member in path:
        if not isinstance(found, dict) or member not in found:
            raise NotFound(f"missing json key: {member}")
        found = found[member]
    if not sandbox.installed():
        raise NotImplementedHere(sandbox.MISSING_ENGINE)
    return revision.body


async def _request(call: Call) -> Mapping[str, object]:
    """The request as a filter function sees it; credentials stay out."""
    request = call.request
    user = await call.sessions.current(request)
    security = await (await call.database()).read(read_security)
    hidden = ("Authorization", "Cookie", "Proxy-Authorization")
    return {
        "method": request.method,
        "path": [part for part in request.path.split("/") if part],
        "query": dict(request.query),
        "headers": {name: value for name, value in request.headers.items() if name not in hidden},
        "peer": request.remote,
        "userCtx": {"db": call.database_name, "name": user.name, "roles": user.roles},
        "secObj": security,
        "id": None,
    }
