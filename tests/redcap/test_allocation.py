"""Which instance a session gets."""

from hypothesis import given
from hypothesis import strategies as st

from reporting.redcap.allocation import allocate


def test_a_uid_that_is_there_is_adopted_and_others_go_above_all_that_is_known() -> None:
    found = allocate({"a": "south/a", "b": "south/b", "c": "south/c"}, [(1, "south/a"), (5, "")], {3, 7})
    assert found.instances == {"a": 1, "b": 8, "c": 9}
    assert found.adopted == {"a"}
    assert found.also == {}


def test_the_first_instance_of_an_empty_address_is_one() -> None:
    assert allocate({"a": "south/a"}, [], set()).instances == {"a": 1}


def test_a_uid_that_is_there_twice_is_adopted_at_the_lowest_and_told() -> None:
    found = allocate({"a": "south/a"}, [(9, "south/a"), (2, "south/a"), (4, " south/a ")], set())
    assert found.instances == {"a": 2}
    assert found.also == {"a": (4, 9)}


def test_a_uid_in_an_instance_that_is_another_sessions_is_passed_over_and_told() -> None:
    found = allocate({"a": "south/a"}, [(2, "south/a")], {2})
    assert found.instances == {"a": 3}
    assert found.adopted == frozenset()
    assert found.also == {"a": (2,)}


def test_an_instance_without_a_uid_is_nobodys() -> None:
    assert allocate({"a": ""}, [(1, "")], set()).instances == {"a": 2}


@given(
    st.dictionaries(st.sampled_from("abcdef"), st.sampled_from(["u", "v", "w", "x", ""])),
    st.lists(st.tuples(st.integers(1, 20), st.sampled_from(["u", "v", "w", "", "z"]))),
    st.sets(st.integers(1, 25)),
)
def test_no_instance_is_given_twice_or_over_somebody_elses_row(
    uids: dict[str, str], remote: list[tuple[int, str]], ledger: set[int]
) -> None:
    found = allocate(uids, remote, ledger)
    given_ = list(found.instances.values())
    assert found.instances.keys() == uids.keys()
    assert len(set(given_)) == len(given_)
    assert not set(given_) & ledger
    rows = set(remote)
    for session, instance in found.instances.items():
        if session in found.adopted:
            assert (instance, uids[session]) in rows
        else:
            assert all(instance > other for other, _ in remote)
            assert all(instance > other for other in ledger)
