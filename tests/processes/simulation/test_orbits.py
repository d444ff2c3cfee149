"""The calendar of the simulated satellites, and what each pass sees."""

import numpy as np
import pytest

from processes.simulation import SceneSpec
from processes.simulation.orbits import acquisitions, seen

YEAR = SceneSpec(height=64, width=64)


def days(passes, orbit):
    return np.array([passage.day for passage in passes if passage.track.relative_orbit == orbit])


@pytest.mark.parametrize(("orbit", "first"), [(22, "2022-01-02"), (65, "2022-01-05")])
def test_each_sentinel2_orbit_repeats_every_five_days(orbit, first):
    found = days(acquisitions(YEAR, "S2"), orbit)
    assert found[0] == np.datetime64(first)
    assert set(np.diff(found).astype(int)) == {5}
    assert len(found) == 73


@pytest.mark.parametrize(("orbit", "state", "clock"), [(117, "ascending", "17:06"), (168, "descending", "05:26")])
def test_each_sentinel1_orbit_repeats_every_twelve_days_at_its_hour(orbit, state, clock):
    passes = [passage for passage in acquisitions(YEAR, "S1") if passage.track.relative_orbit == orbit]
    assert set(np.diff(days(passes, orbit)).astype(int)) == {12}
    assert {passage.track.orbit_state for passage in passes} == {state}
    assert {passage.platform for passage in passes} == {"sentinel-1a"}
    assert {str(passage.time)[11:16] for passage in passes} == {clock}


def test_sentinel2_platforms_take_turns_on_each_orbit():
    for orbit in (22, 65):
        platforms = [p.platform for p in acquisitions(YEAR, "S2") if p.track.relative_orbit == orbit]
        assert set(platforms[::2]) == {"sentinel-2b"}
        assert set(platforms[1::2]) == {"sentinel-2a"}


def test_sentinel2_passes_in_the_morning_earlier_on_the_eastern_orbit():
    seconds = {
        orbit: [
            (passage.time - passage.day) / np.timedelta64(1, "s")
            for passage in acquisitions(YEAR, "S2")
            if passage.track.relative_orbit == orbit
        ]
        for orbit in (22, 65)
    }
    for values in seconds.values():
        assert min(values) > 10 * 3600 + 10 * 60
        assert max(values) < 10 * 3600 + 32 * 60
        # Real passes never repeat their second.
        assert 5 < np.std(values) < 90
    assert np.median(seconds[65]) - np.median(seconds[22]) == pytest.approx(609, abs=30)


def test_times_are_utc_in_order_and_whole_milliseconds():
    for mission in ("S1", "S2"):
        times = np.array([passage.time for passage in acquisitions(YEAR, mission)])
        assert times.dtype == np.dtype("datetime64[ns]")
        assert (np.diff(times) > np.timedelta64(0)).all()
        assert not (times.astype(np.int64) % 1_000_000).any()


def test_baseline_and_offset_change_on_25_january_2022():
    for passage in acquisitions(YEAR, "S2"):
        late = passage.day >= np.datetime64("2022-01-25")
        assert (passage.baseline, passage.offset) == (("04.00", -0.1) if late else ("03.01", 0.0))


def test_the_calendar_extends_to_other_years_and_to_parts_of_one():
    part = SceneSpec(start=np.datetime64("2022-03-01"), stop=np.datetime64("2022-04-01"))
    assert [p.time for p in acquisitions(part, "S2")] == [
        p.time for p in acquisitions(YEAR, "S2") if str(p.time).startswith("2022-03")
    ]
    later = SceneSpec(start=np.datetime64("2024-02-25"), stop=np.datetime64("2024-03-15"))
    found = acquisitions(later, "S2")
    assert {int((p.day - p.track.first).astype(int)) % 5 for p in found} == {0}
    assert all(later.start <= p.day < later.stop for p in found)
    assert len(found) in (7, 8)


@pytest.mark.parametrize(
    ("mission", "cut", "whole", "kept"), [("S2", 22, 65, (0.6, 0.85)), ("S1", 168, 117, (0.75, 0.95))]
)
def test_one_orbit_ends_in_the_scene_along_a_slanted_edge(mission, cut, whole, kept):
    spec = SceneSpec(height=128, width=128)
    masks = {p.track.relative_orbit: seen(spec, p) for p in acquisitions(spec, mission)}
    assert masks[whole].all()
    mask = masks[cut]
    assert kept[0] < mask.mean() < kept[1]
    # Descending orbits run from north-north-east to south-south-west.
    per_row = mask.sum(axis=1) if mission == "S1" else (~mask).sum(axis=1)
    assert per_row[0] - per_row[-1] == pytest.approx(128 * np.tan(np.radians(13.5)), abs=3)
    assert (np.diff(mask.astype(int), axis=1) != 0).sum(axis=1).max() == 1


def test_the_edge_moves_a_little_between_passes_and_can_be_left_out():
    spec = SceneSpec(height=128, width=128)
    passes = [p for p in acquisitions(spec, "S2") if p.track.relative_orbit == 22]
    places = [seen(spec, passage)[64].argmax() for passage in passes]
    assert 1 <= np.std(places) <= 8
    whole = SceneSpec(height=128, width=128, swath_edges=False)
    assert all(seen(whole, passage).all() for passage in passes)
