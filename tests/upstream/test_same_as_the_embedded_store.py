"""Tests of the gateway on its own store that hold as they are with another server behind it.

Collected here, they run with this package's fixtures.
"""

# ruff: noqa: F401 (pytest finds them by their names)

from tests.gateway.test_failures import test_hostile_bodies_are_400s
from tests.gateway.test_ingest import (
    test_a_document_is_on_record_with_who_sent_it_and_when_the_first_time,
    test_a_refusal_is_on_record_beside_a_later_receipt,
    test_the_bytes_as_sent_are_kept_where_they_had_to_be_changed,
    test_while_postgres_is_away_nothing_is_acknowledged_or_stored,
)
from tests.gateway.test_late_refusals import (
    test_a_design_document_has_its_say_about_what_tablets_push,
    test_a_single_replicated_document_is_a_push_like_any_other,
    test_a_stub_whose_ancestor_was_refused_is_on_record_as_refused,
)
from tests.gateway.test_missing_stubs import (
    test_a_stub_is_good_whose_ancestor_comes_in_the_same_batch_or_is_here,
    test_a_stub_without_data_is_refused_as_forbidden_and_the_batch_goes_on,
    test_a_tablet_reads_no_attachment_of_a_session_in_any_form,
)
from tests.gateway.test_policy import test_policy_holds_on_every_route_for_every_caller_and_database
from tests.gateway.test_reading import (
    full_lima,
    test_a_waiting_tablet_is_not_woken_by_sessions,
    test_bulk_get_answers_row_by_row,
    test_checkpoints_of_its_own_are_open_and_the_projectors_is_not,
    test_the_feed_shows_what_is_published_deletions_included,
    test_what_is_not_published_is_not_read_by_any_spelling_of_its_url,
    test_whether_a_session_exists_is_not_told_by_its_id,
)
from tests.gateway.test_session import test_a_device_logs_in_once_and_replicates_with_the_cookie
from tests.gateway.test_writing import (
    test_a_tablet_is_refused_such_documents_and_nothing_else,
    test_devices_replicate_and_do_not_edit,
)
