"""Frame rules: against the rule's text spelled out pixel by pixel, and what must not change them."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from models.frames import cube_windows, local_windows, sees
from tests.models.cubes import Sight, sights

REACH = 100


def windows_of(sight: Sight, wanted=None):
    wanted = np.ones(len(sight.times["s2"]), bool) if wanted is None else wanted
    return local_windows(sight.valid, sight.undecided, sight.times, "s2", wanted, REACH)


def as_dates(windows, sight: Sight, corner=(0, 0)) -> dict:
    """The windows by absolute pixel and date, their frames as dates: what survives cropping."""
    return {
        (windows.row[i] + corner[0], windows.column[i] + corner[1], sight.times["s2"][windows.date[i]]): (
            tuple(sight.times["s2"][windows.frames["s2"][i]]),
            tuple(sight.times["s1"][windows.frames["s1"][i]]),
            tuple(windows.gaps["s2"][i]),
            tuple(windows.gaps["s1"][i]),
            windows.delta[i],
        )
        for i in range(len(windows))
    }


def spelled_out(sight: Sight) -> dict:
    """The rule `local` for each pixel and date by loops and lists."""
    result = {}
    s2, s1 = sight.times["s2"], sight.times["s1"]
    for y in range(7, sight.valid["s2"].shape[1] - 7):
        for x in range(7, sight.valid["s2"].shape[2] - 7):
            patch = np.s_[:, y - 7 : y + 8, x - 7 : x + 8]
            seen = [t for t, frame in zip(s2, sight.valid["s2"][patch], strict=True) if frame.any()]
            radar = [t for t, frame in zip(s1, sight.valid["s1"][patch], strict=True) if frame.any()]
            for i, date in enumerate(s2):
                frames = _frames(seen, date) if sight.valid["s2"][i, y, x] else None
                partners = [_partner(radar, t, s1[0], s1[-1]) for t in frames or []]
                if frames and None not in partners:
                    result[y - 7, x - 7, date] = (tuple(frames), tuple(partners), *_gaps(frames, partners))
    return result


def _days(times):
    return [t.astype("datetime64[D]").astype(int) for t in times]


def _frames(seen, date):
    day = _days([date])[0]
    earlier = [t for t in seen if t < date and day - _days([t])[0] <= REACH][-5:]
    later = [t for t in seen if t > date and _days([t])[0] - day <= REACH][:5]
    return [*earlier, date, *later] if len(earlier) == len(later) == 5 else None


def _partner(radar, date, first, last):
    if not radar:
        return None
    nearest = min(radar, key=lambda t: (abs(t - date), t))
    reach = abs(nearest - date)
    return nearest if first <= date - reach and date + reach <= last else None


def _gaps(frames, partners):
    gaps, radar_gaps = np.diff(_days(frames)), np.diff(_days(partners))
    if gaps.sum() >= 200:
        gaps, radar_gaps = np.ones(10, int), np.ones(10, int)
    return tuple(gaps), tuple(radar_gaps), abs(_days(frames)[5] - _days(partners)[5])


@given(sights())
@settings(max_examples=40, deadline=None)
def test_local_is_the_rule_spelled_out(sight):
    assert as_dates(windows_of(sight), sight) == spelled_out(sight)


def test_local_finds_windows_at_all():
    """Against a rule that lists nothing, which every invariance below would let pass."""
    t = np.datetime64("2022-05-01T10:20", "ns") + np.arange(13) * np.timedelta64(5, "D")
    r = np.datetime64("2022-04-25T05:30", "ns") + np.arange(20) * np.timedelta64(6, "D")
    valid = {"s2": np.ones((13, 16, 17), bool), "s1": np.ones((20, 16, 17), bool)}
    sight = Sight(valid, {m: ~v for m, v in valid.items()}, {"s2": t, "s1": r})
    assert len(windows_of(sight)) == 2 * 3 * 3


@given(sights(), st.data())
@settings(max_examples=40, deadline=None)
def test_less_data_loses_windows_but_changes_none(sight, data):
    """A smaller bbox or interval, for each sensor its own."""
    n2, n1 = len(sight.times["s2"]), len(sight.times["s1"])
    height, width = sight.valid["s2"].shape[1:]
    y, x = data.draw(st.integers(0, height - 15)), data.draw(st.integers(0, width - 15))
    a2, a1 = data.draw(st.integers(0, n2 - 1)), data.draw(st.integers(0, n1 - 1))
    b2, b1 = data.draw(st.integers(a2 + 1, n2)), data.draw(st.integers(a1 + 1, n1))
    span = {"s2": slice(a2, b2), "s1": slice(a1, b1)}
    less = Sight(
        {m: sight.valid[m][s, y:, x:] for m, s in span.items()},
        {m: sight.undecided[m][s, y:, x:] for m, s in span.items()},
        {m: sight.times[m][s] for m, s in span.items()},
    )
    whole, part = as_dates(windows_of(sight), sight), as_dates(windows_of(less), less, (y, x))
    assert all(whole.get(key) == value for key, value in part.items())


@given(sights(), st.integers(0, 2**16))
@settings(max_examples=20, deadline=None)
def test_wanted_dates_choose_among_the_same_windows(sight, seed):
    wanted = np.random.default_rng(seed).random(len(sight.times["s2"])) < 0.5
    chosen = as_dates(windows_of(sight, wanted), sight)
    dates = set(sight.times["s2"][wanted])
    assert chosen == {k: v for k, v in as_dates(windows_of(sight), sight).items() if k[2] in dates}


def test_an_undecided_value_in_a_window_leaves_it_out():
    t = np.datetime64("2022-05-01", "ns") + np.arange(11) * np.timedelta64(5, "D")
    valid = {m: np.ones((11, 15, 15), bool) for m in ("s2", "s1")}
    undecided = {m: np.zeros((11, 15, 15), bool) for m in valid}
    times = {"s2": t, "s1": t}
    wanted = np.ones(11, bool)
    assert len(local_windows(valid, undecided, times, "s2", wanted, REACH)) == 1
    undecided["s1"][3, 14, 0] = True
    assert len(local_windows(valid, undecided, times, "s2", wanted, REACH)) == 0


def test_sees_any_value_of_the_patch():
    valid = np.zeros((1, 16, 15), bool)
    valid[0, 15, 14] = True
    np.testing.assert_array_equal(sees(valid), [[[False], [True]]])


def test_cube_rule_takes_consecutive_frames_with_any_value():
    time = np.datetime64("2022-01-01", "ns") + np.arange(13) * np.timedelta64(30, "D")
    valid = {m: np.ones((13, 15, 16), bool) for m in ("s2", "s1")}
    valid["s2"][4] = False  # no frame
    valid["s2"][6, 7, 7] = False  # no window at this pixel and date
    windows = cube_windows(valid, {"s2": time, "s1": time}, "s2", np.ones(13, bool))
    found = list(zip(windows.row, windows.column, windows.date, strict=True))
    assert found == [(0, 0, 7), (0, 1, 6), (0, 1, 7)]
    assert windows.frames["s2"][1].tolist() == [0, 1, 2, 3, 5, 6, 7, 8, 9, 10, 11]
    assert (windows.gaps["s2"] == 1).all()  # over 200 days
    assert (windows.gaps["s1"] == 1).all()


def test_cube_rule_refuses_sensors_that_are_not_paired():
    valid = {"s2": np.ones((12, 15, 15), bool), "s1": np.ones((13, 15, 15), bool)}
    times = {
        m: np.datetime64("2022-01-01", "ns") + np.arange(len(v)) * np.timedelta64(1, "D") for m, v in valid.items()
    }
    with pytest.raises(ValueError, match="same number of dates"):
        cube_windows(valid, times, "s2", np.ones(12, bool))
