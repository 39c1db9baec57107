"""Trials that were let pass.

`missed_share`, on a task run: more than 10 % of its scored trials (10 at least) have no response.

Of the `complete` field sessions 98 % stay below in every task. Published criteria for this battery draw the
line at 25 %, where a task run is given up altogether; that finds 30 % of the `failed-qc` sessions and 1 % of
the `complete` ones, 10 % finds 41 % and 2 %.
"""

from collections.abc import Iterator
from typing import Final

from reporting.quality.observed import FEWEST, Finding, Observed, share

_TOLERATED_SHARE: Final = 0.10


def missed_share(observed: Observed) -> Iterator[Finding]:
    """A task run of which too much was not answered."""
    trials = len(observed.scored)
    missed = trials - len(observed.answered)
    if trials >= FEWEST and missed > _TOLERATED_SHARE * trials:
        yield Finding(None, {"share": share(missed, trials), "missed": missed, "trials": trials})
