"""The faults with names.

| name | what happens | written? |
|---|---|---|
| `drop` | the connection is closed | no |
| `cut` | half of the answer, then the connection is closed | yes |
| `late` | nothing until the client has hung up and `released` says so, or `seconds` | yes, later |
| `html` | a page at 200 | no |
| `empty-500` | 500 without a body | no |
| `401` `408` `413` `429` `502` `503` `504` | a proxy's page | no |
| `out-of-memory` | 500, "REDCap ran out of server memory" | no |
| `ban` | the address is banned for good | no |
| `lock-record` | a person locks the record before the import is looked at | no: 400 |
| `lock-form` | a person locks the forms of the import's first row | no: 400 |
| `rights-removed` | the user loses import and export | no: 403 |
| `token-removed` | the user's token is taken away | no: 403 |
| `field-removed` | the last field sent is removed from the dictionary | no: 400 |
| `choice-removed` | the last choice of a sent choice field is removed | as the value was |
| `person-adds-instance` | a person adds the next instance of the import's form just before the import | yes |
| `rows-missing` | the last row (or those that `loses` tells) is missing from an export | - |
| `partial` | the last row of an import is not written, and the answer is honest about it | in part |
| `partial-silent` | the same, and the answer counts it all the same | in part |

The faults down to `out-of-memory` but for `cut` and `late` end in `-after` for the same with the work done.
"""

import json
from collections.abc import Callable
from dataclasses import replace
from typing import Any

from tests.redcap_double import answers
from tests.redcap_double.answers import Answer
from tests.redcap_double.faults import Call, Cut, Dropped, Fault, Reply, Wait
from tests.redcap_double.importing import INSTRUMENT, sent_rows
from tests.redcap_double.parameters import Parameters
from tests.redcap_double.records import Lock
from tests.redcap_double.refusals import Refusal, forbidden

OUT_OF_MEMORY = (
    "REDCap ran out of server memory. The request cannot be processed. "
    "Please try importing/exporting a smaller amount of data."
)

_PAGES = {
    401: "Authorization Required",
    408: "Request Time-out",
    413: "Request Entity Too Large",
    429: "Too Many Requests",
    502: "Bad Gateway",
    503: "Service Temporarily Unavailable",
    504: "Gateway Time-out",
}
_ANSWERS: dict[str, Reply] = {
    "drop": Dropped(),
    "html": answers.html(200, "Maintenance", "REDCap is offline for scheduled maintenance."),
    "empty-500": Answer(500, b"", "text/html; charset=utf-8"),
    **{str(status): answers.html(status, f"{status} {title}", "nginx") for status, title in _PAGES.items()},
    "out-of-memory": Answer(500, OUT_OF_MEMORY.encode(), "text/html; charset=utf-8"),
}

Rows = list[dict[str, str]]


def make_fault(name: str, **options: Any) -> Fault:
    """The fault of that name. Raises `ValueError` for others."""
    if name in _ANSWERS:
        return Fault(name, before=lambda call: _ANSWERS[name])  # noqa: ARG005
    if (plain := name.removesuffix("-after")) in _ANSWERS:
        return Fault(name, after=lambda call, answer: _ANSWERS[plain])  # noqa: ARG005
    if name not in _MADE:
        raise ValueError(f"no fault {name!r}; there are {', '.join(names())}")
    return replace(_MADE[name](**options), name=name)


def names() -> list[str]:
    """All names."""
    return sorted([*_ANSWERS, *(f"{name}-after" for name in _ANSWERS), *_MADE])


def _rows(call: Call) -> Rows:
    """The rows of an import; none where they cannot be read."""
    try:
        return sent_rows(call.parameters) or []
    except Refusal:
        return []


def _cut() -> Fault:
    return Fault("", after=lambda call, answer: Cut(answer, len(answer.body) // 2))  # noqa: ARG005


def _late(seconds: float | None = None, released: Callable[[], bool] | None = None) -> Fault:
    return Fault("", wait=Wait(seconds, released))


def _ban() -> Fault:
    return Fault("", before=lambda call: call.ban())


def _on_import(change: Callable[[Call, Rows], Any]) -> Fault:
    """Something changes just before the import is looked at."""

    def before(call: Call) -> None:
        record_id = call.project.dictionary.record_id
        if rows := [row for row in _rows(call) if row.get(record_id)]:
            change(call, rows)

    return Fault("", before=before, content="record", action="import")


def _lock_record() -> Fault:
    def lock(call: Call, rows: Rows) -> None:
        call.project.records.locks.add(Lock(rows[0][call.project.dictionary.record_id]))

    return _on_import(lock)


def _lock_form() -> Fault:
    def lock(call: Call, rows: Rows) -> None:
        columns = call.project.dictionary.columns()
        record_id = call.project.dictionary.record_id
        forms = {columns[name].form for name in rows[0] if name in columns and name != record_id}
        call.project.records.locks |= {Lock(rows[0][record_id], form) for form in forms}

    return _on_import(lock)


def _rights_removed() -> Fault:
    def before(call: Call) -> None:
        call.user.api_import = call.user.api_export = False

    return Fault("", before=before)


def _token_removed() -> Fault:
    def before(call: Call) -> Answer:
        call.user.token = ""
        return answers.refused(forbidden(), call.parameters.return_format)

    return Fault("", before=before)


def _field_removed() -> Fault:
    def remove(call: Call, rows: Rows) -> None:
        dictionary = call.project.dictionary
        columns = dictionary.columns()
        sent = [name for name in rows[0] if name in columns and columns[name].field_type != "complete"]
        removable = [name for name in sent if name != dictionary.record_id]
        for name in removable[-1:]:
            call.project.dictionary = dictionary.without(columns[name].field_name)

    return _on_import(remove)


def _choice_removed() -> Fault:
    def remove(call: Call, rows: Rows) -> None:
        dictionary = call.project.dictionary
        columns = dictionary.columns()
        names = [columns[name].field_name for name in rows[0] if name in columns]
        fields = [
            found
            for name in names
            if (found := dictionary.field(name)) and found.type in {"radio", "dropdown"}
        ]
        for field in fields[:1]:
            left = list(field.coded().items())[:-1]
            choices = " | ".join(f"{code}, {label}" for code, label in left)
            call.project.dictionary = dictionary.with_field(replace(field, choices=choices))

    return _on_import(remove)


def _person_adds_instance(values: dict[str, str] | None = None) -> Fault:
    def add(call: Call, rows: Rows) -> None:
        row = next((row for row in rows if row.get(INSTRUMENT)), None)
        if row is not None:
            form = row[INSTRUMENT]
            record = row[call.project.dictionary.record_id]
            event = row.get("redcap_event_name", "")
            call.write(record, values or {f"{form}_complete": "1"}, event=event, form=form)

    return _on_import(add)


def _rows_missing(loses: Callable[[dict[str, Any]], bool] | None = None) -> Fault:
    def after(call: Call, answer: Answer) -> Answer:
        if answer.status != 200 or call.parameters.format == "xml":
            return answer
        if call.parameters.format == "csv":
            return replace(answer, body=b"".join(answer.body.splitlines(keepends=True)[:-1]))
        rows = json.loads(answer.body)
        left = [row for row in rows if not loses(row)] if loses else rows[:-1]
        return answers.data(left, "json")

    return Fault("", after=after, content="record", action="export")


def _without_last(call: Call) -> Parameters:
    left = _rows(call)[:-1]
    data = {"data": json.dumps(left), "format": "json"}
    return Parameters({"returnFormat": call.parameters.return_format, **call.parameters.values, **data})


def _partial() -> Fault:
    return Fault("", before=_without_last, content="record", action="import")


def _partial_silent() -> Fault:
    def after(call: Call, answer: Answer) -> Answer:
        if answer.status != 200:
            return answer
        record_id = call.project.dictionary.record_id
        sent = list(dict.fromkeys(row[record_id] for row in _rows(call) if row.get(record_id)))
        wanted = call.parameters.text("returnContent", "count")
        return answers.plain(json.dumps(sent if wanted == "ids" else {"count": len(sent)}), "json")

    return Fault("", before=_without_last, after=after, content="record", action="import")


_MADE: dict[str, Callable[..., Fault]] = {
    "cut": _cut,
    "late": _late,
    "ban": _ban,
    "lock-record": _lock_record,
    "lock-form": _lock_form,
    "rights-removed": _rights_removed,
    "token-removed": _token_removed,
    "field-removed": _field_removed,
    "choice-removed": _choice_removed,
    "person-adds-instance": _person_adds_instance,
    "rows-missing": _rows_missing,
    "partial": _partial,
    "partial-silent": _partial_silent,
}
