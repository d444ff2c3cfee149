"""Preprocessing on its own: what stays missing, what is undecided, what is clipped."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from models.preprocessing import (
    UNDECIDED,
    calendar_days,
    clip_reflectance,
    mask_clouds,
    nearest_earlier_on_tie,
    normalise_power,
    preprocess,
    rolling_mean,
    rolling_mean_of_valid,
)

NAN = np.nan


def series(*values):
    return np.array(values, np.float32).reshape(1, -1, 1, 1)


def test_published_mean_fills_gaps_and_shortens_at_the_ends():
    np.testing.assert_allclose(
        rolling_mean(series(1, 2, NAN, 4, NAN, NAN, NAN)), series(1.5, 1.5, 3, 4, 4, NAN, NAN), rtol=1e-6
    )


def test_local_mean_takes_the_pixels_own_neighbours():
    mean = rolling_mean_of_valid(series(1, NAN, 2, NAN, NAN, 6, 7))
    np.testing.assert_allclose(mean, series(UNDECIDED, NAN, 3, NAN, NAN, 5, UNDECIDED), rtol=1e-6)


@given(st.lists(st.one_of(st.floats(2**-12, 8, width=32), st.just(NAN)), min_size=1, max_size=14), st.data())
@settings(max_examples=60, deadline=None)
def test_a_longer_interval_decides_more_and_changes_nothing(values, data):
    begin = data.draw(st.integers(0, len(values) - 1))
    end = data.draw(st.integers(begin + 1, len(values)))
    whole = rolling_mean_of_valid(series(*values))[:, begin:end]
    part = rolling_mean_of_valid(series(*values[begin:end]))
    decided = np.isfinite(part)
    np.testing.assert_array_equal(part[decided], whole[decided])
    np.testing.assert_array_equal(np.isnan(part), np.isnan(whole))


def test_power_becomes_decibels_between_0_and_1():
    power = series(0, -1e-3, 1e-3, 10 ** (-1.25), 10**0.5, 100, NAN, np.inf)
    np.testing.assert_allclose(normalise_power(power), series(0, 0, 0, 0.5, 1, 1, NAN, UNDECIDED), atol=1e-6)


def test_reflectance_is_clipped_and_clouds_are_missing():
    reflectance = series(-0.1, 0.3, 1.2, NAN, 0.5)
    np.testing.assert_array_equal(clip_reflectance(reflectance), series(0, 0.3, 1, NAN, 0.5))
    masked = mask_clouds(reflectance, np.array([4, 9, 5, 4, 0]).reshape(5, 1, 1))
    np.testing.assert_array_equal(masked, series(-0.1, NAN, 1.2, NAN, NAN))


def test_unknown_preprocessing_is_named():
    with pytest.raises(ValueError, match=r"'landsat'.*sentinel1-power"):
        preprocess(series(1), "landsat", "local")


def test_the_earlier_acquisition_wins_a_tie():
    times = np.array(["2022-01-05", "2022-01-06", "2021-01-01", "2023-01-01"], "datetime64[ns]")
    others = np.array(["2022-01-03", "2022-01-07"], "datetime64[ns]")
    assert nearest_earlier_on_tie(times, others).tolist() == [0, 1, 0, 1]


def test_calendar_days_ignore_the_clock():
    times = np.array(["2022-01-01T23:59", "2022-01-02T00:01"], "datetime64[ns]")
    assert np.diff(calendar_days(times)).tolist() == [1]
