"""Scenes to draw training windows from."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from models.embed import list_windows
from models.engine.patches import Patches, make_patches
from models.frames import FRAMES, WindowList
from models.network import TwoStageModel

DECODED = slice(FRAMES // 2, FRAMES // 2 + 1)
RUN = 2  # windows drawn together from one pixel's series: they share most of their frames' vectors


@dataclass(frozen=True)
class TrainingScene:
    """A scene ready to draw windows from.

    Attributes
    ----------
    cubes : mapping of modality to (channels, t, y, x) float32
        Preprocessed, NaN = missing.
    patches : mapping of modality to Patches
    windows : WindowList
        By the frame rule `local`.
    """

    cubes: Mapping[str, NDArray[np.float32]]
    patches: Mapping[str, Patches]
    windows: WindowList


def make_scene(
    model: TwoStageModel, cubes: Mapping[str, NDArray[np.float32]], times: Mapping[str, NDArray[np.datetime64]]
) -> TrainingScene:
    """Prepare one scene of preprocessed cubes (channels, t, y, x) and their times."""
    ordered = {m.id: cubes[m.id] for m in model.card.modalities}
    wanted = np.ones(len(times[model.card.reference]), bool)
    windows = list_windows(model, ordered, times, "local", wanted)
    return TrainingScene(ordered, {m: make_patches(c, model.device) for m, c in ordered.items()}, windows)


def draw(windows: WindowList, runs: int, random: np.random.Generator) -> WindowList:
    """Draw `runs` runs of consecutive windows of one pixel each (fewer where its series ends)."""
    chosen = np.zeros(len(windows), bool)
    for start in random.integers(len(windows), size=runs):
        run = np.arange(start, min(start + RUN, len(windows)))
        same = (windows.row[run] == windows.row[start]) & (windows.column[run] == windows.column[start])
        chosen[run[same]] = True
    return windows.take(np.flatnonzero(chosen))


def targets(patches: Patches, windows: WindowList, modality: str) -> tuple[Tensor, Tensor]:
    """The decoded frame's values and where they are valid, (n, 1, channels, 15, 15)."""
    frames = torch.from_numpy(windows.frames[modality][:, DECODED])
    index = (frames, torch.from_numpy(windows.row)[:, None], torch.from_numpy(windows.column)[:, None])
    return patches.values[index], ~patches.missing[index]
