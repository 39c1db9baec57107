"""A site's state as a fold over how its turns ended."""

import pytest

from reporting.projection.site_states import (
    LONGEST_ERROR,
    Failing,
    SiteState,
    Standing,
    after_failure,
    after_success,
)

RUNNING = Standing(SiteState.RUNNING)
INITIALIZING = Standing(SiteState.INITIALIZING)


def fold(turns: str) -> list[str]:
    """States after each turn: `.` read on, `r` from the start, `o` outage, `d` defect, `x` dropped."""
    standing: Standing | None = None
    failures = 0
    states = []
    for turn in turns:
        if turn in ".r":
            failures = 0
            standing = after_success(rereading=turn == "r")
        else:
            failures += 1
            failing = {"o": Failing.OUTAGE, "d": Failing.DEFECT, "x": Failing.DROPPED}[turn]
            standing = after_failure(standing, failing, error=turn, failures=failures, next_try_s=1.0)
        states.append(f"{standing.state}:{standing.failures}")
    return states


@pytest.mark.parametrize(
    ("turns", "states"),
    [
        ("rr.", ["initializing:0", "initializing:0", "running:0"]),
        (".r.", ["running:0", "initializing:0", "running:0"]),
        ("oo.", ["backing_off:1", "backing_off:2", "running:0"]),
        ("ror", ["initializing:0", "backing_off:1", "initializing:0"]),
        (".dd.", ["running:0", "error:1", "error:2", "running:0"]),
        (".odo", ["running:0", "backing_off:1", "error:2", "backing_off:3"]),
        (".x.", ["running:0", "running:0", "running:0"]),
        ("x", ["initializing:0"]),
        (".xx.", ["running:0", "running:0", "backing_off:2", "running:0"]),
        ("rxr", ["initializing:0", "initializing:0", "initializing:0"]),
    ],
)
def test_state_after_each_turn(turns: str, states: list[str]) -> None:
    assert fold(turns) == states


def test_failure_is_told_until_a_turn_ends_well() -> None:
    failed = after_failure(RUNNING, Failing.OUTAGE, error="503", failures=4, next_try_s=1.6)
    assert failed == Standing(SiteState.BACKING_OFF, 4, "503", 1.6)
    assert after_success(rereading=False) == RUNNING
    assert after_success(rereading=True) == INITIALIZING


@pytest.mark.parametrize(
    ("error", "shown"),
    [("a\x00b", "a\ufffdb"), ("\ud800", "?"), ("é" * 5000, "é" * LONGEST_ERROR)],
    ids=["NUL", "surrogate", "long"],
)
def test_error_that_no_text_column_holds_is_mended(error: str, shown: str) -> None:
    assert after_failure(None, Failing.DEFECT, error=error, failures=1, next_try_s=0.2).error == shown
