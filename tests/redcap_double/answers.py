"""How answers look on the wire: JSON, CSV or XML; errors in the format of the answer."""

import csv
import io
import json
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any
from xml.sax.saxutils import escape

from tests.redcap_double.refusals import Refusal

_TYPES = {"json": "application/json", "csv": "text/csv", "xml": "text/xml"}
HTML_TYPE = "text/html"


@dataclass(frozen=True, slots=True)
class Answer:
    """What is sent back."""

    status: int
    body: bytes
    content_type: str = _TYPES["json"]
    """With its parameters; text is UTF-8."""


def data(rows: Any, form: str) -> Answer:
    """A list of flat rows, or one of them for `content=project`."""
    if form == "json":
        text = json.dumps(rows, separators=(",", ":"), ensure_ascii=False)
    elif form == "csv":
        text = _csv([rows] if isinstance(rows, dict) else rows)
    else:
        text = _xml([rows] if isinstance(rows, dict) else rows)
    return Answer(200, text.encode(), f"{_TYPES[form]}; charset=utf-8")


def plain(text: str, form: str) -> Answer:
    """A bare value, as a count of deleted records."""
    return Answer(200, text.encode(), f"{_TYPES[form]}; charset=utf-8")


def refused(refusal: Refusal, form: str) -> Answer:
    """`{"error": …}`, `ERROR: …`, or `<hash><error>…`."""
    if form == "json":
        text = json.dumps({"error": refusal.message})
    elif form == "csv":
        text = f"ERROR: {refusal.message}"
    else:
        text = f'<?xml version="1.0" encoding="UTF-8" ?><hash><error>{escape(refusal.message)}</error></hash>'
    return Answer(refusal.status, text.encode(), f"{_TYPES[form]}; charset=utf-8")


def html(status: int, title: str, text: str) -> Answer:
    """A page, as proxies and maintenance send."""
    page = f"<!DOCTYPE html><html><head><title>{title}</title></head><body><p>{text}</p></body></html>"
    return Answer(status, page.encode(), f"{HTML_TYPE}; charset=utf-8")


def _csv(rows: Sequence[dict[str, Any]]) -> str:
    if not rows:
        return "\n"
    written = io.StringIO()
    writer = csv.DictWriter(written, list(rows[0]), lineterminator="\n")
    writer.writeheader()
    writer.writerows(rows)
    return written.getvalue()


def _xml(rows: Sequence[dict[str, Any]]) -> str:
    items = "".join(
        "<item>"
        + "".join(f"<{name}>{escape(str(value))}</{name}>" for name, value in row.items())
        + "</item>"
        for row in rows
    )
    return f'<?xml version="1.0" encoding="UTF-8" ?><records>{items}</records>'
