"""Where Apache CouchDB 3.5 does not do what the contract says, and why the embedded store does.

With `TEST_COUCHDB_URL` set each of these tests is expected to fail, strictly: one that passes there is an
error, and is taken off this list. With `TEST_UPSTREAM` too, the gateway stands before it and has a say.
"""

from collections.abc import Mapping

_REFUSED_NOT_BROKEN = "answers 500, or not at all, to what is malformed; a client is told what is wrong"

DEVIATIONS: Mapping[str, str] = {
    "test_administration.py::test_a_malformed_security_object_is_refused": _REFUSED_NOT_BROKEN,
    "test_administration.py::test_a_lower_limit_hides_nothing_before_the_next_write": (
        "shows a history cut to the new limit at once; here nothing is hidden that is still kept"
    ),
    "test_bulk.py::test_an_edit_of_an_unknown_revision_conflicts_in_any_batch": (
        "stores an edit of a revision that it never had when another row of its batch conflicts"
    ),
    **{
        f"test_changes.py::test_a_number_that_is_none_is_refused[query{index}]": (
            "answers 500, drops the connection or waits for ever; a client is told what is wrong"
        )
        for index in range(4)
    },
    "test_database_updates.py::test_a_database_that_changed_often_is_told_once": (
        "keeps a row of each kind; here a database has one, and its last update counts"
    ),
    "test_listing_namespaces.py::test_malformed_questions_are_refused[asked2]": _REFUSED_NOT_BROKEN,
    "test_mango.py::test_a_sort_without_an_index_is_explained_as_it_would_be_refused": (
        "explains a query that `_find` refuses"
    ),
    "test_mango.py::test_a_query_that_cannot_be_understood_is_refused[body11-invalid_field_name]": (
        "reads `a..b` as a field that no document has; here a misspelt name is told"
    ),
    "test_mango.py::test_a_query_that_cannot_be_understood_is_refused[body22-invalid_ok_or_false_value]": (
        _REFUSED_NOT_BROKEN
    ),
    "test_multipart.py::test_a_part_that_is_not_what_was_announced_is_refused[other bytes]": (
        _REFUSED_NOT_BROKEN
    ),
    "test_replicator.py::test_a_session_counts_what_it_did_itself": (
        "counts on from the session before; here each session of the history tells its own work"
    ),
}
"""A test, or a test and its parameters, to what Apache CouchDB does there and why this store departs from
it."""

_MAY_PASS = "a 500 of CouchDB is told as 503, for nobody can see that it would be 500 again"

AT_THE_GATEWAY: Mapping[str, str | None] = {
    "test_design_functions.py::test_a_filter_that_fails_is_an_error_of_the_request": _MAY_PASS,
    "test_design_functions.py::test_a_document_that_is_refused_is_not_stored": _MAY_PASS,
    "test_server.py::test_an_illegal_name_is_refused[_hidden]": (
        "what begins with an underscore is CouchDB's own, and not there: `_users`, `_membership`, …"
    ),
    "test_server_details.py::test_an_unknown_node_or_setting_is_not_found": (
        "no node's settings are told, whatever is asked for: admins' hashes are among them"
    ),
    # The gateway counts the bytes itself, before CouchDB is asked.
    "test_multipart.py::test_a_part_that_is_not_what_was_announced_is_refused[other bytes]": None,
}
"""The same with the gateway before Apache CouchDB, where that is otherwise. None: it is as the contract says.
"""


def deviation(node_id: str, *, at_the_gateway: bool = False) -> str | None:
    """What is said of the test with this pytest node id; None where both do the same."""
    test = node_id.rpartition("/")[2]
    lists: Mapping[str, str | None] = {**DEVIATIONS, **(AT_THE_GATEWAY if at_the_gateway else {})}
    return lists.get(test, lists.get(test.partition("[")[0]))
