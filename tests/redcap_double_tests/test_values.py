"""What an import takes as a value, and what is stored of it."""

import pytest

from tests.redcap_double.building import study_project
from tests.redcap_double.dictionary import Column, parse_choices
from tests.redcap_double.values import Invalid, stored


def _text(validation: str) -> Column:
    return Column("field", "form", "field", "text", validation=validation)


@pytest.mark.parametrize(
    ("validation", "value"),
    [
        ("", "anything at all, even 65,000 characters"),
        ("integer", "22"),
        ("integer", "-3"),
        ("int", "+7"),
        ("number", "22"),
        ("number", "-0.25"),
        ("number", "1e3"),
        ("number_1dp", "22.0"),
        ("number_2dp", "-22.05"),
        ("number_comma_decimal", "22,5"),
        ("email", "a.b+c@example.org"),
        ("phone", "(615) 322-2222"),
        ("time", "23:59"),
        ("no_such_validation", "is not looked at"),
    ],
)
def test_a_value_in_its_format_is_stored_as_sent(validation: str, value: str) -> None:
    assert stored(_text(validation), value, "YMD") == value


@pytest.mark.parametrize(
    ("validation", "value"),
    [
        ("integer", "22.0"),
        ("integer", "1e3"),
        ("integer", "٣"),
        ("number", "22,5"),
        ("number", "NaN"),
        ("number", "."),
        ("number_1dp", "22"),
        ("number_1dp", "22.04"),
        ("number_2dp", "22.5"),
        ("email", "a@b"),
        ("email", "a b@example.org"),
        ("phone", "12345"),
        ("time", "24:00"),
        ("date_ymd", "2026-02-30"),
        ("date_ymd", "31/01/2026"),
        ("date_ymd", "2026-01-31 10:00"),
        ("datetime_ymd", "2026-01-31"),
        ("datetime_ymd", "2026-01-31 10:00:30"),
        ("", "x" * 65_000),
    ],
)
def test_a_value_in_another_format_is_rejected(validation: str, value: str) -> None:
    with pytest.raises(Invalid):
        stored(_text(validation), value, "YMD")


@pytest.mark.parametrize(
    ("validation", "date_format", "value", "kept"),
    [
        ("date_dmy", "YMD", "2026-01-31", "2026-01-31"),
        ("date_ymd", "DMY", "31/01/2026", "2026-01-31"),
        ("date_mdy", "MDY", "01/31/2026", "2026-01-31"),
        ("datetime_dmy", "DMY", "31-01-2026 10:05", "2026-01-31 10:05"),
        ("datetime_seconds_ymd", "YMD", "2026-01-31 10:05:09", "2026-01-31 10:05:09"),
    ],
)
def test_a_date_comes_in_the_format_of_the_request_and_is_stored_year_first(
    validation: str, date_format: str, value: str, kept: str
) -> None:
    assert stored(_text(validation), value, date_format) == kept


def test_codes_of_choices_are_taken_and_their_labels_are_not() -> None:
    columns = study_project().dictionary.columns()
    assert stored(columns["sex"], "9", "YMD") == "9"
    assert stored(columns["consented"], "0", "YMD") == "0"
    assert stored(columns["cog_session_complete"], "2", "YMD") == "2"
    assert stored(columns["cog_flags___2"], "1", "YMD") == "1"
    for name, value in [
        ("sex", "Other"),
        ("sex", "09"),
        ("consented", "yes"),
        ("cog_session_complete", "3"),
        ("cog_flags___2", "2"),
    ]:
        with pytest.raises(Invalid, match=f"The value is not a valid category for {name}"):
            stored(columns[name], value, "YMD")


def test_choices_are_read_with_commas_in_labels_and_without_spaces() -> None:
    assert parse_choices("1,Late, very|-9, Unknown | ") == {"1": "Late, very", "-9": "Unknown"}
