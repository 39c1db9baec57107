"""The codebook to read: `codebook.pdf`, the same bytes for the same tables (no clock, no chance in it).

The built-in Helvetica holds what Western languages are written with; our labels are English and French. A
character beyond that is a question mark here, and whole in `codebook.csv` and `codebook.json`.
"""

import io
from collections.abc import Mapping, Sequence
from typing import Any, Final
from xml.sax.saxutils import escape

from reportlab.lib import colors
from reportlab.lib.pagesizes import A4, landscape
from reportlab.lib.styles import ParagraphStyle
from reportlab.lib.units import mm
from reportlab.pdfgen.canvas import Canvas
from reportlab.platypus import LongTable, PageBreak, Paragraph, SimpleDocTemplate, Spacer, TableStyle

from reporting.research.variables import Language
from sync_server.exports.codebook import Described
from sync_server.exports.described import Column

_WORDS: Final[Mapping[Language, Mapping[str, str]]] = {
    "en": {
        "title": "Codebook",
        "page": "page",
        "name": "Name",
        "label": "Label",
        "type": "Type, unit",
        "allowed": "Allowed values",
        "missing": "Missing means",
    },
    "fr": {
        "title": "Dictionnaire des variables",
        "page": "page",
        "name": "Nom",
        "label": "Libellé",
        "type": "Type, unité",
        "allowed": "Valeurs possibles",
        "missing": "Absence de valeur",
    },
}
_WIDTHS: Final = (52 * mm, 68 * mm, 30 * mm, 62 * mm, 55 * mm)
_TITLE: Final = ParagraphStyle("title", fontName="Helvetica-Bold", fontSize=16, leading=20, spaceAfter=4 * mm)
_HEADING: Final = ParagraphStyle("heading", fontName="Helvetica-Bold", fontSize=12, leading=15)
_SMALL: Final = ParagraphStyle("small", fontName="Helvetica", fontSize=7.5, leading=9)
_NAME: Final = ParagraphStyle("name", parent=_SMALL, fontName="Courier", wordWrap="CJK")
_BOLD: Final = ParagraphStyle("bold", parent=_SMALL, fontName="Helvetica-Bold")
_GRID: Final = TableStyle(
    [
        ("BACKGROUND", (0, 0), (-1, 0), colors.HexColor("#e8edf2")),
        ("LINEBELOW", (0, 0), (-1, -1), 0.25, colors.HexColor("#b8c2cc")),
        ("VALIGN", (0, 0), (-1, -1), "TOP"),
        ("LEFTPADDING", (0, 0), (-1, -1), 1.5 * mm),
        ("RIGHTPADDING", (0, 0), (-1, -1), 1.5 * mm),
        ("TOPPADDING", (0, 0), (-1, -1), 0.8 * mm),
        ("BOTTOMPADDING", (0, 0), (-1, -1), 0.8 * mm),
    ]
)


def codebook_pdf(described: Sequence[Described], *, title: str, language: Language) -> bytes:
    """`codebook.pdf`: a chapter a file, a row a column."""
    words = _WORDS[language]
    target = io.BytesIO()
    document = SimpleDocTemplate(
        target,
        pagesize=landscape(A4),
        leftMargin=15 * mm,
        rightMargin=15 * mm,
        topMargin=15 * mm,
        bottomMargin=15 * mm,
        title=_held(f"{words['title']}: {title}"),
        author="Metricis Sync",
        lang=language,
        invariant=1,
    )
    story: list[Any] = [_text(f"{words['title']}: {title}", _TITLE)]
    for number, one in enumerate(described):
        if number:
            story.append(PageBreak())
        story += [_text(f"{one.table.label} ({one.file})", _HEADING), Spacer(0, 3 * mm)]
        header = [_text(words[name], _BOLD) for name in ("name", "label", "type", "allowed", "missing")]
        rows = [header, *(_row(column) for column in one.table.columns)]
        table = LongTable(rows, colWidths=_WIDTHS, repeatRows=1)
        table.setStyle(_GRID)
        story.append(table)

    def number_page(canvas: Canvas, _: SimpleDocTemplate) -> None:
        canvas.setFont("Helvetica", 7.5)
        canvas.drawRightString(
            landscape(A4)[0] - 15 * mm, 8 * mm, f"{words['page']} {canvas.getPageNumber()}"
        )

    document.build(story, onFirstPage=number_page, onLaterPages=number_page)
    return target.getvalue()


def _row(column: Column) -> list[Paragraph]:
    kind = f"{column.type.value}, {column.unit}" if column.unit else column.type.value
    allowed = "; ".join(f"{one.value} = {one.label}" for one in column.allowed)
    return [
        _text(column.name, _NAME),
        *(_text(text, _SMALL) for text in (column.label, kind, allowed, column.missing)),
    ]


def _text(text: str, style: ParagraphStyle) -> Paragraph:
    return Paragraph(escape(_held(text)), style)


def _held(text: str) -> str:
    return text.encode("cp1252", errors="replace").decode("cp1252")
