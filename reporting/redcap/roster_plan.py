"""A record of REDCap → the change of a participant, or why there is none. Pure.

The rules of the roster hold here as for people: who becomes enrolled needs a site at which the study runs, a
status follows only where it may. A record that they refuse is not taken at all, and tried again next time.
"""

from collections.abc import Mapping, Sequence
from datetime import date
from typing import Any, Final

import msgspec

from reporting.participants.contact import Contact
from reporting.participants.fates import Change, Known
from reporting.participants.rules import State, needs_its_site, problem_of
from reporting.redcap.roster_decision import (
    Conflict,
    Fingerprints,
    Taking,
    Who,
    compare,
    local_values,
    with_changes,
)
from reporting.redcap.roster_mapping import Member, RosterMapping, Said

REASON: Final = "As REDCap has it."


class Where(msgspec.Struct, frozen=True):
    """The sites at which the study runs: the day that it is there, and which are archived. `own`: the site
    whose project it is, None: the study's.
    """

    days: Mapping[str, date]
    closed: frozenset[str]
    own: str | None = None


class Planned(msgspec.Struct, frozen=True, kw_only=True):
    """What is done with a record. `taken`: what is kept for the next time; `told`: names of what changes."""

    record: str
    participant: str | None
    change: Change | None
    taken: Mapping[str, Any]
    conflicts: Mapping[str, Conflict]
    problem: str | None
    told: Sequence[str] = ()
    to_push: Mapping[Member, str | None] = {}
    """Members that go to REDCap, with what is here."""
    waiting: Mapping[str, Any] = {}
    """Of members in conflict, what either side would be kept as."""


def plan(  # noqa: PLR0917 (a record and what it meets)
    roster: RosterMapping,
    said: Said,
    who: Who,
    known: Known | None,
    last: Mapping[str, Any],
    where: Where,
    fingerprints: Fingerprints,
) -> Planned:
    """Of one record; `known` is the participant that `who` names, None for one who is created."""
    if who.problem is not None:
        return _nothing(said, who, last, who.problem)
    if said.problems:
        told = "; ".join(f"{member}: {sentence}" for member, sentence in said.problems)
        return _nothing(said, who, last, told)
    before = Known(State(None, roster.create_status), Contact()) if known is None else known
    local = {} if known is None else local_values(known)
    taking = compare(roster, said, local, last, fingerprints)
    after = with_changes(before, taking.changes, said.record if who.links else None)
    after = Known(_enrolled(known, after.state, where), after.contact)
    refusal = _refusal(None if known is None else known.state, after.state, where)
    if refusal is not None:
        return _nothing(said, who, last, refusal)
    change = None if after == known else Change(who.code or "", known, after)
    problem = None
    if taking.conflicts:
        problem = f"Changed here and in REDCap: {', '.join(sorted(taking.conflicts))}."
    return Planned(
        record=said.record,
        participant=who.code,
        change=change,
        taken=taking.taken,
        conflicts=taking.conflicts,
        problem=problem,
        told=sorted([*taking.changes, *(["redcap_id"] if who.links else [])]),
        waiting=_waiting(said, local, taking, fingerprints),
        to_push=taking.to_push,
    )


def _nothing(said: Said, who: Who, last: Mapping[str, Any], problem: str) -> Planned:
    return Planned(
        record=said.record, participant=who.code, change=None, taken=last, conflicts={}, problem=problem
    )


def _waiting(
    said: Said, local: Mapping[Member, str | None], taking: Taking, fingerprints: Fingerprints
) -> dict[str, Any]:
    def told(member: Member, value: str | None) -> str | None:
        secret = value is not None and member.startswith("contact.")
        return fingerprints(value)[0] if secret and value is not None else value

    return {
        member: {"ours": told(member, local.get(member)), "theirs": told(member, there)}
        for member, there in said.values.items()
        if member in taking.conflicts
    }


def _enrolled(known: Known | None, state: State, where: Where) -> State:
    newly = known is None or known.state.status != state.status
    if state.status == "enrolled" and newly and state.enrolled_on is None and state.site is not None:
        return msgspec.structs.replace(state, enrolled_on=where.days.get(state.site))
    return state


def _refusal(was: State | None, state: State, where: Where) -> str | None:
    if where.own is not None and state.site not in (None, where.own):
        return f"site: {str(state.site)[:64]} is another site than the project's."
    if state.site is not None and needs_its_site(was, state):
        if state.site not in where.days:
            return f"site: The study does not run at {state.site[:64]}."
        if state.site in where.closed:
            return f"site: The site {state.site} is archived."
    problem = problem_of(was, state, reason=REASON)
    return None if problem is None else f"{problem.member}: {problem.message}"
