"""How a score is distributed in a sample: bins, and beneath them median and quartiles."""

from collections.abc import Sequence
from dataclasses import dataclass

from sync_server.reports.blocks import LEADING, SMALL_STRONG, TINY, put
from sync_server.reports.curves import Band, title_of
from sync_server.reports.lines import line, wrapped
from sync_server.reports.scales import Scale
from sync_server.reports.sheets import BLUE, FAINT, INK, RULE, SOFT, WHITE, Area, Sheets, between


@dataclass(frozen=True, slots=True)
class Histogram:
    """`ends`: labels of the axis; `note` beneath; without bins `empty` stands in their place."""

    title: str
    title_lines: int
    """Room for so many, so that charts side by side stand level."""
    bins: Sequence[int]
    low: float
    high: float
    ends: tuple[str, str]
    band: Band | None
    note: str
    empty: str


def draw_histogram(sheets: Sheets, histogram: Histogram, area: Area) -> None:
    """The chart, with its title above and its note beneath."""
    x, width = area.x, area.width
    put(sheets, title_of(histogram.title, width), x, area.y)
    leading = TINY.size * LEADING
    top = area.y + histogram.title_lines * SMALL_STRONG.size * LEADING + 4
    note = wrapped(histogram.note, TINY, width, 2)
    bottom = area.bottom - leading * 3 - 9
    if histogram.bins:
        _draw_bins(sheets, histogram, between(x, top, area.right, bottom))
        first, last = (line(text, TINY) for text in histogram.ends)
        if first.width + last.width + 4 <= width:
            put(sheets, [first], x, bottom + 8, SOFT)
        put(sheets, [last], area.right, bottom + 8, SOFT, align=1)
    else:
        sheets.box(between(x, top, area.right, bottom), None, RULE)
        text = wrapped(histogram.empty, TINY, width - 8, 3)
        put(sheets, text, x + width / 2, (top + bottom - len(text) * leading) / 2, SOFT, align=0.5)
    put(sheets, note, x, bottom + 8 + leading, SOFT)


def _draw_bins(sheets: Sheets, histogram: Histogram, area: Area) -> None:
    x, bottom = area.x, area.bottom
    up = Scale(0, max(histogram.bins), bottom, area.y)
    slot = area.width / len(histogram.bins)
    for place, count in enumerate(histogram.bins):
        if count:
            high = up.at(count)
            sheets.box(Area(x + slot * place, high, slot, bottom - high), BLUE, WHITE)
    sheets.stroke([(x, bottom), (area.right, bottom)], FAINT)
    if histogram.band is None:
        return
    across = Scale(histogram.low, histogram.high, x, area.right)
    low, middle, high = (
        across.at(value) for value in (histogram.band.low, histogram.band.middle, histogram.band.high)
    )
    # Quartiles as a bar beneath the axis, the median as a notch.
    sheets.box(Area(low, bottom + 2.5, max(high - low, 0.6), 3.2), FAINT)
    sheets.stroke([(middle, bottom + 1.2), (middle, bottom + 7)], INK, 1.3)
