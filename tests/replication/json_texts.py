"""JSON as clients may write it: any values, any spelling of the same text."""

import json
from typing import Any

from hypothesis import strategies as st

from replication.wire.decode import Incoming, decode_bulk_docs

texts = st.text(st.characters(exclude_categories=["Cs"]), max_size=8)
scalars = (
    st.none()
    | st.booleans()
    | st.integers(-(2**70), 2**70)
    | st.floats(allow_nan=False, allow_infinity=False)
    | texts
    | st.sampled_from(["[", "}{", '"', "\\", '\\"]', "\u0000", "\U0001f600"])
)
values = st.recursive(
    scalars,
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(texts, inner, max_size=4),
    max_leaves=12,
)
contents = st.dictionaries(texts.filter(lambda name: not name.startswith("_")), values, max_size=5)


@st.composite
def documents(draw: st.DrawFn) -> dict[str, Any]:
    """A replicated document."""
    document: dict[str, Any] = {"_id": f"session:{draw(st.integers(0, 9))}", **draw(contents)}
    ids = draw(st.lists(st.sampled_from(["a", "b", "0f"]), min_size=1, max_size=3))
    start = len(ids) + draw(st.integers(0, 3))
    if draw(st.booleans()):
        document["_rev"] = f"{start}-{ids[0]}"
    if "_rev" not in document or draw(st.booleans()):
        document["_revisions"] = {"start": start, "ids": ids}
    if draw(st.booleans()):
        document["_deleted"] = draw(st.booleans())
    return document


@st.composite
def spelled(draw: st.DrawFn, value: Any) -> bytes:
    """The value as JSON, indented or not, escaped or not."""
    indent = draw(st.sampled_from([None, 1]))
    return json.dumps(value, indent=indent, ensure_ascii=draw(st.booleans())).encode()


def nested(levels: int) -> bytes:
    """A JSON value that nests objects and arrays in turn, `levels` deep."""
    opened = b"".join(b'{"a":' if level % 2 else b"[" for level in range(levels))
    closed = b"".join(b"}" if level % 2 else b"]" for level in reversed(range(levels)))
    return opened + b"0" + closed


def bulk(*docs: bytes, new_edits: bytes = b"false") -> bytes:
    """The body of a `_bulk_docs` request."""
    return b'{"docs":[' + b",".join(docs) + b'],"new_edits":' + new_edits + b"}"


def decoded(*docs: bytes) -> list[Incoming]:
    """What becomes of replicated documents that arrive together."""
    return list(decode_bulk_docs(bulk(*docs)).docs)
