"""A score over a participant's sessions, small, beside the sample's median and quartiles."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

from sync_server.reports.blocks import LEADING, SMALL_STRONG, TINY, put
from sync_server.reports.lines import Line, line, shortened, width_of, wrapped
from sync_server.reports.scales import Scale, ticks
from sync_server.reports.sheets import (
    BAND,
    BLUE,
    FAINT,
    INK,
    RULE,
    RUST,
    SOFT,
    WHITE,
    Area,
    Sheets,
    between,
)

_FEW_DOTS: Final = 20
"""More are drawn smaller."""
_MOST_DOTS: Final = 60
"""Of more sessions only the line is drawn, and the last dot."""
TITLE_LINES: Final = 2
"""At most."""


NOTES: Final = 4
"""Room for so many lines beneath."""


@dataclass(frozen=True, slots=True)
class Band:
    """Quartiles and median of a sample."""

    low: float
    middle: float
    high: float


@dataclass(frozen=True, slots=True)
class Point:
    """A value at a place of the axis; hollow: of a session that was not completed."""

    x: float
    y: float
    is_hollow: bool = False


@dataclass(frozen=True, slots=True)
class Curve:
    """What a chart shows. `span`: of the axis, the same in all charts of a report."""

    title: str
    title_lines: int
    """Room for so many, so that charts side by side stand level."""
    points: Sequence[Point]
    span: tuple[float, float]
    ends: tuple[str, str]
    """Labels of the axis's ends; the same text is written once."""
    band: Band | None
    labels: Sequence[str]
    """Of `values`."""
    values: Sequence[float]
    notes: Sequence[tuple[str, bool]]
    """Lines beneath; whether one is to be noticed."""
    empty: str
    """Where there is no point."""


def values_of(points: Sequence[Point], band: Band | None) -> list[float]:
    """The round values at the left edge."""
    shown = [point.y for point in points]
    if band is not None:
        shown += [band.low, band.high]
    if not any(shown):
        return [0.0, 0.5, 1.0]
    return ticks(min(shown), max(shown), 3)


def title_of(text: str, width: float) -> list[Line]:
    """A chart's title in lines."""
    return wrapped(text, SMALL_STRONG, width, TITLE_LINES)


def draw_curve(sheets: Sheets, curve: Curve, area: Area) -> None:
    """The chart, with its title above and its notes beneath."""
    x, width = area.x, area.width
    put(sheets, title_of(curve.title, width), x, area.y)
    leading = TINY.size * LEADING
    top = area.y + curve.title_lines * SMALL_STRONG.size * LEADING + 8
    bottom = area.bottom - leading * (NOTES + 1) - 6
    gutter = max((width_of(label, TINY) for label in curve.labels), default=0.0) + 5
    plot = between(x + gutter, top, area.right, bottom)
    if curve.points:
        _draw_plot(sheets, curve, plot)
    else:
        _draw_empty(sheets, curve, plot)
    _draw_ends(sheets, curve, plot)
    at = bottom + leading + 5
    for text, is_notable in curve.notes:
        note = shortened(text, TINY, width - (7 if is_notable else 0))
        if is_notable:
            sheets.box(Area(x, at + 2.2, 4, 4), RUST)
        put(sheets, [note], x + (7 if is_notable else 0), at, INK if is_notable else SOFT)
        at += leading


def _draw_plot(sheets: Sheets, curve: Curve, area: Area) -> None:
    left, top, right, bottom = area.x, area.y, area.right, area.bottom
    across = Scale(curve.span[0], curve.span[1], left + 5, right - 5)
    up = Scale(curve.values[0], curve.values[-1], bottom, top)
    if curve.band is not None:
        low, high = up.at(curve.band.low), up.at(curve.band.high)
        sheets.box(between(left, high, right, low), BAND)
        middle = up.at(curve.band.middle)
        sheets.stroke([(left, middle), (right, middle)], SOFT, 0.7, "2.5 2")
    for value, label in zip(curve.values, curve.labels, strict=True):
        sheets.stroke([(left - 2, up.at(value)), (left, up.at(value))], FAINT)
        sheets.text(line(label, TINY), left - 4, up.at(value) + TINY.size * 0.36, SOFT, align=1)
    sheets.stroke([(left, top), (left, bottom), (right, bottom)], FAINT)
    places = [(across.at(point.x), up.at(point.y)) for point in curve.points]
    sheets.stroke(places, BLUE, 1.1)
    shown = list(zip(curve.points, places, strict=True))
    for point, (at_x, at_y) in shown if len(shown) <= _MOST_DOTS else shown[-1:]:
        sheets.dot(
            at_x, at_y, 2.1 if len(shown) <= _FEW_DOTS else 1.5, WHITE if point.is_hollow else BLUE, BLUE
        )


def _draw_empty(sheets: Sheets, curve: Curve, area: Area) -> None:
    sheets.box(area, None, RULE)
    text = wrapped(curve.empty, TINY, area.width - 8, 3)
    middle = area.y + area.height / 2 - len(text) * TINY.size * LEADING / 2
    put(sheets, text, area.x + area.width / 2, middle, SOFT, align=0.5)


def _draw_ends(sheets: Sheets, curve: Curve, area: Area) -> None:
    first, last = (line(text, TINY) for text in curve.ends)
    # Clear of a dot on the axis.
    y = area.bottom + 3
    if curve.ends[0] == curve.ends[1]:
        put(sheets, [first], area.x + area.width / 2, y, SOFT, align=0.5)
        return
    if first.width + last.width + 4 <= area.width:
        put(sheets, [first], area.x, y, SOFT)
    put(sheets, [last], area.right, y, SOFT, align=1)
