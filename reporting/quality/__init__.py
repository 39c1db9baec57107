"""Data quality: versioned rules that put flags on sessions, task runs and trials.

A flag says "look at this before you use it", never "this is not valid": nothing is left out because of one.
Each rule is a pure function of what the document and its receipts say, in a file with its threshold and the
reason for it; `registry` lists all of them with version, subject and level. What only shows across documents
(duplicate sessions, missing tasks, unknown references) is found by SQL in the batch's transaction; those
rules are in the registry too.
"""

from reporting.quality.clock import Clock, judge_clock
from reporting.quality.digest import trials_digest
from reporting.quality.observed import Observed, observe
from reporting.quality.registry import RULES, Flag, Level, Rule, Subject, flag_task_run

__all__ = [
    "RULES",
    "Clock",
    "Flag",
    "Level",
    "Observed",
    "Rule",
    "Subject",
    "flag_task_run",
    "judge_clock",
    "observe",
    "trials_digest",
]
