"""What of a text can be shown, and in which order: hostile text is text, and a missing glyph is told.

A participant's code comes from a tablet. It may hold a line feed, a character that turns everything after it
round, or one that no font has. Whatever has no shape of its own is shown as its code point in brackets, so
that two codes that differ look different.

| character | is shown as |
|---|---|
| has a glyph in an installed face | itself |
| white space of any kind | a space |
| control, direction override, private use, unassigned | `[U+202E]` |
| joiners (ZWJ, ZWNJ), combining marks | themselves, with what they belong to |
"""

import unicodedata
from typing import Final, NamedTuple

from bidi import algorithm

from sync_server.reports.faces import SOURCES, Source, source_with

_JOINERS: Final = "\u200c\u200d"
_VARIATIONS: Final = "\ufe0e\ufe0f"


class Piece(NamedTuple):
    """Text of one face and one direction, in the order in which it is read."""

    text: str
    source: Source
    is_right_to_left: bool


def shown(text: str) -> str:
    """The text with everything replaced that cannot be shown. Canonically composed."""
    return "".join(_shown(each) for each in unicodedata.normalize("NFC", text))


def is_missing(text: str) -> bool:
    """Whether any character of it is told by its code point."""
    return any(_shown(each) == _told(each) for each in unicodedata.normalize("NFC", text))


def _shown(character: str) -> str:
    if character.isspace():
        return "\u00a0" if character in "\u00a0\u202f\u2007" else " "
    if character in _JOINERS:
        return character
    if character in _VARIATIONS or character == "\u00ad":
        return ""
    if unicodedata.category(character)[0] == "C" or source_with(character) is None:
        return _told(character)
    return character


def _told(character: str) -> str:
    return f"[U+{ord(character):04X}]"


def pieces(text: str) -> list[Piece]:
    """The pieces of a line of shown text, from left to right.

    Directions as the Unicode bidirectional algorithm resolves them (UAX 9). The line itself reads left to
    right, as reports do; one without any letter that does so reads right to left, so that brackets and full
    stops of a Hebrew name stand where they belong.
    """
    levels = _levels(text)
    runs: list[tuple[int, Piece]] = []
    for level, source, part in _same(text, levels):
        runs.append((level, Piece(part, source, level % 2 == 1)))
    return [piece for _, piece in _visual(runs)]


def _levels(text: str) -> list[int]:
    kinds = {unicodedata.bidirectional(each) for each in text}
    if not kinds & {"R", "AL", "AN"}:
        return [0] * len(text)
    storage = algorithm.get_empty_storage()
    base = 0 if "L" in kinds else 1
    storage["base_level"], storage["base_dir"] = base, "LR"[base]
    algorithm.get_embedding_levels(text, storage)
    algorithm.explicit_embed_and_overrides(storage)
    levels: list[int] = []
    # Joiners are dropped by the algorithm (rule X9); they go with what stands before them.
    algorithm.resolve_weak_types(storage)
    algorithm.resolve_neutral_types(storage, False)
    algorithm.resolve_implicit_levels(storage, False)
    resolved = iter(storage["chars"])
    for character in text:
        if unicodedata.bidirectional(character) in algorithm.X9_REMOVED:
            levels.append(levels[-1] if levels else 0)
        else:
            levels.append(next(resolved)["level"])
    return levels


def _same(text: str, levels: list[int]) -> list[tuple[int, Source, str]]:
    """Runs of one level and one face; marks and joiners stay with their base, spaces with what is before."""
    found: list[tuple[int, Source, str]] = []
    for character, level in zip(text, levels, strict=True):
        source = source_with(character)
        is_attached = unicodedata.combining(character) or character in _JOINERS or character == " "
        if found and found[-1][0] == level:
            before = found[-1][1]
            if is_attached or source is None or source == before:
                found[-1] = (level, before, found[-1][2] + character)
                continue
        # Shown text has a face for every character; a joiner may begin it.
        found.append((level, source or SOURCES[0], character))
    return found


def _visual(runs: list[tuple[int, Piece]]) -> list[tuple[int, Piece]]:
    """Rule L2: from the highest level down, whatever is at it or above is reversed."""
    ordered = list(runs)
    for level in range(max((level for level, _ in runs), default=0), 0, -1):
        start = 0
        while start < len(ordered):
            end = start
            while end < len(ordered) and ordered[end][0] >= level:
                end += 1
            ordered[start:end] = reversed(ordered[start:end])
            start = max(end, start + 1)
    return ordered
