"""One jsPsych trial, normalised across jsPsych 6 to 8.

jsPsych 6 logs `key_press` and `exp_stage`, later versions `response` and `phase`; a missed response is `rt:
null`, `rt: -1` or no `rt` at all, and its `correct` is often 0. Everything downstream (rows, scores,
quality rules) reads this one shape.
"""

from typing import Any

import msgspec


class Trial(msgspec.Struct, gc=False):
    """A trial as researchers query it. `extra` holds every member of the logged row without a field here."""

    trial_index: int
    stage: str = "test"
    rt_ms: float | None = None
    """Reaction time in milliseconds; None when there was no response."""
    correct: bool | None = None
    response: Any = None
    condition: str | None = None
    time_elapsed_ms: float | None = None
    extra: dict[str, Any] = {}

    @property
    def answered(self) -> bool:
        return self.rt_ms is not None
