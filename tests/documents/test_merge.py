"""The union of conflicting leaves, and what is listed as a contradiction."""

import random
from typing import Any

from hypothesis import given
from hypothesis import strategies as st

from reporting.documents.kinds import Session
from reporting.documents.merge import Contradiction, Merged, ValidLeaf, merge
from reporting.documents.validate import validate
from tests.documents.examples import SITE, a_session, a_task_run, a_trial, encode


def leaf(rev: str, **members: Any) -> ValidLeaf:
    document = a_session(**members)
    session = validate(document["_id"], encode(document), site=SITE)
    assert isinstance(session, Session)
    return ValidLeaf(rev, session)


def trial_indexes(merged: Merged) -> dict[tuple[str, int], list[int]]:
    return {
        (task_run.task, task_run.run): [trial["trial_index"] for trial in task_run.trials]
        for task_run in merged.session.document.tasks
    }


def test_single_leaf_is_the_session_as_it_is() -> None:
    only = leaf("1-a")
    assert merge([only]) == Merged("1-a", only.session, (), ("1-a",))


def test_task_run_of_one_leaf_only_is_kept() -> None:
    merged = merge(
        [leaf("3-b", tasks=[a_task_run("simon")]), leaf("3-a", tasks=[a_task_run("stroop", trials=2)])]
    )
    assert trial_indexes(merged) == {("simon", 1): [1, 2, 3, 4], ("stroop", 1): [1, 2]}
    assert merged.rev == "3-b"
    assert merged.contradictions == ()


def test_runs_of_one_task_are_different_task_runs() -> None:
    merged = merge([leaf("3-b", tasks=[a_task_run(run=1)]), leaf("3-a", tasks=[a_task_run(run=2)])])
    assert set(trial_indexes(merged)) == {("simon", 1), ("simon", 2)}


def test_trials_of_both_leaves_are_kept_in_order() -> None:
    ours = {**a_task_run(), "trials": [a_trial(5), a_trial(1)]}
    theirs = {**a_task_run(), "trials": [a_trial(1), a_trial(3)]}
    merged = merge([leaf("3-b", tasks=[ours]), leaf("3-a", tasks=[theirs])])
    assert trial_indexes(merged) == {("simon", 1): [1, 3, 5]}
    assert merged.contradictions == ()


def test_contradicting_trial_keeps_the_winners_and_lists_the_members_that_differ() -> None:
    ours = {**a_task_run(), "trials": [a_trial(1, rt=500)]}
    theirs = {**a_task_run(), "trials": [a_trial(1, rt=600, note="late")]}
    merged = merge([leaf("3-a", tasks=[theirs]), leaf("3-b", tasks=[ours])])
    assert merged.session.document.tasks[0].trials[0]["rt"] == 500
    assert merged.contradictions == (
        Contradiction("$.tasks[simon,1].trials[1]", "3-b", {"rt": 500}, "3-a", {"rt": 600, "note": "late"}),
    )


def test_same_answer_logged_as_number_and_boolean_is_no_contradiction() -> None:
    ours = {**a_task_run(), "trials": [a_trial(1, correct=1)]}
    theirs = {**a_task_run(), "trials": [a_trial(1, correct=True)]}
    assert merge([leaf("3-b", tasks=[ours]), leaf("3-a", tasks=[theirs])]).contradictions == ()


def test_contradicting_members_keep_the_winners() -> None:
    winner = leaf("3-b", participant="s012", tasks=[a_task_run(summary={"mean_rt": 1})])
    loser = leaf("3-a", participant="s013", tasks=[a_task_run(summary={"mean_rt": 2})])
    merged = merge([winner, loser])
    assert merged.session.document.participant == "s012"
    assert merged.contradictions == (
        Contradiction("$.participant", "3-b", "s012", "3-a", "s013"),
        Contradiction("$.tasks[simon,1].summary", "3-b", {"mean_rt": 1}, "3-a", {"mean_rt": 2}),
    )


def test_times_and_references_are_listed_as_json_values() -> None:
    winner = leaf("3-b", battery={"id": "b", "version": 1})
    loser = leaf("3-a", battery={"id": "b", "version": 2}, started_at="2016-07-22T03:00:00Z")
    assert merge([winner, loser]).contradictions == (
        Contradiction("$.battery", "3-b", {"id": "b", "version": 1}, "3-a", {"id": "b", "version": 2}),
        Contradiction("$.started_at", "3-b", "2016-07-22T03:01:35Z", "3-a", "2016-07-22T03:00:00Z"),
    )


def test_member_that_the_winner_lacks_is_taken_from_the_other_leaf() -> None:
    ours = {**a_task_run(), "summary": None}
    theirs = {**a_task_run(), "summary": {"mean_rt": 512.5}}
    merged = merge([leaf("3-b", visit=None, tasks=[ours]), leaf("3-a", visit="retest", tasks=[theirs])])
    assert merged.contradictions == ()
    assert merged.session.document.visit == "retest"
    assert merged.session.document.tasks[0].summary == {"mean_rt": 512.5}


def test_member_that_only_losers_have_is_still_compared_between_them() -> None:
    leaves = [leaf("4-c", visit=None), leaf("3-b", visit="retest"), leaf("3-a", visit="baseline")]
    merged = merge(leaves)
    assert merged.session.document.visit == "retest"
    told = [(each.path, each.winner_rev, each.winner_value) for each in merged.contradictions]
    assert told == [("$.visit", "3-b", "retest")]


def test_member_of_a_task_run_is_told_of_the_leaf_that_has_it() -> None:
    summaries = {"4-c": None, "3-b": {"mean_rt": 1}, "3-a": {"mean_rt": 2}}
    leaves = [leaf(rev, tasks=[{**a_task_run(), "summary": said}]) for rev, said in summaries.items()]
    (told,) = merge(leaves).contradictions
    assert (told.winner_rev, told.winner_value) == ("3-b", {"mean_rt": 1})
    assert (told.other_rev, told.other_value) == ("3-a", {"mean_rt": 2})


def test_same_moment_in_another_zone_is_no_contradiction() -> None:
    winner = leaf("3-b", started_at="2016-07-22T03:01:35Z")
    loser = leaf("3-a", started_at="2016-07-21T22:01:35-05:00")
    assert merge([winner, loser]).contradictions == ()


def test_earlier_save_does_not_contradict_how_the_session_ended() -> None:
    winner = leaf("4-b", status="completed", ended_at="2016-07-22T04:00:00Z")
    loser = leaf("3-a", status="in_progress", ended_at="2016-07-22T03:30:00Z")
    assert merge([winner, loser]).contradictions == ()


def test_loser_that_had_ended_contradicts_a_winner_in_progress() -> None:
    winner = leaf("4-b", status="in_progress", ended_at=None)
    loser = leaf("3-a", status="completed")
    merged = merge([winner, loser])
    assert merged.session.document.status == "in_progress"
    assert [each.path for each in merged.contradictions] == ["$.status"]


def test_higher_position_wins_over_higher_id() -> None:
    assert merge([leaf("9-f", visit="a"), leaf("10-a", visit="b")]).rev == "10-a"


def test_nul_in_any_leaf_is_noted() -> None:
    assert merge([leaf("2-a"), leaf("1-a", language="e\0n")]).session.nul_replaced


task_runs = st.builds(
    lambda task, run, indexes, rt, summary: {
        **a_task_run(task, run=run),
        "trials": [a_trial(index, rt=rt) for index in indexes],
        "summary": summary,
    },
    st.sampled_from(["simon", "stroop"]),
    st.integers(1, 2),
    st.lists(st.integers(0, 5), unique=True, max_size=4),
    st.sampled_from([400, 401]),
    st.sampled_from([None, {"mean_rt": 1}, {"mean_rt": 2}]),
)
sessions = st.builds(
    lambda tasks, status, visit: {"tasks": tasks, "status": status, "visit": visit},
    st.lists(task_runs, unique_by=lambda task_run: (task_run["task"], task_run["run"]), max_size=3),
    st.sampled_from(["in_progress", "completed"]),
    st.sampled_from([None, "baseline", "retest"]),
)
leaf_sets = st.lists(
    st.tuples(st.integers(1, 3), st.sampled_from("abc"), sessions),
    min_size=1,
    max_size=4,
    unique_by=lambda drawn: drawn[:2],
).map(lambda drawn: [leaf(f"{pos}-{name}", **members) for pos, name, members in drawn])


@given(leaf_sets, st.randoms(use_true_random=False))
def test_order_of_the_leaves_is_irrelevant(leaves: list[ValidLeaf], order: random.Random) -> None:
    shuffled = list(leaves)
    order.shuffle(shuffled)
    assert merge(shuffled) == merge(leaves)


@given(leaf_sets)
def test_leaf_given_twice_changes_nothing(leaves: list[ValidLeaf]) -> None:
    assert merge([*leaves, leaves[0]]) == merge(leaves)


@given(leaf_sets)
def test_union_has_every_trial_once_and_each_as_some_leaf_has_it(leaves: list[ValidLeaf]) -> None:
    given_trials = {
        (task_run.task, task_run.run, trial["trial_index"])
        for each in leaves
        for task_run in each.session.document.tasks
        for trial in task_run.trials
    }
    merged = merge(leaves)
    kept = [
        (task_run.task, task_run.run, trial["trial_index"])
        for task_run in merged.session.document.tasks
        for trial in task_run.trials
    ]
    assert len(kept) == len(set(kept))
    assert set(kept) == given_trials


@given(leaf_sets)
def test_merging_the_union_again_contradicts_nothing_new(leaves: list[ValidLeaf]) -> None:
    merged = merge(leaves)
    again = merge([ValidLeaf("9-z", merged.session), ValidLeaf(merged.rev, merged.session)])
    assert again.contradictions == ()
    assert trial_indexes(again) == {key: sorted(indexes) for key, indexes in trial_indexes(merged).items()}


@given(leaf_sets)
def test_leaves_are_not_changed(leaves: list[ValidLeaf]) -> None:
    before = [encode(each.session.document) for each in leaves]
    merge(leaves)
    assert [encode(each.session.document) for each in leaves] == before
