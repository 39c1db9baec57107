"""Is there what a mapping reads, and of what kind is it? Pure.

scores.stroop.avg_rtt  →  "the task stroop has no score avg_rtt", "Did you mean avg_rt?"
"""

from collections.abc import Iterator, Set
from typing import Final, Literal

from reporting.redcap.known import STATUSES, Known, score_names
from reporting.redcap.mapping import InstrumentMapping
from reporting.redcap.problem import Problem, near
from reporting.redcap.sources import (
    PARTICIPANT_MEMBERS,
    SESSION_MEMBERS,
    SHORT,
    TASK_MEMBERS,
    Flags,
    ParsedSource,
    Participant,
    Score,
    Session,
    TaskMember,
    Text,
    parse_source,
)

Kind = Literal["number", "whole", "moment", "date", "set", "text"]
"""Of a source's values; `whole` are numbers without decimals."""

_WHOLE: Final = frozenset({"battery_version", "schema", "utc_offset_minutes"})
_MOMENTS: Final = frozenset(
    {"started_at", "ended_at", "received_at", "started_at_corrected", "ended_at_corrected"}
)
_NAMES: Final = (
    *SHORT,
    "flags",
    *(f"participant.{member}" for member in PARTICIPANT_MEMBERS),
    *(f"session.{member}" for member in SESSION_MEMBERS),
)


def source_problems(text: str, path: str, battery: str | None, known: Known) -> Iterator[Problem]:
    """What is wrong with a `from`."""
    source = parse_source(text)
    if source is None:
        yield Problem(path, f"There is no source {text[:100]!r}.", _nearest_source(text))
    elif isinstance(source, Score | TaskMember):
        tasks = known.tasks(battery)
        if tasks is not None and source.task not in tasks:
            of = f"The battery {battery} has" if battery is not None else "There is"
            yield Problem(path, f"{of} no task {source.task[:100]}.", near(source.task, sorted(tasks)))
        elif isinstance(source, Score) and source.name not in (names := score_names(source.task)):
            message = f"The task {source.task[:100]} has no score {source.name[:100]}."
            yield Problem(path, message, near(source.name, names, f"It has {', '.join(names)}."))


def kind_of(source: ParsedSource) -> Kind:
    """Of what kind its values are, null apart."""
    match source:
        case Score() | Session("clock_offset_s"):
            return "number"
        case TaskMember(member="n_trials"):
            return "whole"
        case Participant("enrolled_on"):
            return "date"
        case Flags():
            return "set"
        case Session(member) if member in _MOMENTS | _WHOLE:
            return "moment" if member in _MOMENTS else "whole"
        case _:
            return "text"


def domain_of(source: ParsedSource, instrument: InstrumentMapping, known: Known) -> Set[str] | None:
    """All values that the source may have in sessions that the instrument takes; None where that is open."""
    match source:
        case Session("status"):
            return frozenset(instrument.statuses)
        case Session("visit"):
            return known.visits if instrument.visits is None else frozenset(instrument.visits)
        case Flags():
            return known.flags
        case Text(text):
            return frozenset({text})
        case _:
            return None


def names_of(source: ParsedSource, known: Known) -> Set[str] | None:
    """All values that the source may have in any session; None where that is open."""
    match source:
        case Session("status"):
            return frozenset(STATUSES)
        case Session("visit"):
            return known.visits
        case Flags():
            return known.flags
        case _:
            return None


def _nearest_source(text: str) -> str | None:
    if text.startswith(("scores.", "tasks.")):
        members = " or ".join(f"tasks.<task>.{member}" for member in TASK_MEMBERS)
        return f"As in scores.<task>.<name>, scores.<task>[2].<name>, {members}."
    return near(text, _NAMES, "docs/REDCAP.md lists the sources.")
