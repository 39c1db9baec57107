"""Where a value comes from: a mapping's `from`, parsed, and read from a session's facts. Pure.

    scores.stroop[2].avg_rt  →  Score("stroop", 2, "avg_rt")  →  612.25

| situation | value |
|---|---|
| the task has no run, the run no such score, the column is null | None |
| the text names no source there is | `parse_source` answers None; `checking` refuses the mapping |
"""

import re
from collections.abc import Set
from typing import Any, Final

import msgspec

from reporting.redcap.target import SessionFacts

PARTICIPANT_MEMBERS: Final = ("code", "redcap_id", "language", "status", "enrolled_on")
SESSION_MEMBERS: Final = (
    "id",
    "uid",
    "site",
    "study",
    "participant",
    "visit",
    "status",
    "started_at",
    "ended_at",
    "timezone",
    "language",
    "battery_id",
    "battery_version",
    "device_id",
    "device_model",
    "device_os",
    "app_version",
    "rev",
    "schema",
    "utc_offset_minutes",
    "clock_offset_s",
    "received_at",
    "started_at_corrected",
    "ended_at_corrected",
)
TASK_MEMBERS: Final = ("status", "n_trials")
SHORT: Final = {
    "status": "session.status",
    "visit": "session.visit",
    "battery_version": "session.battery_version",
}
"""What may be said for short."""

_OF_FACTS: Final = frozenset(
    {"id", "uid", "site", "study", "participant", "visit", "status", "started_at", "ended_at", "timezone"}
)
_OF_TASK: Final = re.compile(r"(scores|tasks)\.([^.\[\]]+)(?:\[([0-9]{1,9})\])?\.([^.\[\]]+)")


class Participant(msgspec.Struct, frozen=True):
    """A member of the roster's row."""

    member: str


class Session(msgspec.Struct, frozen=True):
    """A member of the session's row."""

    member: str


class Score(msgspec.Struct, frozen=True):
    """A score of a task's run; of its last where `run` is None."""

    task: str
    run: int | None
    name: str


class TaskMember(msgspec.Struct, frozen=True):
    """What is known of a task's run besides its scores."""

    task: str
    run: int | None
    member: str


class Flags(msgspec.Struct, frozen=True):
    """The codes of all flags of the session: a set."""


class Text(msgspec.Struct, frozen=True):
    """Always the same."""

    text: str


ParsedSource = Participant | Session | Score | TaskMember | Flags | Text


def parse_source(text: str) -> ParsedSource | None:
    """What `text` names, or None: there is no such source."""
    text = SHORT.get(text, text)
    if text == "flags":
        return Flags()
    kind, dot, rest = text.partition(".")
    if dot and kind == "literal":
        return Text(rest)
    if kind == "participant" and rest in PARTICIPANT_MEMBERS:
        return Participant(rest)
    if kind == "session" and rest in SESSION_MEMBERS:
        return Session(rest)
    return _of_task(text)


def _of_task(text: str) -> Score | TaskMember | None:
    found = _OF_TASK.fullmatch(text)
    if found is None:
        return None
    kind, task, run, member = found.groups()
    number = None if run is None else int(run)
    if kind == "scores":
        return Score(task, number, member)
    return TaskMember(task, number, member) if member in TASK_MEMBERS else None


def read_source(source: ParsedSource, facts: SessionFacts) -> Any:
    """The value: text, number, boolean, date, moment, set of texts, or None."""
    match source:
        case Participant(member):
            return _of_participant(member, facts)
        case Session(member):
            return getattr(facts, member) if member in _OF_FACTS else facts.columns.get(member)
        case Score(task, run, name):
            number = _run(task, run, facts)
            return None if number is None else facts.scores.get((task, number, name))
        case TaskMember(task, run, member):
            number = _run(task, run, facts)
            known = None if number is None else facts.tasks.get((task, number))
            return None if known is None else known[TASK_MEMBERS.index(member)]
        case Flags():
            return _texts(facts.flags)
        case Text(text):
            return text


def _of_participant(member: str, facts: SessionFacts) -> Any:
    if member == "code":
        return facts.participant
    if member == "redcap_id":
        return facts.redcap_id
    return facts.columns.get(f"participant.{member}")


def _run(task: str, run: int | None, facts: SessionFacts) -> int | None:
    """The run that is meant: the last of those there are, which need not be the last with a score."""
    if run is not None:
        return run
    return max((number for name, number in facts.tasks if name == task), default=None)


def _texts(flags: Set[str]) -> frozenset[str]:
    return frozenset(flags)
