"""Small made-up blocks, sensors and sources for the training tests."""

from __future__ import annotations

import numpy as np

from models.card import Modality
from models.training.blocks import Block, LoadedBlocks
from models.training.sampler import BlockSampler, Sampling, Sensors

RED = Modality("red", ("R", "N"), "sentinel2-reflectance", tokens=3, bottleneck=2)
HEAT = Modality("heat", ("T",), "sentinel2-reflectance", tokens=2, bottleneck=1)


def times(n, step=5, start="2022-01-01", clock=0):
    days = np.arange(n) * step
    return np.datetime64(start, "ns") + days * np.timedelta64(1, "D") + np.timedelta64(clock, "h")


def block(dates=24, side=20, seed=0, sensors=(RED,), step=5, missing=0.0):
    """A block whose values vary smoothly in place and time, with some noise and some missing patches."""
    random = np.random.default_rng(seed)
    cubes, axes = {}, {}
    for i, sensor in enumerate(sensors):
        y, x = np.mgrid[:side, :side] / side
        season = np.sin(np.arange(dates) / 4 + i)[:, None, None]
        bands = [0.4 + 0.2 * season * (b + 1) * y + 0.2 * x for b in range(len(sensor.bands))]
        cube = np.stack(bands).astype(np.float32) + random.normal(0, 0.02, (len(bands), dates, side, side))
        cube = cube.astype(np.float32)
        for t in np.flatnonzero(random.random(dates) < missing):
            cube[:, t, : side // 3] = np.nan
        cubes[sensor.id], axes[sensor.id] = cube, times(dates, step, clock=10 + i)
    return Block(cubes, axes)


def sampler(sensors=(RED,), optional=(), blocks=None, held_out=None, seed=0, windows=8, **sampling):
    blocks = [block(sensors=sensors), block(seed=1, sensors=sensors)] if blocks is None else blocks
    held_out = [block(seed=2, sensors=sensors)] if held_out is None else held_out
    reference = sensors[0].id
    return BlockSampler(
        LoadedBlocks(blocks, reference),
        LoadedBlocks(held_out, reference),
        Sensors(tuple(s.id for s in sensors), reference, frozenset(optional)),
        Sampling(**{"batch": 4, **sampling}),
        seed=seed,
        validation_windows=windows,
    )
