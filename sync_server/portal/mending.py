"""The patch of a quarantined session, as a form says it: another value at the place that is wrong, or a JSON
merge patch. Pure.

| said | patch |
|---|---|
| a value, and what it is | it, at the place that is wrong |
| the place is in an array | all of the document's member with it: an array is one value in a merge patch |
| that it is to be taken away | null there |
| a patch as JSON | that one, whatever else is said |
| neither, or what cannot be read | InvalidRequest, beside the field |
"""

from typing import Any, Final

import msgspec

from sync_server.portal.excerpts import steps_of, with_value
from sync_server.portal.forms import unreadable

HOW: Final = ("text", "number", "json", "away")
NOT_KEPT: Final = "tried"
"""The reason of what is only tried: it is asked for when it counts."""
NO_PATCH: Final = "{\n  \n}"


def patch_request(values: dict[str, Any]) -> dict[str, Any]:
    """The body of `POST /api/quarantine/patch`. Raises InvalidRequest."""
    body = {name: values[name] for name in ("site", "doc_id", "rev")}
    return {**body, "patch": _patch(values), "reason": values.get("reason", NOT_KEPT)}


def _patch(values: dict[str, Any]) -> dict[str, Any]:
    written = values.get("patch", "")
    if written.strip() not in ("", "{}", NO_PATCH) and not _is_blank(written):
        return _object(written)
    if not values.get("path"):
        raise unreadable("patch", "mending.nothing")
    steps = steps_of(values["path"])
    value = _value(values.get("how", "text"), values.get("value", ""))
    if not any(isinstance(step, int) for step in steps):
        patch: Any = value
        for step in reversed(steps):
            patch = {step: patch}
        return dict(patch)
    try:
        inside = msgspec.json.decode(values.get("inside", "null"))
        return {str(steps[0]): with_value(inside, steps[1:], value)}
    except (msgspec.DecodeError, LookupError, RecursionError) as error:
        raise unreadable("value", "mending.no_place") from error


def _value(how: str, text: str) -> Any:
    if how == "away":
        return None
    if not text:
        raise unreadable("value", "mending.no_value")
    if how == "text":
        return text
    try:
        value = msgspec.json.decode(text)
    except (msgspec.DecodeError, RecursionError) as error:
        raise unreadable("value", "mending.no_number" if how == "number" else "mending.no_json") from error
    if how == "number" and (isinstance(value, bool) or not isinstance(value, int | float)):
        raise unreadable("value", "mending.no_number")
    return value


def _object(text: str) -> dict[str, Any]:
    try:
        found = msgspec.json.decode(text)
    except (msgspec.DecodeError, RecursionError) as error:
        raise unreadable("patch", "mending.no_json") from error
    if not isinstance(found, dict):
        raise unreadable("patch", "mending.no_object")
    return found


def _is_blank(text: str) -> bool:
    return not "".join(text.split()).strip("{}")
