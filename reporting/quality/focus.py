"""Trials during which the participant was elsewhere.

`focus_lost`, on a task run: a scored trial has `focus_shifts` above 0, the member in which tasks log how
often their window lost the focus. In the field data it is counted anew for each trial (769 times it rises
from one trial to the next, 767 times it falls), so the detail has the number of trials as well as the sum.

One shift is no reason to leave a task run out: 9 % of the `complete` field sessions have one, 32 % of the
`failed-qc` ones. Hence the lowest level; the reaction times of those trials are the ones to look at.
"""

from collections.abc import Iterator
from typing import Final

from reporting.quality.observed import Finding, Observed, share
from reporting.scoring.measures import number

# Enough to find them, whatever a tablet counts.
_MOST_LISTED: Final = 20


def focus_lost(observed: Observed) -> Iterator[Finding]:
    """A task run in whose trials the window lost the focus."""
    suspects = [trial for trial in observed.scored if trial.extra.get("focus_shifts")]
    if not suspects:
        return
    shifts = {trial.trial_index: number(trial.extra["focus_shifts"]) or 0.0 for trial in suspects}
    lost = {trial_index: count for trial_index, count in shifts.items() if count > 0}
    if lost:
        yield Finding(
            None,
            {
                "trials": len(lost),
                "share": share(len(lost), len(observed.scored)),
                "shifts": sum(lost.values()),
                "first_trial_indices": list(lost)[:_MOST_LISTED],
            },
        )
