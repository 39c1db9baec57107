"""Which rows go into which request."""

import json
from collections import Counter
from collections.abc import Collection

from hypothesis import given
from hypothesis import strategies as st

from reporting.redcap.batching import batches, bisecting, halves, json_bytes

Row = tuple[str, int, int]
"""Record, size, number."""


def batched(rows: list[Row], most_rows: int = 100, most_bytes: int = 1_000_000) -> list[list[Row]]:
    return batches(
        rows, record=lambda row: row[0], size=lambda row: row[1], most_rows=most_rows, most_bytes=most_bytes
    )


@given(
    st.lists(st.tuples(st.sampled_from("abcdefgh"), st.integers(1, 60))),
    st.integers(1, 5),
)
def test_a_request_has_one_row_a_record_and_keeps_to_its_limits(
    rows: list[tuple[str, int]], most_rows: int
) -> None:
    numbered = [(record, size, number) for number, (record, size) in enumerate(rows)]
    found = batched(numbered, most_rows, 50)
    assert Counter(row for batch in found for row in batch) == Counter(numbered)
    for batch in found:
        assert 1 <= len(batch) <= most_rows
        assert len({row[0] for row in batch}) == len(batch)
        assert len(batch) == 1 or sum(row[1] for row in batch) <= 48
    order = [(row[0], row[2]) for batch in found for row in batch]
    for record in "abcdefgh":
        numbers = [number for name, number in order if name == record]
        assert numbers == sorted(numbers)


def test_rows_of_distinct_records_fill_requests_of_a_hundred() -> None:
    assert [len(batch) for batch in batched([(str(i), 10, i) for i in range(250)])] == [100, 100, 50]


def test_a_row_is_as_large_as_its_json() -> None:
    rows = [{"record_id": "1", "note": "é\n😀"}, {"record_id": "2"}]
    assert len(json.dumps(rows, separators=(",", ":"))) == sum(json_bytes(row) for row in rows) + 1


def test_halves_have_all_rows_and_a_single_row_has_none() -> None:
    assert halves([1, 2, 3]) == ([1, 2], [3])
    assert halves([1]) is None
    assert halves([]) is None


def search(rows: list[int], bad: Collection[int]) -> tuple[list[int], list[int], int]:
    """Culprits, accepted, requests."""
    steps = bisecting(rows)
    accepted: list[int] = []
    requests = 0
    try:
        batch = next(steps)
        while True:
            requests += 1
            refused = any(row in bad for row in batch)
            accepted += [] if refused else batch
            batch = steps.send(refused)
    except StopIteration as end:
        culprits: list[int] = end.value
        return culprits, accepted, requests


@given(
    st.integers(1, 100).flatmap(lambda n: st.tuples(st.just(n), st.sets(st.integers(0, n - 1), min_size=1)))
)
def test_bisecting_finds_the_rows_that_are_refused_and_sends_all_others_once(
    case: tuple[int, set[int]],
) -> None:
    count, bad = case
    culprits, accepted, _ = search(list(range(count)), bad)
    assert culprits == sorted(bad)
    assert accepted == [row for row in range(count) if row not in bad]


def test_one_bad_row_of_a_hundred_costs_fourteen_requests() -> None:
    assert search(list(range(100)), {71})[2] <= 14
