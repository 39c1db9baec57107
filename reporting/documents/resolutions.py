"""What a person decided about contradictions, applied to the merged session.

A resolution names a path as `conflicts` does, the value to show there, and every value it was chosen from. It
is applied at each projection, whichever leaf wins by then.

| at the path there is now | shown | listed |
|---|---|---|
| a contradiction between values that it has seen | its value | `resolved` |
| a contradiction with a value that it has not seen | its value | `outdated` |
| no contradiction, and a value that it has seen | its value | – |
| no contradiction, and another value | its value | `outdated`, against the value found |
| nothing: the trial or task run is gone | nothing | – |
| anything, and its value makes no valid session | the merged value | `outdated`; the others are shown |

Of two resolutions of one path the later counts. A contradiction of a trial tells only the members that
differ. A resolution of it speaks of all members that any of its values has, and of no other.
"""

import re
from collections.abc import Container, Iterable, Mapping, Sequence
from typing import Any, Final, NamedTuple

import msgspec

from reporting.documents.kinds import Correction, ResolvedValue, SessionDocument, TaskRun
from reporting.documents.merge import SESSION_MEMBERS, TASK_RUN_MEMBERS, Contradiction, Merged
from reporting.documents.trial_rules import check_trials
from reporting.documents.validate import check_span

_MEMBER: Final = re.compile(r"\$\.(?P<member>\w+)", re.ASCII)
_IN_RUN: Final = re.compile(
    r"(?P<run>\$\.tasks\[.*,-?\d+\])\.(?:(?P<member>\w+)|trials\[(?P<trial>-?\d{1,10})\])",
    re.ASCII | re.DOTALL,
)

_TYPES: Final = {
    struct: {field.name: field.type for field in msgspec.structs.fields(struct)}
    for struct in (SessionDocument, TaskRun)
}

_SPAN: Final = ("started_at", "ended_at")


class UnknownChoice(ValueError):
    """A choice that does not fit what is listed; the message says how."""


class _Place(NamedTuple):
    """Position of the task run (None: the session itself), and the member or the trial's position there."""

    run: int | None
    member: str | None
    trial: int | None = None


class _Chosen(NamedTuple):
    correction: str
    resolved: ResolvedValue


def is_trial(path: str) -> bool:
    """Whether a path of a contradiction names a trial."""
    found = _IN_RUN.fullmatch(path)
    return found is not None and found["trial"] is not None


def settle(merged: Merged, resolutions: Sequence[Correction]) -> Merged:
    """The merged session with resolutions applied, in the order of their numbers; its contradictions say
    what became of them.
    """
    chosen = {
        resolved.path: _Chosen(correction.id, resolved)
        for correction in sorted(resolutions, key=lambda each: each.number)
        for resolved in correction.values
    }
    if not chosen:
        return merged
    document = merged.session.document
    places = _places(document, chosen)
    settled, unusable = _written(document, {path: (place, chosen[path]) for path, place in places.items()})
    listed = [
        _listed(contradiction, chosen.get(contradiction.path), unusable)
        for contradiction in merged.contradictions
    ]
    contradicted = {contradiction.path for contradiction in listed}
    for path, place in places.items():
        correction, resolved = chosen[path]
        found = _read(document, place)
        if path in contradicted or (path not in unusable and _is_seen(path, resolved, found)):
            continue
        value, found = _side_by_side(path, resolved, found)
        now, other = (found, value) if path in unusable else (value, found)
        listed.append(Contradiction(path, merged.rev, now, correction, other, "outdated", correction))
    session = merged.session._replace(document=settled)
    return merged._replace(session=session, contradictions=tuple(listed))


def decide(listed: Sequence[Contradiction], choices: Mapping[str, str]) -> list[ResolvedValue]:
    """The values of a resolution: for each path in `choices`, `winner`, `other` or a revision.

    Raises UnknownChoice.
    """
    return [_decided(path, [each for each in listed if each.path == path], choices[path]) for path in choices]


def _decided(path: str, listed: Sequence[Contradiction], choice: str) -> ResolvedValue:
    if not listed:
        raise UnknownChoice(f"{path} is not listed as a conflict of this session.")
    winner_rev, others = listed[0].winner_rev, [each.other_rev for each in listed]
    if choice == "other" and len(others) > 1:
        raise UnknownChoice(f"{path}: there are several others; name one of {', '.join(others)}.")
    values = dict(_sides(path, listed))
    rev = {"winner": winner_rev, "other": others[0]}.get(choice, choice)
    if rev not in values:
        raise UnknownChoice(
            f"{path}: {choice} has no value there; choose winner, other or a revision listed."
        )
    base = [value for at, value in enumerate(values.values()) if value not in list(values.values())[:at]]
    return ResolvedValue(path, values[rev], base)


def _sides(path: str, listed: Sequence[Contradiction]) -> Iterable[tuple[str, Any]]:
    """By revision, the values that contradict each other; of a trial, each with all members that differ."""
    if not is_trial(path):
        yield listed[0].winner_rev, listed[0].winner_value
        yield from ((each.other_rev, each.other_value) for each in listed)
        return
    winner = {name: value for each in listed for name, value in _object(each.winner_value).items()}
    yield listed[0].winner_rev, winner
    for each in listed:
        differing = _members([each.winner_value, each.other_value])
        alike = {name: value for name, value in winner.items() if name not in differing}
        yield each.other_rev, alike | _object(each.other_value)


def _object(value: Any) -> dict[str, Any]:
    """A trial's members; none where a correction holds something else."""
    return value if isinstance(value, dict) else {}


def _listed(contradiction: Contradiction, chosen: _Chosen | None, unusable: Container[str]) -> Contradiction:
    if chosen is None:
        return contradiction
    if contradiction.path in unusable:
        return contradiction._replace(state="outdated", correction=chosen.correction)
    sides = (contradiction.winner_value, contradiction.other_value)
    known = [*chosen.resolved.base, chosen.resolved.value]
    if is_trial(contradiction.path):
        members = sides[0].keys() | sides[1].keys()
        known = [_only(value, members) for value in known]
    is_seen = all(side in known for side in sides)
    return contradiction._replace(state="resolved" if is_seen else "outdated", correction=chosen.correction)


def _is_seen(path: str, resolved: ResolvedValue, found: Any) -> bool:
    known = [*resolved.base, resolved.value]
    return (_only(found, _members(known)) if is_trial(path) else found) in known


def _side_by_side(path: str, resolved: ResolvedValue, found: Any) -> tuple[Any, Any]:
    if not is_trial(path):
        return resolved.value, found
    return resolved.value, _only(found, _members([*resolved.base, resolved.value]))


def _members(values: Iterable[Any]) -> set[str]:
    return {name for value in values if isinstance(value, dict) for name in value}


def _only(value: Any, members: Iterable[str]) -> Any:
    return {name: value[name] for name in members if name in value} if isinstance(value, dict) else value


def _places(document: SessionDocument, paths: Iterable[str]) -> dict[str, _Place]:
    """Where these paths lead in the session; those that lead nowhere are absent."""
    runs = {
        f"$.tasks[{task_run.task},{task_run.run}]": position
        for position, task_run in enumerate(document.tasks)
    }
    trials: dict[int, dict[int, int]] = {}
    places: dict[str, _Place] = {}
    for path in paths:
        if (found := _MEMBER.fullmatch(path)) and found["member"] in SESSION_MEMBERS:
            places[path] = _Place(None, found["member"])
        elif (found := _IN_RUN.fullmatch(path)) and found["run"] in runs:
            run = runs[found["run"]]
            if found["member"] in TASK_RUN_MEMBERS:
                places[path] = _Place(run, found["member"])
            elif found["trial"] is not None:
                if run not in trials:
                    trials[run] = {
                        trial["trial_index"]: position
                        for position, trial in enumerate(document.tasks[run].trials)
                    }
                if int(found["trial"]) in trials[run]:
                    places[path] = _Place(run, None, trials[run][int(found["trial"])])
    return places


def _read(document: SessionDocument, place: _Place) -> Any:
    """The JSON value there."""
    if place.trial is not None and place.run is not None:
        return document.tasks[place.run].trials[place.trial]
    owner = document if place.run is None else document.tasks[place.run]
    return msgspec.to_builtins(getattr(owner, place.member or ""))


def _written(
    document: SessionDocument, changes: Mapping[str, tuple[_Place, _Chosen]]
) -> tuple[SessionDocument, frozenset[str]]:
    """The session with these values, but those that would make no valid one; and the paths of these.

    One that does not fit says nothing about the others: only beginning and end are judged together.
    """
    unusable: set[str] = set()
    members: dict[int | None, dict[str, tuple[str, Any]]] = {}
    trials: dict[int, list[dict[str, Any]]] = {}
    for path, (place, (_, resolved)) in changes.items():
        try:
            if place.run is not None and place.trial is not None:
                of_run = trials.setdefault(place.run, list(document.tasks[place.run].trials))
                of_run[place.trial] = _with_members(of_run[place.trial], resolved)
            else:
                struct = SessionDocument if place.run is None else TaskRun
                value = msgspec.convert(resolved.value, _TYPES[struct][place.member or ""])
                members.setdefault(place.run, {})[place.member or ""] = (path, value)
        except msgspec.ValidationError:
            unusable.add(path)
    for run, changed in members.items():
        owner = document if run is None else document.tasks[run]
        if not _is_span(owner, changed):
            unusable.update(changed.pop(member)[0] for member in _SPAN if member in changed)
    tasks = [
        msgspec.structs.replace(
            task_run, **_values(members.get(run, {})), trials=trials.get(run, task_run.trials)
        )
        for run, task_run in enumerate(document.tasks)
    ]
    settled = msgspec.structs.replace(document, **_values(members.get(None, {})), tasks=tasks)
    return settled, frozenset(unusable)


def _is_span(owner: SessionDocument | TaskRun, changed: Mapping[str, tuple[str, Any]]) -> bool:
    """Whether the owner still begins before it ends, if any of the two changes."""
    if not any(member in changed for member in _SPAN):
        return True
    started_at, ended_at = (
        changed[member][1] if member in changed else getattr(owner, member) for member in _SPAN
    )
    return check_span(started_at, ended_at, "$") is None


def _values(changed: Mapping[str, tuple[str, Any]]) -> dict[str, Any]:
    return {member: value for member, (_, value) in changed.items()}


def _with_members(trial: dict[str, Any], resolved: ResolvedValue) -> dict[str, Any]:
    """The trial, with the resolution's members in place of all that its values speak of.

    Raises ValidationError where that is no such trial.
    """
    if not isinstance(resolved.value, dict):
        raise msgspec.ValidationError("a trial is an object")
    spoken_of = _members([*resolved.base, resolved.value])
    changed = {name: value for name, value in trial.items() if name not in spoken_of} | resolved.value
    if changed.get("trial_index") != trial["trial_index"] or check_trials([changed], "$") is not None:
        raise msgspec.ValidationError("no valid trial")
    return changed
