"""Tables: cells wrap, rows do not break over pages unless a row is higher than one, the head is repeated."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Final

from sync_server.reports.blocks import SMALL, SMALL_STRONG, height_of, put
from sync_server.reports.flow import CONTENT_WIDTH, MARGIN, Block, Draw, space
from sync_server.reports.lines import Line, Style, width_of, wrapped
from sync_server.reports.sheets import INK, RULE, SHADE, Area, Sheets

_PADDING: Final = 4.0
_APART: Final = 10.0
"""More room left of a text whose left neighbour is a number, which stands at that edge."""
_MOST_LINES: Final = 12
"""Of a cell: longer text is cut, with an ellipsis."""


@dataclass(frozen=True, slots=True)
class Column:
    """A column: its head, its part of the width, and whether it holds numbers (set to the right)."""

    head: str
    part: float
    is_number: bool = False


def table(columns: Sequence[Column], rows: Sequence[Sequence[str]], *, empty: str) -> list[Block]:
    """A table; of no rows, a sentence."""
    widths = _widths(columns)
    head = _row(columns, widths, [column.head for column in columns], "TH", 0)
    if not rows:
        sentence = _row([Column("", 1)], [CONTENT_WIDTH], [empty], "TD", 0)
        return [_opened(head, with_next=True), _closed(sentence), space(8)]
    bodies = [_row(columns, widths, row, "TD", number) for number, row in enumerate(rows)]
    blocks = [_opened(head, with_next=True), *bodies[:-1], _closed(bodies[-1])]
    repeated = Block(head.height, _as_artifact(columns, widths))
    return [
        block if number < 2 else Block(block.height, block.draw, repeat=repeated)
        for number, block in enumerate(blocks)
    ] + [space(8)]


def _widths(columns: Sequence[Column]) -> list[float]:
    """By the columns' parts, but none narrower than the longest word of its head."""
    least = [
        max(width_of(word, SMALL_STRONG) for word in column.head.split(" ")) + indent + 2 * _PADDING + 1
        for column, indent in zip(columns, _indents(columns), strict=True)
    ]
    widths = [0.0] * len(columns)
    free = set(range(len(columns)))
    while True:
        room = CONTENT_WIDTH - sum(widths[each] for each in range(len(columns)) if each not in free)
        whole = sum(columns[each].part for each in free)
        for each in free:
            widths[each] = room * columns[each].part / whole
        narrow = {each for each in free if widths[each] < least[each]}
        if not narrow or narrow == free:
            return widths
        for each in narrow:
            widths[each] = least[each]
        free -= narrow


def _indents(columns: Sequence[Column]) -> list[float]:
    follows_number = [False, *(column.is_number for column in columns)]
    return [
        _APART if after and not column.is_number else 0.0
        for column, after in zip(columns, follows_number, strict=False)
    ]


def _opened(block: Block, *, with_next: bool) -> Block:
    def draw(sheets: Sheets, y: float) -> None:
        sheets.structure.begin("Table")
        block.draw(sheets, y)

    return Block(block.height, draw, with_next=with_next)


def _closed(block: Block) -> Block:
    def draw(sheets: Sheets, y: float) -> None:
        block.draw(sheets, y)
        sheets.structure.end()

    return Block(block.height, draw)


def _row(
    columns: Sequence[Column], widths: Sequence[float], texts: Sequence[str], kind: str, number: int
) -> Block:
    cells = _cells(columns, widths, texts, SMALL_STRONG if kind == "TH" else SMALL)
    height = max(height_of(cell) for cell in cells) + 2 * _PADDING - 2

    def draw(sheets: Sheets, y: float) -> None:
        with sheets.artifact():
            if number % 2:
                sheets.box(Area(MARGIN, y, CONTENT_WIDTH, height), SHADE)
            if kind == "TH":
                sheets.stroke([(MARGIN, y + height), (MARGIN + CONTENT_WIDTH, y + height)], INK, 0.6)
        with sheets.tag("TR"):
            for column, x, cell in _placed(columns, widths, cells):
                with sheets.tagged(kind):
                    _put_cell(sheets, column, x, y, cell)

    return Block(height, draw)


def _as_artifact(columns: Sequence[Column], widths: Sequence[float]) -> Draw:
    """The head again: a reader that reads aloud has heard it."""
    cells = _cells(columns, widths, [column.head for column in columns], SMALL_STRONG)
    height = max(height_of(cell) for cell in cells) + 2 * _PADDING - 2

    def draw(sheets: Sheets, y: float) -> None:
        with sheets.artifact():
            for column, x, cell in _placed(columns, widths, cells):
                _put_cell(sheets, column, x, y, cell)
            sheets.stroke([(MARGIN, y + height), (MARGIN + CONTENT_WIDTH, y + height)], RULE, 0.6)

    return draw


def _cells(
    columns: Sequence[Column], widths: Sequence[float], texts: Sequence[str], style: Style
) -> list[list[Line]]:
    return [
        wrapped(text, style, width - indent - 2 * _PADDING, _MOST_LINES)
        for text, width, indent in zip(texts, widths, _indents(columns), strict=True)
    ]


def _placed(
    columns: Sequence[Column], widths: Sequence[float], cells: Sequence[list[Line]]
) -> Iterator[tuple[Column, float, list[Line]]]:
    """Each cell with its column, and where its text stands: at the left edge, or for numbers the right."""
    x = MARGIN
    for column, width, indent, cell in zip(columns, widths, _indents(columns), cells, strict=True):
        yield column, x + width - _PADDING if column.is_number else x + indent + _PADDING, cell
        x += width


def _put_cell(sheets: Sheets, column: Column, x: float, y: float, cell: list[Line]) -> None:
    put(sheets, cell, x, y + _PADDING - 1, INK, align=1 if column.is_number else 0)
