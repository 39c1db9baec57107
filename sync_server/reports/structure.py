"""What a page's marks mean: headings, paragraphs, tables and figures, as a screen reader walks them.

ReportLab writes pages without structure; the tree of tags (PDF 1.7, 14.7 and 14.8) is added here. Everything
on a page is in a tag, or marked as an artifact (rules, page numbers). A chart is a figure with its meaning in
words.
"""

from typing import Any

from reportlab.pdfbase.pdfdoc import (
    PDFArray,
    PDFDictionary,
    PDFDocument,
    PDFName,
    PDFObjectReference,
    PDFString,
)

CONTAINERS = frozenset({"Table", "TR", "Sect"})


class Element:
    """A tag: its kind, what it says in words (of a figure), what it holds, and its marks on pages."""

    def __init__(self, kind: str, alternative: str | None = None) -> None:
        self.kind = kind
        self.alternative = alternative
        self.children: list[Element] = []
        self.marks: list[tuple[int, int]] = []
        """(page, number of the mark on it)."""


class Structure:
    """The tree of one file."""

    def __init__(self, language: str) -> None:
        self.root = Element("Document")
        self._language = language
        self._open = [self.root]
        self._marks: dict[int, list[Element]] = {}

    def begin(self, kind: str, alternative: str | None = None) -> Element:
        """Open a tag within the one that is open."""
        element = Element(kind, alternative)
        self._open[-1].children.append(element)
        self._open.append(element)
        return element

    def end(self) -> None:
        """Close the tag that was opened last."""
        self._open.pop()

    def mark(self, page: int) -> int:
        """The number of a new mark on a page, of the tag that is open."""
        on_page = self._marks.setdefault(page, [])
        on_page.append(self._open[-1])
        self._open[-1].marks.append((page, len(on_page) - 1))
        return len(on_page) - 1

    def write(self, document: PDFDocument, pages: list[PDFObjectReference]) -> None:
        """Put the tree into the file; `pages` by number, from 0."""
        references: dict[int, PDFObjectReference] = {}
        root = PDFDictionary({"Type": PDFName("StructTreeRoot")})
        root_reference = document.Reference(root)
        root["K"] = self._write(document, self.root, root_reference, pages, references)
        entries: list[Any] = []
        for page in sorted(self._marks):
            owners = PDFArray([references[id(element)] for element in self._marks[page]])
            entries += [page, document.Reference(owners)]
        root["ParentTree"] = document.Reference(PDFDictionary({"Nums": PDFArray(entries)}))
        root["ParentTreeNextKey"] = len(pages)
        document.Catalog.StructTreeRoot = root_reference
        document.Catalog.MarkInfo = PDFDictionary({"Marked": "true"})

    def _write(
        self,
        document: PDFDocument,
        element: Element,
        parent: PDFObjectReference,
        pages: list[PDFObjectReference],
        references: dict[int, PDFObjectReference],
    ) -> PDFObjectReference:
        written = PDFDictionary({"Type": PDFName("StructElem"), "S": PDFName(element.kind), "P": parent})
        reference = document.Reference(written)
        references[id(element)] = reference
        if element is self.root:
            written["Lang"] = PDFString(self._language)
        if element.alternative is not None:
            written["Alt"] = PDFString(element.alternative)
        kids: list[Any] = [
            PDFDictionary({"Type": PDFName("MCR"), "Pg": pages[page], "MCID": number})
            for page, number in element.marks
        ]
        kids += [self._write(document, child, reference, pages, references) for child in element.children]
        written["K"] = PDFArray(kids)
        return reference
