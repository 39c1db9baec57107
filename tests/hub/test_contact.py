"""What a failure in a contact means, and when the next one is."""

from datetime import UTC, datetime, timedelta

import pytest

from sync_server.hub.contact import (
    LONGEST_WAIT_S,
    LinkState,
    Step,
    StepFailure,
    answered,
    ended,
    ends,
    failed,
    succeeded,
    wait_s,
)

START = datetime(2026, 1, 1, tzinfo=UTC)
AWAY = StepFailure("away", "no answer")


def test_the_state_tells_since_when_the_link_is_up_or_down() -> None:
    def later(minutes: int) -> datetime:
        return START + timedelta(minutes=minutes)

    state = ended(LinkState(since=START), Step.STATUS, AWAY, later(1))
    assert (state.up, state.since, state.failures) == (False, START, 1)
    state = answered(state, later(2))
    state = answered(state, later(3))
    assert (state.up, state.since, state.failures, state.last_error) == (True, later(2), 0, None)
    state = ended(state, Step.PUSH, AWAY, later(4))
    assert (state.up, state.since, state.last_contact) == (False, later(4), later(3))
    assert state.last_error == "push: no answer"


def test_a_problem_of_a_step_is_shown_until_that_step_succeeds() -> None:
    state = failed(failed(LinkState(since=START), Step.JOURNAL, "404"), Step.RECEIPTS, "500")
    state = succeeded(succeeded(state, Step.JOURNAL), Step.PULL)
    assert state.problems == {"receipts": "500"}


@pytest.mark.parametrize(
    ("kind", "expected"), [("away", True), ("refused", True), ("rejected", False), ("failed", False)]
)
def test_a_contact_ends_where_nothing_more_can_succeed(kind: str, expected: bool) -> None:
    assert ends(StepFailure(kind, "why")) is expected  # type: ignore[arg-type]


def test_the_wait_doubles_up_to_a_minute_and_keeps_hubs_apart() -> None:
    waits = [wait_s(LinkState(since=START, failures=n), every=10, chance=1.0) for n in (0, 1, 2, 3, 7, 5000)]
    assert waits == [10, 1, 2, 4, LONGEST_WAIT_S, LONGEST_WAIT_S]
    lost = LinkState(since=START, failures=9)
    assert wait_s(lost, every=10, chance=0.0) == LONGEST_WAIT_S / 2
    assert wait_s(lost, every=1, chance=1.0) == 6
