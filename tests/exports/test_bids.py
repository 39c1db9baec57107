"""Trials as a folder of BIDS: names, sidecars, missing values; what would be ambiguous is refused."""

import csv
import io
import json
import math
import re
import zipfile
from pathlib import Path

import pytest

from sync_server.exports.bids import Keys, write_bids
from sync_server.exports.described import Allowed, CannotHold, Column, ColumnType, Row, Table

TRIALS = Table(
    "trials",
    "Trials",
    (
        Column("participant", ColumnType.TEXT, "Participant"),
        Column("visit", ColumnType.INTEGER, "Visit"),
        Column("task", ColumnType.TEXT, "Task"),
        Column("run", ColumnType.INTEGER, "Run"),
        Column("rt", ColumnType.NUMBER, "Reaction time", unit="ms", missing="no answer"),
        Column("answer", ColumnType.TEXT, "Answer", allowed=(Allowed("l", "left"), Allowed("r", "right"))),
    ),
)
PARTICIPANTS = Table(
    "participants",
    "Participants",
    (Column("code", ColumnType.TEXT, "Code"), Column("site", ColumnType.TEXT, "Site")),
)
KEYS = Keys("participant", "visit", "task", "run")
LIST: list[Row] = [("S1-001", "Zürich"), ("S1-002", None)]


def _write(rows: list[Row], folder: Path, people: list[Row] | None = None) -> tuple[str, ...]:
    return write_bids(
        TRIALS,
        [rows[:2], rows[2:]],
        folder,
        keys=KEYS,
        participants=PARTICIPANTS,
        participant_batches=[LIST if people is None else people],
        description={"Name": "Study S1"},
    ).notes


def test_a_run_is_a_file_with_sidecars_and_the_same_bytes_again(tmp_path: Path) -> None:
    rows: list[Row] = [
        ("S1-001", 1, "stroop", 1, 512.5, "l"),
        ("S1-001", 1, "stroop", 1, None, "a\tb"),
        ("S1-001", 1, "stroop", 2, math.nan, ""),
        ("S1-002", 1, "n_back", 1, 1.0, "r"),
    ]
    notes = _write(rows, tmp_path)
    assert notes == ("1 texts have spaces where they had tabs or line breaks.",)
    archive = zipfile.ZipFile(tmp_path / "trials_bids.zip")
    assert archive.namelist() == [
        "dataset_description.json",
        "participants.json",
        "participants.tsv",
        "sub-S1001/ses-1/beh/sub-S1001_ses-1_task-stroop_run-1_beh.tsv",
        "sub-S1001/ses-1/beh/sub-S1001_ses-1_task-stroop_run-2_beh.tsv",
        "sub-S1002/ses-1/beh/sub-S1002_ses-1_task-nback_run-1_beh.tsv",
        "task-nback_beh.json",
        "task-stroop_beh.json",
    ]
    tables = {
        name: list(csv.reader(io.StringIO(archive.read(name).decode()), delimiter="\t"))
        for name in archive.namelist()
        if name.endswith(".tsv")
    }
    assert tables["participants.tsv"] == [
        ["participant_id", "site"],
        ["sub-S1001", "Zürich"],
        ["sub-S1002", "n/a"],
    ]
    assert tables[archive.namelist()[3]] == [["rt", "answer"], ["512.5", "l"], ["n/a", "a b"]]
    assert tables[archive.namelist()[4]] == [["rt", "answer"], ["n/a", "n/a"]]
    sidecar = json.loads(archive.read("task-stroop_beh.json"))
    assert sidecar["rt"] == {"Description": "Reaction time (n/a: no answer)", "Units": "ms"}
    assert sidecar["answer"]["Levels"] == {"l": "left", "r": "right"}
    assert json.loads(archive.read("dataset_description.json"))["Name"] == "Study S1"
    before = (tmp_path / "trials_bids.zip").read_bytes()
    _write(rows, tmp_path)
    assert (tmp_path / "trials_bids.zip").read_bytes() == before


@pytest.mark.parametrize(
    ("rows", "people", "said"),
    [
        ([("S1-001", 1, "a", n, 1.0, "l") for n in (1, 2, 1)], None, "a task run are not together"),
        (
            [(code, 1, "a", 1, 1.0, "l") for code in ("S1-001", "S1-002", "S1-001")],
            None,
            "a participant are not together",
        ),
        ([], [("S1-1", None), ("S11", None)], "Two participants have one label"),
        ([], [("--", None)], "A participant has neither letters nor digits"),
        ([("S9", 1, "a", 1, 1.0, "l")], None, "not in the list"),
    ],
)
def test_what_would_be_ambiguous_is_refused_without_saying_who_it_is(
    rows: list[Row], people: list[Row] | None, said: str, tmp_path: Path
) -> None:
    with pytest.raises(CannotHold, match=said) as told:
        _write(rows, tmp_path, people)
    assert not re.search(r"S1|S9|--", str(told.value))
    assert list(tmp_path.iterdir()) == []
