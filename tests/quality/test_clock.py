"""What the time of receipt says of the device's clock."""

from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from reporting.documents.kinds import Session, SessionDocument
from reporting.documents.validate import validate
from reporting.quality import Clock, judge_clock
from tests.documents.examples import SITE, a_session, a_task_run, encode

STARTED = datetime(2016, 7, 22, 3, 1, 35, tzinfo=UTC)
ENDED = datetime(2016, 7, 22, 3, 20, 10, tzinfo=UTC)


def document(**members: Any) -> SessionDocument:
    session = validate("session:s1", encode(a_session(**members)), site=SITE)
    assert isinstance(session, Session)
    return session.document


@pytest.mark.parametrize(
    "late", [timedelta(0), timedelta(seconds=-120), timedelta(days=30), timedelta(days=3650)]
)
def test_receipt_after_the_end_or_nearly_is_nothing_suspect(late: timedelta) -> None:
    assert judge_clock(document(), [ENDED + late]) == Clock()


def test_end_after_receipt_shifts_both_times_back_until_they_are_possible() -> None:
    received = ENDED - timedelta(minutes=30)
    assert judge_clock(document(), [received]) == Clock(
        -1800.0, STARTED - timedelta(minutes=30), received, {"clock": "ahead", "by_s": 1800.0}
    )


def test_session_without_an_end_is_judged_by_its_beginning_and_its_task_runs() -> None:
    received = STARTED - timedelta(hours=1)
    assert judge_clock(document(ended_at=None), [received]) == Clock(
        -3600.0, received, None, {"clock": "ahead", "by_s": 3600.0}
    )
    task_run = a_task_run(ended_at="2016-07-22T04:00:00Z")
    clock = judge_clock(document(ended_at=None, tasks=[task_run]), [ENDED])
    assert clock.detail == {"clock": "ahead", "by_s": 2390.0}


def test_latest_receipt_of_the_leaves_counts() -> None:
    early, late = ENDED - timedelta(hours=1), ENDED + timedelta(hours=1)
    assert judge_clock(document(), [early, late]) == judge_clock(document(), [late, early]) == Clock()


def test_clock_before_there_were_tablets_is_unset_whenever_it_was_received() -> None:
    unset = {"started_at": "1970-01-01T00:00:07Z", "ended_at": "1970-01-01T00:20:00Z"}
    for received in ([], [ENDED]):
        clock = judge_clock(document(**unset), received)
        assert clock == Clock(detail={"clock": "unset", "started_at": "1970-01-01T00:00:07+00:00"})


def test_session_that_was_not_received_from_a_tablet_has_nothing_to_compare_with() -> None:
    assert judge_clock(document(), []) == Clock()


def test_times_with_an_offset_are_compared_as_moments() -> None:
    assert judge_clock(document(ended_at="2016-07-22T12:20:10+09:00"), [ENDED]) == Clock()


def test_times_at_the_ends_of_what_is_valid_raise_nothing() -> None:
    far = document(started_at="1900-01-01T00:00:00Z", ended_at="2999-12-31T23:59:59Z")
    assert judge_clock(far, [ENDED]).offset_s is None
    far = document(started_at="2010-01-01T00:00:00Z", ended_at="2999-12-31T23:59:59Z")
    assert judge_clock(far, [ENDED]).ended_at == ENDED
