"""The window engine: every window on its own, but each frame's vector shared by all windows that can share it.

A frame of a patch without missing values has the same vector in every window that holds it: computed once. A frame
with missing values is filled with its window's means first, so its vector belongs to that window alone.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from models.engine.dense.exact import exact_products
from models.engine.patches import Patches, make_patches
from models.frames import WindowList
from models.network import TwoStageModel
from models.network.frame_encoder import FRAME_VECTOR

BATCH = 64  # patches through the frame encoder at once: the largest layer's maps (9 MB each) stay near the cache
WINDOWS = 2048  # windows at once: 2048 x 11 vectors of 1 kB for each sensor

SHARED = 0  # the owner of a vector that all windows share

Progress = Callable[[int, int], None]


def run_windows(
    model: TwoStageModel,
    cubes: Mapping[str, NDArray[np.float32]],
    windows: WindowList,
    *,
    batch: int = BATCH,
    share: bool = True,
    progress: Progress | None = None,
) -> dict[str, NDArray[np.float32]]:
    """Compute the embeddings of `windows`.

    Parameters
    ----------
    cubes : mapping of modality to (channels, t, y, x) float32
        Preprocessed, NaN = missing.
    batch : int
        Patches through the frame encoder at once.
    share : bool
        Whether windows share the vectors of frames without missing values; else each is computed on its own.
    progress : callable, optional
        Called with (windows done, windows in all).

    Returns
    -------
    dict
        ``embedding`` (n, size) and every modality's bottleneck (n, b), float32.
    """
    patches = {m: make_patches(cube, model.device) for m, cube in cubes.items()}
    parts: dict[str, list[Tensor]] = {"embedding": [], **{m: [] for m in cubes}}
    with torch.inference_mode(), exact_products(model.device):
        for part in _parts(windows):
            for name, values in _embed(model, patches, windows.take(part), batch, share).items():
                parts[name].append(values.cpu())
            if progress:
                progress(part.stop, len(windows))
    return {name: _concatenate(values, _width(model, name)) for name, values in parts.items()}


def _parts(windows: WindowList) -> list[slice]:
    """Cut the list at about `WINDOWS`, never inside a pixel's series: its windows share their frames."""
    n = len(windows)
    starts = np.flatnonzero(np.diff(windows.row) | np.diff(windows.column)) + 1
    parts, begin = [], 0
    while begin < n:
        later = starts[np.searchsorted(starts, begin + WINDOWS) :]
        end = int(later[0]) if len(later) else n
        parts.append(slice(begin, end))
        begin = end
    return parts


def _embed(
    model: TwoStageModel, patches: Mapping[str, Patches], windows: WindowList, batch: int, share: bool
) -> dict[str, Tensor]:
    z = {}
    for m, own in patches.items():
        vectors = frame_vectors(model, m, own, windows, batch, share)
        z[m] = model.encoder(m).encode_vectors(vectors, _tensor(windows.gaps[m], model.device), model.card.attention)
    return {**z, "embedding": model.fusion(z, _tensor(windows.delta, model.device))}


def frame_vectors(
    model: TwoStageModel, modality: str, patches: Patches, windows: WindowList, batch: int, share: bool = True
) -> Tensor:
    """The frame encoder's vectors (n, 11, 256) of all windows, each distinct one computed once."""
    encoder = model.encoder(modality).frame
    frames = windows.frames[modality]
    row, column = windows.row[:, None], windows.column[:, None]
    partial = patches.partial[frames, row, column]
    owner = np.where(partial | (not share), np.arange(len(windows))[:, None] + 1, SHARED)
    shape = (len(windows) + 1, *patches.partial.shape)
    keys, inverse = np.unique(np.ravel_multi_index((owner, frames, row, column), shape), return_inverse=True)
    window, frame, y, x = (_tensor(key, model.device) for key in np.unravel_index(keys, shape))
    fill = patches.fill(*(_tensor(a, model.device) for a in (frames, windows.row, windows.column)))
    vectors = torch.empty(len(keys), FRAME_VECTOR, device=model.device)
    shared = int((window == SHARED).sum())  # they sort first
    for part in _batches(0, shared, batch):
        vectors[part] = encoder(patches.take(frame[part], y[part], x[part]))
    for part in _batches(shared, len(keys), batch):
        vectors[part] = encoder(patches.take_filled(frame[part], y[part], x[part], fill[window[part] - 1]))
    return vectors[_tensor(inverse.reshape(frames.shape), model.device)]


def _batches(begin: int, end: int, size: int) -> list[slice]:
    return [slice(i, min(i + size, end)) for i in range(begin, end, size)]


def _tensor(values: NDArray[np.int64], device: torch.device) -> Tensor:
    return torch.from_numpy(np.ascontiguousarray(values)).to(device)


def _concatenate(values: list[Tensor], width: int) -> NDArray[np.float32]:
    if not values:
        return np.empty((0, width), np.float32)
    return np.asarray(torch.cat(values).numpy(), dtype=np.float32)


def _width(model: TwoStageModel, name: str) -> int:
    return model.card.size if name == "embedding" else model.card.modality(name).bottleneck
