"""Rows → the bytes of `COPY … FROM STDIN` in text format.

Half a million trials pass through here, so a task run is encoded at once: its constant columns are escaped
once, all its responses are encoded by one call, the extras of up to 64 trials by one call each, and only
numbers are formatted row by row.

The text format: columns are separated by tabs, rows end in a newline, NULL is `\\N`, and a backslash, tab,
newline or carriage return inside a value is written as `\\\\`, `\\t`, `\\n`, `\\r`. JSON has escaped its
control characters already, so of JSON only the backslashes need it.
"""

from collections.abc import Callable, Iterable, Sequence
from datetime import UTC, datetime
from typing import Any, Final, NamedTuple

import msgspec
from sqlalchemy import DateTime, Table
from sqlalchemy.dialects.postgresql import ARRAY, JSONB

from reporting.projection.rows import TaskRunTrials
from reporting.tables.views import PART_BITS

NULL: Final = "\\N"

_SPECIAL: Final = str.maketrans({"\\": "\\\\", "\t": "\\t", "\n": "\\n", "\r": "\\r"})
_encoder: Final = msgspec.json.Encoder()
_CORRECT: Final = {None: NULL, True: "t", False: "f"}

Row = Sequence[Any]
RowEncoder = Callable[[Iterable[Row]], bytes]


def row_encoder(table: Table, columns: Sequence[str]) -> RowEncoder:
    """Encodes rows whose members are these columns of `table`, in this order."""
    encoders = tuple(_column_encoder(table.c[name].type) for name in columns)

    def encode(rows: Iterable[Row]) -> bytes:
        lines = [
            "\t".join(
                [
                    NULL if value is None else encode_value(value)
                    for encode_value, value in zip(encoders, row, strict=True)
                ]
            )
            for row in rows
        ]
        lines.append("")
        return "\n".join(lines).encode()

    return encode


class TrialLines(NamedTuple):
    """The trials of one task run: lines of `trial_rows`, and lines of `trial_extras`."""

    rows: bytes
    extras: bytes


def encode_trials(task_run: TaskRunTrials) -> TrialLines:
    """One line a trial, and one for the extras of up to 64; columns in the tables' order."""
    trials = task_run.trials
    if not trials:
        return TrialLines(b"", b"")
    shared = "\t".join(
        (
            _text(task_run.site),
            _text(task_run.session_id),
            _text(task_run.task),
            str(task_run.run),
        )
    )
    responses = _json_lines([trial.response for trial in trials])
    # Stage and condition repeat from trial to trial.
    escaped: dict[str | None, str] = {None: NULL}
    lines = []
    parts: dict[int, dict[int, Any]] = {}
    for trial, response in zip(trials, responses, strict=True):
        trial_index = trial.trial_index
        stage, condition = trial.stage, trial.condition
        if stage not in escaped:
            escaped[stage] = _text(stage)
        if condition not in escaped:
            escaped[condition] = _text(condition)
        rt_ms, time_elapsed_ms = trial.rt_ms, trial.time_elapsed_ms
        lines.append(
            f"{shared}\t{trial_index}\t{escaped[stage]}\t{NULL if rt_ms is None else rt_ms}"
            f"\t{_CORRECT[trial.correct]}\t{NULL if trial.response is None else response}"
            f"\t{escaped[condition]}\t{NULL if time_elapsed_ms is None else time_elapsed_ms}\n"
        )
        part = trial_index >> PART_BITS
        if part not in parts:
            parts[part] = {}
        parts[part][trial_index] = trial.extra
    # A part at a time: of a large task run, the JSON is in memory once.
    key = shared.encode()
    extras = [b"%b\t%d\t%b\n" % (key, part, _json_bytes(members)) for part, members in parts.items()]
    return TrialLines("".join(lines).encode(), b"".join(extras))


def _json_lines(values: list[Any]) -> list[str]:
    return _encoder.encode_lines(values).replace(b"\\", b"\\\\").decode().split("\n")[:-1]


def _column_encoder(type_: Any) -> Callable[[Any], str]:
    if isinstance(type_, JSONB):
        return _json
    if isinstance(type_, ARRAY):
        return _text_array
    if isinstance(type_, DateTime):
        return _time
    return _text


def _text(value: object) -> str:
    """Also numbers: their text holds nothing special."""
    text = value if isinstance(value, str) else str(value)
    return text.translate(_SPECIAL)


def _time(value: datetime) -> str:
    # RFC 3339 allows offsets of up to a day, Postgres of up to 16 hours.
    return str(value.astimezone(UTC))


def _json(value: Any) -> str:
    return _json_bytes(value).decode()


def _json_bytes(value: Any) -> bytes:
    return _encoder.encode(value).replace(b"\\", b"\\\\")


def _text_array(values: Sequence[str]) -> str:
    """`{"a","b"}`: inside the quotes a backslash escapes, and COPY's own escaping goes around it."""
    quoted = ('"' + value.replace("\\", "\\\\").replace('"', '\\"') + '"' for value in values)
    return ("{" + ",".join(quoted) + "}").translate(_SPECIAL)
