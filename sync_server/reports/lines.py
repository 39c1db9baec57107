"""Lines of shaped text: measured, broken, shortened. Sizes and widths in points.

Everything that is written goes through here, so markup in a participant's code is text, Arabic is joined and
runs from right to left, and no text is wider than its place.
"""

from functools import lru_cache
from typing import Final, NamedTuple

import uharfbuzz

from sync_server.reports.characters import Piece, pieces, shown
from sync_server.reports.faces import Face, Weight, face_of

ELLIPSIS: Final = "…"
_THINNEST: Final = 8
"""Characters for each em."""


class Glyph(NamedTuple):
    """A glyph of a face; all but the number in thousandths of the size."""

    number: int
    advance: float
    x_offset: float
    y_offset: float
    text: str
    """What it stands for: the characters of its cluster; empty for all but the first glyph of one."""


class Run(NamedTuple):
    """Glyphs of one face, from left to right."""

    face: Face
    glyphs: tuple[Glyph, ...]


class Line(NamedTuple):
    """One line, shaped."""

    text: str
    runs: tuple[Run, ...]
    width: float
    size: float


class Style(NamedTuple):
    """How text is set."""

    size: float
    weight: Weight = Weight.REGULAR


@lru_cache(maxsize=20_000)
def shape(text: str, weight: Weight) -> tuple[tuple[Run, ...], float]:
    """The runs of a text, and its width in thousandths of the size."""
    runs = tuple(_run(piece, weight) for piece in pieces(shown(text)))
    return runs, sum(glyph.advance for run in runs for glyph in run.glyphs)


def line(text: str, style: Style) -> Line:
    """The text on one line, however long that becomes."""
    runs, width = shape(text, style.weight)
    return Line(text, runs, width * style.size / 1000, style.size)


def width_of(text: str, style: Style) -> float:
    """How wide the text is on one line."""
    return shape(text, style.weight)[1] * style.size / 1000


def shortened(text: str, style: Style, width: float) -> Line:
    """The text on one line not wider than `width`, with an ellipsis where it is cut."""
    if _fits(text, style, width):
        return line(text, style)
    kept = _longest(text, style, width - width_of(ELLIPSIS, style))
    return line(text[:kept].rstrip() + ELLIPSIS, style)


def wrapped(text: str, style: Style, width: float, most: int | None = None) -> list[Line]:
    """The text on as many lines as it takes, none wider than `width`; of at most `most`, the last is cut.

    Broken at spaces; a word that is too long, and Chinese, Japanese or Korean, between characters.
    """
    lines: list[str] = []
    rest = text.strip()
    while rest:
        if most is not None and len(lines) == most - 1:
            lines.append(rest)
            break
        if _fits(rest, style, width):
            lines.append(rest)
            break
        cut = max(_longest(rest, style, width), 1)
        space = rest.rfind(" ", 0, cut + 1)
        # A word that fits no line is broken, after a hyphen or the like if it has one.
        if space <= 0 or not _fits(rest[space + 1 :].split(" ", 1)[0], style, width):
            mark = max(rest.rfind(each, 0, cut) for each in "-_/.,;:")
            end = mark + 1 if mark > cut / 2 else cut
        else:
            end = space
        lines.append(rest[:end].rstrip())
        rest = rest[end:].lstrip()
    if not lines:
        return [line("", style)]
    return [*(line(each, style) for each in lines[:-1]), shortened(lines[-1], style, width)]


def _fits(text: str, style: Style, width: float) -> bool:
    return len(text) <= _most(style, width) and width_of(text, style) <= width


def _most(style: Style, width: float) -> int:
    """More characters than that are on no line, be they ever so thin: nobody shapes a megabyte for one."""
    return int(_THINNEST * width / style.size) + 8


def _longest(text: str, style: Style, width: float) -> int:
    """How many characters fit."""
    low, high = 0, min(len(text), _most(style, width))
    while low < high:
        middle = (low + high + 1) // 2
        if width_of(text[:middle], style) <= width:
            low = middle
        else:
            high = middle - 1
    return low


def _run(piece: Piece, weight: Weight) -> Run:
    face = face_of(piece.source, weight)
    buffer = uharfbuzz.Buffer()
    buffer.add_str(piece.text)
    buffer.guess_segment_properties()
    buffer.direction = "rtl" if piece.is_right_to_left else "ltr"
    buffer.cluster_level = uharfbuzz.BufferClusterLevel.MONOTONE_CHARACTERS
    # Figures of equal width stand under each other in tables.
    uharfbuzz.shape(face.font, buffer, {"kern": True, "liga": True, "tnum": True})
    scale = 1000 / face.units
    infos, positions = buffer.glyph_infos, buffer.glyph_positions
    texts = _cluster_texts([info.cluster for info in infos], piece)
    glyphs = tuple(
        Glyph(
            info.codepoint,
            position.x_advance * scale,
            position.x_offset * scale,
            position.y_offset * scale,
            text,
        )
        for info, position, text in zip(infos, positions, texts, strict=True)
    )
    return Run(face, glyphs)


def _cluster_texts(clusters: list[int], piece: Piece) -> list[str]:
    """The characters that each glyph stands for."""
    starts = sorted(set(clusters))
    ends = dict(zip(starts, [*starts[1:], len(piece.text)], strict=True))
    seen: set[int] = set()
    texts = []
    for cluster in clusters:
        texts.append("" if cluster in seen else piece.text[cluster : ends[cluster]])
        seen.add(cluster)
    return texts
