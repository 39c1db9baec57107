"""What stands under what, and where a page ends.

A report is a list of blocks of known height. They are dealt out to pages first, so that "page 2 of 5" is
known, and drawn then. A heading stays with what follows it; what begins a page anew may repeat a block (the
head of a table). A block that is higher than a page cannot be: who makes blocks splits them.
"""

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from itertools import dropwhile
from typing import Final

from sync_server.reports.lines import Style, line, shortened
from sync_server.reports.sheets import FAINT, HEIGHT, RULE, SOFT, WIDTH, Sheets

MARGIN: Final = 48.0
TOP: Final = 52.0
BOTTOM: Final = HEIGHT - 54.0
CONTENT_WIDTH: Final = WIDTH - 2 * MARGIN
TALLEST: Final = BOTTOM - TOP - 40
"""No block is higher."""

_FURNITURE: Final = Style(7)

Draw = Callable[[Sheets, float], None]
"""Draw the block with its upper edge here."""


@dataclass(frozen=True, slots=True)
class Block:
    """Something of one height."""

    height: float
    draw: Draw
    with_next: bool = False
    repeat: "Block | None" = None
    """Drawn above it where it begins a page."""
    is_space: bool = False
    """Dropped where it would begin or end a page."""


def space(height: float) -> Block:
    """Nothing, so high."""
    return Block(height, lambda _sheets, _y: None, is_space=True)


def pages_of(blocks: Sequence[Block]) -> list[list[Block]]:
    """The blocks of each page, repeated ones included; at least one page."""
    pages: list[list[Block]] = [[]]
    used = 0.0
    for together in _groups(blocks):
        group = together
        height = sum(block.height for block in group)
        if used and used + height > BOTTOM - TOP:
            pages.append([])
            used = 0.0
        if not pages[-1]:
            group = list(dropwhile(lambda block: block.is_space, group))
            if group and group[0].repeat is not None and len(pages) > 1:
                group = [group[0].repeat, *group]
            height = sum(block.height for block in group)
        pages[-1] += group
        used += height
    return pages


def _groups(blocks: Iterable[Block]) -> Iterable[list[Block]]:
    """Blocks that stay together: with what follows, as far as that is asked."""
    group: list[Block] = []
    for block in blocks:
        group.append(block)
        if not block.with_next:
            yield group
            group = []
    if group:
        yield group


@dataclass(frozen=True, slots=True)
class Furniture:
    """What is on every page: left and right above, left below, and the number."""

    upper_left: str
    upper_right: str
    lower_left: str
    number: Callable[[int, int], str]
    """`page 2 of 5`."""


def draw(sheets: Sheets, blocks: Sequence[Block], furniture: Furniture) -> None:
    """Every page."""
    pages = pages_of(blocks)
    for number, page in enumerate(pages, start=1):
        sheets.new_page()
        with sheets.artifact():
            _furnish(sheets, furniture, number, len(pages))
        y = TOP
        for block in page:
            block.draw(sheets, y)
            y += block.height


def _furnish(sheets: Sheets, furniture: Furniture, number: int, total: int) -> None:
    right = WIDTH - MARGIN
    shown = line(furniture.number(number, total), _FURNITURE)
    sheets.text(shown, right, HEIGHT - 26, SOFT, align=1)
    room = right - MARGIN - shown.width - 20
    sheets.text(shortened(furniture.lower_left, _FURNITURE, room), MARGIN, HEIGHT - 26, SOFT)
    sheets.stroke([(MARGIN, HEIGHT - 38), (right, HEIGHT - 38)], RULE)
    if number > 1:
        upper = shortened(furniture.upper_right, _FURNITURE, CONTENT_WIDTH / 2)
        sheets.text(upper, right, 32, SOFT, align=1)
        room = CONTENT_WIDTH - upper.width - 20
        sheets.text(shortened(furniture.upper_left, _FURNITURE, room), MARGIN, 32, SOFT)
        sheets.stroke([(MARGIN, 38), (right, 38)], FAINT, 0.4)
