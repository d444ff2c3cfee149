"""Preprocessing on its own: what stays missing, what is undecided, what is clipped."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from models.preprocessing import (
    UNDECIDED,
    StepError,
    calendar_days,
    mask_clouds,
    nearest_earlier_on_tie,
    parse_steps,
    preprocess,
    rolling_mean,
    rolling_mean_of_valid,
    steps_to_json,
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


@given(st.lists(st.one_of(st.floats(2**-12, 8, width=32), st.just(NAN)), min_size=1, max_size=20))
@settings(max_examples=60, deadline=None)
def test_a_mean_of_five_takes_two_valid_values_on_each_side(values):
    mean = rolling_mean_of_valid(series(*values), 5).ravel()
    valid = [i for i, v in enumerate(values) if v == v]
    expected = np.full(len(values), NAN, np.float32)
    for k, i in enumerate(valid):
        own = [values[j] for j in valid[k - 2 : k + 3]] if 2 <= k < len(valid) - 2 else []
        expected[i] = np.mean(own) if own else UNDECIDED
    np.testing.assert_allclose(mean, expected, rtol=1e-6)


def test_a_published_mean_of_five_is_shorter_at_the_ends():
    np.testing.assert_allclose(rolling_mean(series(1, 2, 3, 4, 5, 9), 5), series(2, 2.5, 3, 4.6, 5.25, 6), rtol=1e-6)


def test_power_becomes_decibels_between_0_and_1():
    power = [0, -1e-3, 1e-3, 10 ** (-1.25), 10**0.5, 100, NAN]
    steady = np.array([power] * 3, np.float32).reshape(1, 3, 1, -1)
    out = preprocess(steady, "sentinel1-power", "local")[0, :, 0]
    np.testing.assert_allclose(out[1], [0, 0, 0, 0.5, 1, 1, NAN], atol=1e-6)
    np.testing.assert_array_equal(out[[0, 2]], [[UNDECIDED] * 6 + [NAN]] * 2)


def test_reflectance_is_clipped_and_clouds_are_missing():
    reflectance = series(-0.1, 0.3, 1.2, NAN, 0.5)
    clipped = preprocess(reflectance, "sentinel2-reflectance", "local")
    np.testing.assert_array_equal(clipped, series(0, 0.3, 1, NAN, 0.5))
    masked = mask_clouds(reflectance, np.array([4, 9, 5, 4, 0]).reshape(5, 1, 1))
    np.testing.assert_array_equal(masked, series(-0.1, NAN, 1.2, NAN, NAN))


LANDSAT = [
    {"op": "linear", "scale": 2.75e-05, "offset": -0.2, "bands": ["B4", "B5"]},
    {"op": "clip", "min": 0, "max": 1, "bands": ["B5", "B4"]},
    {"op": "linear", "scale": 0.00341802, "offset": 149.0, "bands": ["ST"]},
    {"op": "min_max", "min": 250, "max": 330, "bands": ["ST"]},
]


def test_declared_steps_apply_to_the_bands_that_they_name():
    steps = parse_steps(LANDSAT, ("B4", "ST", "B5"))
    numbers = np.array([[12000, 5000, NAN], [41000, 30000, NAN], [60000, 20000, 0]], np.float32).reshape(3, 3, 1, 1)
    out = preprocess(numbers, steps, "local")[..., 0, 0]
    kelvin = np.array([41000, 30000]) * 0.00341802 + 149
    np.testing.assert_allclose(out[0], [0.13, 0, NAN], atol=1e-6)
    np.testing.assert_allclose(out[1, :2], (kelvin - 250) / 80, rtol=1e-5)
    np.testing.assert_allclose(out[2], [1, 0.35, 0], atol=1e-6)
    assert steps_to_json(steps, ("B4", "ST", "B5")) == LANDSAT
    assert len({steps, parse_steps(LANDSAT, ("B4", "ST", "B5")), parse_steps(LANDSAT, ("B4", "B5", "ST"))}) == 2


def test_what_no_sensor_measures_is_missing():
    steps = parse_steps([{"op": "valid", "min": 200, "max": 350, "bands": ["ST"]}], ["B4", "ST"])
    values = np.array([[149, 300], [149, 300], [350, 6550]], np.float32).T.reshape(2, 3, 1, 1)
    np.testing.assert_array_equal(preprocess(values[::-1], steps, "local")[1, :, 0, 0], [NAN, NAN, 350])
    np.testing.assert_array_equal(preprocess(values, steps, "local")[:, :, 0, 0], [[149, 149, 350], [300, 300, NAN]])


def test_steps_do_not_write_into_what_they_are_given():
    values = np.full((3, 1, 1, 1), 20000, np.float32)
    preprocess(values, parse_steps(LANDSAT, ("B4", "ST", "B5")), "local")
    assert (values == 20000).all()


def test_what_a_mean_leaves_undecided_stays_so_whatever_follows():
    steps = parse_steps([{"op": "rolling_mean", "acquisitions": 3}, {"op": "clip", "min": 0, "max": 1}], ["VV"])
    np.testing.assert_allclose(preprocess(series(1, 2, 3), steps, "local"), series(UNDECIDED, 1, UNDECIDED))


@pytest.mark.parametrize(
    ("step", "message"),
    [
        ("clip", "no object with `op`"),
        ({"min": 0}, "no `op` None; known: rolling_mean, decibel, linear, valid, clip, min_max"),
        ({"op": "sharpen"}, "'sharpen'"),
        ({"op": ["clip"]}, r"no `op` \['clip'\]"),
        ({"op": "clip", "min": 0}, "'max'"),
        ({"op": "clip", "min": 1, "max": 1}, "`min` must be the smaller"),
        ({"op": "clip", "min": "0", "max": 1}, "`min` is '0'; it must be a finite number"),
        ({"op": "min_max", "min": 0, "max": float("inf")}, "`max` is inf"),
        ({"op": "clip", "min": True, "max": 2}, "`min` is True"),
        ({"op": "clip", "min": 0, "max": 1, "unit": "dB"}, "`clip` knows no 'unit'; it takes max, min"),
        ({"op": "clip", "min": 0, "max": 1, "channels": [0]}, "knows no 'channels'"),
        ({"op": "clip", "min": 0, "max": 1, "bands": ["B9"]}, "names 'B9', which is none of the sensor's: VV, VH"),
        ({"op": "clip", "min": 0, "max": 1, "bands": ["VV", "VV"]}, "list of different bands"),
        ({"op": "clip", "min": 0, "max": 1, "bands": []}, "list of different bands"),
        ({"op": "linear", "scale": 0}, "nothing would be left"),
        ({"op": "decibel"}, "'floor'"),
        ({"op": "rolling_mean", "acquisitions": 2}, "an odd number from 3 on"),
        ({"op": "rolling_mean", "acquisitions": 3, "bands": ["VV"]}, "leave `bands` out"),
    ],
)
def test_steps_that_cannot_be_used_are_named(step, message):
    with pytest.raises(StepError, match=r"step 2 of the preprocessing: .*" + message):
        parse_steps([{"op": "linear", "scale": 1}, step], ("VV", "VH"))


def test_two_rolling_means_are_refused():
    with pytest.raises(StepError, match="more than one"):
        parse_steps([{"op": "rolling_mean", "acquisitions": 3}] * 2, ("VV", "VH"))


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
