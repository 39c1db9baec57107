"""Fair shares: what each projector decides alone, and where that leads."""

import random
from typing import NamedTuple

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from reporting.projection.sharing import Exchange, lock_key, share_out


def look(keys: range, mine: set[int], others: set[int], members: int) -> Exchange:
    return share_out(keys, mine=mine, others=others, members=members, member=1)


class Share(NamedTuple):
    keep: int
    give: int
    room: int


@pytest.mark.parametrize(
    ("mine", "others", "members", "share"),
    [
        (set(), set(), 1, Share(keep=0, give=0, room=10)),
        (set(range(10)), set(), 1, Share(keep=10, give=0, room=0)),
        (set(range(10)), set(), 2, Share(keep=5, give=5, room=0)),
        (set(range(5)), set(range(5, 10)), 2, Share(keep=5, give=0, room=0)),
        (set(range(5)), set(), 1, Share(keep=5, give=0, room=5)),
        (set(range(5)), set(range(5, 10)), 3, Share(keep=4, give=1, room=0)),
        (set(), set(range(8)), 3, Share(keep=0, give=0, room=4)),
        (set(range(8, 14)), set(), 1, Share(keep=2, give=4, room=8)),
        (set(), set(), 0, Share(keep=0, give=0, room=10)),
    ],
    ids=[
        "alone it takes all",
        "alone it keeps all",
        "another one came",
        "even",
        "the other one died",
        "a third came",
        "it is the third",
        "sites went",
        "not even itself is seen",
    ],
)
def test_share_of_ten_sites(mine: set[int], others: set[int], members: int, share: Share) -> None:
    exchange = look(range(10), mine, others, members)
    assert Share(len(exchange.keep), len(exchange.give), exchange.room) == share
    assert exchange.keep | exchange.give == mine
    assert set(exchange.candidates) == set(range(10)) - mine - others


def test_without_sites_nothing_is_kept_or_taken() -> None:
    assert look(range(0), {1}, set(), 2) == Exchange(frozenset(), frozenset({1}), (), 0)


def test_members_begin_with_different_candidates() -> None:
    first = {
        share_out(range(50), mine=(), others=(), members=2, member=member).candidates[0]
        for member in range(20)
    }
    assert len(first) > 5


def test_key_of_a_site_is_the_same_in_every_version() -> None:
    assert (lock_key("lima"), lock_key("cusco")) == (2168209, -601578400)
    assert all(-(2**31) <= lock_key(f"site{n}") < 2**31 for n in range(500))


@settings(deadline=None, max_examples=200)
@given(
    sites=st.integers(0, 40), lives=st.lists(st.integers(1, 6), min_size=1, max_size=4), seed=st.integers()
)
def test_whatever_order_they_look_in_every_site_ends_up_with_one_projector(
    sites: int, lives: list[int], seed: int
) -> None:
    chance = random.Random(seed)
    held: dict[int, set[int]] = {}
    for alive in lives:
        # Those with the highest numbers die or are born.
        held = {member: held.get(member, set()) for member in range(alive)}
        for _ in range(3):
            for member in chance.sample(range(alive), alive):
                others = set().union(*(keys for each, keys in held.items() if each != member))
                exchange = share_out(
                    range(sites), mine=held[member], others=others, members=alive, member=member
                )
                held[member] = {*exchange.keep, *exchange.candidates[: exchange.room]}
    assert sorted(key for keys in held.values() for key in keys) == list(range(sites))
    assert all(len(keys) <= -(-sites // len(held)) for keys in held.values())
