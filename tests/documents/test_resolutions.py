"""What a person decided stays, and what nobody has seen yet is listed again."""

from datetime import UTC, datetime
from typing import Any

import pytest

from reporting.documents.kinds import Correction, ResolvedValue, Session
from reporting.documents.merge import Contradiction, Merged, ValidLeaf, merge
from reporting.documents.resolutions import UnknownChoice, decide, settle
from reporting.documents.validate import validate
from tests.documents.examples import SITE, a_session, a_task_run, a_trial, encode

TRIAL = "$.tasks[simon,1].trials[2]"


def leaf(rev: str, *trials: dict[str, Any], **members: Any) -> ValidLeaf:
    runs = [{**a_task_run(), "trials": list(trials)}] if trials else [a_task_run()]
    document = a_session(**{"tasks": runs, **members})
    session = validate(document["_id"], encode(document), site=SITE)
    assert isinstance(session, Session), session
    return ValidLeaf(rev, session)


def resolution(number: int, *values: ResolvedValue) -> Correction:
    made_at = datetime(2016, 7, 23, tzinfo=UTC)
    correction_id = f"correction:s1:{number}"
    return Correction(correction_id, "s1", number, "resolution", "why", "c", made_at, values=values)


def resolved(merged: Merged, number: int = 1, **choices: str) -> Correction:
    named = {"visit": "$.visit", "trial": TRIAL, "status": "$.status", "summary": "$.tasks[simon,1].summary"}
    chosen = {named[name]: choice for name, choice in choices.items()}
    return resolution(number, *decide(merged.contradictions, chosen))


def states(merged: Merged) -> list[tuple[str, str, str | None]]:
    return [(each.path, each.state, each.correction) for each in merged.contradictions]


def the_trial(merged: Merged) -> dict[str, Any]:
    return merged.session.document.tasks[0].trials[1]


A = leaf("2-a", a_trial(1), a_trial(2, rt=100, note="a"), visit="baseline")
B = leaf("2-b", a_trial(1), a_trial(2, rt=200, correct=0), visit="followup")


@pytest.mark.parametrize("choice", ["winner", "other", "2-a", "2-b"])
def test_chosen_values_are_shown_and_the_contradictions_are_resolved(choice: str) -> None:
    merged = merge([A, B])
    settled = settle(merged, [resolved(merged, visit=choice, trial=choice)])
    source = B if choice in ("winner", "2-b") else A
    assert settled.session.document.visit == source.session.document.visit
    assert the_trial(settled) == source.session.document.tasks[0].trials[1]
    assert {state for _, state, _ in states(settled)} == {"resolved"}
    assert {correction for _, _, correction in states(settled)} == {"correction:s1:1"}


def test_resolution_stays_when_another_leaf_wins_with_the_same_values() -> None:
    chosen = resolved(merge([A, B]), trial="other")
    settled = settle(merge([A._replace(rev="3-a"), B]), [chosen])
    assert settled.rev == "3-a"
    assert the_trial(settled)["rt"] == 100
    assert (TRIAL, "resolved", "correction:s1:1") in states(settled)
    assert ("$.visit", "open", None) in states(settled)


def test_resolution_is_outdated_by_a_value_nobody_has_seen_and_still_applies() -> None:
    chosen = resolved(merge([A, B]), trial="other", visit="winner")
    newer = leaf("3-a", a_trial(1), a_trial(2, rt=300, note="a"), visit="third")
    settled = settle(merge([newer, B]), [chosen])
    assert the_trial(settled)["rt"] == 100
    assert settled.session.document.visit == "followup"
    assert set(states(settled)) == {
        (TRIAL, "outdated", "correction:s1:1"),
        ("$.visit", "outdated", "correction:s1:1"),
    }


def test_member_of_a_trial_that_was_not_in_question_outdates_its_resolution() -> None:
    chosen = resolved(merge([A, B]), trial="other")
    newer = leaf("3-a", a_trial(1), a_trial(2, rt=100, note="a", stimulus="x"))
    settled = settle(merge([newer, B]), [chosen])
    assert (TRIAL, "outdated", "correction:s1:1") in states(settled)
    assert the_trial(settled)["stimulus"] == "x"


def test_single_leaf_with_another_value_than_was_seen_is_listed_against_what_is_shown() -> None:
    chosen = resolved(merge([A, B]), visit="winner")
    settled = settle(merge([leaf("3-a", visit="third")]), [chosen])
    assert settled.session.document.visit == "followup"
    assert settled.contradictions == (
        Contradiction(
            "$.visit", "3-a", "followup", "correction:s1:1", "third", "outdated", "correction:s1:1"
        ),
    )
    again = resolved(settled, number=2, visit="other")
    settled = settle(merge([leaf("3-a", visit="third")]), [again, chosen])
    assert settled.session.document.visit == "third"
    assert settled.contradictions == ()


def test_three_leaves_are_resolved_by_revision() -> None:
    c = leaf("2-c", a_trial(1), a_trial(2, rt=300))
    merged = merge([A, B, c])
    assert [each.winner_rev for each in merged.contradictions if each.path == TRIAL] == ["2-c", "2-c"]
    with pytest.raises(UnknownChoice, match="several others"):
        resolved(merged, trial="other")
    for chosen in (A, B, c):
        settled = settle(merged, [resolved(merged, trial=chosen.rev)])
        assert the_trial(settled) == chosen.session.document.tasks[0].trials[1]
        assert [state for path, state, _ in states(settled) if path == TRIAL] == ["resolved", "resolved"]


def test_later_of_two_resolutions_counts_by_number_not_by_order() -> None:
    merged = merge([A, B])
    first, second = resolved(merged, number=2, visit="winner"), resolved(merged, number=10, visit="other")
    for order in ([first, second], [second, first]):
        settled = settle(merged, order)
        assert settled.session.document.visit == "baseline"
        assert ("$.visit", "resolved", "correction:s1:10") in states(settled)


@pytest.mark.parametrize(
    "value",
    [
        ResolvedValue("$.status", "lost", ["completed"]),
        ResolvedValue("$.ended_at", "2001-01-01T00:00:00Z", ["2016-07-22T03:20:10Z"]),
        ResolvedValue("$.tasks[simon,1].started_at", 7, [None]),
        ResolvedValue(TRIAL, "text", ["text"]),
        ResolvedValue(TRIAL, {"trial_index": 1}, [{"trial_index": 2}]),
    ],
)
def test_value_that_makes_no_valid_session_is_not_shown_but_listed(value: ResolvedValue) -> None:
    merged = merge([leaf("1-a")])
    settled = settle(merged, [resolution(1, value)])
    assert settled.session == merged.session
    assert all(state == "outdated" for _, state, _ in states(settled))


def test_value_that_no_longer_fits_takes_no_other_decision_with_it() -> None:
    chosen = resolved(merge([A, B]), visit="other", trial="other")
    late = ResolvedValue("$.ended_at", "2001-01-01T00:00:00Z", ["2016-07-22T03:20:10Z"])
    for resolutions in ([chosen, resolution(2, late)], [resolution(1, *chosen.values, late)]):
        settled = settle(merge([A, B]), resolutions)
        assert (settled.session.document.visit, the_trial(settled)["rt"]) == ("baseline", 100)
        assert settled.session.document.ended_at == A.session.document.ended_at
        assert {path: state for path, state, _ in states(settled)} == {
            TRIAL: "resolved",
            "$.visit": "resolved",
            "$.ended_at": "outdated",
        }


def test_value_that_does_not_fit_is_listed_beside_the_one_that_is_shown() -> None:
    impossible = ResolvedValue("$.ended_at", "2001-01-01T00:00:00Z", ["2016-07-22T03:20:10Z"])
    (listed,) = settle(merge([leaf("1-a")]), [resolution(1, impossible)]).contradictions
    assert (listed.winner_value, listed.other_value) == ("2016-07-22T03:20:10Z", "2001-01-01T00:00:00Z")
    again = resolution(2, *decide([listed], {"$.ended_at": "winner"}))
    assert settle(merge([leaf("1-a")]), [resolution(1, impossible), again]).contradictions == ()


def test_union_whose_times_contradict_each_other_can_still_be_decided() -> None:
    open_ended = leaf("2-b", a_trial(1, rt=1), ended_at=None, started_at="2016-07-22T04:00:00Z")
    merged = merge([leaf("2-a", a_trial(1, rt=2)), open_ended])
    trial = "$.tasks[simon,1].trials[1]"
    settled = settle(merged, [resolution(1, *decide(merged.contradictions, {trial: "other"}))])
    assert settled.session.document.tasks[0].trials[0]["rt"] == 2
    assert (trial, "resolved", "correction:s1:1") in states(settled)


@pytest.mark.parametrize(
    "path", ["$.tasks", "$.site", "$.tasks[none,1].status", "$.tasks[simon,1].trials[99]", "$"]
)
def test_value_of_a_place_that_is_not_there_is_not_applied(path: str) -> None:
    merged = merge([leaf("1-a")])
    assert settle(merged, [resolution(1, ResolvedValue(path, "x", ["y"]))]) == merged


def test_arguments_are_not_changed() -> None:
    merged = merge([A, B])
    before = encode(merged.session.document)
    settle(merged, [resolved(merged, visit="other", trial="other")])
    assert encode(merged.session.document) == before


@pytest.mark.parametrize(("path", "choice"), [("$.nothing", "winner"), ("$.visit", "9-z"), ("$.visit", "")])
def test_choice_that_fits_nothing_is_refused(path: str, choice: str) -> None:
    with pytest.raises(UnknownChoice):
        decide(merge([A, B]).contradictions, {path: choice})
