"""From looks at a replication to whether somebody has to look after it."""

from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from reporting.replication_jobs.health import Crash, Judgement, Look, Memory, judge

START = datetime(2026, 11, 26, 4, 0, tzinfo=UTC)
PATIENCE = timedelta(minutes=15)


def minute(number: float) -> datetime:
    return START + timedelta(minutes=number)


def crashed(*minutes: float) -> list[Crash]:
    return [Crash(minute(each), f"crash at {each}") for each in minutes]


RUNNING = Look(state="running", pending=0, checked=5, written=5, checkpoint="5-x")


def folded(*looks: tuple[float, Look]) -> list[Judgement]:
    """Each look's judgement; a look is made at its minute."""
    memory: Memory | None = None
    stuck_since = None
    found = []
    for at, look in looks:
        judged = judge(memory, look, now=minute(at), stuck_since=stuck_since, patience=PATIENCE)
        memory, stuck_since = judged.memory, judged.stuck_since
        found.append(judged)
    return found


def crashing(*minutes: float) -> Look:
    return Look(state="crashing", error=f"crash at {minutes[-1]}", crashes=crashed(*minutes))


@pytest.mark.parametrize(
    ("looks", "alerts"),
    [
        pytest.param([(0, RUNNING), (20, RUNNING)], [None, None], id="idle and well"),
        pytest.param([(0, crashing(0)), (14, crashing(0, 13))], [None, None], id="crashing for a while"),
        pytest.param(
            [(0, crashing(0)), (15, crashing(0, 13)), (16, crashing(0, 13, 16)), (60, crashing(59))],
            [None, "stuck", None, None],
            id="crashing for too long is told once",
        ),
        pytest.param(
            [(0, crashing(0)), (10, RUNNING), (11, RUNNING), (20, crashing(0, 19)), (30, crashing(29))],
            [None, None, None, None, None],
            id="it ran in between",
        ),
        pytest.param(
            [(0, crashing(0)), (10, Look(state="running", crashes=crashed(0))), (20, crashing(0, 19))],
            [None, None, "stuck"],
            id="one look at a run says nothing",
        ),
        pytest.param(
            [
                (0, Look(state="running", crashes=crashed(0))),
                (8, Look(state="running", crashes=crashed(0, 7))),
                (16, Look(state="running", crashes=crashed(0, 7, 15))),
            ],
            [None, None, "stuck"],
            id="runs at every look and crashes between them",
        ),
        pytest.param(
            [
                (0, crashing(0)),
                (16, crashing(16)),
                (17, Look(state="running", crashes=crashed(16))),
                (18, Look(state="running", crashes=crashed(16))),
                (19, crashing(19)),
                (40, crashing(39)),
            ],
            [None, "stuck", None, "recovered", None, "stuck"],
            id="each episode is told",
        ),
        pytest.param([(0, Look(state="failed", error="no database"))], ["stuck"], id="failed at once"),
        pytest.param(
            [(0, Look(state="failed", error="x")), (1, Look(state="completed"))],
            ["stuck", "recovered"],
            id="completed after it had failed",
        ),
        pytest.param(
            [
                (0, Look(state="running", pending=9, checked=1)),
                (15, Look(state="running", pending=9, checked=1)),
            ],
            [None, "stuck"],
            id="nothing is done though something is pending",
        ),
        pytest.param(
            [
                (0, Look(state="running", pending=9, checked=1)),
                (10, Look(state="running", pending=8, checked=1)),
                (20, Look(state="running", pending=8, checked=2)),
                (30, Look(state="running", pending=8, checked=2, checkpoint="3-x")),
                (44, Look(state="running", pending=9, checked=2, checkpoint="3-x")),
            ],
            [None] * 5,
            id="slow, and it moves",
        ),
        pytest.param(
            [
                (0, Look(state="running", pending=9, checked=9)),
                (16, Look(state="running", pending=9, checked=0)),
            ],
            [None, "stuck"],
            id="counters that begin again are no progress",
        ),
        pytest.param(
            [(0, Look()), (15, Look()), (16, RUNNING)], [None, "stuck", "recovered"], id="not begun"
        ),
    ],
)
def test_a_stuck_job_is_told_once_an_episode(looks: list[tuple[float, Look]], alerts: list[Any]) -> None:
    assert [judged.alert for judged in folded(*looks)] == alerts


def test_history_has_each_crash_and_each_change_of_state_once() -> None:
    judged = folded(
        (0, Look()),
        (1, RUNNING),
        (2, RUNNING),
        (3, crashing(1, 2.5)),
        (4, crashing(1, 2.5)),
        (5, Look(state="running", crashes=crashed(1, 2.5, 4.5))),
        (6, Look(state="failed", error="gone")),
    )
    told = [(event.at, event.state, event.detail) for each in judged for event in each.events]
    assert told == [
        (minute(0), "initializing", None),
        (minute(1), "running", None),
        (minute(1), "crashing", "crash at 1"),
        (minute(2.5), "crashing", "crash at 2.5"),
        (minute(4.5), "crashing", "crash at 4.5"),
        (minute(5), "running", None),
        (minute(6), "failed", "gone"),
    ]
    # The last error stays after the job is well again.
    assert (judged[4].memory.error, judged[5].memory.error_at) == ("crash at 2.5", minute(4.5))
    assert judged[-1].why == "It has failed: gone"


def test_throughput_is_what_was_written_between_two_looks_of_a_run() -> None:
    first, second, again = folded(
        (0, Look(state="running", written=100)),
        (0.5, Look(state="running", written=160)),
        (1, Look(state="running", written=3)),
    )
    assert (first.per_second, second.per_second, again.per_second) == (None, 2.0, None)
