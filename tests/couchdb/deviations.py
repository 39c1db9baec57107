"""What of the service's tests cannot hold before an Apache CouchDB, and why.

Read where `TEST_COUCHDB_URL` is set, see `behind`. A test that is about the embedded store itself is skipped
there. Every other one on this list is expected to fail, strictly: one that passes is an error, and is taken off.
"""

from collections.abc import Mapping
from typing import NamedTuple


class Deviation(NamedTuple):
    """Why a test is not what it is on the embedded store."""

    reason: str
    is_skipped: bool


def _skipped(reason: str) -> Deviation:
    return Deviation(reason, is_skipped=True)


def _differs(reason: str) -> Deviation:
    return Deviation(reason, is_skipped=False)


DEVIATIONS: Mapping[str, Deviation] = {}
"""A test by its file and name, or a whole file, to its deviation."""


def deviation(node_id: str) -> Deviation | None:
    """What is said of the test with this pytest node id, its parameters or its file; None: it has to pass."""
    test = node_id.removeprefix("tests/")
    for named in (test, test.partition("[")[0], test.partition("::")[0]):
        if named in DEVIATIONS:
            return DEVIATIONS[named]
    return None
