"""The blocks of every report: title, headings, paragraphs, facts, charts side by side. Tables: `grid.py`."""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import Final

from sync_server.reports.faces import Weight
from sync_server.reports.flow import CONTENT_WIDTH, MARGIN, TALLEST, Block, space
from sync_server.reports.lines import Line, Style, line, wrapped
from sync_server.reports.sheets import BLUE, INK, RULE, SOFT, Area, Colour, Sheets

BODY: Final = Style(9)
SMALL: Final = Style(7.5)
TINY: Final = Style(6.5)
STRONG: Final = Style(9, Weight.BOLD)
SMALL_STRONG: Final = Style(7.5, Weight.BOLD)
_TITLE: Final = Style(20, Weight.BOLD)
_KIND: Final = Style(8.5, Weight.BOLD)
_SECTION: Final = Style(12.5, Weight.BOLD)
_SUBSECTION: Final = Style(9.5, Weight.BOLD)
LEADING: Final = 1.36
"""Of a line, by its size."""
_RISE: Final = 1.0
"""From the upper edge of a line to its baseline, by its size."""
_MOST_LINES: Final = 4
"""Of a title."""


def height_of(lines: Sequence[Line]) -> float:
    """How high lines stand under each other."""
    return sum(each.size * LEADING for each in lines)


def put(
    sheets: Sheets,
    lines: Sequence[Line],
    x: float,
    y: float,
    colour: Colour = INK,
    *,
    align: float = 0,
) -> None:
    """Lines under each other, the first with its upper edge at y."""
    for each in lines:
        sheets.text(each, x, y + each.size * _RISE, colour, align=align)
        y += each.size * LEADING


def title(kind: str, text: str, below: str) -> Block:
    """The head of the first page: what it is, of whom, and a line of detail."""
    kind_line = line(kind, _KIND)
    texts = wrapped(text, _TITLE, CONTENT_WIDTH, _MOST_LINES)
    details = wrapped(below, BODY, CONTENT_WIDTH, 3) if below else []

    def draw(sheets: Sheets, y: float) -> None:
        sheets.bookmark(text, 0, y)
        with sheets.artifact():
            sheets.box(Area(MARGIN, y, 26, 3), BLUE)
        with sheets.tagged("P"):
            sheets.text(kind_line, MARGIN, y + 18, BLUE)
        with sheets.tagged("H1"):
            put(sheets, texts, MARGIN, y + 24)
        with sheets.tagged("P"):
            put(sheets, details, MARGIN, y + 26 + height_of(texts), SOFT)

    return Block(26 + height_of(texts) + height_of(details) + 8, draw)


def section(text: str) -> list[Block]:
    """A heading with a rule; an entry of the outline."""
    lines = wrapped(text, _SECTION, CONTENT_WIDTH, 2)

    def draw(sheets: Sheets, y: float) -> None:
        sheets.bookmark(text, 1, y - 4)
        with sheets.artifact():
            sheets.stroke([(MARGIN, y), (MARGIN + CONTENT_WIDTH, y)], INK, 0.8)
        with sheets.tagged("H2"):
            put(sheets, lines, MARGIN, y + 6)

    return [space(14), Block(height_of(lines) + 11, draw, with_next=True)]


def subsection(text: str) -> list[Block]:
    """A smaller heading; an entry of the outline."""
    lines = wrapped(text, _SUBSECTION, CONTENT_WIDTH, 2)

    def draw(sheets: Sheets, y: float) -> None:
        sheets.bookmark(text, 2, y)
        with sheets.tagged("H3"):
            put(sheets, lines, MARGIN, y, BLUE)

    return [space(5), Block(height_of(lines) + 3, draw, with_next=True)]


def paragraph(text: str, style: Style = BODY, colour: Colour = INK) -> list[Block]:
    """Text, which may go on on the next page; space after it."""
    lines = wrapped(text, style, CONTENT_WIDTH)
    most = max(1, int(TALLEST / (style.size * LEADING)))
    parts = [lines[start : start + most] for start in range(0, len(lines), most)]
    return [*(_lines(part, colour) for part in parts), space(style.size * 0.6)]


def note(text: str) -> list[Block]:
    """What is small and grey."""
    return paragraph(text, SMALL, SOFT)


def _lines(lines: Sequence[Line], colour: Colour) -> Block:
    def draw(sheets: Sheets, y: float) -> None:
        with sheets.tagged("P"):
            put(sheets, lines, MARGIN, y, colour)

    return Block(height_of(lines), draw)


@dataclass(frozen=True, slots=True)
class Fact:
    """A label with what it says."""

    label: str
    value: str
    detail: str = ""


def facts(items: Sequence[Fact], columns: int = 3) -> list[Block]:
    """Facts side by side, labels above values."""
    width = CONTENT_WIDTH / columns
    rows = [items[start : start + columns] for start in range(0, len(items), columns)]
    return [*(_facts_row(row, width) for row in rows), space(4)]


def _facts_row(items: Sequence[Fact], width: float) -> Block:
    cells = [
        (
            wrapped(item.label, SMALL, width - 12, 2),
            wrapped(item.value, Style(10.5, Weight.BOLD), width - 12, 5),
            wrapped(item.detail, SMALL, width - 12, 3) if item.detail else [],
        )
        for item in items
    ]
    height = max(sum(height_of(part) for part in cell) for cell in cells)

    def draw(sheets: Sheets, y: float) -> None:
        for number, (label, value, detail) in enumerate(cells):
            x = MARGIN + number * width
            with sheets.tagged("P"):
                put(sheets, label, x, y, SOFT)
                put(sheets, value, x, y + height_of(label))
                put(sheets, detail, x, y + height_of(label) + height_of(value), SOFT)

    return Block(height + 7, draw)


@dataclass(frozen=True, slots=True)
class Figure:
    """A chart: what it shows in words, and how it is drawn into an area."""

    alternative: str
    draw: Callable[[Sheets, Area], None]


def figure(chart: Figure, height: float, *, with_next: bool = False) -> Block:
    """A chart as wide as the page."""

    def draw(sheets: Sheets, y: float) -> None:
        with sheets.tagged("Figure", chart.alternative):
            chart.draw(sheets, Area(MARGIN, y, CONTENT_WIDTH, height - 8))

    return Block(height, draw, with_next=with_next)


def multiples(charts: Sequence[Figure], columns: int, height: float, gap: float = 14) -> Iterator[Block]:
    """Charts side by side, a row a block."""
    width = (CONTENT_WIDTH - gap * (columns - 1)) / columns
    for start in range(0, len(charts), columns):
        yield _row(charts[start : start + columns], width, height, gap)


def _row(charts: Sequence[Figure], width: float, height: float, gap: float) -> Block:
    def draw(sheets: Sheets, y: float) -> None:
        for number, chart in enumerate(charts):
            with sheets.tagged("Figure", chart.alternative):
                chart.draw(sheets, Area(MARGIN + number * (width + gap), y, width, height - 10))

    return Block(height, draw)


def rule() -> Block:
    """A thin line with some space."""

    def draw(sheets: Sheets, y: float) -> None:
        with sheets.artifact():
            sheets.stroke([(MARGIN, y + 4), (MARGIN + CONTENT_WIDTH, y + 4)], RULE)

    return Block(8, draw)
