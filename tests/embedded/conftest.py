"""Data directories that leave nothing behind: a cluster takes 40 MB."""

import shutil
import subprocess
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.embedded.supervised import SupervisedSystem


@pytest.fixture(scope="session")
def made_directory() -> Iterator[Path]:
    """A data directory with a complete, stopped system; for copies alone."""
    parent = Path(tempfile.mkdtemp(prefix="metricis-"))
    with SupervisedSystem(parent / "data"):
        pass
    # The next system looks for a port of its own.
    (parent / "data" / "system.json").unlink()
    yield parent / "data"
    shutil.rmtree(parent, ignore_errors=True)


@pytest.fixture
def data_directory(made_directory: Path) -> Iterator[Path]:
    """A data directory of a complete system that is not running, quicker than a test could make one."""
    directory = copy_of(made_directory)
    yield directory
    shutil.rmtree(directory.parent)


@pytest.fixture
def empty_directory() -> Iterator[Path]:
    """A path for a data directory; nothing is there yet, and its parent is closed to other accounts."""
    parent = Path(tempfile.mkdtemp(prefix="metricis-"))
    yield parent / "data"
    shutil.rmtree(parent)


def copy_of(made: Path) -> Path:
    """A copy of a data directory, its files' owners kept, in a directory of its own."""
    parent = Path(tempfile.mkdtemp(prefix="metricis-"))
    subprocess.run(["cp", "-a", str(made), str(parent)], check=True)
    return parent / made.name
