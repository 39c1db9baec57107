"""What makes a file: the interface between the job and who knows how to make one kind (`kinds.MAKERS`).

A maker reads one snapshot of the database and writes one file into a folder of its own. All the rest is the
job's: states, progress, what happens when the process dies, the name of the file, expiry, download, audit.

To add a kind:

1. A module with a `Maker`: `versions` and `make`. The same request on the same data must be the same bytes:
   no clock, no chance, no path in the file, every query ordered without ties.
2. A line in `kinds.MAKERS`: the module is imported when a file of the kind is asked for.
3. A route that asks for it: check rights, then `sync_server.api.research_files.ask` with a `NewFile`;
   reading, downloading and removing come from `file_routes` there.

A participant's code stands in the request as the member `participant`: an erasure looks for it there.

    def versions(wanted: Wanted) -> Json: return {"layout": 1, "reportlab": reportlab.__version__}

    def make(task: Task) -> Made:
        total = task.connection.scalar(…)
        for number, page in enumerate(pages):
            task.tell(number, total, "pages")    # raises Cancelled where nobody wants it any more
        path = task.folder / "report.pdf"
        return Made(path, "application/pdf", rows=number)

| raised | the file is |
|---|---|
| Cancelled (by `tell`; let it pass) | removed: by a person, or because a participant was erased |
| CannotMake | failed, with its sentence: nothing mends it but another request |
| OSError for a full disk | failed, with a sentence |
| anything else | tried again later, some times; then failed |
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NamedTuple, Protocol

from sqlalchemy import Connection

Json = Mapping[str, Any]

Tell = Callable[[int, int | None, str], None]
"""Told now and then, as often as one likes: done, of how many (None: not known), what of."""


class CannotMake(Exception):
    """It cannot be made; the message says why and what to do, and names no participant."""


class Cancelled(Exception):
    """Nobody wants it any more."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Wanted:
    """What was asked for: `request` is the kind's own part. `sites` None: the whole study."""

    kind: str
    study: str
    sites: tuple[str, ...] | None
    identified: bool
    request: Json


@dataclass(frozen=True, slots=True, kw_only=True)
class Task:
    """One making. `connection` is one snapshot (REPEATABLE READ, READ ONLY) for all that is read; `folder`
    is empty, on the disk of the finished files, and thrown away afterwards. `watermark`: through when the
    data of the snapshot are complete, per site; part of what makes files equal, so it may stand in them.
    """

    wanted: Wanted
    connection: Connection
    folder: Path
    watermark: Json
    tell: Tell


@dataclass(frozen=True, slots=True)
class Made:
    """The whole file, within the task's folder; its suffix becomes the download's. `rows`: data or pages."""

    path: Path
    media_type: str
    rows: int


class Maker(NamedTuple):
    """How files of a kind are made.

    `versions`: what besides the request and the data decides the bytes (libraries, layout, definitions).
    `name`: how the download is called, without suffix.
    `content`: a digest of what it shows, where that is more, or less, than `data_state` looks at: a report
    shows sites' names and tablets' standing too. It may raise CannotMake.
    """

    make: Callable[[Task], Made]
    versions: Callable[[Wanted], Json]
    name: Callable[[Wanted], str]
    content: Callable[[Connection, Wanted], str] | None = None


class LoadsMaker(Protocol):
    """Finds the maker of a kind. Raises LookupError."""

    def __call__(self, kind: str) -> Maker:
        """The maker."""
        ...
