"""Parity with the published method, to 5e-6 absolute: a checkpoint of its format, its inputs, its outputs."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from models.embed import Embedder
from models.engine.folded_decoder import FoldedDecoder
from models.frames import EDGE
from models.network import TwoStageModel
from models.preprocessing import nearest_earlier_on_tie, preprocess
from models.published import read_published
from models.training import losses

TOLERANCE = 5e-6
CORNER = 17  # pixels on a side, of which 3 x 3 have an embedding


@pytest.fixture(scope="module")
def published(shared_golden):
    card, weights = read_published(shared_golden / "fuse_model.ckpt", "golden")
    model = TwoStageModel(card)
    model.load_state_dict(weights)
    return model.eval().requires_grad_(False)


def assert_same(ours, theirs):
    np.testing.assert_allclose(ours, theirs, rtol=0, atol=TOLERANCE, equal_nan=True)


@pytest.mark.parametrize("axis", ["frames", "self", "batch"])
def test_patches(published, shared_golden, axis):
    golden = np.load(shared_golden / "patches.npz")
    x = torch.from_numpy(golden["x"])
    gaps = {m: torch.from_numpy(golden[f"gaps_{m}"]).long() for m in ("s1", "s2")}
    z = published.encode({"s2": x[:, :, :10], "s1": x[:, :, 10:]}, gaps, axis)
    embedding = published.fusion(z, torch.from_numpy(golden["delta"])[:, 0])
    decoded = published.decode(embedding, gaps)
    assert_same(embedding, golden[f"{axis}_embedding"])
    for m in ("s1", "s2"):
        assert_same(z[m], golden[f"{axis}_z_{m}"])
        assert_same(decoded[m], golden[f"{axis}_recon_{m}"])
        vectors = published.decoder(m).vectors(published.heads[m](embedding), gaps[m], published.encoder(m).context)
        folded = FoldedDecoder(published.decoder(m).frame).centre(vectors[:, 5])
        assert_same(folded, golden[f"{axis}_recon_{m}"][:, 5, :, 7, 7])


@pytest.mark.parametrize("attention", ["frames", "self"])
@pytest.mark.parametrize("name", ["cube", "cube_hard", "cube_long_gaps"])
@pytest.mark.parametrize("engine", ["windows", "dense", "plain torch"])
def test_cubes(shared_golden, name, attention, engine):
    card, weights = read_published(shared_golden / "fuse_model.ckpt", "golden", attention)
    model = TwoStageModel(card)
    model.load_state_dict(weights)
    golden = np.load(shared_golden / f"{name}.npz")
    # What an engine that takes patch by patch, or has no kernels, makes of a corner it makes of the rest.
    part = slice(None) if engine == "dense" else slice(0, CORNER)
    cube, expected = golden["cube"][..., part, part], golden[f"{attention}_embedding"][..., part, part].copy()
    if engine != "dense":
        expected[..., CORNER - EDGE :, :] = expected[..., CORNER - EDGE :] = np.nan
        assert np.isfinite(expected).any()
    plain = engine == "plain torch"
    embedder = Embedder(model.eval(), "dense" if plain else engine, compiled=False if plain else None)
    ours = embedder.embed(
        {"s2": cube[:10], "s1": cube[10:]}, {"s2": golden["time"], "s1": golden["s1_time"]}, frames="cube"
    )
    assert_same(ours, expected)


@pytest.mark.parametrize("attention", ["frames", "self"])
def test_bottlenecks_of_a_cube(shared_golden, attention):
    from models.embed import list_windows
    from models.engine.windows import run_windows

    card, weights = read_published(shared_golden / "fuse_model.ckpt", "golden", attention)
    model = TwoStageModel(card)
    model.load_state_dict(weights)
    golden = np.load(shared_golden / "cube.npz")
    cubes = {"s1": golden["cube"][10:, :, :18, :18], "s2": golden["cube"][:10, :, :18, :18]}
    times = {"s1": golden["s1_time"], "s2": golden["time"]}
    windows = list_windows(model, cubes, times, "cube", np.ones(15, bool))
    ours = run_windows(model.eval(), cubes, windows)
    for m in ("s1", "s2"):
        theirs = golden[f"{attention}_z_{m}"][:, windows.date, windows.row + 7, windows.column + 7].T
        assert_same(ours[m], theirs)


def test_preprocessing_of_sentinel1(shared_golden):
    golden = np.load(shared_golden / "preprocess_s1.npz")
    power = np.moveaxis(golden["power"], 0, 1)  # (bands, t, y, x)
    assert_same(np.moveaxis(preprocess(power, "sentinel1-power", "cube"), 1, 0), golden["normalised"])


def test_pairing(shared_golden):
    golden = np.load(shared_golden / "preprocess_s1.npz")
    np.testing.assert_array_equal(nearest_earlier_on_tie(golden["s2_time"], golden["time"]), golden["nearest"])


@pytest.mark.parametrize("stage", ["stage1", "fusion_s1", "fusion_s2"])
def test_losses(shared_golden, stage):
    golden = np.load(shared_golden / "loss.npz")
    output, target, mask = (torch.from_numpy(golden[f"{stage}_{k}"]) for k in ("output", "target", "mask"))
    weights = {"stage1": losses.STAGE1, "fusion_s1": losses.FUSION_S1, "fusion_s2": losses.FUSION_S2}[stage]
    ours = losses.reconstruction_loss(output, target, mask, weights)
    theirs = {k: golden[f"{stage}_{k}"] for k in ("total", "mae", "sam", "ssim", "center")}
    for k, value in theirs.items():
        np.testing.assert_allclose(ours[k], value, rtol=0, atol=TOLERANCE, err_msg=k)
