"""Embeddings where an optional sensor is missing: those of the others alone, the same however much is loaded."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
import torch

from models.card import Modality, ModelCard
from models.embed import embed_cube
from models.network import TwoStageModel

SENSORS = (
    Modality("opt", ("A", "B"), "sentinel2-reflectance", 3, 2),
    Modality("radar", ("V",), "sentinel2-reflectance", 2, 1),
    Modality("heat", ("T",), "sentinel2-reflectance", 2, 1, optional=True),
)
DAY = np.timedelta64(1, "D")


def model_of(*sensors, like=None):
    torch.manual_seed(3)
    model = TwoStageModel(ModelCard("m", sensors, "opt", "frames")).eval().requires_grad_(False)
    if like:
        own = model.state_dict()
        own |= {k: v for k, v in like.state_dict().items() if k in own and "types" not in k}
        own["fusion.types.weight"] = like.state_dict()["fusion.types.weight"][: len(sensors)]
        model.load_state_dict(own)
    return model


@pytest.fixture(scope="module")
def scene():
    random = np.random.default_rng(0)
    cubes = {s.id: random.random((len(s.bands), 14, 15, 16)).astype(np.float32) for s in SENSORS}
    times = {s.id: np.datetime64("2022-03-01T10", "ns") + np.arange(14) * 8 * DAY + i for i, s in enumerate(SENSORS)}
    return cubes, times


@pytest.mark.parametrize("engine", ["windows", "dense"])
def test_dates_without_it_get_the_embedding_of_the_others(scene, engine):
    cubes, times = scene
    whole = model_of(*SENSORS)
    without = embed_cube(
        model_of(*SENSORS[:2], like=whole), {m: cubes[m] for m in ("opt", "radar")}, times, engine=engine
    )
    assert np.isfinite(without).any()
    # All of it missing: as a cube without values, without dates, or not given at all.
    blank = {**cubes, "heat": np.full_like(cubes["heat"], np.nan)}
    none = {**cubes, "heat": cubes["heat"][:, :0]}, {**times, "heat": times["heat"][:0]}
    for given in ((blank, times), none, ({m: cubes[m] for m in ("opt", "radar")}, times)):
        np.testing.assert_allclose(embed_cube(whole, *given, engine=engine), without, rtol=0, atol=5e-6)
    # Missing at one place only: elsewhere the numbers with it.
    half = {**cubes, "heat": cubes["heat"].copy()}
    half["heat"][:, :, :, :15] = np.nan
    mixed = embed_cube(whole, half, times, engine=engine)
    np.testing.assert_allclose(mixed[..., 7], without[..., 7], rtol=0, atol=5e-6)
    assert np.isfinite(mixed[:, :, 7, 8]).any()
    assert np.nanmax(np.abs(mixed[:, :, 7, 8] - without[:, :, 7, 8])) > 1e-4


def test_a_required_sensor_that_is_missing_leaves_no_embedding(scene):
    cubes, times = scene
    strict = model_of(*SENSORS[:2], replace(SENSORS[2], optional=False))
    gone = {**cubes, "heat": np.full_like(cubes["heat"], np.nan)}
    assert np.isnan(embed_cube(strict, gone, times)).all()
    with pytest.raises(ValueError, match="heat"):
        embed_cube(strict, {m: cubes[m] for m in ("opt", "radar")}, times)


def test_how_much_is_loaded_of_it_decides_nothing(scene):
    """Dates of the sensor beyond 30 days may leave an embedding away, never change it."""
    cubes, times = scene
    whole = model_of(*SENSORS)
    late = {**cubes, "heat": cubes["heat"].copy()}
    late["heat"][:, :9] = np.nan
    everything = embed_cube(whole, late, times)
    for first in (7, 9, 10):
        less = {**late, "heat": late["heat"][:, first:]}, {**times, "heat": times["heat"][first:]}
        some = embed_cube(whole, *less)
        both = np.isfinite(some) & np.isfinite(everything)
        near = (np.abs(times["opt"][:, None] - less[1]["heat"]) <= 30 * DAY).any(1)
        decided = near == (np.abs(times["opt"][:, None] - times["heat"][9:]) <= 30 * DAY).any(1)
        np.testing.assert_allclose(
            some[both & decided[None, :, None, None]],
            everything[both & decided[None, :, None, None]],
            rtol=0,
            atol=5e-6,
        )
