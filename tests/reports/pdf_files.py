"""PDF files as a test looks at them, by PDFium."""

import re
import zlib
from collections.abc import Iterator

import pypdfium2


class Pdf:
    """A file, opened."""

    def __init__(self, content: bytes) -> None:
        self.content = content
        self._file = pypdfium2.PdfDocument(content)

    def __len__(self) -> int:
        return len(self._file)

    @property
    def metadata(self) -> dict[str, str]:
        return dict(self._file.get_metadata_dict())

    def text(self, page: int) -> str:
        """What is written on a page, lines and spaces as one space."""
        return " ".join(self._file[page].get_textpage().get_text_range().split())

    @property
    def texts(self) -> str:
        return " ".join(self.text(page) for page in range(len(self)))

    @property
    def outline(self) -> list[tuple[int, str, int]]:
        """(level, title, page from 0)."""
        return [(mark.level, mark.get_title(), mark.get_dest().get_index()) for mark in self._file.get_toc()]

    def ink(self, page: int, left: float, top: float, right: float, bottom: float) -> float:
        """The share of an area (points, from the upper left corner) that is not white."""
        drawn = self._file[page].render(scale=1, grayscale=True).to_numpy()
        area = drawn[int(top) : int(bottom), int(left) : int(right)]
        return float((area < 250).mean())

    def words_beyond(self, page: int, left: float, right: float) -> list[str]:
        """Characters that stand outside of these edges."""
        text = self._file[page].get_textpage()
        found = []
        for place in range(text.count_chars()):
            low, _, high, _ = text.get_charbox(place)
            if high > low and (low < left or high > right):
                found.append(text.get_text_range(place, 1))
        return found

    @property
    def fonts(self) -> list[str]:
        """Names of fonts, of descendants too."""
        return sorted({match.decode() for match in re.findall(rb"/BaseFont /(\S+)", self.content)})

    @property
    def objects(self) -> str:
        """The file without its streams."""
        return re.sub(rb"stream\r?\n.*?endstream", b"", self.content, flags=re.DOTALL).decode("latin-1")

    def streams(self) -> Iterator[bytes]:
        for match in re.finditer(rb"stream\r?\n(.*?)endstream", self.content, re.DOTALL):
            yield zlib.decompress(match[1])


def count(pdf: Pdf, pattern: str) -> int:
    """How often a pattern stands in the file's objects."""
    return len(re.findall(pattern, pdf.objects))
