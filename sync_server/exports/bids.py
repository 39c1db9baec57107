"""A folder in the manner of BIDS for behavioural data: `<name>_bids.zip`.

    dataset_description.json  participants.tsv  participants.json
    task-<task>_beh.json                                              what the columns of the task are
    sub-<label>/ses-<label>/beh/sub-…_ses-…_task-…_run-…_beh.tsv      a task run's trials

The trials must come ordered by participant, session, task and run: a run is one file and is written as its
rows come. Those four columns are in the names of the files; the others are the columns of the TSV.

| what comes | what follows |
|---|---|
| a code with characters that BIDS does not have in labels (`S1-007`) | label without them: `sub-S1007` |
| two codes of one label (`S1-1`, `S11`) | CannotHold |
| a run whose rows are not together | CannotHold: the rows are not ordered |
| null, NaN | `n/a`; an empty text too |
| a tab or a line break in a text | a space: TSV has no quotes; the number in a note |
| a participant in the trials that is not in the list | CannotHold |

What is said names no participant: it is kept longer than they are, and read by people who may not see codes.
"""

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from itertools import groupby
from pathlib import Path
from typing import Final

import msgspec

from sync_server.exports.cells import text_of
from sync_server.exports.described import Batch, CannotHold, Column, Table, Value, checked_rows
from sync_server.exports.whole_file import Written, described_file, whole_file
from sync_server.exports.zipped import member, zip_of

BIDS_VERSION: Final = "1.10.0"
_MISSING: Final = "n/a"
_BREAKS: Final = str.maketrans("\t\r\n", "   ")


@dataclass(frozen=True, slots=True)
class Keys:
    """Which columns of the trials name the file."""

    participant: str
    session: str
    task: str
    run: str

    def positions(self, table: Table) -> tuple[int, ...]:
        """Where they stand. Raises CannotHold."""
        return tuple(table.position(name) for name in (self.participant, self.session, self.task, self.run))


class _Labels:
    """The labels of one kind of code; two codes never share one."""

    def __init__(self, what: str) -> None:
        self._what = what
        self._codes: dict[str, str] = {}

    def of(self, code: Value) -> str:
        """The label of the code. Raises CannotHold."""
        text = "" if code is None else text_of(code)
        label = "".join(one for one in text if one.isascii() and one.isalnum())
        if not label:
            raise CannotHold(f"A {self._what} has neither letters nor digits: BIDS wants them.")
        # Case too: a folder on Windows or macOS would hold both in one.
        if self._codes.setdefault(label.lower(), text) != text:
            raise CannotHold(
                f"Two {self._what}s have one label in BIDS, which knows letters and digits, and no case."
            )
        return label


def write_bids(
    trials: Table,
    batches: Iterable[Batch],
    folder: Path,
    *,
    keys: Keys,
    participants: Table,
    participant_batches: Iterable[Batch],
    description: Mapping[str, object],
) -> Written:
    """Write `<name>_bids.zip`. The first column of `participants` is the code; `description` is added to
    `dataset_description.json` (`Name` at least). Raises CannotHold, OSError.
    """
    target = folder / f"{trials.name}_bids.zip"
    tsv = _Tsv()
    subjects = _Labels("participant")
    known = set()
    rows = 0
    with whole_file(target) as path, zip_of(path) as archive:
        said = {"BIDSVersion": BIDS_VERSION, "DatasetType": "raw", **description}
        with member(archive, "dataset_description.json") as file:
            file.write(_json(said))
        with member(archive, "participants.json") as file:
            file.write(_json(_sidecar(participants.columns[1:])))
        with member(archive, "participants.tsv") as file:
            file.write(tsv.line(("participant_id", *participants.names[1:])))
            for row in checked_rows(participants, participant_batches):
                label = f"sub-{subjects.of(row[0])}"
                known.add(label)
                file.write(tsv.line((label, *row[1:])))
        at = keys.positions(trials)
        kept = [number for number in range(len(trials.columns)) if number not in at]
        tasks = set()
        for name, task, run in _runs(trials, batches, at, subjects):
            if name.split("/", 1)[0] not in known:
                raise CannotHold("A task run is of a participant who is not in the list.")
            tasks.add(task)
            with member(archive, name) as file:
                file.write(tsv.line(trials.names[number] for number in kept))
                for row in run:
                    rows += 1
                    file.write(tsv.line(row[number] for number in kept))
        for task in sorted(tasks):
            with member(archive, f"task-{task}_beh.json") as file:
                columns = [trials.columns[number] for number in kept]
                file.write(_json({"TaskName": task, **_sidecar(columns)}))
    return described_file(target, rows, tsv.notes())


def _runs(
    trials: Table, batches: Iterable[Batch], at: tuple[int, ...], subjects: _Labels
) -> Iterator[tuple[str, str, Iterator[tuple[Value, ...]]]]:
    """Name of the file, task, rows; a run at a time."""
    tasks, done, subject = _Labels("task"), set[str](), ""
    finished = set[str]()
    sessions, runs = _Labels("session"), _Labels("run")
    for key, run in groupby(checked_rows(trials, batches), lambda row: tuple(row[number] for number in at)):
        participant = f"sub-{subjects.of(key[0])}"
        if participant != subject:
            if participant in finished:
                raise CannotHold("The rows of a participant are not together.")
            finished.add(participant)
            subject, done = participant, set()
            sessions = _Labels("session")
        session, task = f"ses-{sessions.of(key[1])}", tasks.of(key[2])
        name = f"{subject}_{session}_task-{task}_run-{runs.of(key[3])}_beh.tsv"
        if name in done:
            raise CannotHold("The rows of a task run are not together.")
        done.add(name)
        yield f"{subject}/{session}/beh/{name}", task, run


class _Tsv:
    """Lines of TSV; counts what it could not keep."""

    def __init__(self) -> None:
        self._broken = 0

    def line(self, cells: Iterable[Value]) -> bytes:
        """The cells, a tab between them."""
        return ("\t".join([self._cell(cell) for cell in cells]) + "\n").encode()

    def _cell(self, cell: Value) -> str:
        if cell is None or cell == "" or cell != cell:  # noqa: PLR0124 - NaN is what is not itself
            return _MISSING
        text = text_of(cell)
        if isinstance(cell, str) and (kept := text.translate(_BREAKS)) != text:
            self._broken += 1
            return kept
        return text

    def notes(self) -> tuple[str, ...]:
        """Sentences on what is not as it was."""
        if not self._broken:
            return ()
        return (f"{self._broken} texts have spaces where they had tabs or line breaks.",)


def _sidecar(columns: Iterable[Column]) -> dict[str, object]:
    described: dict[str, object] = {}
    for column in columns:
        said: dict[str, object] = {"Description": column.label}
        if column.missing:
            said["Description"] = f"{column.label} (n/a: {column.missing})"
        if column.unit:
            said["Units"] = column.unit
        if column.allowed:
            said["Levels"] = {str(one.value): one.label for one in column.allowed}
        described[column.name] = said
    return described


def _json(content: object) -> bytes:
    return msgspec.json.format(msgspec.json.encode(content), indent=2) + b"\n"
