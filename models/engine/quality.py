"""The quality of embeddings: how much of their windows was valid, and how well they tell the centre pixel.

Both engines use this; it takes the windows and their embeddings as they are.
"""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
import torch
from numpy.lib.stride_tricks import sliding_window_view
from numpy.typing import NDArray
from torch import Tensor

from models.engine.dense.exact import exact_products
from models.engine.folded_decoder import FoldedDecoder
from models.frames import EDGE, FRAMES, PATCH, WindowList
from models.frames.windows import NONE
from models.network import TwoStageModel

BATCH = {"cpu": 64, "cuda": 512}  # windows through a decoder at once: 0.7 MB of maps each
CENTRE = FRAMES // 2

Numbers = NDArray[np.float32]
Cubes = Mapping[str, Numbers]


def window_quality(model: TwoStageModel, cubes: Cubes, windows: WindowList, embedding: Numbers) -> Numbers:
    """Return `valid_fraction` and `reconstruction_error` of every window, (n, 2) float32.

    Parameters
    ----------
    cubes : mapping of modality to (channels, t, y, x) float32
        Preprocessed, NaN = missing; infinite values count as missing.
    embedding : (n, size) float32

    See `valid_fraction` and `reconstruction_error`.
    """
    error = reconstruction_error(model, cubes, windows, embedding)
    return np.stack([valid_fraction(cubes, windows, sum(len(m.bands) for m in model.card.modalities)), error], axis=1)


def valid_fraction(cubes: Cubes, windows: WindowList, channels: int) -> Numbers:
    """Share of the valid ones among all values of a window: of all sensors, bands, frames and pixels; (n,).

    All values of an optional sensor that a window does without count as missing, also where `cubes` has none of it:
    `channels` are those of all sensors.
    """
    valid = np.zeros(len(windows), np.int64)
    for m, cube in cubes.items():
        counts = _box_sum(np.isfinite(cube).sum(axis=0, dtype=np.int32))  # (t, y - 14, x - 14)
        own, part = _with_sensor(windows, m)
        valid[own] += counts[part.frames[m], part.row[:, None], part.column[:, None]].sum(axis=1)
    return np.asarray(valid / (channels * FRAMES * PATCH**2), np.float32)


def reconstruction_error(model: TwoStageModel, cubes: Cubes, windows: WindowList, embedding: Numbers) -> Numbers:
    """Mean absolute error of what the decoders make of an embedding, at the centre pixel and date; (n,).

    Over the valid channels of all sensors there, each with the same weight, in preprocessed units. For other sensors
    than the reference the centre date is that of the acquisition that is paired to it.

    Raises
    ------
    ValueError
        The model has no decoders.
    """
    require_decoders(model)
    total, count = np.zeros(len(windows)), np.zeros(len(windows), np.int64)
    for m, cube in cubes.items():
        own, part = _with_sensor(windows, m)
        target = cube[:, part.frames[m][:, CENTRE], part.row + EDGE, part.column + EDGE].T  # (n, channels)
        known = np.isfinite(target)
        decoded = decoded_centre(model, m, part, embedding[own])
        total[own] += np.abs(decoded - target, where=known, out=np.zeros_like(target)).sum(axis=1, dtype=np.float64)
        count[own] += known.sum(axis=1)
    return np.asarray(total / count, np.float32)  # the reference has a valid value there: else there is no window


def decoded_centre(model: TwoStageModel, modality: str, windows: WindowList, embedding: Numbers) -> Numbers:
    """What a sensor's decoder makes of embeddings at the centre pixel and date, (n, channels)."""
    return _decoded(model, modality, windows, embedding, model.heads[modality])


def decoded_bottleneck(model: TwoStageModel, modality: str, windows: WindowList, bottleneck: Numbers) -> Numbers:
    """What a sensor's decoder makes of its own encoder's numbers at the centre pixel and date, (n, channels)."""
    return _decoded(model, modality, windows, bottleneck, torch.nn.Identity())


def _decoded(
    model: TwoStageModel, modality: str, windows: WindowList, given: Numbers, to_bottleneck: torch.nn.Module
) -> Numbers:
    device = model.device
    decoder, context = model.decoder(modality), model.encoder(modality).context
    gaps = torch.from_numpy(windows.gaps[modality])
    numbers = torch.from_numpy(np.ascontiguousarray(given))
    size = BATCH.get(device.type, BATCH["cpu"])
    parts: list[Tensor] = [torch.empty(0, decoder.frame.refine2.out_channels)]
    with torch.inference_mode(), exact_products(device):
        folded = FoldedDecoder(decoder.frame)
        for begin in range(0, len(windows), size):
            part = slice(begin, begin + size)
            z = to_bottleneck(numbers[part].to(device))
            vectors = decoder.vectors(z, gaps[part].to(device), context)
            parts.append(folded.centre(vectors[:, CENTRE]).cpu())
    return np.asarray(torch.cat(parts).numpy(), np.float32)


def require_decoders(model: TwoStageModel) -> None:
    """Raise ValueError where a model cannot tell its quality."""
    if not model.card.decoders:
        raise ValueError(f"The model {model.card.name} was imported without decoders: it cannot tell its quality")


def _with_sensor(windows: WindowList, modality: str) -> tuple[NDArray[np.int64], WindowList]:
    """The windows that do not go without a sensor, and their indices."""
    own = np.flatnonzero(windows.frames[modality][:, 0] != NONE)
    return own, windows.take(own)


def _box_sum(counts: NDArray[np.int32]) -> NDArray[np.int64]:
    """Sums over patches, (t, y, x) -> (t, y - 14, x - 14)."""
    rows = sliding_window_view(counts, PATCH, axis=1).sum(-1, dtype=np.int64)
    return np.asarray(sliding_window_view(rows, PATCH, axis=2).sum(-1))
