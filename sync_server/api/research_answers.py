"""Answers of `/api/research/{dataset}` in the kinds that `Accept` may ask for.

| kind | `Accept` | rows | where the rest stands |
|---|---|---|---|
| JSON | `application/json`, or nothing | objects, in `data` | members `next`, `sites` |
| NDJSON | `application/x-ndjson` | an object a line | headers |
| CSV | `text/csv` | RFC 4180, a header; null is nothing, empty text `""` | headers |
| Arrow | `application/vnd.apache.arrow.stream` | one stream of record batches | headers |

Headers: `Research-Next` (the cursor of the next page; absent: there is none), `Complete-Through` (of the
site that is furthest behind; or `unknown`), `Outstanding-Documents`, `Quarantined-Documents` (sums over
sites). A page is made before it is sent, so that its headers can be sent first.

Arrow needs the extra `exports`; where it is not installed, that is answered (406).
"""

from collections.abc import Callable, Sequence
from datetime import datetime
from io import BytesIO
from typing import Any, Final, NamedTuple

import msgspec
from aiohttp import web

from reporting.research.standing import SiteStanding, earliest
from reporting.research.variables import Type
from sync_server.errors import NotAcceptable
from sync_server.exports.cells import csv_cell

JSON: Final = "application/json"
NDJSON: Final = "application/x-ndjson"
CSV: Final = "text/csv"
ARROW: Final = "application/vnd.apache.arrow.stream"

_encode = msgspec.json.Encoder().encode


class Column(NamedTuple):
    """A column of an answer. Cells of type JSON are text."""

    name: str
    type: Type


class Found(NamedTuple):
    """Rows, where to go on, and how complete they are."""

    columns: Sequence[Column]
    rows: Sequence[Sequence[Any]]
    next: str | None
    sites: Sequence[SiteStanding]


class ResearchPage(msgspec.Struct, frozen=True):
    """Rows as objects. `next`: the cursor of the next page; null: this is the last one. A page may be short,
    or empty, and not be the last. `sites`: how complete the data are.
    """

    data: list[dict[str, Any]]
    next: str | None
    sites: list[SiteStanding]


def kind_wanted(accept: Sequence[str]) -> str:
    """The media type that an `Accept` header (its lines) prefers. Raises NotAcceptable."""
    asked = [_preference(each) for each in ",".join(accept).split(",") if each.strip()] or [("*/*", 1.0)]
    best: tuple[float, str] | None = None
    for kind in _WRITERS:
        ranges = (kind, kind.partition("/")[0] + "/*", "*/*")
        # The most precise range counts, however it is rated.
        rated = next((quality for wanted in ranges for media, quality in asked if media == wanted), 0.0)
        if rated > 0 and (best is None or rated > best[0]):
            best = rated, kind
    if best is None:
        raise NotAcceptable(f"Answers are {', '.join(_WRITERS)}.", details={"kinds": list(_WRITERS)})
    return best[1]


def answer_of(found: Found, kind: str) -> web.Response:
    """The answer in this kind. Raises NotAcceptable where this server cannot make it."""
    response = web.Response(body=_WRITERS[kind](found), content_type=kind)
    if kind != ARROW:
        response.charset = "utf-8"
    response.headers["Vary"] = "Accept"
    if kind != JSON:
        response.headers.update(_headers(found))
    return response


def _preference(text: str) -> tuple[str, float]:
    media, *parameters = (part.strip() for part in text.split(";"))
    quality = 1.0
    for parameter in parameters:
        name, _, value = parameter.partition("=")
        if name.strip().lower() == "q":
            try:
                quality = float(value)
            except ValueError:
                quality = 0.0
    return media.lower(), quality


def _headers(found: Found) -> dict[str, str]:
    complete = earliest(found.sites)
    told = {
        "Complete-Through": "unknown" if complete is None else _moment(complete),
        "Outstanding-Documents": str(sum(each.documents_outstanding for each in found.sites)),
        "Quarantined-Documents": str(sum(each.quarantined for each in found.sites)),
    }
    return told if found.next is None else {**told, "Research-Next": found.next}


def _moment(moment: datetime) -> str:
    text: str = msgspec.to_builtins(moment)
    return text


def _objects(found: Found) -> list[dict[str, Any]]:
    names = [column.name for column in found.columns]
    of_json = [n for n, column in enumerate(found.columns) if column.type is Type.JSON]
    if not of_json:
        return [dict(zip(names, row, strict=True)) for row in found.rows]
    objects = []
    for row in found.rows:
        cells = list(row)
        for n in of_json:
            if cells[n] is not None:
                cells[n] = msgspec.Raw(cells[n].encode())
        objects.append(dict(zip(names, cells, strict=True)))
    return objects


def _json(found: Found) -> bytes:
    return _encode(ResearchPage(_objects(found), found.next, list(found.sites)))


def _ndjson(found: Found) -> bytes:
    return msgspec.json.Encoder().encode_lines(_objects(found))


def _csv(found: Found) -> bytes:
    lines = [",".join(column.name for column in found.columns)]
    lines += [",".join([csv_cell(cell) for cell in row]) for row in found.rows]
    return "".join(line + "\r\n" for line in lines).encode()


def _arrow(found: Found) -> bytes:
    try:
        import pyarrow as pa  # noqa: PLC0415 (an extra, and slow to import)
    except ImportError as error:
        raise NotAcceptable(
            f"{ARROW} needs `pip install metricis-sync[exports]` on this server; it answers"
            f" {JSON}, {NDJSON} and {CSV}.",
            details={"kinds": [JSON, NDJSON, CSV]},
        ) from error
    types = {
        Type.TEXT: pa.string(),
        Type.INTEGER: pa.int64(),
        Type.NUMBER: pa.float64(),
        Type.BOOLEAN: pa.bool_(),
        Type.DATE: pa.date32(),
        Type.TIMESTAMP: pa.timestamp("us", "UTC"),
        Type.JSON: pa.string(),
    }
    schema = pa.schema([(column.name, types[column.type]) for column in found.columns])
    cells = zip(*found.rows, strict=True) if found.rows else ([] for _ in found.columns)
    arrays = [pa.array(list(each), field.type) for field, each in zip(schema, cells, strict=True)]
    out = BytesIO()
    with pa.ipc.new_stream(out, schema) as stream:
        stream.write_table(pa.Table.from_arrays(arrays, schema=schema))
    return out.getvalue()


_WRITERS: Final[dict[str, Callable[[Found], bytes]]] = {
    JSON: _json,
    NDJSON: _ndjson,
    CSV: _csv,
    ARROW: _arrow,
}
