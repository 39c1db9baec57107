"""Fonts in a PDF: the glyphs that a report uses, as CID fonts with their Unicode.

ReportLab's own fonts are by character, with a state for the whole process: glyphs that shaping makes get
numbers in the order in which any report used them, and the same report would be other bytes later. Here a
font belongs to one file, glyphs have the numbers of the font file, and what they stand for is written beside
them, so that text can be searched, copied and read aloud.
"""

from collections.abc import Iterator, Mapping
from itertools import groupby
from typing import Any, Final

from reportlab.pdfbase.pdfdoc import (
    BasicFonts,
    PDFArray,
    PDFDictionary,
    PDFDocument,
    PDFName,
    PDFStream,
    PDFZCompress,
)

from sync_server.reports.faces import Face
from sync_server.reports.lines import Glyph, Run

_MOST_OF_A_SECTION: Final = 100
"""Entries of a `bfchar` section, by the specification of CMaps."""


class Fonts:
    """The fonts of one file, by face; filled as lines are drawn, written at the end."""

    def __init__(self) -> None:
        self._used: dict[str, tuple[Face, dict[int, Glyph]]] = {}

    def name_of(self, face: Face) -> str:
        """The name of the face's font in the file's pages."""
        self._used.setdefault(face.name, (face, {}))
        return f"T{list(self._used).index(face.name) + 1}"

    def use(self, run: Run) -> None:
        """Note the run's glyphs."""
        glyphs = self._used.setdefault(run.face.name, (run.face, {}))[1]
        for glyph in run.glyphs:
            if not (known := glyphs.get(glyph.number)) or (glyph.text and not known.text):
                glyphs[glyph.number] = glyph

    def write(self, document: PDFDocument) -> None:
        """Put them into the file, in place of the standard fonts, none of which is used."""
        fonts = {}
        for face, glyphs in self._used.values():
            fonts[self.name_of(face)] = document.Reference(_font(document, face, glyphs))
        document.idToObject[BasicFonts].dict.clear()
        document.idToObject[BasicFonts].dict.update(fonts)


def _font(document: PDFDocument, face: Face, glyphs: Mapping[int, Glyph]) -> PDFDictionary:
    name = PDFName(f"{_tag(face, glyphs)}+{face.name}")
    encoding: Any = PDFName("Identity-H")
    if not face.is_truetype:
        encoding = document.Reference(_encoding(face, glyphs))
    descendant: dict[str, Any] = {
        "Type": PDFName("Font"),
        "Subtype": PDFName("CIDFontType2" if face.is_truetype else "CIDFontType0"),
        "BaseFont": name,
        "CIDSystemInfo": _identity(),
        "FontDescriptor": document.Reference(_descriptor(document, face, glyphs, name)),
        "DW": 0,
        "W": PDFArray(list(_widths(face, glyphs))),
    }
    if face.is_truetype:
        descendant["CIDToGIDMap"] = PDFName("Identity")
    return PDFDictionary(
        {
            "Type": PDFName("Font"),
            "Subtype": PDFName("Type0"),
            "BaseFont": name,
            "Encoding": encoding,
            "DescendantFonts": PDFArray([document.Reference(PDFDictionary(descendant))]),
            "ToUnicode": document.Reference(PDFStream(content=_unicode_map(glyphs), filters=[PDFZCompress])),
        }
    )


def _tag(face: Face, glyphs: Mapping[int, Glyph]) -> str:
    """Six letters that a subset has before its name: other ones for another set."""
    number = hash_of(face.name, sorted(glyphs))
    return "".join(chr(65 + number // 26**place % 26) for place in range(6))


def hash_of(name: str, numbers: list[int]) -> int:
    """A number that follows from these (FNV-1a); Python's own differs between processes."""
    value = 0xCBF29CE484222325
    for part in (name, *map(str, numbers)):
        for byte in part.encode():
            value = (value ^ byte) * 0x100000001B3 % 2**64
    return value


def _descriptor(
    document: PDFDocument, face: Face, glyphs: Mapping[int, Glyph], name: PDFName
) -> PDFDictionary:
    extents = face.font.get_font_extents("ltr")
    scale = 1000 / face.units
    stream = PDFStream(content=face.cut(glyphs), filters=[PDFZCompress])
    if not face.is_truetype:
        stream.dictionary["Subtype"] = PDFName("CIDFontType0C")
    ascent, descent = round(extents.ascender * scale), round(extents.descender * scale)
    return PDFDictionary(
        {
            "Type": PDFName("FontDescriptor"),
            "FontName": name,
            "Flags": 4,
            "FontBBox": PDFArray([-1000, descent, 3000, ascent]),
            "ItalicAngle": 0,
            "Ascent": ascent,
            "Descent": descent,
            "CapHeight": 714,
            "StemV": 80,
            "FontFile2" if face.is_truetype else "FontFile3": document.Reference(stream),
        }
    )


def _widths(face: Face, glyphs: Mapping[int, Glyph]) -> Iterator[Any]:
    """`first [width width …]` for every run of numbers."""
    of = face.places(glyphs)
    for _, group in groupby(enumerate(sorted(glyphs)), lambda each: of[each[1]] - each[0]):
        numbers = [number for _, number in group]
        yield of[numbers[0]]
        yield PDFArray([_number(face.advance(number)) for number in numbers])


def _number(value: float) -> float | int:
    rounded = round(value, 2)
    return int(rounded) if rounded == int(rounded) else rounded


def _unicode_map(glyphs: Mapping[int, Glyph]) -> bytes:
    """What each glyph stands for."""
    entries = [
        f"<{number:04X}> <{glyph.text.encode('utf-16-be').hex().upper()}>"
        for number, glyph in sorted(glyphs.items())
        if glyph.text
    ]
    return _character_map("Adobe-Identity-UCS", "UCS", "bfchar", entries)


def _encoding(face: Face, glyphs: Mapping[int, Glyph]) -> PDFStream:
    """Which place of the embedded font has each glyph, where it has other numbers."""
    name = "Metricis-Glyphs"
    entries = [f"<{number:04X}> {place}" for number, place in sorted(face.places(glyphs).items())]
    stream = PDFStream(content=_character_map(name, "Identity", "cidchar", entries), filters=[PDFZCompress])
    stream.dictionary["Type"] = PDFName("CMap")
    stream.dictionary["CMapName"] = PDFName(name)
    stream.dictionary["CIDSystemInfo"] = _identity()
    return stream


def _identity() -> PDFDictionary:
    return PDFDictionary({"Registry": "(Adobe)", "Ordering": "(Identity)", "Supplement": 0})


def _character_map(name: str, ordering: str, kind: str, entries: list[str]) -> bytes:
    """A CMap of two-byte codes (Adobe technical note 5014)."""
    sections = []
    for start in range(0, len(entries), _MOST_OF_A_SECTION):
        section = entries[start : start + _MOST_OF_A_SECTION]
        sections.append("\n".join([f"{len(section)} begin{kind}", *section, f"end{kind}"]))
    return "\n".join(
        [
            "/CIDInit /ProcSet findresource begin",
            "12 dict begin",
            "begincmap",
            f"/CIDSystemInfo << /Registry (Adobe) /Ordering ({ordering}) /Supplement 0 >> def",
            f"/CMapName /{name} def",
            f"/CMapType {2 if kind == 'bfchar' else 1} def",
            "1 begincodespacerange",
            "<0000> <FFFF>",
            "endcodespacerange",
            *sections,
            "endcmap",
            "CMapName currentdict /CMap defineresource pop",
            "end",
            "end",
        ]
    ).encode("ascii")
