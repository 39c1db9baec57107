"""The examples of a document: its fenced blocks, each with its language, its marks and where it begins."""

import re
from pathlib import Path
from typing import NamedTuple

_FENCE = re.compile(r"^```(\w+)((?: [\w-]+)*)\n(.*?)^```$", re.MULTILINE | re.DOTALL)


class Example(NamedTuple):
    """A block. `marks` are the words behind its language: `tables`, `may-be-empty`."""

    language: str
    marks: frozenset[str]
    line: int
    code: str


def examples(path: Path) -> list[Example]:
    """All of them, in order."""
    text = path.read_text()
    return [
        Example(language, frozenset(marks.split()), text[: found.start()].count("\n") + 2, code)
        for found in _FENCE.finditer(text)
        for language, marks, code in [found.groups()]
    ]
