"""Single situations of the revision tree, as they happen between tablets."""

import pytest

from replication import revtree
from replication.revtree import Merged
from replication.values import Rev
from tests.replication.trees import Push, merged, path, push


def leaves(*pushes: Push) -> list[str]:
    return [str(leaf.rev) for leaf in revtree.leaves(merged(pushes))]


def test_two_edits_of_one_revision_are_a_conflict_and_the_greater_id_wins() -> None:
    assert leaves(push("2-b", "1-a"), push("3-c", "2-b"), push("3-d", "2-b")) == ["3-d", "3-c"]


def test_a_longer_branch_wins_over_a_greater_id() -> None:
    assert leaves(push("2-z", "1-a"), push("3-a", "2-b", "1-a")) == ["3-a", "2-z"]


def test_a_position_is_a_number_and_not_a_text() -> None:
    tenth = push("10-a", *(f"{pos}-a" for pos in range(9, 0, -1)))
    assert leaves(tenth, push("9-z", "8-a")) == ["10-a", "9-z"]


def test_ids_are_compared_bytewise() -> None:
    assert leaves(push("1-é"), push("1-z"), push("1-Z"), push("1-￿"), push("1-𝄞")) == [
        "1-𝄞", "1-￿", "1-é", "1-z", "1-Z",
    ]  # fmt: skip


def test_a_deleted_leaf_loses_to_any_live_one() -> None:
    assert leaves(push("5-d", "4-c", deleted=True), push("1-a")) == ["1-a", "5-d"]


def test_the_greatest_deletion_wins_when_all_leaves_are_deleted() -> None:
    tree = merged([push("2-a", "1-x", deleted=True), push("2-b", "1-x", deleted=True)])
    assert str(revtree.winner(tree).rev) == "2-b"
    assert revtree.winner(tree).deleted


def test_separate_beginnings_of_one_document_are_branches() -> None:
    assert leaves(push("1-a"), push("1-b")) == ["1-b", "1-a"]


@pytest.mark.parametrize(
    ("known", "arrives", "outcome"),
    [
        ([], push("1-a"), Merged.NEW_LEAF),
        ([], push("7-g", "6-f"), Merged.NEW_LEAF),
        ([push("1-a")], push("2-b", "1-a"), Merged.NEW_LEAF),
        ([push("1-a")], push("4-d", "3-c", "2-b", "1-a"), Merged.NEW_LEAF),
        ([push("2-b", "1-a")], push("2-c", "1-a"), Merged.NEW_BRANCH),
        ([push("2-b", "1-a")], push("1-x"), Merged.NEW_BRANCH),
        ([push("2-b", "1-a")], push("9-i"), Merged.NEW_BRANCH),
        ([push("2-b", "1-a")], push("2-b", "1-a"), Merged.KNOWN),
        ([push("2-b", "1-a")], push("1-a"), Merged.KNOWN),
    ],
)
def test_a_merge_tells_what_it_did(known: list[Push], arrives: Push, outcome: Merged) -> None:
    assert revtree.merge(merged(known), arrives.path)[1] is outcome


def test_an_ancestor_that_comes_later_brings_its_content_and_no_leaf() -> None:
    tree = merged([push("2-b", "1-a"), push("1-a")])
    assert tree[Rev(1, "a")].body == push("1-a").body
    assert [str(leaf.rev) for leaf in revtree.leaves(tree)] == ["2-b"]


def test_content_that_is_there_already_is_not_replaced() -> None:
    tree, _ = revtree.merge(merged([push("1-a")]), path("1-a"), deleted=True, body=99)
    assert tree == merged([push("1-a")])


def test_a_path_that_knows_more_is_grafted_under_a_root() -> None:
    tree = merged([push("3-c"), push("3-c", "2-b", "1-a")])
    assert revtree.ancestry(tree, Rev(3, "c")) == list(path("3-c", "2-b", "1-a"))


def test_a_parent_that_contradicts_the_known_one_makes_no_leaf() -> None:
    """Its revision would have no content, and a winner has to have some."""
    deletion = push("2-b", "1-a", deleted=True)
    tree = merged([deletion, push("2-b", "1-x", deleted=True)])
    assert [str(leaf.rev) for leaf in revtree.leaves(tree)] == ["2-b"]
    assert all(leaf.body is not None for leaf in revtree.leaves(tree))


def test_descendants_of_an_old_revision_are_what_became_of_it() -> None:
    tree = merged([push("3-c", "2-b", "1-a"), push("3-d", "2-b"), push("2-x", "1-a")])
    assert [str(leaf.rev) for leaf in revtree.descendants(tree, Rev(2, "b"))] == ["3-d", "3-c"]
    assert [str(leaf.rev) for leaf in revtree.descendants(tree, Rev(1, "a"))] == ["3-d", "3-c", "2-x"]
    assert revtree.descendants(tree, Rev(1, "unknown")) == []


def test_stemming_keeps_the_newest_generations_of_every_branch() -> None:
    tree = merged([push("4-d", "3-c", "2-b", "1-a"), push("3-x", "2-b")])
    stemmed = revtree.stem(tree, 2)
    assert {str(rev) for rev in stemmed} == {"4-d", "3-c", "3-x", "2-b"}
    assert revtree.ancestry(stemmed, Rev(4, "d")) == list(path("4-d", "3-c", "2-b"))


@pytest.mark.parametrize(
    "text",
    [
        "",
        "1",
        "-",
        "1-",
        "-a",
        "0-a",
        "-1-a",
        "1.0-a",
        "٣-a",
        " 1-a",
        "x-a",
        "1" * 5000 + "-a",
        "1-" + "a" * 129,
    ],
)
def test_what_is_no_revision_is_refused(text: str) -> None:
    with pytest.raises(ValueError, match="Invalid rev format"):
        Rev.parse(text)


def test_a_revision_id_may_hold_a_dash() -> None:
    assert Rev.parse("2-a-b") == Rev(2, "a-b")
    assert str(Rev(2, "a-b")) == "2-a-b"


@pytest.mark.parametrize(
    ("start", "ids"),
    [
        (1, []),
        (1, ["b", "a"]),
        (0, ["a"]),
        (-3, ["a"]),
        (2, ["b", ""]),
        (10**300, ["a"]),
        (1, ["a" * 129]),
        (10_001, ["a"] * 10_001),
    ],
)
def test_revisions_that_make_no_path_are_refused(start: int, ids: list[str]) -> None:
    with pytest.raises(ValueError, match="_revisions"):
        Rev.path(start, ids)


def test_a_tree_within_its_limit_keeps_what_no_leaf_descends_from() -> None:
    contradicting = merged([push("2-a", "1-a"), push("3-a", "2-a"), push("3-a", "2-b")])
    assert revtree.stem(contradicting, 10) == contradicting
    assert Rev(2, "a") not in revtree.ancestry(contradicting, Rev(3, "a"))


def test_branches_with_shared_ancestors_are_stemmed_by_their_own_length() -> None:
    tree = merged([push("5-e", "4-d", "3-c", "2-b", "1-a"), push("4-x", "3-c", "2-b", "1-a")])
    assert {str(rev) for rev in revtree.stem(tree, 2)} == {"5-e", "4-d", "4-x", "3-c"}
    assert {str(rev) for rev in revtree.stem(tree, 3)} == {"5-e", "4-d", "4-x", "3-c", "2-b"}
