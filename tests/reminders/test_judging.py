"""What is done about a reminder that is due: never in quiet hours, never for nothing, never a third time."""

from datetime import UTC, datetime, time, timedelta

from hypothesis import given
from hypothesis import strategies as st

from reporting.reminders.local_time import Quiet, is_quiet
from reporting.reminders.reconcile import State
from reporting.reminders.schedule import Key, Person, Planned, Settings, Unwanted
from reporting.reminders.sending import Facts, Go, Leave, Row, Wait, judge
from tests.reminders.test_schedule import quiets, zones

NOW = datetime(2026, 3, 29, 0, 30, tzinfo=UTC)
KEY = Key("v1", "r", "email", 0)

minutes = st.integers(-5000, 5000)


@st.composite
def facts(draw: st.DrawFn) -> Facts:
    at = NOW + timedelta(minutes=draw(minutes))
    until = at + timedelta(minutes=draw(st.integers(1, 6000)))
    key = KEY._replace(channel=draw(st.sampled_from(["email", "sms"])))
    states: list[State] = ["planned", "queued", "sending", "sent", "cancelled", "failed"]
    state = draw(st.sampled_from(states))
    # What is of no use any more is never wanted: `schedule.wanted` says so.
    wish = Planned(key, at, until) if until > NOW and draw(st.booleans()) else Unwanted(key, "completed")
    return Facts(
        Row(1, "SRO", "p1", key, state, until, draw(st.integers(0, 3))),
        wish,
        Person("p1", "enrolled", draw(zones)),
        None,
        Settings(draw(quiets), "site", draw(st.integers(1, 3))),
        draw(st.sampled_from(["active", "paused"])),
        draw(st.integers(0, 4)),
    )


@given(facts())
def test_it_is_sent_only_when_everything_allows_it(told: Facts) -> None:
    decision = judge(told, NOW)
    row, wish = told.row, told.wish
    zone = told.person.clock(told.settings)
    may = (
        isinstance(wish, Planned)
        and wish.planned_at <= NOW
        and row.state in ("queued", "sending")
        and told.study_status == "active"
        and not is_quiet(NOW, zone, told.settings.quiet)
        and told.sent_today < told.settings.most_per_day
        and not (row.state == "sending" and row.key.channel == "email" and row.repeats >= 1)
    )
    assert isinstance(decision, Go) is may
    if isinstance(decision, Go):
        assert decision.is_repeat == (row.state == "sending")
    if isinstance(decision, Wait):
        assert decision.until > NOW
        assert isinstance(wish, Planned)
        assert told.study_status == "paused" or decision.until < wish.useful_until
    if isinstance(decision, Leave) and row.state in ("queued", "sending"):
        assert decision.state is not None, "nobody would look at it again"


def test_a_wait_for_the_next_day_ends_when_it_is_no_quiet_hour_there() -> None:
    at = NOW - timedelta(hours=1)
    wish = Planned(KEY, at, at + timedelta(hours=20))
    person = Person("p1", "enrolled", "Europe/Berlin")
    # The limit of 29 March is reached; the clock goes forward in that night, and quiet hours end at 07:00.
    settings = Settings(Quiet(time(22), time(7)), "site", 1)
    row = Row(1, "SRO", "p1", KEY, "queued", wish.useful_until, 0)
    told = Facts(row, wish, person, None, settings, "active", 1)
    assert judge(told, NOW) == Wait("Not now: quiet_hours.", datetime(2026, 3, 29, 5, 0, tzinfo=UTC))
    later = datetime(2026, 3, 29, 6, 0, tzinfo=UTC)
    assert judge(told, later) == Leave("It would be too late: daily_limit.", "cancelled", "daily_limit")
    longer = told._replace(wish=wish._replace(useful_until=at + timedelta(hours=48)))
    assert judge(longer, later) == Wait("Not now: daily_limit.", datetime(2026, 3, 30, 5, 0, tzinfo=UTC))
