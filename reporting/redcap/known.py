"""What a mapping may speak of on our side: batteries and their tasks, scores, visits, flags. Pure.

A task that has no definition of its own has the generic scores, so its names are known as well.
"""

from collections.abc import Mapping, Set

import msgspec

from reporting.quality import RULES
from reporting.scoring.registry import DEFINITIONS, score_task_run

STATUSES = ("completed", "abandoned", "in_progress")
"""Of sessions."""


class Known(msgspec.Struct, frozen=True, kw_only=True):
    """`batteries`: the tasks of each (of all its versions), None where they are not known here.
    `visits` None: visits are not checked.
    """

    batteries: Mapping[str, Set[str] | None] = {}
    visits: Set[str] | None = None
    flags: Set[str] = frozenset(RULES)

    def tasks(self, battery: str | None) -> Set[str] | None:
        """The tasks that a session of that battery (None: of any) may have; None: any task at all."""
        if battery is not None:
            return self.batteries.get(battery)
        found: set[str] = set(DEFINITIONS)
        for tasks in self.batteries.values():
            if tasks is None:
                return None
            found |= tasks
        return found


def score_names(task: str) -> tuple[str, ...]:
    """The scores of a run of that task, in order."""
    return tuple(score.name for score in score_task_run(task, []))
