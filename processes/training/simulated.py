"""Simulated scenes as training blocks: a landscape and a climate for every seed."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from models.card import Modality
from models.preprocessing import mask_clouds, preprocess
from models.training.blocks import Block
from models.training.errors import TrainingError
from processes.simulation import S2_BANDS, Climate, LandscapeShares, SceneSpec, simulate_scene

SIDE = 48  # pixels
RADAR = ("VV", "VH")


def simulated_blocks(modalities: Sequence[Modality], seeds: Sequence[int], side: int = SIDE) -> list[Block]:
    """Simulate a scene of a year for every seed and preprocess it for `modalities`, as the service does.

    Raises
    ------
    TrainingError
        A modality has bands that are not simulated.
    """
    return [_block(modalities, seed, side) for seed in seeds]


def _block(modalities: Sequence[Modality], seed: int, side: int) -> Block:
    bands = tuple(b for m in modalities if not set(m.bands) <= set(RADAR) for b in m.bands)
    unknown = sorted(set(bands) - set(S2_BANDS))
    if unknown:
        raise TrainingError(
            f"Scenes are simulated with the bands {', '.join((*S2_BANDS, *RADAR))}; {unknown[0]} is none"
        )
    scene = simulate_scene(_spec(seed, side, bands))
    optical = mask_clouds(np.moveaxis(scene.s2, 1, 0), scene.scl)
    cubes, times = {}, {}
    for m in modalities:
        radar = set(m.bands) <= set(RADAR)
        names = RADAR if radar else scene.spec.bands
        values = np.moveaxis(scene.s1, 1, 0) if radar else optical
        values = preprocess(values[[names.index(b) for b in m.bands]], m.preprocessing, "local")
        cubes[m.id] = np.where(np.isfinite(values), values, np.float32(np.nan))
        times[m.id] = scene.s1_time if radar else scene.s2_time
    return Block(cubes, times)


def _spec(seed: int, side: int, bands: tuple[str, ...]) -> SceneSpec:
    random = np.random.default_rng(seed)
    return SceneSpec(
        seed=seed,
        height=side,
        width=side,
        bands=tuple(dict.fromkeys(bands)) or ("B02",),
        latitude=float(random.uniform(38, 56)),
        climate=Climate(mean_temperature=float(random.uniform(6, 15)), cloudiness=float(random.uniform(0.1, 0.5))),
        landscape=LandscapeShares(forest=float(random.uniform(0.1, 0.4)), field_hectares=(0.6, 3.0)),
    )
