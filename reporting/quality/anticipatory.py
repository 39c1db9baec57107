"""Answers given before the stimulus can have been seen and acted on.

| flag | on | when |
|---|---|---|
| `anticipatory` | trial | answered, rt below 150 ms |
| `anticipatory_share` | task run | more than 5 % of the answered trials (10 at least) are such |

Seeing, deciding and pressing takes longer than about 100 ms even in a simple reaction to a flash; with the
20 to 50 ms that keyboards, touch screens and browsers add, 150 ms is what nobody reaches by reacting.
Practice is not looked at. In the field data 3 of 925 `complete` sessions have a task run with more than 5 %,
and a quarter of the `failed-qc` ones: they are pressed through.
"""

from collections.abc import Iterator
from itertools import islice
from typing import Final

from reporting.quality.observed import FEWEST, Finding, Observed, share

FASTEST_MS: Final = 150.0
_TOLERATED_SHARE: Final = 0.05
_MOST_FLAGGED: Final = 1_000


def anticipatory(observed: Observed) -> Iterator[Finding]:
    """The answered trials that are too fast; of more than a thousand, `anticipatory_share` says enough."""
    if min(observed.rts, default=FASTEST_MS) < FASTEST_MS:
        found = zip(observed.answered, observed.rts, strict=True)
        early = (Finding(trial.trial_index, {"rt_ms": rt}) for trial, rt in found if rt < FASTEST_MS)
        yield from islice(early, _MOST_FLAGGED)


def anticipatory_share(observed: Observed) -> Iterator[Finding]:
    """A task run with more of them than slips explain."""
    answered = len(observed.rts)
    if answered < FEWEST or min(observed.rts) >= FASTEST_MS:
        return
    found = sum(rt < FASTEST_MS for rt in observed.rts)
    if found > _TOLERATED_SHARE * answered:
        yield Finding(None, {"share": share(found, answered), "trials": found, "answered": answered})
