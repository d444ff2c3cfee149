"""Simulated scenes as training blocks: a landscape and a climate for every seed."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from models.card import Modality
from models.training.blocks import Block
from models.training.errors import TrainingError
from processes.sensors import is_radar, not_simulated, sensors_of
from processes.simulation import S1_BANDS, S2_BANDS, drawn_spec, simulate_scene

SIDE = 48  # pixels
CLOUDINESS = (0.1, 0.5)


def simulated_blocks(modalities: Sequence[Modality], seeds: Sequence[int], side: int = SIDE) -> list[Block]:
    """Simulate a scene of a year for every seed and preprocess it for `modalities`, as the service does.

    Raises
    ------
    TrainingError
        A modality has bands that are not simulated.
    """
    unknown = not_simulated(modalities, S2_BANDS)
    if unknown:
        known = ", ".join((*S2_BANDS, *S1_BANDS))
        raise TrainingError(f"Scenes are simulated with the bands {known}; {unknown[0]} is none")
    optical = dict.fromkeys(b for m in modalities if not is_radar(m) for b in m.bands)
    return [_block(modalities, seed, side, tuple(optical) or ("B02",)) for seed in seeds]


def _block(modalities: Sequence[Modality], seed: int, side: int, bands: tuple[str, ...]) -> Block:
    cubes, times = sensors_of(simulate_scene(drawn_spec(seed, side, bands, CLOUDINESS)), modalities)
    # What the ends of the year leave undecided is not learnt from.
    return Block({m: np.where(np.isfinite(v), v, np.float32(np.nan)) for m, v in cubes.items()}, times)
