"""Numbers and dates as English and French write them."""

from datetime import UTC, date, datetime

from reporting.research.variables import Unit
from sync_server.reports.wording import Wording

EN, FR = Wording("en"), Wording("fr")
THIN = "\u202f"


def test_each_language_writes_numbers_and_dates_in_its_own_way() -> None:
    assert (EN.number(1234.5, 1), FR.number(1234.5, 1)) == ("1,234.5", f"1{THIN}234,5")
    assert (EN.number(-0.04, 1), FR.number(-3)) == ("0.0", "−3")
    assert (EN.share(0.934, 1), FR.share(0.934, 1)) == ("93.4%", "93,4\u00a0%")
    assert (EN.score(612.4, Unit.MILLISECONDS), FR.score(None, Unit.SHARE)) == ("612\u00a0ms", "–")
    assert EN.score(0.021, Unit.SHARE, sign=True) == "+2.1\u00a0points"
    assert EN.score(0.0001, Unit.SHARE, sign=True) == "0.0\u00a0points"
    assert (EN.score(5.0, Unit.DIGITS), FR.score(5.25, Unit.DIGITS)) == ("5", "5,25")
    assert (EN.day(date(2026, 2, 3)), FR.day(date(2026, 2, 3))) == ("3 Feb 2026", "3 févr. 2026")
    assert FR.moment(datetime(2026, 8, 1, 6, 5, tzinfo=UTC)) == "1 août 2026, 06:05\u00a0UTC"
    assert (EN.of(1, 8), FR.of(0, 0)) == ("1 of 8 (12%)", "0")


def test_labels_of_an_axis_are_told_apart() -> None:
    assert EN.ticks([0.9, 0.925, 0.95], Unit.SHARE) == ["90.0%", "92.5%", "95.0%"]
    assert EN.ticks([0.9, 0.95, 1.0], Unit.SHARE) == ["90%", "95%", "100%"]
    assert FR.ticks([1.0, 1.25, 1.5], Unit.LETTERS) == ["1,00", "1,25", "1,50"]
    assert EN.ticks([100.0, 200.0], Unit.MILLISECONDS) == ["100", "200"]
