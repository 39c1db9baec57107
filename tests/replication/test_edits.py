"""Which edit may be made, and what its revision is called."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from replication import revtree
from replication.edits import Attachment, Edit, interactive_path, revision_id
from replication.errors import Conflict
from replication.values import Rev
from tests.replication.trees import Push, merged, push

CONFLICT = "conflict"
LIVE = [push("2-b", "1-a")]
BRANCHED = [push("3-c", "2-b", "1-a"), push("3-d", "2-b", "1-a")]
HALF_DELETED = [push("2-b", "1-a"), push("2-z", "1-a", deleted=True)]
DELETED = [push("3-c", "2-b", deleted=True), push("2-x", "1-a", deleted=True)]


@pytest.mark.parametrize(
    ("tree", "base", "deleted", "extends"),
    [
        ([], None, False, None),
        ([], None, True, None),
        ([], "1-a", False, CONFLICT),
        (LIVE, None, False, CONFLICT),
        (LIVE, None, True, CONFLICT),
        (LIVE, "2-b", False, "2-b"),
        (LIVE, "2-b", True, "2-b"),
        (LIVE, "1-a", False, CONFLICT),
        (LIVE, "2-unknown", False, CONFLICT),
        (BRANCHED, "3-d", False, "3-d"),
        (BRANCHED, "3-c", True, "3-c"),
        (BRANCHED, "2-b", False, CONFLICT),
        (HALF_DELETED, None, False, CONFLICT),
        (HALF_DELETED, "2-z", False, "2-z"),
        (DELETED, None, False, "3-c"),
        (DELETED, None, True, CONFLICT),
        (DELETED, "3-c", False, CONFLICT),
        (DELETED, "3-c", True, CONFLICT),
        (DELETED, "2-x", False, CONFLICT),
        (DELETED, "2-b", False, CONFLICT),
    ],
)
def test_an_interactive_edit_extends_a_leaf_or_is_a_conflict(
    tree: list[Push], base: str | None, deleted: bool, extends: str | None
) -> None:
    before = merged(tree)
    edit = Edit("d", () if base is None else (Rev.parse(base),), b"{}", deleted=deleted)
    if extends == CONFLICT:
        with pytest.raises(Conflict):
            interactive_path(before, edit)
        return
    path = interactive_path(before, edit)
    if extends is None:
        assert [rev.pos for rev in path] == [1]
    else:
        parent = Rev.parse(extends)
        assert path[0].pos == parent.pos + 1
        assert list(path[1:]) == revtree.ancestry(before, parent)


def test_the_new_revision_is_a_leaf_after_the_merge() -> None:
    tree = merged(BRANCHED)
    path = interactive_path(tree, Edit("d", (Rev(3, "c"),), b'{"x":1}'))
    grown, _ = revtree.merge(tree, path, body=1)
    assert [str(leaf.rev) for leaf in revtree.leaves(grown)] == [str(path[0]), "3-d"]


attachments = st.dictionaries(
    st.text(min_size=1, max_size=3),
    st.builds(
        Attachment, content_type=st.just("text/plain"), digest=st.sampled_from("ab"), length=st.just(1)
    ),
    max_size=2,
)
edits = st.builds(
    Edit,
    id=st.just("d"),
    path=st.just(()),
    body=st.sampled_from([b"{}", b'{"a":1}', b'{"a":2}']),
    deleted=st.booleans(),
    attachments=attachments,
)
bases = st.none() | st.builds(Rev, st.integers(1, 2), st.sampled_from("ab"))


@given(edits, bases, edits, bases)
def test_revision_ids_are_equal_exactly_for_equal_edits_of_equal_parents(
    one: Edit, one_base: Rev | None, other: Edit, other_base: Rev | None
) -> None:
    same = (one, one_base) == (other, other_base)
    assert (revision_id(one, one_base) == revision_id(other, other_base)) is same


def test_a_revision_id_is_what_it_always_was() -> None:
    """Stored ids stay valid; a change here would make every repeated edit a conflict."""
    edit = Edit("any id", (), b'{"answer":42}', attachments={"a": Attachment("text/plain", "md5-x", 1)})
    assert revision_id(edit, Rev(1, "a")) == "2977d78d46693314250b6e919fdc7658"


def test_the_order_of_attachments_does_not_name_a_revision() -> None:
    one, two = Attachment("text/plain", "md5-1", 1), Attachment("text/plain", "md5-2", 1)
    there = Edit("d", (), b"{}", attachments={"a": one, "b": two})
    back = Edit("d", (), b"{}", attachments={"b": two, "a": one})
    assert revision_id(there, None) == revision_id(back, None)


@pytest.mark.parametrize("text", [b'{"a": {"b" : [1, "\\u00e9"]}}', b'{"a":{"b":[ 1,"\xc3\xa9"]}}'])
def test_the_spelling_of_an_edit_does_not_name_a_revision(text: bytes) -> None:
    plain = Edit("d", (), '{"a":{"b":[1,"é"]}}'.encode())
    assert revision_id(Edit("d", (), text), None) == revision_id(plain, None)
    assert revision_id(Edit("d", (), b'{"a":{"b":[1.0,"e"]}}'), None) != revision_id(plain, None)
