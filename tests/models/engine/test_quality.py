"""The numbers of quality against their definition, written down plainly; nothing but the window may change them."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
import torch

from models import embed_cube
from models.embed import Embedder, list_windows
from models.engine.folded_decoder import FoldedDecoder
from models.engine.quality import valid_fraction
from models.frames import cube_windows
from models.network import TwoStageModel
from models.preprocessing import UNDECIDED
from tests.golden.seeded import seeded_cube, seeded_model
from tests.models.engine.scenes import three_sensors

TOLERANCE = 5e-6


@pytest.fixture(scope="module")
def model():
    return seeded_model()


@pytest.fixture(scope="module")
def scene():
    """Cubes of both sensors with values missing in some bands, at the centre of windows too."""
    raw = seeded_cube(dates=15, s1_dates=30, size=(16, 17))
    cubes, times = {"s1": raw["s1"], "s2": raw["s2"]}, {"s1": raw["s1_time"], "s2": raw["time"]}
    cubes["s1"][1, :, 7, 8] = np.nan
    cubes["s1"][:, :, 8, 8] = np.nan
    cubes["s2"][2:5, :, 8, 7] = np.nan
    return cubes, times


def plainly(model, cubes, times, embedding, frames="local"):
    """The two numbers by definition, window by window."""
    ordered = {m.id: cubes[m.id] for m in model.card.modalities}
    dates = len(times[model.card.reference])
    windows = list_windows(model, ordered, times, frames, np.ones(dates, bool))
    out = np.full((2, *embedding.shape[1:]), np.nan)
    for i in range(len(windows)):
        row, column, t = windows.row[i], windows.column[i], windows.date[i]
        gaps = {m: torch.from_numpy(g[i : i + 1]) for m, g in windows.gaps.items()}
        with torch.inference_mode():
            decoded = model.decode(torch.from_numpy(embedding[:, t, row + 7, column + 7].copy())[None], gaps)
        values, errors = [], []
        for m, cube in ordered.items():
            window = cube[:, windows.frames[m][i], row : row + 15, column : column + 15]
            values.append(np.isfinite(window).ravel())
            errors.append(np.abs(decoded[m][0, 5, :, 7, 7].numpy() - window[:, 5, 7, 7]))
        out[:, t, row + 7, column + 7] = np.concatenate(values).mean(), np.nanmean(np.concatenate(errors))
    return out


@pytest.mark.parametrize("engine", ["windows", "dense", "auto"])
def test_both_numbers_are_what_their_definition_says(model, scene, engine):
    cubes, times = scene
    out = embed_cube(model, cubes, times, engine=engine, quality=True)
    assert out.shape == (9, 15, 16, 17)
    np.testing.assert_array_equal(np.isfinite(out), np.broadcast_to(np.isfinite(out[0]), out.shape))
    expected = plainly(model, cubes, times, out[:7])
    assert np.isfinite(expected[0]).sum() > 6
    assert len(np.unique(expected[0][np.isfinite(expected[0])])) > 1
    np.testing.assert_allclose(out[7:], expected, rtol=0, atol=TOLERANCE)
    without = embed_cube(model, cubes, times, engine=engine)
    np.testing.assert_allclose(out[:7], without, rtol=0, atol=0)


def test_tiles_and_larger_areas_change_nothing(model, scene):
    cubes, times = scene
    whole = embed_cube(model, cubes, times, quality=True)
    tiled = embed_cube(model, cubes, times, quality=True, memory=1)
    np.testing.assert_allclose(tiled, whole, rtol=0, atol=TOLERANCE)
    part = embed_cube(model, {m: c[:, :, 1:, :15] for m, c in cubes.items()}, times, quality=True)
    np.testing.assert_allclose(part[:, :, 7:-7, 7], whole[:, :, 8:-7, 7], rtol=0, atol=TOLERANCE)


def test_three_sensors_under_the_published_rule():
    model = three_sensors().eval().requires_grad_(False)
    random = np.random.default_rng(4)
    time = np.datetime64("2022-03-01", "ns") + np.arange(12) * np.timedelta64(5, "D")
    cubes = {m.id: random.random((len(m.bands), 12, 15, 15)).astype(np.float32) for m in model.card.modalities}
    cubes["heat"][:, 5:7] = np.nan
    times = dict.fromkeys(cubes, time)
    out = embed_cube(model, cubes, times, "cube", quality=True)
    assert np.isfinite(out[0]).sum() == 2
    np.testing.assert_allclose(out[-2:], plainly(model, cubes, times, out[:-2], "cube"), rtol=0, atol=TOLERANCE)


def test_a_sensor_that_is_not_there_counts_as_missing_and_is_not_compared(scene):
    base = seeded_model()
    s1, s2 = base.card.modalities
    model = TwoStageModel(replace(base.card, modalities=(replace(s1, optional=True), s2)))
    model.load_state_dict(base.state_dict())
    cubes, times = scene
    none = {"s1": cubes["s1"][:, :0], "s2": cubes["s2"]}
    out = embed_cube(model.eval().requires_grad_(False), none, {**times, "s1": times["s1"][:0]}, quality=True)
    with_both = embed_cube(base, cubes, times, quality=True)
    both = np.isfinite(with_both[0]) & np.isfinite(out[0])
    assert both.any()
    assert (out[7][both] <= 10 / 12).all()
    assert (out[7][both] < with_both[7][both]).all()
    assert np.isfinite(out[8][both]).all()


def test_undecided_values_are_not_valid():
    valid = {"s2": np.ones((11, 15, 15), bool)}
    windows = cube_windows(valid, {"s2": np.arange(11).astype("datetime64[D]")}, "s2", np.ones(11, bool))
    cube = np.zeros((2, 11, 15, 15), np.float32)
    cube[0, :3] = np.nan
    cube[1, 4, :, 0] = UNDECIDED
    expected = 1 - (3 * 225 + 15) / (2 * 11 * 225)
    np.testing.assert_allclose(valid_fraction({"s2": cube}, windows, 2), [expected], rtol=1e-6)


@pytest.mark.parametrize("modality", ["s1", "s2"])
def test_the_folded_decoder_is_the_decoder(model, modality):
    decoder = model.decoder(modality).frame
    vectors = torch.randn(5, 256, generator=torch.Generator().manual_seed(1)) * 2
    with torch.inference_mode():
        whole = decoder(vectors)
        assert whole[:, :, 7, 7].std() > 0.01
        torch.testing.assert_close(FoldedDecoder(decoder).centre(vectors), whole[:, :, 7, 7], rtol=1e-6, atol=TOLERANCE)


def test_the_folded_scales_are_the_layers_everywhere(model):
    decoder = model.decoder("s1").frame
    u = torch.randn(2, 64, 8, 8, generator=torch.Generator().manual_seed(2))
    with torch.inference_mode():
        expected = decoder.block3.features(decoder.up2(u))
        torch.testing.assert_close(FoldedDecoder(decoder).features(u), expected, rtol=1e-5, atol=TOLERANCE)


def test_a_model_without_decoders_says_so(model, scene):
    bare = TwoStageModel(replace(model.card, decoders=False))
    with pytest.raises(ValueError, match="without decoders"):
        Embedder(bare.eval()).embed(*scene, quality=True)
