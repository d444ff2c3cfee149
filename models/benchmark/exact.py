"""Windows computed in float64: what float32 is held against."""

from __future__ import annotations

import copy
from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray

from models.benchmark.cases import Cubes
from models.engine.patches import Patches, make_patches
from models.frames import EDGE, FRAMES, WindowList
from models.network import TwoStageModel


@dataclass(frozen=True)
class Reference:
    """Windows computed in float64, what float32 is held against."""

    windows: WindowList
    values: NDArray[np.float64]

    def error(self, out: NDArray[np.float32]) -> float:
        """Largest difference of a cube of embeddings."""
        w = self.windows
        return self.error_of(out[:, w.date, w.row + EDGE, w.column + EDGE].T)

    def error_of(self, values: NDArray[np.float32]) -> float:
        """Largest difference of the same windows' embeddings."""
        return float(np.abs(values - self.values).max())


def reference(model: TwoStageModel, cubes: Cubes, windows: WindowList) -> Reference:
    """Compute some windows on their own in float64, a few at a time."""
    exact = copy.deepcopy(model).double()
    patches = {m: make_patches(cube, model.device) for m, cube in cubes.items()}
    parts = [_exact(exact, patches, windows.take(slice(i, i + 4))) for i in range(0, len(windows), 4)]
    return Reference(windows, np.concatenate(parts))


def _exact(model: TwoStageModel, patches: Mapping[str, Patches], windows: WindowList) -> NDArray[np.float64]:
    def tensor(values: NDArray[np.int64]) -> torch.Tensor:
        return torch.from_numpy(np.ascontiguousarray(values)).to(model.device)

    x = {}
    for m, own in patches.items():
        frames, row, column = tensor(windows.frames[m]), tensor(windows.row), tensor(windows.column)
        fill = own.fill(frames, row, column).repeat_interleave(FRAMES, 0)
        places = (row.repeat_interleave(FRAMES), column.repeat_interleave(FRAMES))
        filled = own.take_filled(frames.flatten(), *places, fill).double()
        x[m] = filled.view(*frames.shape, *filled.shape[1:])
    with torch.inference_mode():
        out: NDArray[np.float64] = (
            model(x, {m: tensor(g) for m, g in windows.gaps.items()}, tensor(windows.delta)).cpu().numpy()
        )
    return out
