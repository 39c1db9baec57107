"""A PDF file being written: pages, text, lines and areas on them, tags, bookmarks.

Coordinates are points from the upper left corner of an A4 page, x to the right and y down; text stands on its
baseline. Nothing here asks a clock: the same calls are the same bytes.
"""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from datetime import UTC, datetime
from hashlib import md5
from io import BytesIO
from typing import Final, NamedTuple

from reportlab.pdfbase.pdfdoc import PDFName, PDFObjectReference, PDFStream, PDFZCompress
from reportlab.pdfgen.canvas import Canvas

from sync_server.reports.embedding import Fonts
from sync_server.reports.faces import Face
from sync_server.reports.lines import Glyph, Line, Run
from sync_server.reports.structure import Structure

WIDTH: Final = 595.28
HEIGHT: Final = 841.89

Point = tuple[float, float]


class Area(NamedTuple):
    """A rectangle, by its upper left corner."""

    x: float
    y: float
    width: float
    height: float

    @property
    def right(self) -> float:
        """Its right edge."""
        return self.x + self.width

    @property
    def bottom(self) -> float:
        """Its lower edge."""
        return self.y + self.height


def between(left: float, top: float, right: float, bottom: float) -> Area:
    """The area with these edges."""
    return Area(left, top, right - left, bottom - top)


_SEEN: Final = 0.4
"""Thousandths of the size: less kerning than that is not written."""


class Colour(NamedTuple):
    """Red, green and blue, 0 to 1."""

    red: float
    green: float
    blue: float


def _colour(code: str) -> Colour:
    red, green, blue = (int(code[start : start + 2], 16) / 255 for start in (0, 2, 4))
    return Colour(red, green, blue)


INK: Final = _colour("1B2A38")
SOFT: Final = _colour("5B6875")
FAINT: Final = _colour("A9B3BC")
RULE: Final = _colour("D3D9DF")
SHADE: Final = _colour("EEF1F4")
BAND: Final = _colour("D9E4EC")
BLUE: Final = _colour("1F5A85")
RUST: Final = _colour("B4501E")
WHITE: Final = _colour("FFFFFF")


class About(NamedTuple):
    """What the file says of itself."""

    title: str
    author: str
    subject: str
    language: str
    moment: datetime
    """Shown as when the file was made: a moment of its data, as a clock would make other bytes each time."""


class _Canvas(Canvas):  # type: ignore[misc]  # ReportLab has no types
    """Without the standard font that ReportLab names on every page, and embeds nowhere."""

    def _make_preamble(self) -> None:
        self._preamble = ""


class Sheets:
    """The file. `new_page` before anything is drawn; `finished` once, at the end."""

    def __init__(self, about: About) -> None:
        self._file = BytesIO()
        self._canvas = _Canvas(
            self._file,
            pagesize=(WIDTH, HEIGHT),
            invariant=1,
            pageCompression=1,
            pdfVersion=(1, 7),
            lang=about.language,
        )
        self._canvas.setTitle(about.title)
        self._canvas.setAuthor(about.author)
        self._canvas.setCreator(about.author)
        self._canvas.setProducer(about.author)
        self._canvas.setSubject(about.subject)
        self._canvas.setViewerPreference("DisplayDocTitle", "true")
        self._canvas.showOutline()
        document = self._canvas._doc
        document._timeStamp.YMDhms = about.moment.astimezone(UTC).timetuple()[:6]
        # ReportLab begins it with a timestamp of its own, which a variable of the environment sets.
        document.signature = md5(usedforsecurity=False)
        self._fonts = Fonts()
        self.structure = Structure(about.language)
        self._pages: list[PDFObjectReference] = []
        self._bookmarks = 0
        self._is_open = False

    @property
    def page(self) -> int:
        """The number of the page that is being drawn, from 1; 0 before the first."""
        return len(self._pages) + self._is_open

    def new_page(self) -> None:
        """End the page, if there is one, and begin another."""
        self._close_page()
        self._is_open = True

    def bookmark(self, title: str, level: int, y: float) -> None:
        """An entry of the outline, at this height of the page. Level 0 is outermost."""
        key = f"b{self._bookmarks}"
        self._bookmarks += 1
        self._canvas.bookmarkHorizontal(key, 0, HEIGHT - y)
        self._canvas.addOutlineEntry(title, key, level, closed=False)

    @contextmanager
    def tag(self, kind: str, alternative: str | None = None) -> Iterator[None]:
        """What is drawn within is this: `H1`, `P`, `Figure`, a cell `TD` … A container may hold tags only."""
        self.structure.begin(kind, alternative)
        yield
        self.structure.end()

    @contextmanager
    def marked(self, kind: str) -> Iterator[None]:
        """Marks of the tag that is open, of which `kind` is the name."""
        self._add(f"/{kind} <</MCID {self.structure.mark(self.page - 1)}>> BDC")
        yield
        self._add("EMC")

    @contextmanager
    def tagged(self, kind: str, alternative: str | None = None) -> Iterator[None]:
        """`tag` and `marked` in one."""
        with self.tag(kind, alternative), self.marked(kind):
            yield

    @contextmanager
    def artifact(self) -> Iterator[None]:
        """What is drawn within is decoration, or on every page."""
        self._add("/Artifact BMC")
        yield
        self._add("EMC")

    def text(self, line: Line, x: float, y: float, colour: Colour = INK, *, align: float = 0) -> None:
        """A line; `align` 0 begins at x, 1 ends there, 0.5 has its middle there."""
        at = x - align * line.width
        self._add(f"BT {_rgb(colour)} rg")
        for run in line.runs:
            at = self._run(run, line.size, at, HEIGHT - y)
        self._add("ET")

    def stroke(
        self, points: Sequence[Point], colour: Colour = INK, width: float = 0.5, dash: str = ""
    ) -> None:
        """A line through points."""
        if len(points) < 2:
            return
        path = " ".join(f"{_at(x, y)} {'l' if number else 'm'}" for number, (x, y) in enumerate(points))
        self._add(f"q {_rgb(colour)} RG {_n(width)} w [{dash}] 0 d 1 j {path} S Q")

    def area(
        self,
        points: Sequence[Point],
        fill: Colour | None = None,
        line: Colour | None = None,
        width: float = 0.5,
    ) -> None:
        """A closed shape, filled, outlined, or both."""
        path = " ".join(f"{_at(x, y)} {'l' if number else 'm'}" for number, (x, y) in enumerate(points))
        self._paint(path, fill, line, width)

    def box(
        self, area: Area, fill: Colour | None = None, line: Colour | None = None, width: float = 0.5
    ) -> None:
        """A rectangle, filled, outlined, or both."""
        path = f"{_n(area.x)} {_n(HEIGHT - area.bottom)} {_n(area.width)} {_n(area.height)} re"
        self._paint(path, fill, line, width)

    def dot(self, x: float, y: float, radius: float, fill: Colour | None, line: Colour | None = None) -> None:
        """A circle."""
        k, r = 0.5523 * radius, radius
        path = (
            f"{_at(x + r, y)} m {_at(x + r, y - k)} {_at(x + k, y - r)} {_at(x, y - r)} c "
            f"{_at(x - k, y - r)} {_at(x - r, y - k)} {_at(x - r, y)} c "
            f"{_at(x - r, y + k)} {_at(x - k, y + r)} {_at(x, y + r)} c "
            f"{_at(x + k, y + r)} {_at(x + r, y + k)} {_at(x + r, y)} c"
        )
        self._paint(path, fill, line, 0.8)

    def finished(self) -> bytes:
        """The file's bytes. Draws nothing more."""
        self._close_page()
        document = self._canvas._doc
        self._fonts.write(document)
        self.structure.write(document, self._pages)
        return bytes(document.GetPDFData(self._canvas))

    def _paint(self, path: str, fill: Colour | None, line: Colour | None, width: float) -> None:
        if fill is None and line is None:
            return
        colours = f"{_rgb(fill)} rg " if fill else ""
        if line:
            colours += f"{_rgb(line)} RG {_n(width)} w "
        self._add(f"q {colours}{path} {'b' if fill and line else 'f' if fill else 's'} Q")

    def _run(self, run: Run, size: float, x: float, y: float) -> float:
        """Draw a run; where it ends."""
        self._fonts.use(run)
        self._add(f"/{self._fonts.name_of(run.face)} {_n(size)} Tf")
        for glyphs, is_plain in _stretches(run):
            self._glyphs(run.face, glyphs, size, (x, y), is_plain=is_plain)
            x += sum(glyph.advance for glyph in glyphs) * size / 1000
        return x

    def _glyphs(self, face: Face, glyphs: list[Glyph], size: float, at: Point, *, is_plain: bool) -> None:
        if not is_plain:
            # Several glyphs, and what they are together: a letter and its dots.
            text = glyphs[0].text.encode("utf-16-be").hex().upper()
            self._add(f"/Span <</ActualText <FEFF{text}>>> BDC")
        for offset, rise, shown in _strings(face, glyphs):
            at_x, at_y = at[0] + offset * size / 1000, at[1] + rise * size / 1000
            self._add(f"1 0 0 1 {_n(at_x)} {_n(at_y)} Tm {shown} TJ")
        if not is_plain:
            self._add("EMC")

    def _close_page(self) -> None:
        if not self._is_open:
            return
        canvas = self._canvas
        self._pages.append(canvas._doc.thisPageRef())
        number = len(self._pages) - 1
        canvas.showPage()
        page = canvas._doc.idToObject[self._pages[-1].name]
        # Binary: ReportLab's ASCII would be a quarter larger.
        page.Contents = PDFStream(content=page.stream, filters=[PDFZCompress])
        page.__NoDefault__ = [*page.__NoDefault__, "StructParents", "Tabs"]
        page.StructParents, page.Tabs = number, PDFName("S")
        self._is_open = False

    def _add(self, code: str) -> None:
        self._canvas._code.append(code)


def _rgb(colour: Colour) -> str:
    return " ".join(_n(part) for part in colour)


def _at(x: float, y: float) -> str:
    return f"{_n(x)} {_n(HEIGHT - y)}"


def _n(value: float) -> str:
    """Three digits, as short as they are."""
    text = f"{value:.3f}".rstrip("0").rstrip(".")
    return "0" if text in ("", "-0") else text


def _clusters(run: Run) -> Iterator[list[Glyph]]:
    """Glyphs that belong together."""
    cluster: list[Glyph] = []
    for glyph in run.glyphs:
        if glyph.text and cluster:
            yield cluster
            cluster = []
        cluster.append(glyph)
    if cluster:
        yield cluster


def _stretches(run: Run) -> Iterator[tuple[list[Glyph], bool]]:
    """Glyphs that each stand for their own text, as many as there are; and each cluster of several."""
    plain: list[Glyph] = []
    for cluster in _clusters(run):
        if len(cluster) == 1:
            plain += cluster
            continue
        if plain:
            yield plain, True
            plain = []
        yield cluster, False
    if plain:
        yield plain, True


def _strings(face: Face, glyphs: list[Glyph]) -> Iterator[tuple[float, float, str]]:
    """What the operator TJ takes, with how far from the begin and the baseline it stands.

    One string as long as glyphs stand one after the other; a glyph that stands elsewhere, as a mark over its
    letter does, is one by itself.
    """
    position, begun, kerning = 0.0, 0.0, 0.0
    parts: list[str] = []
    for glyph in glyphs:
        code = f"<{glyph.number:04X}>"
        if glyph.x_offset or glyph.y_offset:
            if parts:
                yield begun, 0.0, f"[{''.join(parts)}]"
            yield position + glyph.x_offset, glyph.y_offset, f"[{code}]"
            parts = []
        else:
            if not parts:
                begun, kerning = position, 0.0
            if abs(kerning) > _SEEN:
                parts.append(_n(kerning))
                kerning = 0.0
            parts.append(code)
            kerning += face.advance(glyph.number) - glyph.advance
        position += glyph.advance
    if parts:
        yield begun, 0.0, f"[{''.join(parts)}]"
