"""Which form of an answer a client takes, as CouchDB reads `Accept` and `Accept-Encoding`.

A client that names no type takes every type: `open_revs` and `attachments=true` are then answered in parts.
PouchDB and the browsers' fetch with an explicit `application/json` get JSON; CouchDB's replicator asks for
parts by name.
"""

from collections.abc import Iterator

from aiohttp import web

from replication.wire.multipart import parse_header


def accepts(request: web.Request, content_type: str) -> bool:
    """Whether the client takes this type."""
    any_subtype = content_type.partition("/")[0] + "/*"
    weights = dict(_weighted(request.headers.get("Accept", "*/*")))
    if weights.get(content_type) == 0 or weights.get(any_subtype) == 0:
        return False
    return any(weights.get(named, 0) > 0 for named in (content_type, any_subtype, "*/*"))


def accepts_gzip(request: web.Request) -> bool:
    """Whether the client takes packed bytes."""
    weights = dict(_weighted(request.headers.get("Accept-Encoding", "")))
    return weights.get("gzip", weights.get("*", 0)) > 0


def _weighted(header: str) -> Iterator[tuple[str, float]]:
    for text in header.split(","):
        named = parse_header(text)
        try:
            yield named.value, float(named.parameters.get("q", "1"))
        except ValueError:
            yield named.value, 0.0
