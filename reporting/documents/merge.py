"""Several live leaves of one session → one session, and what they contradict each other in.

A tablet saves a session after each task. When it is restored from a backup, or two devices continue one
sitting, revisions 3-a {simon} and 3-b {stroop} of the same session both arrive. The deterministic winner
alone would hide a participant's whole task. But every trial has an identity, (task, run, trial_index), so the
union loses nothing:

| found | outcome |
|---|---|
| a task run, or a trial, in one leaf only | kept |
| a trial in several leaves, the same | kept once |
| a trial in several leaves, different | the winner's is kept; a contradiction with the members that differ |
| a member of a task run, different | the winner's is kept; a contradiction |
| a member of the session, different | the winner's is kept; a contradiction |
| a member that one leaf lacks, or has null | the other's is taken; no contradiction: one says nothing |
| `status`, `ended_at`, `summary` of a loser still `in_progress` | no contradiction: an earlier save |
| a leaf that is a deletion, or invalid | not given to the merge; the others merge without it |

"Winner" of a value is the highest revision that has the task run, trial or member at all, so three leaves
merge the same whatever order they come in, and a leaf given twice changes nothing. Paths name task runs and
trials by identity, not by position: `$.tasks[simon,1].trials[17]`.
"""

from collections.abc import Iterator, Mapping, Sequence
from typing import Any, Final, Literal, NamedTuple

import msgspec

from reporting.documents.kinds import Session, SessionDocument, TaskRun
from reporting.documents.ranking import rank

SESSION_MEMBERS: Final = (
    "study",
    "participant",
    "visit",
    "battery",
    "device",
    "language",
    "started_at",
    "ended_at",
    "utc_offset_minutes",
    "status",
)
TASK_RUN_MEMBERS: Final = ("status", "started_at", "ended_at", "params", "summary")
_CHANGE_WHILE_IN_PROGRESS: Final = frozenset({"status", "ended_at", "summary"})


class ValidLeaf(NamedTuple):
    """One live leaf that passed validation."""

    rev: str
    session: Session


class Contradiction(NamedTuple):
    """Two leaves say different things about the same thing. The values are JSON values."""

    path: str
    winner_rev: str
    winner_value: Any
    other_rev: str
    other_value: Any
    state: Literal["open", "resolved", "outdated"] = "open"
    correction: str | None = None
    """Id of the correction that resolves it, or is outdated."""


class Merged(NamedTuple):
    """The union. `rev` is the highest of the leaves, whose members the session has; `revs` are all of them,
    the highest first.
    """

    rev: str
    session: Session
    contradictions: tuple[Contradiction, ...]
    revs: tuple[str, ...]


class _Kept(NamedTuple):
    """A task run of the union, and which revision each part of it came from."""

    rev: str
    task_run: TaskRun
    trials: dict[int, tuple[str, dict[str, Any]]]
    completed_by: dict[str, str]
    """By member that `rev` lacks, the revision it was taken from."""


def merge(leaves: Sequence[ValidLeaf]) -> Merged:
    """Merge at least one leaf. The result depends on the set of leaves alone, not on their order."""
    by_rev = {leaf.rev: leaf for leaf in leaves}
    winner, *others = sorted(by_rev.values(), key=lambda leaf: rank(leaf.rev), reverse=True)
    if not others:
        return Merged(winner.rev, winner.session, (), (winner.rev,))
    union = {
        (task_run.task, task_run.run): _keep(winner.rev, task_run)
        for task_run in winner.session.document.tasks
    }
    contradictions: list[Contradiction] = []
    members = winner.session.document
    completed_by: dict[str, str] = {}
    for other in others:
        contradictions.extend(_compare_sessions(winner.rev, completed_by, members, other))
        lacking = _lacking(members, other.session.document, SESSION_MEMBERS)
        members = msgspec.structs.replace(members, **lacking)
        completed_by |= dict.fromkeys(lacking, other.rev)
        for task_run in other.session.document.tasks:
            identity = (task_run.task, task_run.run)
            kept = union.get(identity)
            if kept is None:
                union[identity] = _keep(other.rev, task_run)
            else:
                contradictions.extend(_join(kept, other.rev, task_run))
                lacking = _lacking(kept.task_run, task_run, TASK_RUN_MEMBERS)
                kept.completed_by.update(dict.fromkeys(lacking, other.rev))
                completed = msgspec.structs.replace(kept.task_run, **lacking)
                union[identity] = kept._replace(task_run=completed)
    document = msgspec.structs.replace(members, tasks=[_as_task_run(kept) for kept in union.values()])
    nul_replaced = any(leaf.session.nul_replaced for leaf in by_rev.values())
    session = winner.session._replace(document=document, nul_replaced=nul_replaced)
    return Merged(winner.rev, session, tuple(contradictions), (winner.rev, *(other.rev for other in others)))


def _keep(rev: str, task_run: TaskRun) -> _Kept:
    return _Kept(rev, task_run, {trial["trial_index"]: (rev, trial) for trial in task_run.trials}, {})


def _as_task_run(kept: _Kept) -> TaskRun:
    trials = [trial for _, (_, trial) in sorted(kept.trials.items())]
    return msgspec.structs.replace(kept.task_run, trials=trials)


def _lacking(
    kept: SessionDocument | TaskRun, other: SessionDocument | TaskRun, members: Sequence[str]
) -> dict[str, Any]:
    """What `kept` lacks, or has null, and `other` has."""
    return {
        member: getattr(other, member)
        for member in members
        if getattr(kept, member) is None and getattr(other, member) is not None
    }


def _compare_sessions(
    winner_rev: str, completed_by: Mapping[str, str], ours: SessionDocument, other: ValidLeaf
) -> Iterator[Contradiction]:
    theirs = other.session.document
    for member in _differing(ours, theirs, SESSION_MEMBERS):
        ours_rev = completed_by.get(member, winner_rev)
        yield _contradiction(
            f"$.{member}", ours_rev, getattr(ours, member), other.rev, getattr(theirs, member)
        )


def _join(kept: _Kept, other_rev: str, other: TaskRun) -> Iterator[Contradiction]:
    """Add to `kept.trials` what only the other leaf has; yield what both have and differs."""
    path = f"$.tasks[{other.task},{other.run}]"
    for member in _differing(kept.task_run, other, TASK_RUN_MEMBERS):
        ours_rev = kept.completed_by.get(member, kept.rev)
        yield _contradiction(
            f"{path}.{member}", ours_rev, getattr(kept.task_run, member), other_rev, getattr(other, member)
        )
    for trial in other.trials:
        trial_index = trial["trial_index"]
        kept_rev, kept_trial = kept.trials.setdefault(trial_index, (other_rev, trial))
        # Compared with ==, so that `correct: 1` and `correct: true` are no contradiction.
        if kept_trial != trial:
            yield Contradiction(
                f"{path}.trials[{trial_index}]",
                kept_rev,
                _members_unlike(kept_trial, trial),
                other_rev,
                _members_unlike(trial, kept_trial),
            )


def _differing(
    winner: SessionDocument | TaskRun, other: SessionDocument | TaskRun, members: Sequence[str]
) -> Iterator[str]:
    for member in members:
        ours, theirs = getattr(winner, member), getattr(other, member)
        if ours is None or theirs is None or ours == theirs:
            continue
        if member in _CHANGE_WHILE_IN_PROGRESS and other.status == "in_progress":
            continue
        yield member


def _contradiction(path: str, winner_rev: str, ours: Any, other_rev: str, theirs: Any) -> Contradiction:
    return Contradiction(path, winner_rev, msgspec.to_builtins(ours), other_rev, msgspec.to_builtins(theirs))


def _members_unlike(trial: dict[str, Any], reference: dict[str, Any]) -> dict[str, Any]:
    return {
        member: value
        for member, value in trial.items()
        if member not in reference or reference[member] != value
    }
