"""A sensor's frames, ready for taking patches: values, what is missing, and the sums that fills are made of."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from models.frames import PATCH


@dataclass(frozen=True)
class Patches:
    """Frames of one sensor as patches of 15 x 15 pixels round every inner pixel.

    Attributes
    ----------
    values : (t, y - 14, x - 14, channels, 15, 15) float32
        A view, 0 where missing.
    missing : (t, y - 14, x - 14, channels, 15, 15) bool
        A view.
    sums : (t, y - 14, x - 14, channels) float64
        Sum of a patch's valid values.
    counts : (t, y - 14, x - 14, channels) int64
        How many are valid.
    partial : (t, y - 14, x - 14) bool, NumPy
        Whether any value of the patch is missing.
    """

    values: Tensor
    missing: Tensor
    sums: Tensor
    counts: Tensor
    partial: NDArray[np.bool_]

    def take(self, frame: Tensor, row: Tensor, column: Tensor) -> Tensor:
        """Return the patches (n, channels, 15, 15) as they are, missing values 0."""
        return self.values[frame, row, column]

    def take_filled(self, frame: Tensor, row: Tensor, column: Tensor, fill: Tensor) -> Tensor:
        """Return the patches with missing values replaced by ``fill`` (n, channels)."""
        fill = fill[:, :, None, None]
        return torch.where(self.missing[frame, row, column], fill, self.values[frame, row, column])

    def fill(self, frames: Tensor, row: Tensor, column: Tensor) -> Tensor:
        """Mean of every channel's valid values over whole windows; 0 where a channel has none.

        Parameters
        ----------
        frames : (n, 11) int64
        row, column : (n,) int64

        Returns
        -------
        (n, channels) float32
        """
        index = (frames, row[:, None], column[:, None])
        sums, counts = self.sums[index].sum(1), self.counts[index].sum(1)
        return (sums / counts.clamp(min=1)).float()


def make_patches(cube: NDArray[np.float32], device: torch.device) -> Patches:
    """Prepare the frames ``cube`` (channels, t, y, x), NaN = missing; infinite values count as missing."""
    frames = torch.from_numpy(np.ascontiguousarray(cube.transpose(1, 2, 3, 0))).to(device)  # (t, y, x, channels)
    missing = ~frames.isfinite()
    values = torch.where(missing, 0, frames)
    counts = _box_sum((~missing).to(torch.int64))
    sums = _box_sum(values.double())
    partial = (counts < PATCH * PATCH).any(-1).cpu().numpy()
    return Patches(_unfold(values), _unfold(missing), sums, counts, partial)


def _unfold(frames: Tensor) -> Tensor:
    """(t, y, x, c) -> a view (t, y - 14, x - 14, c, 15, 15)."""
    return frames.unfold(1, PATCH, 1).unfold(2, PATCH, 1)


def _box_sum(frames: Tensor) -> Tensor:
    """Sums over patches, (t, y, x, c) -> (t, y - 14, x - 14, c), by running sums along both axes."""
    for axis in (1, 2):
        total = frames.cumsum(axis)
        zero = torch.zeros_like(total.narrow(axis, 0, 1))
        total = torch.cat([zero, total], dim=axis)
        n = frames.shape[axis] - PATCH + 1
        frames = total.narrow(axis, PATCH, n) - total.narrow(axis, 0, n)
    return frames
