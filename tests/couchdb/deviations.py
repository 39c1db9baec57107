"""What of the service's tests cannot hold before an Apache CouchDB, and why.

Read where `TEST_COUCHDB_URL` is set, see `behind`. A test that is about the embedded store itself is skipped
there. Every other one on this list is expected to fail, strictly: one that passes is an error, and is taken
off.
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


_FILES = "opens the embedded store's files"
_MALFORMED = "CouchDB answers 500 to what is malformed, which is passed on as 503"
_MATRIX = f"{_MALFORMED}: the matrix names a status for each malformed request of `service`"
_STUBS = "CouchDB looks for a stub's content among what it has stored before the batch"

DEVIATIONS: Mapping[str, Deviation] = {
    "administration/test_erasure.py::"
    "test_erasure_takes_everything_from_everywhere_and_nothing_of_neighbours": _skipped(_FILES),
    "administration/test_erasure.py::"
    "test_session_from_a_browser_of_who_was_erased_is_refused_and_not_on_record": _differs(
        "the API writes to CouchDB itself: what it let through a moment before an erasure, nobody refuses;"
        " the erasure's second look takes it out"
    ),
    "administration/test_replication_jobs.py::"
    "test_wrong_password_is_told_with_its_history_and_nowhere_shown": _differs(
        "a CouchDB that replicates has to be given the other side's login: it stands in its `_replicator`"
    ),
    "gateway/test_reading.py::test_asking_for_named_documents_shows_the_published_ones_among_them": _differs(
        "CouchDB tells of named documents in the order of their ids, not of the writes"
    ),
    "end_to_end/test_rewinds.py::"
    "test_restored_older_site_database_is_noticed_and_filled_up_again_by_its_tablet": _skipped(_FILES),
    "gateway/test_cli.py::test_what_is_wrong_with_an_enrolment_is_told_and_leaves_nothing": _differs(
        "a device is enrolled while the service is away: its site database is asked for at the CouchDB itself"
    ),
    "gateway/test_failures.py::test_hostile_bodies_are_400s": _differs(_MALFORMED),
    "gateway/test_lifecycle.py::"
    "test_a_stop_during_pushes_loses_nothing_acknowledged_and_ends_waiting_feeds": _skipped(_FILES),
    "gateway/test_lifecycle.py::"
    "test_a_request_that_is_half_sent_at_the_stop_is_finished_and_is_the_last_of_its_connection": _skipped(
        _FILES
    ),
    "gateway/test_lifecycle.py::test_a_second_service_on_one_store_says_so": _skipped(
        "any number of services may stand before one CouchDB"
    ),
    "gateway/test_missing_stubs.py::test_its_refusal_is_on_record_and_told_by_receipts": _differs(
        "on record as received before CouchDB is asked, and as refused after it: two entries"
    ),
    "gateway/test_missing_stubs.py::"
    "test_a_stub_is_good_whose_ancestor_comes_in_the_same_batch_or_is_here": _differs(_STUBS),
    "gateway/test_policy.py::test_policy_holds_on_every_route_for_every_caller_and_database": _differs(
        _MATRIX
    ),
    **{
        f"upstream/test_same_as_the_embedded_store.py::{test}": _differs(reason)
        for test, reason in (
            ("test_hostile_bodies_are_400s", _MALFORMED),
            ("test_policy_holds_on_every_route_for_every_caller_and_database", _MATRIX),
            ("test_a_stub_is_good_whose_ancestor_comes_in_the_same_batch_or_is_here", _STUBS),
        )
    },
}
"""A test by its file and name, or a whole file, to its deviation."""


def deviation(node_id: str) -> Deviation | None:
    """What is said of the test with this pytest node id, its parameters or its file; None: it has to pass."""
    test = node_id.removeprefix("tests/")
    for named in (test, test.partition("[")[0], test.partition("::")[0]):
        if named in DEVIATIONS:
            return DEVIATIONS[named]
    return None
