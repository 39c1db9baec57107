"""A table with every type of column, and rows that are hard to keep."""

import math
from collections.abc import Iterator, Sequence
from datetime import UTC, date, datetime, timedelta, timezone

from sync_server.exports.described import Allowed, Column, ColumnType, Table, Value

EVERYTHING = Table(
    "scores_long",
    "Scores, one a row",
    (
        Column("code", ColumnType.TEXT, "Participant", missing="never"),
        Column("n", ColumnType.INTEGER, "Number of trials"),
        Column("rt", ColumnType.NUMBER, "Median reaction time", unit="ms", missing="no valid trial"),
        Column("done", ColumnType.BOOLEAN, "Task was finished"),
        Column("born", ColumnType.DATE, "Date of birth"),
        Column("at", ColumnType.TIMESTAMP, "Start of the task run"),
        Column("hand", ColumnType.INTEGER, "Hand", allowed=(Allowed(1, "right, Ärmel"), Allowed(2, "left"))),
    ),
)

KABUL = timezone(timedelta(hours=4, minutes=30))
LONG = "ü" * 100_000

FIRST = datetime(2026, 3, 29, 1, 30, 0, 123_000, tzinfo=UTC)

ROWS: tuple[tuple[Value, ...], ...] = (
    ("S1-001", 5, 512.25, True, date(1950, 2, 28), FIRST, 1),
    ('=HYPERLINK("http://x","a")', -3, math.nan, False, date(2024, 2, 29), FIRST.astimezone(KABUL), 2),
    ('a,"b"\r\nc\td', None, 0.1, None, None, datetime(1999, 12, 31, 23, 59, 59, 1000, tzinfo=UTC), None),
    ("日本語 🧠 Ünïcode", 0, -1e-300, True, date(1999, 1, 1), None, None),
    ("", None, None, None, None, None, None),
    (None, 1, 1 / 3, None, None, None, None),
    (LONG, 2, 1.5, None, None, None, None),
)
BIG = (2**63 - 1, -(2**63), 2**53 + 1)


def with_big_integers() -> tuple[tuple[Value, ...], ...]:
    """ROWS, and rows with integers that a double does not hold."""
    return ROWS + tuple(("big", number, math.inf, None, None, None, None) for number in BIG)


def batched(rows: Sequence[Sequence[Value]], size: int) -> Iterator[Sequence[Sequence[Value]]]:
    """The rows in batches of `size`."""
    for start in range(0, len(rows), size):
        yield rows[start : start + size]


def same(left: object, right: object) -> bool:
    """Equal, NaN being equal to itself."""
    if isinstance(left, float) and isinstance(right, float) and math.isnan(left):
        return math.isnan(right)
    return left == right and type(left) is type(right)


def assert_same(read: Sequence[Sequence[object]], given: Sequence[Sequence[object]]) -> None:
    """Cell by cell, type by type."""
    assert len(read) == len(given)
    for number, (left, right) in enumerate(zip(read, given, strict=True)):
        assert len(left) == len(right)
        for at, (one, other) in enumerate(zip(left, right, strict=True)):
            assert same(one, other), (number, at, repr(one)[:80], repr(other)[:80])
