"""What training windows hold, where they come from, and that they are the same every time."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from models.card import ModelCard
from models.embed import list_windows
from models.engine.patches import make_patches
from models.network import TwoStageModel
from models.training.blocks import Block, LoadedBlocks, split_blocks
from models.training.errors import TrainingError
from models.training.sampler import BlockSampler, Sampling, Sensors, _orders

from . import made


def same(a, b):
    one, other = a.tensors(), b.tensors()
    return one.keys() == other.keys() and all(
        torch.equal(v.nan_to_num(-1), other[k].nan_to_num(-1)) for k, v in one.items()
    )


def test_a_batch_depends_on_seed_and_number_alone():
    one, other = made.sampler(), made.sampler()
    wanted = one.batch(7)
    for step in (0, 3, 12):
        other.batch(step)
    assert same(other.batch(7), wanted)
    assert not same(made.sampler(seed=1).batch(7), wanted)
    assert not same(one.batch(8), wanted)


def test_shapes():
    batch = made.sampler(batch=6, draws=3, span=15).batch(0)
    assert batch.frames["red"].shape == (2, 15, 2, 15, 15)
    assert batch.order.shape == (2, 3, 11)
    assert batch.gaps["red"].shape == (2, 3, 10)
    assert len(batch) == 6


def test_windows_are_eleven_of_the_span_in_order():
    batch = made.sampler(draws=4, span=18).batch(0)
    assert (batch.order.diff(dim=-1) > 0).all()
    assert batch.order.max() < 18
    days = torch.arange(24) * 5
    assert (batch.gaps["red"] % 5 == 0).all()
    assert batch.gaps["red"].sum(-1).max() <= days[17]
    assert len({tuple(o.tolist()) for o in batch.order[0]}) == 4  # not the consecutive ones every time


def test_every_draw_of_the_span_is_alike_probable():
    random = np.random.default_rng(0)
    central = np.ones(13, bool)
    counts = {}
    for _ in range(7800):  # of 78 ways to leave out two of 13
        order = tuple(_orders(central, 1, random)[0])
        counts[order] = counts.get(order, 0) + 1
    assert len(counts) == 78
    assert min(counts.values()) > 55
    assert max(counts.values()) < 150


def test_one_draw_is_filled_as_in_inference():
    """With one draw from a run, the fill is that of the very window, as the engines make it."""
    block = made.block(missing=0.4)
    source = made.sampler(blocks=[block], held_out=[block], windows=8)
    model = TwoStageModel(ModelCard("m", (made.RED,), "red"))
    windows = list_windows(model, block.cubes, block.times, "local", np.ones(24, bool))
    patches = make_patches(block.cubes["red"], torch.device("cpu"))
    fill = patches.fill(*(torch.from_numpy(a) for a in (windows.frames["red"], windows.row, windows.column)))
    known = {tuple(np.round(row, 5)) for row in fill.numpy().tolist()}
    checked = 0
    for batch in source.validation():
        values, valid = batch.filled("red")
        for i in range(len(values)):
            if not valid[i].all():
                holes = [values[i, :, c][~valid[i, :, c]].unique() for c in range(2)]
                assert tuple(np.round([float(h[0]) for h in holes], 5)) in known
                checked += 1
    assert checked


def test_frames_that_hardly_see_the_place_are_no_frames():
    cube = made.block().cubes["red"].copy()
    cube[:, 4] = np.nan
    cube[:, 4, 0, 0] = 0.5  # less than 3 % of any patch
    block = Block({"red": cube}, {"red": made.times(24)})
    source = made.sampler(blocks=[block])
    for step in range(20):
        frames = source.batch(step).frames["red"]
        assert (frames.isfinite().float().mean((2, 3, 4)) > 0.9).all()


def test_the_centre_pixel_is_valid_at_the_centre():
    source = made.sampler(blocks=[made.block(missing=0.5)])
    for step in range(20):
        batch = source.batch(step)
        centre = batch.windows(batch.frames["red"], slice(5, 6))[:, 0, :, 7, 7]
        assert centre.isfinite().any(1).all()


def test_partners_are_the_nearest_and_delta_their_distance():
    block = made.block(sensors=(made.RED, made.HEAT))
    shifted = {"red": block.times["red"], "heat": block.times["heat"] + np.timedelta64(2, "D")}
    shifted["heat"] = shifted["heat"][::3]
    block = Block({"red": block.cubes["red"], "heat": block.cubes["heat"][:, ::3]}, shifted)
    source = made.sampler((made.RED, made.HEAT), blocks=[block], held_out=[block])
    batch = source.batch(0)
    assert set(batch.delta.flatten().tolist()) <= {2, 3, 7}
    assert batch.present["heat"].all()
    assert (batch.gaps["heat"] % 15 == 0).all()
    assert (batch.gaps["heat"] == 0).any()


def test_an_optional_sensor_may_be_missing_and_a_required_one_not():
    block = made.block(sensors=(made.RED, made.HEAT))
    gone = Block({**block.cubes, "heat": np.full_like(block.cubes["heat"], np.nan)}, block.times)
    batch = made.sampler((made.RED, made.HEAT), optional=("heat",), blocks=[gone]).batch(0)
    assert not batch.present["heat"].any()
    assert batch.present["red"].all()
    with pytest.raises(TrainingError, match="heat"):
        made.sampler((made.RED, made.HEAT), blocks=[gone]).batch(0)


def test_too_few_dates():
    with pytest.raises(TrainingError, match=r"too few dates.*11 acquisitions of red"):
        made.sampler(blocks=[made.block(dates=10)]).batch(0)
    with pytest.raises(TrainingError, match="held-out"):
        made.sampler(held_out=[made.block(dates=10)]).validation()


@pytest.mark.parametrize("wrong", [{"span": 10}, {"batch": 5, "draws": 2}])
def test_settings_that_cannot_be(wrong):
    with pytest.raises(TrainingError, match=next(iter(wrong)) if "span" in wrong else "draws"):
        Sampling(**wrong)


def test_an_epoch_visits_all_blocks_where_memory_holds_only_one():
    class Counting(LoadedBlocks):
        loaded = 0

        def load(self, index):
            self.loaded += 1
            return super().load(index)

    blocks = Counting([made.block(seed=s, side=33) for s in range(4)], "red")
    sampling = Sampling(batch=4, memory=blocks.load(0).bytes + 1)
    source = BlockSampler(blocks, LoadedBlocks([], "red"), Sensors(("red",), "red"), sampling, validation_windows=0)
    blocks.loaded = 0
    for step in range(source.steps_per_epoch):
        source.batch(step)
    assert blocks.loaded <= 6  # one after the other, not to and fro
    assert source.validation() == []


@given(st.integers(15, 200), st.integers(15, 200), st.integers(15, 80), st.floats(0.05, 0.8), st.integers(0, 9))
@settings(max_examples=60, deadline=None)
def test_training_and_validation_share_no_pixel(height, width, side, share, seed):
    if max(height // side, 1) * max(width // side, 1) < 2:
        with pytest.raises(TrainingError, match="block"):
            split_blocks(height, width, side, share, seed)
        return
    training, validation = split_blocks(height, width, side, share, seed)
    seen = np.zeros((height, width), int)
    for rows, columns in (*training, *validation):
        seen[slice(*rows), slice(*columns)] += 1
        assert min(rows[1] - rows[0], columns[1] - columns[0]) >= 15
    assert (seen == 1).all()
    assert training
    assert validation
