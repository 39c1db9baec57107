"""What a document's row says of it is what its tree says, whatever was pushed in whichever order."""

import contextlib
import sqlite3
from pathlib import Path
from random import Random
from typing import Any

import msgspec
from hypothesis import given
from hypothesis import strategies as st

from replication import revtree
from replication.edits import OWNER, Edit
from replication.store.connection import open_writer
from replication.store.runaways import Runaways
from replication.store.validating import Validation
from replication.store.writing import apply_edits, read_meta
from replication.values import Rev
from tests.replication.trees import Push, contradictions, histories, push


@st.composite
def cut_short(draw: st.DrawFn) -> list[Push]:
    """Edits that come twice: first with a part of their ancestors, as from a replica that stemmed them."""
    pushes = draw(histories() | contradictions())
    shorter = [
        Push(pushed.path[: draw(st.integers(1, len(pushed.path)))], pushed.deleted, pushed.body)
        for pushed in pushes
    ]
    return [*shorter, *pushes]


any_edits = histories() | contradictions() | cut_short()


def in_memory(revs_limit: int) -> sqlite3.Connection:
    initial: dict[str, str | int] = {
        "uuid": "u",
        "update_seq": 0,
        "doc_count": 0,
        "deleted_count": 0,
        "revs_limit": revs_limit,
    }
    return open_writer(Path(":memory:"), initial=initial)


def write(connection: sqlite3.Connection, *batch: Push) -> None:
    edits = [Edit("a", pushed.path, b'{"body":%d}' % pushed.body, deleted=pushed.deleted) for pushed in batch]
    validation = Validation(connection, "site", OWNER, Runaways())
    written = apply_edits(connection, edits, new_edits=False, validation=validation)
    assert [each.failure for each in written] == [None for _ in batch]


def row_of(connection: sqlite3.Connection) -> tuple[Any, ...] | None:
    row: tuple[Any, ...] | None = connection.execute(
        "SELECT seq, rev, deleted, leaves, tree, body FROM docs"
    ).fetchone()
    return row


def check_row(connection: sqlite3.Connection, before: tuple[Any, ...] | None) -> None:
    after = row_of(connection)
    assert after is not None
    seq, rev, deleted, leaves, stored, body = after
    tree = revtree.decode_tree(stored)
    winner = revtree.winner(tree)
    assert (rev, bool(deleted), body) == (str(winner.rev), winner.deleted, winner.body)
    assert msgspec.json.decode(leaves) == [{"rev": str(leaf.rev)} for leaf in revtree.leaves(tree)]
    meta = read_meta(connection)
    assert (meta["doc_count"], meta["deleted_count"]) == (not winner.deleted, winner.deleted)
    assert meta["update_seq"] == seq
    if before is not None and leaves != before[3]:
        assert seq > before[0]


@given(any_edits, st.integers(1, 5))
def test_a_row_says_what_its_tree_says(pushes: list[Push], revs_limit: int) -> None:
    with contextlib.closing(in_memory(revs_limit)) as connection:
        for pushed in pushes:
            before = row_of(connection)
            write(connection, pushed)
            check_row(connection, before)


@given(any_edits, st.randoms(use_true_random=False))
def test_replicas_that_got_the_same_edits_show_the_same(pushes: list[Push], chance: Random) -> None:
    shuffled = [*chance.sample(pushes, k=len(pushes)), *chance.choices(pushes, k=3)]
    with contextlib.closing(in_memory(1000)) as one, contextlib.closing(in_memory(1000)) as other:
        for pushed in pushes:
            write(one, pushed)
        for pushed in shuffled:
            write(other, pushed)
        here, there = row_of(one), row_of(other)
        assert here is not None
        assert there is not None
        assert here[1:4] == there[1:4]


def test_an_ancestor_that_was_a_leaf_stops_being_one() -> None:
    with contextlib.closing(in_memory(1000)) as connection:
        write(connection, push("2-b", "1-a"))
        write(connection, push("3-c", deleted=True))
        before = row_of(connection)
        write(connection, push("3-c", "2-b", "1-a", deleted=True))
        check_row(connection, before)
        after = row_of(connection)
        assert after is not None
        assert after[:4] == (3, "3-c", 1, b'[{"rev":"3-c"}]')


@given(any_edits)
def test_one_batch_ends_as_edits_one_by_one(pushes: list[Push]) -> None:
    # Within the limit: what was stemmed between two requests and comes again is new, in CouchDB too.
    ends = []
    for batches in ([pushes], [[pushed] for pushed in pushes]):
        with contextlib.closing(in_memory(1000)) as connection:
            for batch in batches:
                write(connection, *batch)
            row, meta = row_of(connection), read_meta(connection)
            assert row is not None
            _, rev, deleted, leaves, _, body = row
            content = connection.execute("SELECT json FROM bodies WHERE body = ?", (body,)).fetchone()
            ends.append((rev, deleted, leaves, content, meta["doc_count"], meta["deleted_count"]))
    assert ends[0] == ends[1]


def test_a_batch_of_many_branches_writes_the_documents_row_once() -> None:
    pushes = [
        Push((Rev(2, f"{number:04d}"), Rev(1, "a")), deleted=False, body=number) for number in range(50)
    ]
    with contextlib.closing(in_memory(1000)) as connection:
        statements: list[str] = []
        connection.set_trace_callback(statements.append)
        write(connection, *pushes)
        connection.set_trace_callback(None)
        assert len([each for each in statements if each.startswith(("INSERT INTO docs", "UPDATE docs"))]) == 1
        row = row_of(connection)
    assert row is not None
    assert len(msgspec.json.decode(row[3])) == 50
    assert row[0] == 50
