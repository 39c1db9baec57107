"""How a score is distributed in a sample: bins, and beneath them median and quartiles."""

from collections.abc import Sequence
from dataclasses import dataclass

from sync_server.reports.blocks import LEADING, SMALL_STRONG, TINY, put
from sync_server.reports.curves import Band, title_of
from sync_server.reports.lines import line, wrapped
from sync_server.reports.scales import Scale
from sync_server.reports.sheets import BLUE, FAINT, INK, RULE, SOFT, WHITE, Sheets


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


def draw_histogram(
    sheets: Sheets, histogram: Histogram, x: float, y: float, width: float, height: float
) -> None:
    """The chart, with its title above and its note beneath."""
    put(sheets, title_of(histogram.title, width), x, y)
    leading = TINY.size * LEADING
    top = y + histogram.title_lines * SMALL_STRONG.size * LEADING + 4
    note = wrapped(histogram.note, TINY, width, 2)
    bottom = y + height - leading * 3 - 9
    if histogram.bins:
        _draw_bins(sheets, histogram, x, top, width, bottom)
        first, last = (line(text, TINY) for text in histogram.ends)
        if first.width + last.width + 4 <= width:
            put(sheets, [first], x, bottom + 8, SOFT)
        put(sheets, [last], x + width, bottom + 8, SOFT, align=1)
    else:
        sheets.box(x, top, width, bottom - top, None, RULE)
        text = wrapped(histogram.empty, TINY, width - 8, 3)
        put(sheets, text, x + width / 2, (top + bottom - len(text) * leading) / 2, SOFT, align=0.5)
    put(sheets, note, x, bottom + 8 + leading, SOFT)


def _draw_bins(
    sheets: Sheets, histogram: Histogram, x: float, top: float, width: float, bottom: float
) -> None:
    up = Scale(0, max(histogram.bins), bottom, top)
    slot = width / len(histogram.bins)
    for place, count in enumerate(histogram.bins):
        if count:
            high = up.at(count)
            sheets.box(x + slot * place, high, slot, bottom - high, BLUE, WHITE, 0.5)
    sheets.stroke([(x, bottom), (x + width, bottom)], FAINT)
    if histogram.band is None:
        return
    across = Scale(histogram.low, histogram.high, x, x + width)
    low, middle, high = (
        across.at(value) for value in (histogram.band.low, histogram.band.middle, histogram.band.high)
    )
    # Quartiles as a bar beneath the axis, the median as a notch.
    sheets.box(low, bottom + 2.5, max(high - low, 0.6), 3.2, FAINT)
    sheets.stroke([(middle, bottom + 1.2), (middle, bottom + 7)], INK, 1.3)
