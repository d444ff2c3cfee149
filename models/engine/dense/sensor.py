"""Stage 1 of one sensor, densely: its frames one after the other, each prepared once."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Protocol, TypeVar

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from models.engine.dense.kinds import KINDS
from models.engine.dense.stream import ALIKE, CLEAR, EMPTY, MIXED, FrameTask, Stream, Wanted
from models.engine.patches import Patches, make_patches
from models.frames import PATCH, WindowList, sees
from models.network import TwoStageModel
from models.network.frame_encoder import FRAME_VECTOR
from models.network.modality import POSITIONS

Maps = TypeVar("Maps")
BATCH = {"cpu": 64, "cuda": 256}  # patches through the whole frame encoder at once
FILLS = 16384  # windows whose means are gathered at once: 29 MB of ten channels

# Multiplications, in units of one 149 x 149 matrix: what a pixel's maps cost, a patch, and a patch on its own.
PER_PIXEL, PER_PATCH, ALONE = 2 * (KINDS**2 + 9), 524, 14100


class FrameKernels(Protocol[Maps]):
    """Computes frame vectors; `TorchFrames` says how."""

    def load(self, values: Tensor, missing: Tensor, keep_sums: bool) -> Maps: ...
    def shared(self, maps: Maps, row: Tensor, column: Tensor, slot: Tensor, pool: Tensor) -> None: ...
    def owned(self, maps: Maps, row: Tensor, column: Tensor, slot: Tensor, fill: Tensor, pool: Tensor) -> None: ...
    def forget(self) -> None: ...


class ContextKernels(Protocol):
    """Computes bottlenecks from frame vectors; `TorchContext` says how."""

    def encode(self, pool: Tensor, index: Tensor, days: Tensor) -> Tensor: ...


Kernels = tuple[FrameKernels[Any], ContextKernels]


class Pool:
    """Memory for frame vectors (slots, 256) that sensors use one after the other: as much as was ever needed."""

    def __init__(self, device: torch.device) -> None:
        self._held = torch.empty(0, FRAME_VECTOR, device=device)

    def take(self, slots: int) -> Tensor:
        """Return at least so many slots; what they hold is garbage."""
        if slots > len(self._held):
            self.forget()  # first let go: twice may be too much
            self._held = self._held.new_empty(slots, FRAME_VECTOR)
        return self._held

    def forget(self) -> None:
        """Let go of the memory."""
        self._held = self._held.new_empty(0, FRAME_VECTOR)


class SensorEngine:
    """Encodes one sensor's windows.

    Parameters
    ----------
    model : TwoStageModel
    modality : str
    frames, context : FrameKernels, ContextKernels
    pool : Pool
        May be shared with other sensors: they take turns.
    thrifty : bool
        Compute the patches of a frame one by one where only so few are wanted that this is less work.
    """

    def __init__(
        self,
        model: TwoStageModel,
        modality: str,
        frames: FrameKernels[Maps],
        context: ContextKernels,
        pool: Pool,
        thrifty: bool,
    ) -> None:
        self.modality = modality
        self.device = model.device
        self.encoder = model.encoder(modality).frame
        self.width = model.card.modality(modality).bottleneck
        self.frames, self.context, self.thrifty = frames, context, thrifty
        self.pool = pool

    def encode(
        self, cube: NDArray[np.float32], windows: WindowList, progress: Callable[[], None] | None = None
    ) -> Tensor:
        """Return the bottlenecks (n, b) of all windows; ``cube`` (channels, t, y, x), NaN = missing."""
        frames = merge_equal(cube)[windows.frames[self.modality]]
        scene = Scene(cube, windows.frames[self.modality], self.device)
        stream = Stream(windows, frames, scene.states())
        days = np.zeros(frames.shape, np.int64)
        np.cumsum(windows.gaps[self.modality], axis=1, out=days[:, 1:])
        np.minimum(days, POSITIONS - 1, out=days)
        z = torch.empty(len(windows), self.width, device=self.device)
        pool = self.pool.take(stream.most_slots())
        for task in stream.tasks():
            assert stream.capacity <= len(pool)  # compiled kernels do not look
            self._run(task, scene, pool)
            if len(task.finished):
                n = task.finished
                z[self._tensor(n)] = self.context.encode(
                    pool, self._tensor(stream.index[n]), self._tensor(days[n])
                ).float()
            if progress:
                progress()
        return z

    def _run(self, task: FrameTask, scene: Scene, pool: Tensor) -> None:
        """Compute a frame's vectors into the pool's slots."""
        alone = [task.mixed]
        groups = [w for w in (task.shared, task.owned) if len(w)]
        if groups:
            top, bottom = _extent([w.row for w in groups])
            left, right = _extent([w.column for w in groups])
            if self.thrifty and _cheaper_alone(sum(map(len, groups)), (bottom - top) * (right - left)):
                alone += groups
            else:
                self._share(task, scene, (slice(top, bottom), slice(left, right)), pool)
        for wanted in alone:
            self._alone(task.frame, wanted, scene, pool)

    def _share(self, task: FrameTask, scene: Scene, area: tuple[slice, slice], pool: Tensor) -> None:
        top, left = (part.start for part in area)
        maps = self.frames.load(
            scene.values[(task.frame, *area)], scene.missing[(task.frame, *area)], len(task.owned) > 0
        )
        if len(task.shared):
            row, column, slot = self._places(task.shared)
            self.frames.shared(maps, row - top, column - left, slot, pool)
        if len(task.owned):
            row, column, slot = self._places(task.owned)
            fill = scene.fill(task.owned)
            self.frames.owned(maps, row - top, column - left, slot, fill, pool)

    def _alone(self, frame: int, wanted: Wanted, scene: Scene, pool: Tensor) -> None:
        """Patch by patch, as the window engine does."""
        if not len(wanted):
            return
        row, column, slot = self._places(wanted)
        fill = scene.fill(wanted)
        size = BATCH.get(self.device.type, BATCH["cpu"])
        for begin in range(0, len(wanted), size):
            part = slice(begin, begin + size)
            at = torch.full_like(row[part], frame)
            patch = scene.patches.take_filled(at, row[part], column[part], fill[part])
            pool[slot[part]] = self.encoder(patch).float()

    def _places(self, w: Wanted) -> tuple[Tensor, Tensor, Tensor]:
        return self._tensor(w.row), self._tensor(w.column), self._tensor(w.slot)

    def _tensor(self, values: NDArray[np.int64]) -> Tensor:
        return to_device(values, self.device)


class Scene:
    """One sensor's cube on the device: values, what is missing, and what stands for it."""

    def __init__(self, cube: NDArray[np.float32], frames: NDArray[np.int64], device: torch.device) -> None:
        self.patches: Patches = make_patches(cube, device)
        self.frames = frames
        values = torch.from_numpy(np.ascontiguousarray(cube.transpose(1, 2, 3, 0))).to(device)  # (t, y, x, channels)
        known = values.isfinite()
        self.missing = ~known.all(-1)
        self._some = (known.any(-1) & self.missing).cpu().numpy()
        self.values = torch.where(self.missing[..., None], 0, values)

    def states(self) -> NDArray[np.int8]:
        """What is missing in every patch, (t, y - 14, x - 14); see `models.engine.dense.stream`."""
        states = np.where(self.patches.partial, ALIKE, CLEAR).astype(np.int8)
        states[(self.patches.counts == 0).all(-1).cpu().numpy()] = EMPTY
        states[sees(self._some)] = MIXED
        return states

    def fill(self, wanted: Wanted) -> Tensor:
        """What stands for missing values in each one's window, (n, channels)."""
        parts = []
        for begin in range(0, len(wanted), FILLS):
            part = slice(begin, begin + FILLS)
            places = (self.frames[wanted.window[part]], wanted.row[part], wanted.column[part])
            parts.append(self.patches.fill(*(to_device(a, self.values.device) for a in places)))
        return torch.cat(parts)


def to_device(values: NDArray[np.int64], device: torch.device) -> Tensor:
    """A tensor of these values; a GPU fetches them when it gets there, while the next frame is planned."""
    tensor = torch.from_numpy(np.ascontiguousarray(values))
    return tensor.pin_memory().to(device, non_blocking=True) if device.type == "cuda" else tensor.to(device)


def merge_equal(cube: NDArray[np.float32]) -> NDArray[np.int64]:
    """For each frame of ``cube`` (channels, t, y, x) the first of the run of frames that hold the same values.

    Acquisitions that the caller paired to several dates repeat.
    """
    same = [False] + [np.array_equal(cube[:, t], cube[:, t - 1], equal_nan=True) for t in range(1, cube.shape[1])]
    return np.maximum.accumulate(np.where(same, 0, np.arange(cube.shape[1])))


def _extent(starts: list[NDArray[np.int64]]) -> tuple[int, int]:
    """First pixel of patches along one axis, and the one after their last."""
    return min(int(s.min()) for s in starts), max(int(s.max()) for s in starts) + PATCH


def _cheaper_alone(patches: int, pixels: int) -> bool:
    return patches * (ALONE - PER_PATCH) < pixels * PER_PIXEL
