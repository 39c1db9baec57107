"""When reminders are to be sent: by examples, and for every timezone, day and rule."""

from datetime import UTC, date, datetime, time, timedelta
from zoneinfo import ZoneInfo, available_timezones

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from reporting.reminders.local_time import Quiet, is_quiet, moment_of, next_allowed
from reporting.reminders.planning import people_at_once
from reporting.reminders.reconcile import Changes, Stored, changes
from reporting.reminders.schedule import (
    CHANNELS,
    Key,
    Person,
    Planned,
    Rule,
    Settings,
    Unwanted,
    Visit,
    wanted,
)

NEW_YORK = "America/New_York"
ZONES = sorted(available_timezones())
EARLY = datetime(1971, 1, 1, tzinfo=UTC)
NIGHT = Quiet(time(21), time(8))

zones = st.sampled_from(ZONES) | st.sampled_from(
    [NEW_YORK, "Australia/Lord_Howe", "Pacific/Apia", "Africa/Casablanca", "Antarctica/Troll", "Asia/Gaza"]
)
clocks = st.times().map(lambda clock: clock.replace(second=0, microsecond=0))
days = st.dates(date(1971, 1, 1), date(2040, 12, 31)) | st.dates(date(2026, 3, 1), date(2026, 4, 5))
quiets = st.none() | st.tuples(clocks, clocks).filter(lambda two: two[0] != two[1]).map(
    lambda two: Quiet(*two)
)
settings = st.builds(Settings, quiets, st.sampled_from(["participant", "site"]), st.just(3))
visits = st.builds(
    lambda due, state, after: Visit("v1", state, due, due + timedelta(days=after)),
    days,
    st.sampled_from(["planned", "due"]),
    st.integers(0, 30),
)
people = st.builds(Person, st.just("p1"), st.just("enrolled"), zones, st.none() | zones, st.just(frozenset()))
rules = st.builds(
    Rule,
    st.just("r1"),
    st.sampled_from(["before_due", "on_due", "overdue"]),
    st.integers(0, 40),
    st.sampled_from(CHANNELS),
    clocks,
    st.integers(1, 168),
    st.integers(0, 5),
    st.integers(0, 5),
    st.none(),
    st.just(False),
)


def local(moment: datetime, zone: str) -> str:
    return moment.astimezone(ZoneInfo(zone)).strftime("%d %H:%M")


@pytest.mark.parametrize(
    ("rule", "expected"),
    [
        (Rule("r", "before_due", 3, "email", time(9), 12), ["07 09:00"]),
        (Rule("r", "before_due", 5, "email", time(9), 12, 2, 9), ["05 09:00", "07 09:00", "09 09:00"]),
        (Rule("r", "on_due", 0, "sms", time(9), 12), ["10 09:00"]),
        # On the 17th at 18:00 in New York the window is over in Tokyo, where the visit would be.
        (Rule("r", "overdue", 1, "push", time(18), 12, 2, 9), ["11 18:00", "13 18:00", "15 18:00"]),
        # In quiet hours: at their end, where it is useful then.
        (Rule("r", "on_due", 0, "email", time(22), 12), ["11 08:00"]),
        (Rule("r", "on_due", 0, "email", time(22), 9), ["quiet_hours"]),
        # After the day of the visit nobody is told of the days before it.
        (Rule("r", "before_due", 1, "email", time(23), 48), ["quiet_hours"]),
        (Rule("r", "on_due", 0, "email", time(9), 12, retired=True), ["rule"]),
        (Rule("r", "on_due", 0, "email", time(9), 12, visits=frozenset({"v2"})), ["rule"]),
    ],
)
def test_a_rule_says_days_and_times_of_the_participants_calendar(rule: Rule, expected: list[str]) -> None:
    visit = Visit("v1", "planned", date(2026, 5, 10), date(2026, 5, 17))
    person = Person("p1", "enrolled", "Asia/Tokyo", NEW_YORK)
    found = wanted([rule], Settings(NIGHT), visit, person, EARLY)
    told = [local(each.planned_at, NEW_YORK) for each in found if isinstance(each, Planned)]
    reasons = [each.reason for each in found if isinstance(each, Unwanted)]
    assert expected in (told, reasons)
    assert set(reasons) <= {"window", *expected}


@pytest.mark.parametrize(
    ("visit", "person", "reason"),
    [
        (Visit("v1", "completed", date(2026, 5, 10), date(2026, 5, 17)), {}, "completed"),
        (Visit("v1", "cancelled", date(2026, 5, 10), date(2026, 5, 17)), {}, "visit_cancelled"),
        (Visit("v1", "missed", date(2026, 5, 10), date(2026, 5, 17)), {}, "missed"),
        (Visit("v1", "planned", None, None), {}, "no_day"),
        (Visit("v1", "planned", date.max, date.max), {}, "no_day"),
        (Visit("v1", "due", date(2026, 5, 10), date(2026, 5, 17)), {"status": "withdrawn"}, "not_enrolled"),
        (
            Visit("v1", "due", date(2026, 5, 10), date(2026, 5, 17)),
            {"opted_out": frozenset({"email"})},
            "opted_out",
        ),
    ],
)
def test_nobody_is_reminded_for_nothing_and_it_says_why(
    visit: Visit, person: dict[str, str], reason: str
) -> None:
    about = {"status": "enrolled", "timezone": "Pacific/Honolulu", **person}
    rule = Rule("r", "on_due", 0, "email", time(23), 48)
    assert wanted([rule], Settings(None), visit, Person("p1", **about), EARLY) == [  # type: ignore[arg-type]
        Unwanted(Key("v1", "r", "email", 0), reason)  # type: ignore[arg-type]
    ]


def test_local_times_that_do_not_exist_or_exist_twice_are_what_is_stated() -> None:
    gap, fold = date(2026, 3, 8), date(2026, 11, 1)
    assert moment_of(gap, time(2, 30), NEW_YORK) == datetime(2026, 3, 8, 7, 30, tzinfo=UTC)
    assert local(moment_of(gap, time(2, 30), NEW_YORK), NEW_YORK) == "08 03:30"  # type: ignore[arg-type]
    assert moment_of(fold, time(1, 30), NEW_YORK) == datetime(2026, 11, 1, 5, 30, tzinfo=UTC)
    # Quiet until 01:30, which comes twice: whoever is in the second quiet half hour waits for the second one.
    quiet = Quiet(time(22), time(1, 30))
    again = datetime(2026, 11, 1, 6, 10, tzinfo=UTC)
    assert local(again, NEW_YORK) == "01 01:10"
    assert next_allowed(again, NEW_YORK, quiet) == datetime(2026, 11, 1, 6, 30, tzinfo=UTC)
    # 30 December 2011 does not exist in Apia.
    shown = moment_of(date(2011, 12, 30), time(9), "Pacific/Apia")
    assert shown is not None
    assert local(shown, "Pacific/Apia") == "31 09:00"
    # What nobody knows as a timezone is the site's.
    assert Person("p1", "enrolled", "Asia/Tokyo", "Mars/Olympus").clock(Settings()) == "Asia/Tokyo"


@given(st.integers(-(2**31), 2**32).map(lambda seconds: datetime.fromtimestamp(seconds, UTC)), zones, quiets)
@example(datetime(2026, 3, 29, 0, 30, tzinfo=UTC), "Europe/Berlin", Quiet(time(22), time(2, 30)))
@example(datetime(2011, 12, 30, 9, 59, tzinfo=UTC), "Pacific/Apia", Quiet(time(20), time(0, 30)))
def test_the_next_allowed_moment_is_not_quiet_not_before_and_soon(
    moment: datetime, zone: str, quiet: Quiet | None
) -> None:
    at = next_allowed(moment, zone, quiet)
    assert at is not None
    assert at >= moment
    assert not is_quiet(at, zone, quiet)
    assert at - moment <= timedelta(days=3)
    assert (at == moment) == (not is_quiet(moment, zone, quiet))


@given(rules, settings, visits, people, st.integers(-60 * 24, 60 * 24))
def test_in_any_timezone_no_reminder_is_in_quiet_hours_nor_outside_the_time_it_is_useful(
    rule: Rule, how: Settings, visit: Visit, person: Person, hours: int
) -> None:
    assert visit.due_on is not None
    now = datetime.combine(visit.due_on, time(), UTC) + timedelta(hours=hours)
    found = wanted([rule], how, visit, person, now)
    assert [each.key.occurrence for each in found] == list(rule.occurrences)
    zone = person.clock(how)
    for each in found:
        if isinstance(each, Unwanted):
            assert each.reason in ("quiet_hours", "window", "too_late")
            continue
        assert not is_quiet(each.planned_at, zone, how.quiet)
        assert each.planned_at < each.useful_until
        assert each.useful_until > now
        assert each.useful_until - each.planned_at <= timedelta(hours=rule.useful_hours)
        there = each.planned_at.astimezone(ZoneInfo(zone))
        if rule.moment == "before_due":
            assert there.date() < visit.due_on
        else:
            assert there.date() >= visit.due_on
        assert visit.window_to is not None
        site_day = each.planned_at.astimezone(ZoneInfo(person.site_timezone)).date()
        assert site_day <= visit.window_to


@given(
    rules, settings, visits, people, st.lists(st.sampled_from(["completed", "cancelled", "missed", "due"]))
)
def test_whatever_happens_in_any_order_each_is_planned_once_and_none_is_left_after_completion(
    rule: Rule, how: Settings, visit: Visit, person: Person, states: list[str]
) -> None:
    stored: dict[Key, Stored] = {}
    for state in [visit.state, *states, "completed"]:
        now_is = visit._replace(state=state)  # type: ignore[arg-type]
        wishes = wanted([rule], how, now_is, person, EARLY)
        _apply(stored, changes(wishes, stored))
        assert changes(wishes, stored) == ([], []), "the same twice changes something"
        open_ones = {each.key for each in stored.values() if each.state == "planned"}
        assert open_ones == {each.key for each in wishes if isinstance(each, Planned)}
    assert [each for each in stored.values() if each.state == "planned"] == []
    assert len({each.id for each in stored.values()}) == len(stored)


@given(rules, settings, visits, people, st.sampled_from(["sending", "sent", "failed"]), st.integers(1, 30))
def test_what_was_sent_is_never_planned_again_whatever_becomes_of_its_visit(  # noqa: PLR0917
    rule: Rule, how: Settings, visit: Visit, person: Person, state: str, later: int
) -> None:
    wishes = wanted([rule], how, visit, person, EARLY)
    stored: dict[Key, Stored] = {}
    _apply(stored, changes(wishes, stored))
    sent = {key: each._replace(state=state) for key, each in stored.items()}  # type: ignore[arg-type]
    assert visit.due_on is not None
    moved = visit._replace(due_on=visit.due_on + timedelta(days=later), window_to=None)
    for after in (moved, moved._replace(state="completed"), visit):
        found = changes(wanted([rule], how, after, person, EARLY), sent)
        assert [each.key for each in found.plan if each.key in sent] == []
        assert found.cancel == []


@pytest.mark.parametrize(
    ("reason", "same_time", "another_time"),
    [
        ("person", False, False),
        ("superseded", False, True),
        ("too_late", False, True),
        ("daily_limit", False, True),
        ("completed", True, True),
        ("opted_out", True, True),
        ("no_address", True, True),
        ("rule", True, True),
    ],
)
def test_what_was_cancelled_comes_back_where_its_reason_is_gone(
    reason: str, *, same_time: bool, another_time: bool
) -> None:
    key = Key("v1", "r", "email", 0)
    at, until = datetime(2026, 5, 10, tzinfo=UTC), datetime(2026, 5, 11, tzinfo=UTC)
    stored = {key: Stored(1, key, at, until, "cancelled", reason)}
    assert bool(changes([Planned(key, at, until)], stored).plan) is same_time
    later = Planned(key, at + timedelta(hours=1), until)
    assert bool(changes([later], stored).plan) is another_time


def _apply(stored: dict[Key, Stored], found: Changes) -> None:
    by_id = {each.id: each for each in stored.values()}
    for number, reason in found.cancel:
        stored[by_id[number].key] = by_id[number]._replace(state="cancelled", reason=reason)
    for each in found.plan:
        number = stored[each.key].id if each.key in stored else len(stored) + 1
        stored[each.key] = Stored(number, each.key, each.planned_at, each.useful_until, "planned", None)


def test_the_more_rules_say_of_a_visit_the_fewer_participants_are_looked_at_together() -> None:
    rule = Rule("r", "overdue", 1, "email", time(9), 12, 1, 20)
    assert people_at_once([rule._replace(repeat_times=0)]) == 500
    assert people_at_once([rule] * 50) == 2
    assert people_at_once([rule] * 500) == 1
    assert people_at_once([]) == 500
