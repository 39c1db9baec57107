"""Bars: counts by month with their sum so far as a line, and shares of a whole side by side."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

from sync_server.reports.blocks import SMALL, TINY, put
from sync_server.reports.lines import line, shortened, width_of
from sync_server.reports.scales import Scale, thinned, whole_ticks
from sync_server.reports.sheets import (
    BLUE,
    FAINT,
    INK,
    RULE,
    RUST,
    SOFT,
    WHITE,
    Area,
    Colour,
    Sheets,
)

BAR: Final = 21.0
"""Height of a stacked bar, with its space."""
_KEY: Final = 12.0
"""Height of the key above a chart."""


@dataclass(frozen=True, slots=True)
class Months:
    """Counts by month, and their sum so far. `labels` of the months; as many are shown as fit."""

    labels: Sequence[str]
    counts: Sequence[int]
    counts_name: str
    sum_name: str
    tick_labels: Sequence[str]
    """Of `sum_ticks`: one scale for bars and line, so that both can be read."""
    sum_label: str
    """The sum at the end."""


def sum_ticks(counts: Sequence[int]) -> list[int]:
    """The round numbers at the left edge."""
    return whole_ticks(sum(counts), 5)


def draw_months(sheets: Sheets, months: Months, area: Area) -> None:
    """Bars, and over them the sum so far, as steps that rise where the bars stand."""
    _draw_key(sheets, months, area.x, area.y)
    steps = sum_ticks(months.counts)
    gutter = max(width_of(label, TINY) for label in months.tick_labels) + 6
    room = width_of(months.sum_label, SMALL) + 8
    left, right = area.x + gutter, area.right - room
    top, bottom = area.y + _KEY + 8, area.bottom - 12
    up = Scale(0, steps[-1], bottom, top)
    for step, label in zip(steps, months.tick_labels, strict=True):
        sheets.stroke([(left, up.at(step)), (right, up.at(step))], RULE, 0.4)
        sheets.text(line(label, TINY), left - 4, up.at(step) + TINY.size * 0.36, SOFT, align=1)
    number = len(months.counts)
    slot = (right - left) / max(number, 1)
    bar = min(slot * 0.72, 26)
    for place, count in enumerate(months.counts):
        if count:
            at = left + slot * (place + 0.5) - bar / 2
            sheets.box(Area(at, up.at(count), bar, bottom - up.at(count)), BLUE)
    _draw_sum(sheets, months, left, slot, up)
    sheets.stroke([(left, bottom), (right, bottom)], FAINT)
    _draw_labels(sheets, months.labels, left, slot, bottom)


def _draw_key(sheets: Sheets, months: Months, x: float, y: float) -> None:
    sheets.box(Area(x, y + 2.5, 7, 6), BLUE)
    name = line(months.counts_name, SMALL)
    put(sheets, [name], x + 11, y, SOFT)
    if months.sum_name:
        at = x + 11 + name.width + 16
        sheets.stroke([(at, y + 5.5), (at + 12, y + 5.5)], RUST, 1.4)
        put(sheets, [line(months.sum_name, SMALL)], at + 16, y, SOFT)


def _draw_sum(sheets: Sheets, months: Months, left: float, slot: float, up: Scale) -> None:
    if not any(months.counts) or not months.sum_name:
        return
    points, so_far = [(left, up.at(0))], 0
    for place, count in enumerate(months.counts):
        so_far += count
        points += [(left + slot * place, up.at(so_far)), (left + slot * (place + 1), up.at(so_far))]
    # White beneath it keeps it apart from the bars, in black and white too.
    sheets.stroke(points, WHITE, 3)
    sheets.stroke(points, RUST, 1.4)
    x, y = points[-1]
    put(sheets, [line(months.sum_label, SMALL)], x + 4, y - SMALL.size * 0.65, INK)


def _draw_labels(sheets: Sheets, labels: Sequence[str], left: float, slot: float, bottom: float) -> None:
    widest = max((width_of(label, TINY) for label in labels), default=0.0) + 8
    fits = max(1, int(slot * len(labels) / widest))
    every = thinned(len(labels), fits)
    for place in range(0, len(labels), every):
        put(sheets, [line(labels[place], TINY)], left + slot * (place + 0.5), bottom + 2, SOFT, align=0.5)


@dataclass(frozen=True, slots=True)
class Part:
    """A part of a bar: how many, in which colour, hatched or not."""

    count: int
    colour: Colour
    ink: Colour


@dataclass(frozen=True, slots=True)
class Stacked:
    """A bar of parts, with a name at its left and a text at its right."""

    name: str
    parts: Sequence[Part]
    text: str


def draw_stacked(
    sheets: Sheets,
    bars: Sequence[Stacked],
    key: Sequence[tuple[str, Part]],
    area: Area,
) -> None:
    """Bars under each other, on one scale, and a key above them."""
    x, y, width = area.x, area.y, area.width
    at = x
    for name, part in key:
        sheets.box(Area(at, y + 2.5, 7, 6), part.colour, INK, 0.4)
        shown = line(name, SMALL)
        put(sheets, [shown], at + 11, y, SOFT)
        at += shown.width + 25
    names = min(width * 0.3, max((width_of(bar.name, SMALL) for bar in bars), default=0.0) + 10)
    texts = max((width_of(bar.text, SMALL) for bar in bars), default=0.0) + 8
    longest = max((sum(part.count for part in bar.parts) for bar in bars), default=0)
    across = Scale(0, max(longest, 1), 0, width - names - texts)
    y += 18
    for bar in bars:
        put(sheets, [shortened(bar.name, SMALL, names - 8)], x, y + BAR / 2 - SMALL.size * 0.68)
        at = x + names
        for part in bar.parts:
            length = across.at(part.count)
            if part.count:
                sheets.box(Area(at, y + 3, length, BAR - 6), part.colour, INK, 0.4)
                number = line(str(part.count), TINY)
                if number.width + 4 < length:
                    sheets.text(number, at + length / 2, y + BAR / 2 + TINY.size * 0.36, part.ink, align=0.5)
            at += length
        put(sheets, [line(bar.text, SMALL)], at + 6, y + BAR / 2 - SMALL.size * 0.68, SOFT)
        y += BAR
