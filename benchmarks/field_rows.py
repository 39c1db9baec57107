"""The rows of the benchmarks' documents, as the projector encodes them, and the same again under new ids.

A session's rows are kept as templates with NUL, which no row can hold, where its id belongs: a new session is
one `replace`.
"""

from collections.abc import Mapping, Sequence
from random import Random
from typing import NamedTuple

import msgspec

from replication.push import Outgoing
from replication.values import Leaf
from reporting.projection.batch import FedDocument
from reporting.projection.copy_text import TrialLines
from reporting.projection.judge import judge

PLACE = b"\0"


class TaskRunLines(NamedTuple):
    """One task run's trials: lines of COPY's text format, with `extra` as their last column."""

    task: bytes
    run: bytes
    trials: bytes
    n_trials: int


class SessionLines(NamedTuple):
    """The trials of one session, NUL in place of its id."""

    site: bytes
    task_runs: tuple[TaskRunLines, ...]

    @property
    def n_trials(self) -> int:
        """How many trials."""
        return sum(each.n_trials for each in self.task_runs)


def session_lines(documents: Mapping[str, Sequence[Outgoing]]) -> list[SessionLines]:
    """Every session that has trials; the sites take turns."""
    found = [
        lines
        for site, pushed in documents.items()
        for each in pushed
        if (lines := _lines(site, each)).n_trials
    ]
    Random(1).shuffle(found)
    return found


def _lines(site: str, pushed: Outgoing) -> SessionLines:
    leaf = Leaf(id=pushed.id, rev=pushed.rev, deleted=False, body=pushed.json)
    judgement = judge(FedDocument(pushed.id, (pushed.rev,), (leaf,)), site=site, receipts={})
    session_id = pushed.id.removeprefix("session:").encode()
    flat = (_flat(lines) for lines in judgement.trial_lines if lines.rows)
    return SessionLines(site.encode(), tuple(_task_run(lines, session_id) for lines in flat))


def _flat(lines: TrialLines) -> bytes:
    """The same trials with `extra` in each row."""
    extras: dict[str, msgspec.Raw] = {}
    for line in lines.extras.splitlines():
        text = line.rpartition(b"\t")[2].replace(rb"\\", b"\\")
        extras |= msgspec.json.decode(text, type=dict[str, msgspec.Raw])
    rows = lines.rows.splitlines()
    encoded = [bytes(extras[row.split(b"\t", 5)[4].decode()]).replace(b"\\", rb"\\") for row in rows]
    return b"".join(row + b"\t" + extra + b"\n" for row, extra in zip(rows, encoded, strict=True))


def _task_run(lines: bytes, session_id: bytes) -> TaskRunLines:
    _, _, task, run, _ = lines.split(b"\t", 4)
    own, placed = b"\t" + session_id + b"\t", b"\t" + PLACE + b"\t"
    return TaskRunLines(task, run, lines.replace(own, placed), lines.count(b"\n"))
