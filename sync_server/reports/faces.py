"""The fonts of reports: Noto, from a package, never those of the machine.

A server has no fonts, two servers have different ones, and the same report has to be the same bytes on both.
So fonts come as a wheel (SIL Open Font License): `manimgx-fonts` has Noto Sans for Latin, Greek, Cyrillic and
nineteen further scripts. Chinese, Japanese and Korean are 20 MB more and an extra, `reports-cjk`.

All are variable fonts; HarfBuzz makes the weight that is wanted, and the part of it that is embedded.

| if | then |
|---|---|
| the CJK package is not installed | its characters are told by their code points, as every missing one |
| no face has a character | the same |
"""

from collections.abc import Iterable, Mapping
from enum import StrEnum
from functools import cache, cached_property
from importlib import resources
from importlib.util import find_spec
from typing import Final, NamedTuple

import uharfbuzz


class Weight(StrEnum):
    """How heavy text is."""

    REGULAR = "regular"
    BOLD = "bold"


_DESIGN_WEIGHT: Final = {Weight.REGULAR: 400.0, Weight.BOLD: 700.0}


class Source(NamedTuple):
    """Where a face lies: a file of a package, and which of the file's faces."""

    package: str
    file: str
    name: str
    """PostScript name, without the weight."""
    number: int = 0


_NOTO: Final = "manimgx_fonts"

SOURCES: Final = (
    Source(_NOTO, "NotoSans[wght].ttf", "NotoSans"),
    *(
        Source(_NOTO, f"NotoSans{script}[wght].ttf", f"NotoSans{script}")
        for script in (
            *("Arabic", "Hebrew", "Armenian", "Georgian", "Devanagari", "Bengali", "Gujarati", "Gurmukhi"),
            *("Tamil", "Telugu", "Kannada", "Malayalam", "Oriya", "Sinhala", "Thai", "Lao", "Khmer"),
            *("Myanmar", "Ethiopic"),
        )
    ),
    # The first of the collection's faces: where languages write a character differently, as in Japan.
    Source("manimgx_fonts_cjk", "NotoSansCJK-VF.otf.ttc", "NotoSansCJKjp"),
    Source(_NOTO, "NotoSansSymbols[wght].ttf", "NotoSansSymbols"),
    Source(_NOTO, "NotoEmoji[wght].ttf", "NotoEmoji"),
)
"""In the order in which a character is looked for."""


class Face:
    """One weight of one font, as HarfBuzz sees it. Glyphs are numbered as in the file."""

    def __init__(self, source: Source, weight: Weight) -> None:
        file = resources.files(source.package) / source.file
        with resources.as_file(file) as path:
            self.face = uharfbuzz.Face(uharfbuzz.Blob.from_file_path(str(path)), source.number)
        self.source = source
        self.weight = weight
        self.font = uharfbuzz.Font(self.face)
        self.font.set_variations({"wght": _DESIGN_WEIGHT[weight]})
        self.units: int = self.face.upem

    @property
    def name(self) -> str:
        """The PostScript name."""
        return f"{self.source.name}-{self.weight.value.capitalize()}"

    @property
    def is_truetype(self) -> bool:
        """Whether its outlines are quadratic (`glyf`), not cubic (`CFF2`)."""
        return "glyf" in self.face.table_tags

    @cached_property
    def characters(self) -> frozenset[int]:
        """The code points that it has a glyph for."""
        return frozenset(self.face.unicodes)

    def advance(self, glyph: int) -> float:
        """Width of a glyph, in thousandths of the size."""
        return float(self.font.get_glyph_h_advance(glyph)) * 1000 / self.units

    def places(self, glyphs: Iterable[int]) -> Mapping[int, int]:
        """The number in `cut(glyphs)` of each: its own in a TrueType file; else they are numbered in order.

        A CFF file would have an entry for every glyph that is not there, of 65,000.
        """
        ordered = sorted({*glyphs} - {0})
        return {each: each if self.is_truetype else place for place, each in enumerate(ordered, start=1)}

    def cut(self, glyphs: Iterable[int]) -> bytes:
        """A font file with these glyphs, of this weight; without layout tables."""
        wanted = uharfbuzz.SubsetInput()
        flags = uharfbuzz.SubsetFlags
        wanted.flags = flags.NO_LAYOUT_CLOSURE | flags.NO_HINTING | flags.DOWNGRADE_CFF2
        if self.is_truetype:
            wanted.flags |= flags.RETAIN_GIDS
        for glyph in {0, *glyphs}:
            wanted.glyph_set.add(glyph)
        for tag in ("GSUB", "GPOS", "GDEF", "STAT", "BASE", "VORG", "vhea", "vmtx"):
            wanted.drop_table_tag_set.add(int.from_bytes(tag.encode(), "big"))
        wanted.pin_axis_location(self.face, "wght", _DESIGN_WEIGHT[self.weight])
        cut = uharfbuzz.subset(self.face, wanted)
        blob = cut.blob if self.is_truetype else cut.reference_table("CFF ")
        return bytes(blob.data)


@cache
def face_of(source: Source, weight: Weight) -> Face:
    """The face, read once a process."""
    return Face(source, weight)


@cache
def installed() -> tuple[Source, ...]:
    """The sources whose package is there."""
    return tuple(source for source in SOURCES if find_spec(source.package) is not None)


@cache
def source_with(character: str) -> Source | None:
    """The first source that has the character."""
    point = ord(character)
    for source in installed():
        if point in face_of(source, Weight.REGULAR).characters:
            return source
    return None
