"""What an embedding asks for, by count: operations and bytes."""

from __future__ import annotations

import numpy as np

from models.benchmark.cases import Cubes
from models.engine.dense.sensor import ALONE, PER_PATCH, PER_PIXEL
from models.engine.tiles import tile_side
from models.frames import EDGE, FRAMES
from models.network import TwoStageModel
from models.network.frame_encoder import WIDTH

TRANSFORMER = 17.6e6  # multiplications of a window's tokens, of two sensors
# Of a patch's 3x3 convolutions, 49 positions of 128 x 128 channels and 16 of 64 x 16: what minimal filtering spares.
SPARED = (9 * 49 - 11**2) * 128 * 128 + (9 * 16 - 6**2) * 64 * 16


def work_per_embedding(model: TwoStageModel, cubes: Cubes, *, minimal: bool = False) -> float:
    """Operations (a multiplication and an addition are two) that the dense engine needs for an embedding.

    Of clear frames: what missing values add differs from patch to patch. `minimal` says whether the 3x3 convolutions of
    patches take fewer products than taps, as the kernels compiled for processors do them.
    """
    frames, halo = _shared(model, cubes)
    shared = frames * ((halo * PER_PIXEL + PER_PATCH) * WIDTH**2 - minimal * SPARED)
    return float(2 * (shared + TRANSFORMER * len(cubes) / 2))


def bytes_per_embedding(model: TwoStageModel, cubes: Cubes, rounded: bool) -> float:
    """Bytes that the kernels for GPUs read and write for an embedding of clear frames, by count, not as measured."""
    from models.engine.dense.gpu.traffic import bytes_moved

    frames, halo = _shared(model, cubes)
    return bytes_moved(frames * halo, frames, len(cubes), rounded)


def _shared(model: TwoStageModel, cubes: Cubes) -> tuple[float, float]:
    """Frames that an embedding has to itself, of all sensors, and pixels of a frame for each that is embedded."""
    dates, height, width = cubes[model.card.reference].shape[1:]
    inner = (height - 2 * EDGE, width - 2 * EDGE)
    side = tile_side(model.device, dates * len(cubes), sum(c.shape[0] for c in cubes.values()), None)
    halo = np.prod([i + 2 * EDGE * -(-i // side) for i in inner]) / np.prod(inner)
    return dates / (dates - FRAMES + 1) * len(cubes), float(halo)


def alone_work(model: TwoStageModel) -> float:
    """Operations of a window computed on its own."""
    modalities = len(model.card.modalities)
    return 2 * (modalities * FRAMES * ALONE * WIDTH**2 + TRANSFORMER * modalities / 2)
