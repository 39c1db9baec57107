"""Replicas that exchange edits in any order, any number of times, end with the same tree."""

from random import Random

from hypothesis import given
from hypothesis import strategies as st

from replication import revtree
from replication.values import Rev
from tests.replication.trees import Push, contradictions, histories, merged

any_edits = histories() | contradictions()


@given(any_edits, st.randoms(use_true_random=False))
def test_the_order_of_the_edits_does_not_matter(pushes: list[Push], chance: Random) -> None:
    shuffled = list(pushes)
    chance.shuffle(shuffled)
    assert merged(shuffled) == merged(pushes)


@given(any_edits, st.randoms(use_true_random=False))
def test_repeated_edits_change_nothing(pushes: list[Push], chance: Random) -> None:
    tree = merged(pushes)
    assert merged(chance.choices(pushes, k=5), tree) == tree


@given(any_edits, any_edits, any_edits)
def test_batches_may_be_put_together_in_any_way(a: list[Push], b: list[Push], c: list[Push]) -> None:
    assert merged(c, merged(b, merged(a))) == merged([*c, *a, *b])


@given(any_edits, st.randoms(use_true_random=False))
def test_every_replica_shows_the_same_winner(pushes: list[Push], chance: Random) -> None:
    shuffled = chance.choices(pushes, k=3) + chance.sample(pushes, k=len(pushes))
    assert revtree.winner(merged(shuffled)) == revtree.winner(merged(pushes))


@given(any_edits)
def test_a_merge_changes_no_tree_that_somebody_holds(pushes: list[Push]) -> None:
    tree = merged(pushes[:1])
    before = dict(tree)
    merged(pushes, tree)
    assert tree == before


@given(any_edits)
def test_the_leaves_are_the_edits_that_no_other_edit_was_made_on(pushes: list[Push]) -> None:
    superseded = {rev for push in pushes for rev in push.path[1:]}
    expected = {push.path[0] for push in pushes} - superseded
    assert {leaf.rev for leaf in revtree.leaves(merged(pushes))} == expected


@given(any_edits)
def test_the_winner_is_the_greatest_leaf_of_those_that_are_not_deleted(pushes: list[Push]) -> None:
    leaves = revtree.leaves(merged(pushes))
    assert leaves[0] == revtree.winner(merged(pushes))
    order = [(leaf.deleted, -leaf.pos, [-byte for byte in leaf.id.encode()]) for leaf in leaves]
    assert [key[:2] for key in order] == sorted(key[:2] for key in order)
    live = [leaf.rev for leaf in leaves if not leaf.deleted]
    assert not live or leaves[0].rev == max(live)


@given(histories())
def test_a_tree_knows_all_that_the_longest_paths_told(pushes: list[Push]) -> None:
    tree = merged(pushes)
    assert set(tree) == {rev for push in pushes for rev in push.path}
    for push in pushes:
        assert tuple(revtree.ancestry(tree, push.path[0])[: len(push.path)]) == push.path


@given(any_edits)
def test_descendants_are_the_leaves_whose_ancestry_holds_the_revision(pushes: list[Push]) -> None:
    tree = merged(pushes)
    leaves = revtree.leaves(tree)
    for rev in tree:
        expected = [leaf for leaf in leaves if rev in revtree.ancestry(tree, leaf.rev)]
        assert revtree.descendants(tree, rev) == expected
    for leaf in leaves:
        assert revtree.descendants(tree, leaf.rev) == [leaf]


@given(any_edits, st.integers(1, 6))
def test_leaves_survive_stemming(pushes: list[Push], limit: int) -> None:
    tree = merged(pushes)
    stemmed = revtree.stem(tree, limit)
    assert [leaf.rev for leaf in revtree.leaves(stemmed)] == [leaf.rev for leaf in revtree.leaves(tree)]
    for leaf in revtree.leaves(tree):
        kept = revtree.ancestry(stemmed, leaf.rev)
        assert kept[:limit] == revtree.ancestry(tree, leaf.rev)[:limit]
    assert revtree.stem(stemmed, limit) == stemmed


@given(any_edits, st.integers(1, 6))
def test_a_stemmed_tree_names_no_parent_that_it_dropped(pushes: list[Push], limit: int) -> None:
    stemmed = revtree.stem(merged(pushes), limit)
    for node in stemmed.values():
        assert node.parent_rev is None or node.parent_rev in stemmed


@given(histories(), st.integers(1, 4))
def test_what_was_stemmed_is_grafted_again_and_stemmed_again(pushes: list[Push], limit: int) -> None:
    stemmed = revtree.stem(merged(pushes), limit)
    leaves = {leaf.rev for leaf in revtree.leaves(stemmed)}
    again = [push for push in pushes if push.path[0] in leaves]
    assert revtree.stem(merged(again, stemmed), limit) == stemmed


@given(any_edits)
def test_a_stored_tree_is_read_as_it_was_written(pushes: list[Push]) -> None:
    tree = merged(pushes)
    assert revtree.decode_tree(revtree.encode_tree(tree)) == tree


@given(any_edits, st.lists(st.builds(Rev, st.integers(1, 5), st.sampled_from("abcxyz"))))
def test_missing_revisions_are_those_that_the_tree_does_not_know(
    pushes: list[Push], asked: list[Rev]
) -> None:
    tree = merged(pushes)
    absent = revtree.missing(tree, asked)
    assert absent == [rev for rev in asked if rev not in tree]
    highest = max((rev.pos for rev in absent), default=0)
    for rev in revtree.possible_ancestors(tree, absent):
        assert rev.pos < highest
