"""A flow diagram of participants, as CONSORT has it: boxes from top to bottom, who left to the right."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

from sync_server.reports.blocks import SMALL, STRONG, height_of, put
from sync_server.reports.flow import CONTENT_WIDTH, MARGIN, Block
from sync_server.reports.lines import Line, wrapped
from sync_server.reports.sheets import INK, SHADE, SOFT, WHITE, Area, Sheets

_PADDING: Final = 7.0
_GAP: Final = 20.0
"""From box to box."""
_MAIN: Final = 0.46
_SIDE: Final = 0.42
"""Widths, by that of the page."""


@dataclass(frozen=True, slots=True)
class Step:
    """A box of the main line, with lines of detail; beside the arrow that leads on: who left."""

    head: str
    details: Sequence[str] = ()
    left_head: str = ""
    left_details: Sequence[str] = ()


@dataclass(frozen=True, slots=True)
class _Box:
    head: Sequence[Line]
    details: Sequence[Line]
    height: float


def flow_diagram(steps: Sequence[Step], alternative: str) -> list[Block]:
    """A block a step: the diagram may go on on the next page."""
    return [
        _block(step, alternative if number == 0 else step.head, number == len(steps) - 1)
        for number, step in enumerate(steps)
    ]


def _block(step: Step, alternative: str, is_last: bool) -> Block:
    main = _box(step.head, step.details, CONTENT_WIDTH * _MAIN)
    side = _box(step.left_head, step.left_details, CONTENT_WIDTH * _SIDE) if step.left_head else None
    between = 0.0 if is_last else max(_GAP, side.height + 16 if side else 0.0)
    centre = MARGIN + CONTENT_WIDTH * _MAIN / 2

    def draw(sheets: Sheets, y: float) -> None:
        with sheets.tagged("Figure", alternative):
            _draw_box(sheets, main, MARGIN, y, CONTENT_WIDTH * _MAIN)
            bottom = y + main.height
            if not is_last:
                _arrow(sheets, (centre, bottom), (centre, bottom + between))
            if side is not None:
                middle = bottom + between / 2
                x = MARGIN + CONTENT_WIDTH * (1 - _SIDE)
                _arrow(sheets, (centre, middle), (x, middle))
                _draw_box(sheets, side, x, middle - side.height / 2, CONTENT_WIDTH * _SIDE, is_side=True)

    return Block(main.height + between, draw)


def _box(head: str, details: Sequence[str], width: float) -> _Box:
    lines = wrapped(head, STRONG, width - 2 * _PADDING, 3)
    more = [each for text in details for each in wrapped(text, SMALL, width - 2 * _PADDING, 3)]
    return _Box(lines, more, height_of(lines) + height_of(more) + 2 * _PADDING)


def _draw_box(sheets: Sheets, box: _Box, x: float, y: float, width: float, *, is_side: bool = False) -> None:
    sheets.box(Area(x, y, width, box.height), WHITE if is_side else SHADE, INK, 0.7)
    put(sheets, box.head, x + _PADDING, y + _PADDING)
    put(sheets, box.details, x + _PADDING, y + _PADDING + height_of(box.head), SOFT)


def _arrow(sheets: Sheets, start: tuple[float, float], end: tuple[float, float]) -> None:
    sheets.stroke([start, end], INK, 0.8)
    x, y = end
    if start[0] == x:
        sheets.area([(x, y), (x - 3, y - 6), (x + 3, y - 6)], INK)
    else:
        sheets.area([(x, y), (x - 6, y - 3), (x - 6, y + 3)], INK)
