"""What another version of a scoring definition changes, summed up score by score.

"The definition was corrected" is no answer for somebody who has published the old numbers. What they need is
how many values change, by how much, and which ones: before anything is changed, and kept afterwards.

| before | after | counts as |
|---|---|---|
| a value | the same, to the last digits of a sum | unchanged |
| a value | another | changed, with the absolute difference |
| undefined | a value | became defined |
| a value | undefined | became undefined |
| no row | a row | added |
| a row | no row | removed |
"""

import math
from collections.abc import Mapping, Sequence

import msgspec

from reporting.scoring.registry import Score

EXAMPLES = 5
"""Kept of each score."""

# Sums of the same numbers in another order differ in their last digits.
_RELATIVE_TOLERANCE = 1e-9


class Stored(msgspec.Struct, array_like=True, frozen=True):
    """A score as its row has it."""

    value: float | None
    version: int


class Example(msgspec.Struct, frozen=True):
    """One task run whose score differs. `before` and `after` are None where undefined or absent."""

    site: str
    session: str
    run: int
    before: float | None
    after: float | None


class ScoreDifference(msgspec.Struct):
    """What becomes of one score over all task runs. Differences are of values that changed."""

    compared: int = 0
    changed: int = 0
    became_defined: int = 0
    became_undefined: int = 0
    added: int = 0
    removed: int = 0
    mean_absolute: float | None = None
    max_absolute: float | None = None
    examples: list[Example] = []

    @property
    def differing(self) -> int:
        """Task runs that another number, or none, would be shown for."""
        return self.changed + self.became_defined + self.became_undefined + self.added + self.removed


class Difference(msgspec.Struct):
    """Before and after, by score name. `old_versions` are those of the stored scores."""

    task: str
    new_version: int
    old_versions: list[int] = []
    task_runs: int = 0
    sessions: int = 0
    """Sessions that would be scored again: a score differs, or is of an older version."""
    scores: dict[str, ScoreDifference] = {}

    def add(
        self, site: str, session: str, run: int, before: Mapping[str, Stored], after: Sequence[Score]
    ) -> bool:
        """Take in one task run; answers whether its session has to be scored again."""
        self.task_runs += 1
        again = False
        computed = {score.name: score for score in after}
        for name in [*computed, *(name for name in before if name not in computed)]:
            stored, score = before.get(name), computed.get(name)
            if stored is not None and stored.version not in self.old_versions:
                self.old_versions = sorted([*self.old_versions, stored.version])
            again = again or stored is None or score is None or stored.version != score.version
            of_name = self.scores.setdefault(name, ScoreDifference())
            if _count(of_name, stored, score):
                again = True
                if len(of_name.examples) < EXAMPLES:
                    values = stored.value if stored else None, score.value if score else None
                    of_name.examples.append(Example(site, session, run, *values))
        return again


def _count(counted: ScoreDifference, stored: Stored | None, score: Score | None) -> bool:
    """Count the pair; whether it differs."""
    counted.compared += 1
    if stored is None or score is None:
        counted.added += stored is None
        counted.removed += score is None
        return True
    before, after = stored.value, score.value
    if before is None or after is None:
        counted.became_defined += before is None and after is not None
        counted.became_undefined += after is None and before is not None
        return before is not after
    if math.isclose(before, after, rel_tol=_RELATIVE_TOLERANCE, abs_tol=_RELATIVE_TOLERANCE):
        return False
    counted.changed += 1
    absolute = abs(after - before)
    mean = counted.mean_absolute or 0.0
    counted.mean_absolute = mean + (absolute - mean) / counted.changed
    counted.max_absolute = max(counted.max_absolute or 0.0, absolute)
    return True
