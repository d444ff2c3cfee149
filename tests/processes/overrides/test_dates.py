"""Dates as text, by the examples of the specification."""

from __future__ import annotations

import pytest

from processes.errors import OpenEOError
from processes.overrides.dates import date_between, date_difference, date_shift


@pytest.mark.parametrize(
    ("date", "value", "unit", "expected"),
    [
        ("2020-02-01T17:22:45Z", 6, "month", "2020-08-01T17:22:45Z"),
        ("2021-03-31T00:00:00+02:00", -7, "day", "2021-03-24T00:00:00+02:00"),
        ("2020-02-29T17:22:45Z", 1, "year", "2021-02-28T17:22:45Z"),
        ("2020-01-31", 1, "month", "2020-02-29"),
        ("2016-12-31T23:59:59Z", 1, "second", "2017-01-01T00:00:00Z"),
        ("2018-12-31T17:22:45Z", 1150, "millisecond", "2018-12-31T17:22:46.150Z"),
        ("2018-01-01", 25, "hour", "2018-01-02"),
        ("2018-01-01", -1, "hour", "2017-12-31"),
        ("2018-01-01", -13, "month", "2016-12-01"),
        ("2018-01-01", 2, "week", "2018-01-15"),
    ],
)
def test_shifted(date: str, value: int, unit: str, expected: str) -> None:
    assert date_shift(date, value, unit) == expected


@pytest.mark.parametrize(("date", "value"), [("2018", 1), ("2018-02-30", 1), ("9999-01-01", 5), ("x", 0)])
def test_not_shifted(date: str, value: int) -> None:
    with pytest.raises(OpenEOError, match="'date_shift'") as caught:
        date_shift(date, value, "year")
    assert caught.value.code == "ProcessParameterInvalid"


@pytest.mark.parametrize(
    ("first", "second", "unit", "expected"),
    [
        ("2020-01-01T00:00:00.0Z", "2020-01-01T00:00:15.5Z", "second", 15.5),
        ("2020-01-01T00:00:00Z", "2020-01-01T01:00:00+01:00", "second", 0),
        ("2020-01-02", "2020-01-01", "second", -86400),
        ("2020-01-02", "2020-01-01", "day", -1),
        ("2020-01-15", "2021-01-15", "month", 12),
        ("2020-01-31", "2020-02-29", "month", 1),
        ("2020-01-01", "2018-01-01", "year", -2),
        ("2020-02-01", "2020-02-15T12:00:00Z", "month", 0.5),
        ("2020-01-01", "2020-01-15", "week", 2),
    ],
)
def test_difference(first: str, second: str, unit: str, expected: float) -> None:
    assert date_difference(first, second, unit) == pytest.approx(expected)


@pytest.mark.parametrize(
    ("x", "low", "high", "exclude", "expected"),
    [
        ("2020-01-01", "2021-01-01", "2022-01-01", False, False),
        ("2021-01-01", "2021-01-01", "2022-01-01", False, True),
        ("2022-01-01T00:00:00Z", "2021-01-01", "2022-01-01", False, True),
        ("2022-01-01T00:00:00Z", "2021-01-01", "2022-01-01", True, False),
        ("2022-01-01T01:00:00+02:00", "2021-01-01", "2022-01-01", True, True),
        ("2021-06-01", "2022-01-01", "2021-01-01", False, False),
        ("10:30:00", "09:00:00", "10:45:00", False, True),
        (None, "2021-01-01", "2022-01-01", False, None),
    ],
)
def test_between(x: str | None, low: str, high: str, exclude: bool, expected: bool | None) -> None:
    assert date_between(x, low, high, exclude) is expected


def test_leap_seconds_can_be_passed_and_are_never_returned() -> None:
    assert date_shift("2016-12-31T23:59:60Z", 1, "day") == "2017-01-01T23:59:59Z"
    assert date_shift("2016-12-31T23:59:60+01:00", 1, "second") == "2017-01-01T00:00:00+01:00"
    assert date_difference("2016-12-31T23:59:60Z", "2017-01-01T00:00:01Z") == 2
    assert date_between("2016-12-31T23:59:60Z", "2016-12-31", "2017-01-01") is True


def test_zones_are_compared_as_instants() -> None:
    assert date_between("2020-01-01T00:00:00+02:00", "2019-12-31T22:00:00Z", "2019-12-31T22:00:00Z") is True
    assert date_between("2020-01-01T00:00:00+02:00", "2019-12-31", "2019-12-31T22:00:00Z", exclude_max=True) is False
    assert date_difference("2020-01-01T00:00:00+02:00", "2019-12-31T23:00:00Z", "hour") == 1


@pytest.mark.parametrize(
    ("x", "low", "high", "odd"),
    [("12:00:00Z", "11:00:00Z", "2020-01-01", "max"), ("2020-01-01", "11:00:00Z", "2020-01-02", "min")],
)
def test_times_of_day_are_not_compared_with_dates(x: str, low: str, high: str, odd: str) -> None:
    with pytest.raises(OpenEOError, match=f"'{odd}' in process 'date_between'") as caught:
        date_between(x, low, high)
    assert caught.value.code == "ProcessParameterInvalid"
