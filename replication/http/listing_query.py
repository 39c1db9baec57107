"""The parameters of a listing, wherever they come from: the URL, a POST's body, or one of its `queries`.

A URL holds texts, of which keys are JSON; a body holds JSON values. Both become the same texts, and one
function reads them:

    ?startkey="a"&limit=2    {"startkey": "a", "limit": 2}    →  startkey: "a" (quoted), limit: 2
"""

from collections.abc import Mapping
from typing import TypeVar

import msgspec

from replication.errors import BadRequest, QueryParseError
from replication.http.answers import UNLIMITED, flag_in, number
from replication.http.documents import ReadOptions
from replication.store.reading import IdRange

T = TypeVar("T")


class ListQuery(msgspec.Struct, frozen=True):
    """One question to a listing. `reading` None: rows without their documents."""

    ids: IdRange
    keys: list[str] | None
    skip: int
    limit: int
    reading: ReadOptions | None
    update_seq: bool


def list_query(parameters: Mapping[str, str]) -> ListQuery:
    """The question that the parameters ask. Raises BadRequest."""
    start = _json(parameters, "startkey", str, "start_key")
    end = _json(parameters, "endkey", str, "end_key")
    key = _json(parameters, "key", str)
    if key is not None:
        start = end = key
    reading = ReadOptions(
        conflicts=flag_in(parameters, "conflicts"), attachments=flag_in(parameters, "attachments")
    )
    return ListQuery(
        ids=IdRange(
            start,
            end,
            inclusive_end=flag_in(parameters, "inclusive_end", default=True),
            descending=flag_in(parameters, "descending"),
        ),
        keys=_keys(parameters),
        skip=number(parameters.get("skip"), "skip", default=0),
        limit=number(parameters.get("limit"), "limit", default=UNLIMITED),
        reading=reading if flag_in(parameters, "include_docs") else None,
        update_seq=flag_in(parameters, "update_seq"),
    )


def _keys(parameters: Mapping[str, str]) -> list[str] | None:
    try:
        return _json(parameters, "keys", list[str])
    except BadRequest as error:
        raise QueryParseError("`keys` must be an array of strings.") from error


def texts(members: Mapping[str, msgspec.Raw]) -> dict[str, str]:
    """The members of a JSON object as a URL would hold them; null means that it is not given."""
    return {name: text for name, raw in members.items() if (text := bytes(raw).decode()) != "null"}


def _json(parameters: Mapping[str, str], name: str, kind: type[T], other_name: str = "") -> T | None:
    text = parameters.get(name, parameters.get(other_name))
    if text is None:
        return None
    try:
        return msgspec.json.decode(text, type=kind)
    except (ValueError, RecursionError) as error:
        raise BadRequest(f"{name} is not JSON of the expected kind") from error
