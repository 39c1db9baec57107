"""Fixtures of the end-to-end tests: a running system, the documents to push, a PouchDB."""

import gzip
from collections import defaultdict
from collections.abc import Iterator
from pathlib import Path
from typing import Any, NamedTuple

import msgspec
import pytest

from sync_server.demo.generate import generate_sessions
from tests.administration.conftest import office, office_settings
from tests.couchdb.behind import drop_sites, expect_deviations
from tests.end_to_end.system import System, running
from tests.interop.pouchdb import node

__all__ = ["office", "office_settings"]


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Before an Apache CouchDB some tests are something else."""
    expect_deviations(items)


@pytest.fixture(scope="module", autouse=True)
def no_sites() -> Iterator[None]:
    """As `behind.no_sites`, of a module: its tests share a system."""
    drop_sites()
    yield
    drop_sites()


SITES = ("hyderabad", "lima", "nairobi", "stanford")
GENERATED_PER_SITE = 60


class Corpus(NamedTuple):
    """Session documents as NDJSON files by site, and how many documents and trials they hold."""

    files: dict[str, list[Path]]
    documents: int
    trials: int

    def read(self) -> Iterator[dict[str, Any]]:
        """Every document."""
        for path in (path for paths in self.files.values() for path in paths):
            with gzip.open(path, "rb") as file:
                for line in file:
                    yield msgspec.json.decode(line)


@pytest.fixture(scope="session")
def node_executable() -> str:
    return node()


@pytest.fixture(scope="module")
def system(tmp_path_factory: pytest.TempPathFactory) -> Iterator[System]:
    """A running system of the test module."""
    with running(tmp_path_factory.mktemp("system") / "data") as started:
        yield started


@pytest.fixture(scope="session")
def corpus(shared_field_sessions: Path | None, tmp_path_factory: pytest.TempPathFactory) -> Corpus:
    """The field sessions where they are at hand; generated ones elsewhere, which is said."""
    files: dict[str, list[Path]] = defaultdict(list)
    if shared_field_sessions is not None:
        for path in sorted(shared_field_sessions.glob("*.ndjson.gz")):
            files[path.name.removesuffix(".ndjson.gz").rpartition("-")[2]].append(path)
        return Corpus(dict(files), 1_375, 455_683)
    print("\nNo field sessions beside the checkout: generated ones are pushed instead.")
    directory = tmp_path_factory.mktemp("generated")
    documents = trials = 0
    for seed, site in enumerate(SITES):
        path = directory / f"generated-{site}.ndjson.gz"
        with gzip.open(path, "wb") as file:
            for document in generate_sessions(GENERATED_PER_SITE, site=site, seed=seed):
                file.write(msgspec.json.encode(document) + b"\n")
                documents += 1
                trials += sum(len(run["trials"]) for run in document["tasks"])
        files[site].append(path)
    return Corpus(dict(files), documents, trials)
