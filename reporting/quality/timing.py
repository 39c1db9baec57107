"""Time that is missing between two trials, or runs backwards.

`timing_gap`, on a task run: between one trial and the next `time_elapsed` (milliseconds since the task began)

- grows by more than five minutes beyond the next trial's reaction time: the task was left, the tablet slept;
- or falls: the task began anew, or the trials of two performances have come together.

Five minutes, because the rest screens of the field data's tasks end by themselves after three: up to 191 s
between two trials of a stage are the task's own. Above 300 s are 0.2 % of the `complete` sessions and 9.5 %
of the `failed-qc` ones. Trials without `time_elapsed` are passed over. All stages are looked at, because a
break between practice and test is one too.
"""

from collections.abc import Iterator
from operator import sub
from typing import Final

from reporting.quality.observed import Finding, Observed

_LONGEST_GAP_MS: Final = 300_000.0


def timing_gap(observed: Observed) -> Iterator[Finding]:
    """A task run with a hole in it, or whose clock went back."""
    times = [trial.time_elapsed_ms for trial in observed.trials if trial.time_elapsed_ms is not None]
    steps = list(map(sub, times[1:], times))
    # One cheap test for the many task runs without any.
    if not steps or (max(steps) <= _LONGEST_GAP_MS and min(steps) >= 0):
        return
    timed = [trial for trial in observed.trials if trial.time_elapsed_ms is not None]
    waits = [step - (trial.rt_ms or 0.0) for step, trial in zip(steps, timed[1:], strict=True)]
    gaps = [position for position, wait in enumerate(waits) if wait > _LONGEST_GAP_MS]
    backwards = [position for position, step in enumerate(steps) if step < 0]
    if gaps or backwards:
        longest = max(range(len(waits)), key=waits.__getitem__)
        yield Finding(
            None,
            {
                "gaps": len(gaps),
                "longest_ms": max(waits[longest], 0.0),
                "after_trial_index": timed[longest if gaps else backwards[0]].trial_index,
                "backwards": len(backwards),
            },
        )
