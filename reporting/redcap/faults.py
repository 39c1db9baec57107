"""What came back from REDCap → what kind of fault it is, and what follows. Pure; never raises.

REDCap says most things in prose, PyCap turns refusals, timeouts and half answers into one exception, and a
proxy may answer in REDCap's place. So this reads status, body and what the connection did, and is careful
about one thing: `UnknownOutcome` wherever REDCap may have taken the rows.

| what came back | kind |
|---|---|
| refused, timeout, cut, 408, 429, 5xx, a redirect, 200 that is no JSON, anything else | UnknownOutcome |
| "ran out of server memory", 413, 504 | TooBig |
| "has been banned" | Banned |
| 401, 403, a text about rights or the token | NoRights |
| 400 with `"record","field","value","message"` a line | BadRows; Locked where all lines say so |
| 400 that names an unknown field, event, form or repeat, if only in one line | DictionaryChanged |
| 400 that says "locked" without lines | Locked, without lines |
| any other 400 (or 200 with `{"error": …}`) | Unreadable400 |

Lines are only believed where every one of them can be read; `faulty_rows` further asks that each names a
record that was sent. A value is free text, so a text could imitate lines of its own.
"""

import csv
import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any, Final, Literal

import msgspec

_LONGEST: Final = 2000
_TOKEN: Final = re.compile(r"(?<![0-9A-Za-z])[0-9A-Fa-f]{32}(?![0-9A-Za-z])")
_BANNED: Final = re.compile(r"has been banned|banned due to suspected abuse", re.IGNORECASE)
_MEMORY: Final = re.compile(r"ran out of (server )?memory|allowed memory size", re.IGNORECASE)
_RIGHTS: Final = re.compile(
    r"(do(es)? not|don't|not) have (the )?(\S+ ){0,6}(permissions?|rights?|privileges?|access)"
    r"|api (import|export)[^.]{0,40} (rights?|privileges?)"
    r"|(invalid|expired) (api )?token|token (is|was) (invalid|expired|not valid)",
    re.IGNORECASE,
)
_LOCKED: Final = re.compile(r"\b(locked|e-?signed)\b", re.IGNORECASE)
_UNKNOWN: Final = re.compile(
    r"not found in the project"
    r"|not (a )?(real )?(data )?fields?\b"
    r"|(field|event|instrument|form|arm|variable)s?\b[^.]{0,80}"
    r"(do(es)? not exist|not exist|not found|(is|are|was|were) (not valid|invalid|not designated|unknown))"
    r"|not (been )?designated|(invalid|unknown|no such) (unique )?(field|event|instrument|form|variable)"
    r"|redcap_event_name|redcap_repeat_(instrument|instance)"
    r"|not (a |set up as a |enabled as a )?repeating|repeating (instrument|event|form)s?\b[^.]{0,60}\bnot\b",
    re.IGNORECASE,
)
_UNKNOWN_OF_LINE: Final = re.compile(
    r"not found in the project|(field|event|instrument|form)\b[^.]{0,60} does not exist"
    r"|not (been )?designated|exists on a repeating instrument|is not on the repeating instrument"
    r"|not (a |set up as a |enabled as a )?repeating",
    re.IGNORECASE,
)
_STRUCTURE: Final = frozenset({"redcap_event_name", "redcap_repeat_instrument", "redcap_repeat_instance"})
_FIELD: Final = re.compile(r"([a-z][a-z0-9_]*)?")
_LOOSE_LINE: Final = re.compile(r'"([^"]*)","((?:[a-z][a-z0-9_]*)?)","(.*)","([^"]*)"')


NOT_KEPT: Final = "what it said may name contacts, and is not kept"


class BadValue(msgspec.Struct, frozen=True, kw_only=True):
    """One line of a refusal. REDCap names no instance. `locked`: the cause is a lock, not the value."""

    record: str
    field: str
    value: str
    message: str
    locked: bool = False


class UnknownOutcome(msgspec.Struct, frozen=True, kw_only=True, tag=True):
    """REDCap may have taken the rows, or not."""

    text: str


class TooBig(msgspec.Struct, frozen=True, kw_only=True, tag=True):
    """The request was too much for the server. It may have taken some."""

    text: str


class Banned(msgspec.Struct, frozen=True, kw_only=True, tag=True):
    """The host refuses our address, for good."""

    text: str


class NoRights(msgspec.Struct, frozen=True, kw_only=True, tag=True):
    """The token is not valid, or its user may not do this. Nothing was taken."""

    text: str


class BadRows(msgspec.Struct, frozen=True, kw_only=True, tag=True):
    """These values were refused, and with them the whole request: nothing was taken."""

    lines: Sequence[BadValue]


class Locked(msgspec.Struct, frozen=True, kw_only=True, tag=True):
    """A form or a record is locked. Without lines it is not known which: bisect. Nothing was taken."""

    text: str
    lines: Sequence[BadValue] = ()


class DictionaryChanged(msgspec.Struct, frozen=True, kw_only=True, tag=True):
    """The project is not what the mapping was checked with. Nothing was taken."""

    text: str


class Unreadable400(msgspec.Struct, frozen=True, kw_only=True, tag=True):
    """Refused for a reason that cannot be read. Nothing was taken."""

    text: str


Fault = UnknownOutcome | TooBig | Banned | NoRights | BadRows | Locked | DictionaryChanged | Unreadable400

_PROSE: Final[tuple[tuple[re.Pattern[str], Callable[..., Fault]], ...]] = (
    (_BANNED, Banned),
    (_MEMORY, TooBig),
    (_LOCKED, Locked),
    (_RIGHTS, NoRights),
    (_UNKNOWN, DictionaryChanged),
)
"""In this order, in a refusal that is not about single values."""

Action = Literal[
    "read_back",
    "halve",
    "stop_host",
    "pause_rights",
    "park_lines",
    "park_locked",
    "pause_dictionary",
    "bisect",
]


class Decision(msgspec.Struct, frozen=True):
    """What follows. `may_be_taken`: REDCap has to be asked what it has before anything is sent again;
    `is_hosts`: counts for the host's circuit breaker.
    """

    action: Action
    may_be_taken: bool
    is_hosts: bool


DECISIONS: Final[Mapping[type, Decision]] = {
    UnknownOutcome: Decision("read_back", may_be_taken=True, is_hosts=True),
    TooBig: Decision("halve", may_be_taken=True, is_hosts=False),
    Banned: Decision("stop_host", may_be_taken=False, is_hosts=True),
    NoRights: Decision("pause_rights", may_be_taken=False, is_hosts=False),
    BadRows: Decision("park_lines", may_be_taken=False, is_hosts=False),
    Locked: Decision("park_locked", may_be_taken=False, is_hosts=False),
    DictionaryChanged: Decision("pause_dictionary", may_be_taken=False, is_hosts=False),
    Unreadable400: Decision("bisect", may_be_taken=False, is_hosts=False),
}
"""By kind, as in docs/REDCAP.md. `Locked` without lines is bisected."""


def decide(fault: Fault) -> Decision:
    """What follows from it."""
    if isinstance(fault, Locked) and not fault.lines:
        return DECISIONS[Unreadable400]
    return DECISIONS[type(fault)]


def classify(
    status: int | None, body: bytes | str, content_type: str = "", exception: str | None = None
) -> Fault | None:
    """The kind of fault, or None: a 200 with JSON that is no error.

    `exception` names what the connection did (refused, timeout, cut, …) where there is no whole answer.
    """
    text = body if isinstance(body, str) else body.decode("utf-8", errors="replace")
    if exception is not None or status is None:
        return UnknownOutcome(text=_short(f"{exception or 'no answer'} {text}".strip()))
    answer = _json(text)
    is_success = 200 <= status < 300
    error = answer["error"] if isinstance(answer, dict) and "error" in answer else None
    if status in {400, 406} or (is_success and error is not None):
        return _refused(text if error is None else str(error), _listed_lines(answer))
    if not is_success or answer is None:
        return _no_answer(status, text if error is None else str(error), content_type)
    return None


def without_words(fault: Fault) -> Fault:
    """The same without what was said of values, where these are of contacts: texts quote them, cut or
    spelled otherwise, so nothing of a text is kept; of lines, record, field and message.
    """
    if isinstance(fault, BadRows):
        return BadRows(lines=[_without_value(line) for line in fault.lines])
    if isinstance(fault, Locked):
        return Locked(text=NOT_KEPT, lines=[_without_value(line) for line in fault.lines])
    return type(fault)(text=NOT_KEPT)


def _without_value(line: BadValue) -> BadValue:
    told = line.message.replace(line.value, "…") if line.value else line.message
    return msgspec.structs.replace(line, value="…", message=told)


def faulty_rows(lines: Sequence[BadValue], records: Sequence[str]) -> dict[int, list[BadValue]] | None:
    """The lines by the index of the row whose record they name; None where one names none that was sent.

    `records` are those of the request's rows, in order, each once. REDCap writes `7 (visit_1_arm_1)` for
    record 7 in longitudinal projects.
    """
    index = {record.strip(): position for position, record in enumerate(records)}
    found: dict[int, list[BadValue]] = {}
    for line in lines:
        position = next((index[name] for name in _names(line.record.strip()) if name in index), None)
        if position is None:
            return None
        found.setdefault(position, []).append(line)
    return found


def _names(record: str) -> Iterator[str]:
    """What the record may be called: as it stands, or without the event in parentheses behind it."""
    yield record
    while record.endswith(")") and " (" in record:
        name = record.rpartition(" (")[0].rstrip()
        yield name
        record = f"{name})"


def _no_answer(status: int, text: str, content_type: str) -> Fault:
    """Neither taken nor refused with a reason: by the text, then by the status."""
    said = _short(f"{status} {content_type}: {text}" if content_type else f"{status} {text}")
    if _BANNED.search(text):
        return Banned(text=said)
    if status in {413, 504} or _MEMORY.search(text):
        return TooBig(text=said)
    return NoRights(text=said) if status in {401, 403} else UnknownOutcome(text=said)


def _refused(text: str, listed: list[BadValue]) -> Fault:
    """Lines first: their values are free text, and may say anything."""
    lines = listed or _lines(text.strip().removeprefix("ERROR:").lstrip())
    said = _short(text)
    if not lines:
        return _refused_in_prose(said)
    if any(line.field in _STRUCTURE or _UNKNOWN_OF_LINE.search(line.message) for line in lines):
        return DictionaryChanged(text=said)
    return Locked(text=said, lines=lines) if all(line.locked for line in lines) else BadRows(lines=lines)


def _refused_in_prose(text: str) -> Fault:
    """What begins like a line and is none may quote a value: nothing in it is believed."""
    if not text.lstrip().startswith('"'):
        for pattern, kind in _PROSE:
            if pattern.search(text):
                return kind(text=text)
    return Unreadable400(text=text)


def _lines(text: str) -> list[BadValue]:
    """All lines, or none: a text of which a part cannot be read is not believed."""
    return [_line(*row) for row in _strict_rows(text) or _loose_rows(text)]


def _line(record: str, field: str, value: str, message: str) -> BadValue:
    return BadValue(
        record=record,
        field=field,
        value=_short(value),
        message=_short(message),
        locked=_LOCKED.search(message) is not None,
    )


def _strict_rows(text: str) -> list[list[str]]:
    text = text.strip().replace("\r\n", "\n").replace("\r", "\n")
    if not text.startswith('"') or "\0" in text:
        return []
    try:
        rows = [row for row in csv.reader(text.splitlines(keepends=True), strict=True) if row]
    except csv.Error:
        return []
    is_readable = all(len(row) == 4 and _FIELD.fullmatch(row[1]) and row[3] for row in rows)
    return rows if is_readable else []


def _loose_rows(text: str) -> list[list[str]]:
    """Values whose quotes are not doubled, where each line can still be told apart."""
    found = [_LOOSE_LINE.fullmatch(line.strip()) for line in text.strip().splitlines()]
    rows = [list(match.groups()) for match in found if match is not None]
    return rows if len(rows) == len(found) else []


def _listed_lines(answer: Any) -> list[BadValue]:
    """The form of some older versions: `{"error": …, "records": [{"record": …, "field_name": …, …}]}`."""
    listed = answer.get("records") if isinstance(answer, dict) else None
    if not isinstance(listed, list) or not all(isinstance(line, dict) for line in listed):
        return []
    return [
        _line(*(str(line.get(name, "")) for name in ("record", "field_name", "value", "message")))
        for line in listed
    ]


def _json(text: str) -> Any:
    """None where it is none. REDCap never answers `null`."""
    try:
        return msgspec.json.decode(text)
    except (msgspec.DecodeError, UnicodeEncodeError, RecursionError):
        return None


def _short(text: str) -> str:
    """Never a token, whatever a server echoes, and not a page of HTML."""
    return _TOKEN.sub("…", text.replace("\0", "�"))[:_LONGEST]
