"""A disk as the operating system leaves it when the power goes: only what was synced is sure to be there.

A recording is the list of what a program did to files and to their directory, in order. `Disk` plays it up to
the moment of the cut; `written_to` lays out what a machine could find afterwards:

    what was done                                 after the cut
    ------------------------------------------    ------------------------------------------------------
    written and then synced (the file)            there
    written, not synced                           there, gone, or there in part: sector by sector
    created, renamed, removed; directory synced   there
    created, renamed, removed; not synced         as before or as after, but in their order (a journalling
                                                  file system, which the store relies on, keeps it)
"""

import itertools
import random
from collections.abc import Iterable
from dataclasses import dataclass, field
from pathlib import Path
from typing import TypeAlias

SECTOR_BYTES = 512


@dataclass(frozen=True)
class Write:
    """Bytes written to a file at an offset."""

    file: int
    offset: int
    data: bytes


@dataclass(frozen=True)
class Truncate:
    """A file cut, or grown, to a size."""

    file: int
    size: int


@dataclass(frozen=True)
class Sync:
    """fsync of a file: all that was written to it before is on the disk."""

    file: int


@dataclass(frozen=True)
class Rename:
    """A name that appears (`old` is None), goes (`new` is None) or changes, in the one directory there is."""

    file: int
    old: str | None
    new: str | None


@dataclass(frozen=True)
class SyncDirectory:
    """fsync of the directory: all names are on the disk."""


@dataclass(frozen=True)
class Told:
    """What somebody was promised at this moment."""

    what: str
    value: object


Event: TypeAlias = Write | Truncate | Sync | Rename | SyncDirectory | Told


@dataclass
class _File:
    durable: bytearray = field(default_factory=bytearray)
    pending: list[Write | Truncate] = field(default_factory=list)


class Disk:
    """The files after some events."""

    def __init__(self) -> None:
        self._files: dict[int, _File] = {}
        self._names: dict[str, int] = {}
        self._pending_names: list[Rename] = []

    def play(self, events: Iterable[Event]) -> None:
        """Go on by these events."""
        for event in events:
            match event:
                case Write() | Truncate():
                    self._file(event.file).pending.append(event)
                case Sync():
                    file = self._file(event.file)
                    for change in file.pending:
                        _apply(file.durable, change)
                    file.pending.clear()
                case Rename():
                    self._pending_names.append(event)
                case SyncDirectory():
                    self._names = _renamed(self._names, self._pending_names)
                    self._pending_names.clear()

    def _file(self, number: int) -> _File:
        return self._files.setdefault(number, _File())

    def written_to(self, directory: Path, chance: random.Random) -> None:
        """Lay out one state in which a machine could find the disk after a cut now."""
        kept = chance.choice((0.0, 0.0, 0.5, 0.9, 1.0))
        names = self._pending_names[: round(kept * len(self._pending_names))]
        for name, number in _renamed(self._names, names).items():
            file = self._file(number)
            content = bytearray(file.durable)
            for change in file.pending:
                for part in _parts(change):
                    if chance.random() < kept:
                        _apply(content, part)
            (directory / name).write_bytes(content)


def _renamed(names: dict[str, int], changes: Iterable[Rename]) -> dict[str, int]:
    names = dict(names)
    for change in changes:
        if change.old is not None:
            names.pop(change.old, None)
        if change.new is not None:
            names[change.new] = change.file
    return names


def _parts(change: Write | Truncate) -> list[Write | Truncate]:
    """What the disk does as one: a sector, or a new size."""
    if isinstance(change, Truncate):
        return [change]
    end = change.offset + len(change.data)
    cuts = [change.offset, *range(_next_sector(change.offset), end, SECTOR_BYTES), end]
    return [
        Write(change.file, start, change.data[start - change.offset : stop - change.offset])
        for start, stop in itertools.pairwise(cuts)
    ]


def _next_sector(offset: int) -> int:
    return (offset // SECTOR_BYTES + 1) * SECTOR_BYTES


def _apply(content: bytearray, change: Write | Truncate) -> None:
    if isinstance(change, Truncate):
        del content[change.size :]
        content.extend(bytes(change.size - len(content)))
        return
    content.extend(bytes(max(0, change.offset - len(content))))
    content[change.offset : change.offset + len(change.data)] = change.data
