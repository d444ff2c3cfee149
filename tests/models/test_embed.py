"""`embed_cube`: what must not change a number, and what is refused."""

from __future__ import annotations

import numpy as np
import pytest

from models import embed_cube
from models.preprocessing import preprocess
from tests.golden.seeded import seeded_cube, seeded_model

TOLERANCE = 5e-6


@pytest.fixture(scope="module")
def model():
    return seeded_model()


@pytest.fixture(scope="module")
def raw():
    """Physical values: S1 as linear power with gaps."""
    cube = seeded_cube(dates=15, s1_dates=30, size=(17, 16))
    cube["s1"] = cube["s1"] * 0.2
    return cube


def embed(model, raw, **options):
    cubes = {
        "s2": preprocess(raw["s2"], "sentinel2-reflectance", "local"),
        "s1": preprocess(raw["s1"], "sentinel1-power", "local"),
    }
    return embed_cube(model, cubes, {"s2": raw["time"], "s1": raw["s1_time"]}, **options)


@pytest.fixture(scope="module")
def whole(model, raw):
    out = embed(model, raw)
    assert np.isfinite(out).sum() > 7 * 10
    return out


def assert_missing_or_same(part, whole, at_least=7):
    known = np.isfinite(part)
    assert known.sum() >= at_least
    np.testing.assert_allclose(part[known], whole[known], rtol=0, atol=TOLERANCE)


@pytest.mark.parametrize("memory", [1, 10**9])
def test_memory_cuts_tiles_not_numbers(model, raw, whole, memory):
    np.testing.assert_allclose(embed(model, raw, memory=memory), whole, rtol=0, atol=TOLERANCE)


def test_smaller_bbox_is_the_crop_of_the_larger(model, raw, whole):
    part = embed(model, {**raw, "s2": raw["s2"][:, :, 1:, :15], "s1": raw["s1"][:, :, 1:, :15]})
    assert np.isfinite(part).any()
    np.testing.assert_allclose(part[:, :, 7:-7, 7:-7], whole[:, :, 8:-7, 7:8], rtol=0, atol=TOLERANCE)


def test_shorter_interval_may_miss_but_never_differs(model, raw, whole):
    part = embed(model, {**raw, "s2": raw["s2"][:, 1:], "time": raw["time"][1:]})
    assert_missing_or_same(part, whole[:, 1:])
    part = embed(model, {**raw, "s1": raw["s1"][:, 2:-4], "s1_time": raw["s1_time"][2:-4]})
    assert_missing_or_same(part, whole)


def test_a_date_without_sight_of_the_pixel_changes_nothing(model, raw):
    cloudy = {**raw, "s2": raw["s2"][..., :15, :15].copy(), "s1": raw["s1"][..., :15, :15]}
    cloudy["s2"][:, 7] = np.nan
    without = {**cloudy, "s2": np.delete(cloudy["s2"], 7, 1), "time": np.delete(cloudy["time"], 7)}
    expected = embed(model, without)
    assert np.isfinite(expected).any()
    np.testing.assert_allclose(np.delete(embed(model, cloudy), 7, 1), expected, rtol=0, atol=TOLERANCE)


def test_nothing_smaller_than_a_patch_or_shorter_than_a_window(model, raw):
    narrow = {**raw, "s2": raw["s2"][..., :14], "s1": raw["s1"][..., :14]}
    assert np.isnan(embed(model, narrow)).all()
    short = {**raw, "s2": raw["s2"][:, :10], "time": raw["time"][:10]}
    assert np.isnan(embed(model, short)).all()
    assert embed(model, short).shape == (7, 10, 17, 16)


def test_no_radar_at_all_means_no_embedding(model, raw):
    none = {**raw, "s1": raw["s1"][:, :0], "s1_time": raw["s1_time"][:0]}
    assert np.isnan(embed(model, none)).all()


@pytest.mark.parametrize("engine", ["windows", "dense"])
def test_progress_grows_to_all(model, raw, whole, engine):
    seen = []
    embed(
        model,
        raw,
        wanted=np.isfinite(whole).any((0, 2, 3)),
        engine=engine,
        memory=1,
        progress=lambda done, total: seen.append((done, total)),
    )
    assert seen == sorted(seen)
    assert seen[-1] == (3 * 2 * (15 + 30), 3 * 2 * (15 + 30))


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda c, t: (c.pop("s1"), None), "needs 's1' \\(VV, VH\\)"),
        (lambda c, t: (c.update(s2=c["s2"][:9]), None), r"s2 must have the shape \(10, 15, y, x\)"),
        (lambda c, t: (c.update(s1=c["s1"][..., :15]), None), "one grid"),
        (lambda c, t: (t.update(s2=t["s2"][::-1]), None), "times of s2 must ascend"),
    ],
)
def test_cubes_that_do_not_fit_are_refused(model, raw, change, message):
    cubes = {"s2": raw["s2"], "s1": raw["s1"]}
    times = {"s2": raw["time"], "s1": raw["s1_time"]}
    change(cubes, times)
    with pytest.raises(ValueError, match=message):
        embed_cube(model, cubes, times)


def test_unknown_rule_and_engine_are_refused(model, raw):
    with pytest.raises(ValueError, match="'local' or 'cube'"):
        embed(model, raw, frames="global")
    with pytest.raises(ValueError, match="'auto', 'windows' or 'dense'"):
        embed(model, raw, engine="magic")
    with pytest.raises(ValueError, match="'float32' or 'bf16'"):
        embed(model, raw, precision="float64")
    with pytest.raises(ValueError, match="exact reference"):
        embed(model, raw, engine="windows", precision="bf16")
