"""When visits are due: pure, for every site's timezone, changes of the clock and leap days."""

from datetime import UTC, date, datetime, timedelta
from zoneinfo import ZoneInfo, available_timezones

import pytest
from hypothesis import given
from hypothesis import strategies as st

from reporting.visits.definitions import UnsoundSchedule, check_schedule
from reporting.visits.schedule import (
    Definition,
    Person,
    Plan,
    Sitting,
    Visit,
    cycle,
    local_day,
    wanted_visits,
)

ZONES = st.sampled_from(sorted(available_timezones() - {"localtime"}))
MOMENTS = st.integers(631_152_000, 4_102_444_800).map(lambda seconds: datetime.fromtimestamp(seconds, UTC))
DATES = st.dates(date(1990, 1, 1), date(2100, 1, 1))
OFFSETS = st.integers(-400, 4000)
WINDOWS = st.integers(0, 60)
BASELINE = Definition("baseline", Plan("enrolment", 0, 3, 3))
STATUSES = st.sampled_from(["screened", "enrolled", "withdrawn", "completed"])


def visits_of(
    definitions: list[Definition],
    person: Person,
    sittings: dict[str, Sitting],
    today: date,
    stored: dict[str, Visit] | None = None,
) -> dict[str, Visit]:
    return {each.code: each for each in wanted_visits(definitions, person, sittings, stored or {}, today)}


@given(ZONES, MOMENTS, OFFSETS, WINDOWS, WINDOWS, DATES)
def test_a_visit_is_so_many_calendar_days_after_its_anchor_whatever_the_clock_does(  # noqa: PLR0917
    zone: str, began: datetime, offset: int, before: int, after: int, today: date
) -> None:
    week = Definition("week", Plan("baseline", offset, before, after))
    person = Person("s1", "enrolled", date(2020, 2, 29), "lima", zone)
    found = visits_of([BASELINE, week], person, {"baseline": Sitting("lima", "x", began)}, today)
    done_on = began.astimezone(ZoneInfo(zone)).date()
    assert found["baseline"].completed_on == done_on
    visit = found["week"]
    assert visit.due_on is not None
    assert visit.window_from is not None
    assert visit.window_to is not None
    assert (visit.due_on - done_on).days == offset
    assert (visit.window_to - visit.window_from).days == before + after
    expected = "planned" if today < visit.window_from else "due" if today <= visit.window_to else "missed"
    assert visit.state == expected


@given(ZONES, st.lists(MOMENTS, min_size=1, max_size=3), STATUSES, DATES, st.lists(DATES, max_size=4))
def test_visits_are_a_function_of_what_is_known_and_not_of_the_way_there(
    zone: str, moments: list[datetime], status: str, today: date, earlier: list[date]
) -> None:
    definitions = [BASELINE, Definition("next", Plan("baseline", 30, 5, 5))]
    person = Person("s1", status, date(2020, 2, 29), "lima", zone)
    enrolled = person._replace(status="enrolled")
    sitting = {"baseline": Sitting("lima", "x", min(moments), len(moments))}
    straight = visits_of(definitions, enrolled, sitting, today)
    # Found before the session came, on other days, in other states: it ends at the same.
    stored: dict[str, Visit] = {}
    for day in earlier:
        stored = visits_of(definitions, person, {}, day, stored)
    stored = visits_of(definitions, enrolled, {}, today, stored)
    assert visits_of(definitions, enrolled, sitting, today, stored) == straight
    assert visits_of(definitions, enrolled, sitting, today, straight) == straight
    assert straight["baseline"].state == "completed"


@given(MOMENTS, ZONES)
def test_days_are_those_of_the_sites_calendar_and_days_of_no_timezone_are_utc(
    moment: datetime, zone: str
) -> None:
    assert local_day(moment, zone) == moment.astimezone(ZoneInfo(zone)).date()
    assert local_day(moment, "Nowhere/At_All") == moment.date()
    assert local_day(moment, "../etc/passwd") == moment.date()


@pytest.mark.parametrize(
    ("began", "zone", "offset", "due_on"),
    [
        # The clock goes forward in the night of 29 March 2026, back in that of 25 October.
        ("2026-03-28T22:30:00Z", "Europe/Berlin", 1, date(2026, 3, 29)),
        ("2026-03-28T23:30:00Z", "Europe/Berlin", 1, date(2026, 3, 30)),
        ("2026-10-24T22:30:00Z", "Europe/Berlin", 7, date(2026, 11, 1)),
        ("2024-02-28T12:00:00Z", "UTC", 1, date(2024, 2, 29)),
        ("2024-02-29T12:00:00Z", "UTC", 365, date(2025, 2, 28)),
        # Samoa had no 30 December 2011.
        ("2011-12-30T09:59:00Z", "Pacific/Apia", 1, date(2011, 12, 30)),
        ("2026-01-01T04:59:00Z", "America/Lima", 0, date(2025, 12, 31)),
        ("9999-12-31T23:59:00Z", "Pacific/Auckland", 1, None),
    ],
)
def test_days_at_the_edges_of_the_calendar(began: str, zone: str, offset: int, due_on: date | None) -> None:
    week = Definition("week", Plan("baseline", offset, 0, 0))
    sitting = Sitting("lima", "x", datetime.fromisoformat(began))
    person = Person("s1", "enrolled", date(2020, 1, 1), "lima", zone)
    found = visits_of([BASELINE, week], person, {"baseline": sitting}, date(2020, 1, 1))
    assert found["week"].due_on == due_on


@given(st.dictionaries(st.sampled_from("abcdefg"), st.sampled_from(["enrolment", *"abcdefg"]), max_size=7))
def test_a_schedule_is_refused_exactly_where_a_visit_can_never_get_a_date(anchors: dict[str, str]) -> None:
    definitions = [Definition(code, Plan(anchor, 1, 0, 0)) for code, anchor in anchors.items()]
    dated: set[str] = {"enrolment"}
    for _ in anchors:
        dated |= {code for code, anchor in anchors.items() if anchor in dated}
    if set(anchors) <= dated:
        check_schedule(definitions)
        assert cycle(anchors) is None
    else:
        with pytest.raises(UnsoundSchedule):
            check_schedule(definitions)


def test_a_circle_is_named() -> None:
    assert cycle({"a": "b", "b": "c", "c": "b"}) == ["b", "c", "b"]
    assert cycle({"a": "a"}) == ["a", "a"]


def test_windows_move_with_their_definition_until_the_visit_is_done() -> None:
    person = Person("s1", "enrolled", date(2026, 3, 1), "lima")
    today = date(2026, 3, 6)
    missed = visits_of([BASELINE], person, {}, today)
    assert missed["baseline"].state == "missed"
    longer = [Definition("baseline", Plan("enrolment", 0, 3, 10))]
    assert visits_of(longer, person, {}, today, missed)["baseline"].state == "due"
    done = {"baseline": Sitting("lima", "x", datetime(2026, 3, 7, tzinfo=UTC))}
    completed = visits_of([BASELINE], person, done, today, missed)
    assert (completed["baseline"].state, completed["baseline"].in_window) == ("completed", False)
    kept = visits_of(longer, person, done, today, completed)["baseline"]
    assert (kept.plan, kept.in_window) == (BASELINE.plan, False)
    assert kept.window_to == date(2026, 3, 1) + timedelta(days=3)
