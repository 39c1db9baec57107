"""Which rules there are: what each is about, in which version, and how serious what it finds is.

Whoever changes what a rule finds raises its version here; flags carry the version that made them, so a
researcher can tell two criteria apart in one table. Documents that are already projected keep the flags of
the older version until they are projected again.

| level | means |
|---|---|
| `serious` | the task run, or the session, is hardly usable as it is |
| `warning` | look at it before you use it |
| `info` | good to know, or for leaving out single trials |
"""

from collections.abc import Callable, Iterable
from enum import StrEnum
from typing import Final, NamedTuple

from reporting.quality.anticipatory import anticipatory, anticipatory_share
from reporting.quality.chance import chance_accuracy
from reporting.quality.focus import focus_lost
from reporting.quality.missed import missed_share
from reporting.quality.observed import Finding, Observed
from reporting.quality.repeated_key import repeated_key
from reporting.quality.timing import timing_gap


class Level(StrEnum):
    """How serious a flag is."""

    INFO = "info"
    WARNING = "warning"
    SERIOUS = "serious"


class Subject(StrEnum):
    """What a flag is on."""

    SESSION = "session"
    TASK_RUN = "task run"
    TRIAL = "trial"


class Rule(NamedTuple):
    """A rule, by whatever means it is found."""

    version: int
    subject: Subject
    level: Level


RULES: Final = {
    "anticipatory": Rule(1, Subject.TRIAL, Level.INFO),
    "anticipatory_share": Rule(1, Subject.TASK_RUN, Level.SERIOUS),
    "chance_accuracy": Rule(1, Subject.TASK_RUN, Level.SERIOUS),
    "clock_suspect": Rule(1, Subject.SESSION, Level.WARNING),
    "duplicate_session": Rule(1, Subject.SESSION, Level.SERIOUS),
    "focus_lost": Rule(1, Subject.TASK_RUN, Level.INFO),
    "merged": Rule(1, Subject.SESSION, Level.INFO),
    "missed_share": Rule(1, Subject.TASK_RUN, Level.SERIOUS),
    "missing_tasks": Rule(1, Subject.SESSION, Level.WARNING),
    "no_valid_consent": Rule(1, Subject.SESSION, Level.SERIOUS),
    "normalised": Rule(1, Subject.SESSION, Level.INFO),
    "nul_replaced": Rule(1, Subject.SESSION, Level.INFO),
    "repeated_key": Rule(1, Subject.TASK_RUN, Level.SERIOUS),
    "summary_differs": Rule(1, Subject.TASK_RUN, Level.WARNING),
    "timing_gap": Rule(1, Subject.TASK_RUN, Level.WARNING),
    "unknown_battery": Rule(1, Subject.SESSION, Level.INFO),
    "unknown_participant": Rule(1, Subject.SESSION, Level.WARNING),
    "unknown_study": Rule(1, Subject.SESSION, Level.WARNING),
    "visit_completed_twice": Rule(1, Subject.SESSION, Level.WARNING),
}
"""By code, as in `quality_flags.code`."""

_OF_TASK_RUNS: Final[tuple[tuple[str, Callable[[Observed], Iterable[Finding]]], ...]] = (
    ("anticipatory", anticipatory),
    ("anticipatory_share", anticipatory_share),
    ("chance_accuracy", chance_accuracy),
    ("focus_lost", focus_lost),
    ("missed_share", missed_share),
    ("repeated_key", repeated_key),
    ("timing_gap", timing_gap),
)


class Flag(NamedTuple):
    """A flag on a task run, or on the trial with this `trial_index`. `detail` is JSON."""

    trial_index: int | None
    code: str
    detail: dict[str, object]
    rule_version: int


def flag_task_run(observed: Observed) -> list[Flag]:
    """What the rules remark on in one task run and its trials.

    Never raises on what a tablet can send: a member that makes no sense is no reason for a flag.
    """
    return [
        Flag(finding.trial_index, code, finding.detail, RULES[code].version)
        for code, find in _OF_TASK_RUNS
        for finding in find(observed)
    ]
