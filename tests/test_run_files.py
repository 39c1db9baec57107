"""What a killed run left in memory goes with the next run, and what another run uses stays."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

from tests import run_files


@pytest.fixture
def places(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> dict[str, Path]:
    """Memory and the usual place for temporary files, both empty; the run's own place is put back."""
    made = {name: tmp_path / name for name in ("memory", "usual")}
    for place in made.values():
        place.mkdir()
    monkeypatch.setattr(run_files, "IN_MEMORY", made["memory"])
    monkeypatch.setattr("tempfile.tempdir", str(made["usual"]))
    monkeypatch.setenv("TMPDIR", "")
    monkeypatch.delenv("TMPDIR")
    return made


@pytest.mark.parametrize(
    ("room", "given", "expected"),
    [
        (1, False, "memory"),
        (1, True, "usual"),
        (1 << 60, False, "usual"),
    ],
)
def test_files_are_in_memory_where_there_is_room_and_nobody_says_otherwise(
    places: dict[str, Path], monkeypatch: pytest.MonkeyPatch, room: int, given: bool, expected: str
) -> None:
    monkeypatch.setattr(run_files, "ROOM_BYTES", room)
    monkeypatch.setattr(run_files, "MEMORY_BYTES", 1)
    if given:
        monkeypatch.setenv("TMPDIR", str(places["usual"]))
    directory = run_files.make_run_directory()
    assert directory.parent == places[expected]
    told = subprocess.check_output([sys.executable, "-c", "import tempfile; print(tempfile.gettempdir())"])
    assert told.decode().strip() == str(directory)


def test_directories_of_runs_that_ended_are_removed_and_others_stay(places: dict[str, Path]) -> None:
    with subprocess.Popen([sys.executable, "-c", ""]) as ended:
        pass
    names = {f"mt-{ended.pid}": False, f"mt-{os.getppid()}": True, "mt-notes": True, "other": True}
    for place in places.values():
        for name in names:
            (place / name / "inside").mkdir(parents=True)
    directory = run_files.make_run_directory()
    for place in places.values():
        assert {name: (place / name / "inside").exists() for name in names} == names
    assert list(directory.iterdir()) == []
