"""The compiled kernels behind the same interface as the plain torch ones."""

from __future__ import annotations

import ctypes as c
from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from models.engine.dense.kinds import KINDS, REACH
from models.engine.dense.native.weights import PADDED, ContextPacker, FramePacker
from models.network.frame_encoder import FrameEncoder
from models.network.modality import FRAMES, TOKEN, ModalityEncoder


class Workspace:
    """Memory that calls use one after the other: pages touched once stay mapped."""

    def __init__(self) -> None:
        self._held: dict[str, NDArray[np.uint8]] = {}

    def floats(self, name: str, *shape: int) -> NDArray[np.float32]:
        """Return an array of that shape; what it held before is garbage, zeros at first."""
        size = int(np.prod(shape))
        return self.raw(name, 4 * size)[: 4 * size].view(np.float32).reshape(shape)

    def raw(self, name: str, size: int) -> NDArray[np.uint8]:
        """Return at least `size` bytes."""
        held = self._held.get(name)
        if held is None or held.size < size:
            held = self._held[name] = np.zeros(size, np.uint8)
        return held

    def forget(self) -> None:
        """Let go of it."""
        self._held.clear()


@dataclass(frozen=True)
class NativeMaps:
    """Maps of one frame in a workspace; valid until the next frame is loaded."""

    height: int
    width: int
    y: NDArray[np.float32]
    joined: NDArray[np.float32]
    sums7: NDArray[np.float32] | None
    sums3: NDArray[np.float32] | None
    missing: NDArray[np.uint8]


class NativeFrames:
    """Computes frame vectors of one sensor; see `models.engine.dense.torch_frames.TorchFrames`."""

    def __init__(self, encoder: FrameEncoder, library: c.CDLL, workspace: Workspace, rounded: bool = False) -> None:
        self.library = library
        self.packed = FramePacker(encoder, rounded=rounded)
        self.workspace = workspace

    def load(self, values: Tensor, missing: Tensor, keep_sums: bool) -> NativeMaps:
        """Prepare a frame."""
        height, width, _ = values.shape
        get, pixels = self.workspace.floats, height * width
        maps = NativeMaps(
            height,
            width,
            get("y", (height + 2 * REACH) * (width + 2 * REACH), PADDED),
            get("joined", pixels * KINDS**2, PADDED),
            get("sums7", pixels * KINDS**2, PADDED) if keep_sums else None,
            get("sums3", pixels * 9, PADDED) if keep_sums else None,
            missing.contiguous().view(torch.uint8).numpy(),
        )
        arrays = (maps.y, maps.joined, maps.sums7, maps.sums3)
        source = values.contiguous().numpy()
        self.library.frame_maps(
            c.byref(self.packed.weights), _at(source), _at(maps.missing), height, width, *map(_at, arrays), *self._run()
        )
        return maps

    def shared(self, maps: NativeMaps, row: Tensor, column: Tensor, slot: Tensor, pool: Tensor) -> None:
        """Vectors of patches without missing values into the slots of the pool."""
        places = [p.numpy() for p in (row, column, slot)]
        self.library.shared_vectors(
            c.byref(self.packed.weights), _at(maps.y), _at(maps.joined), maps.height, maps.width,
            c.c_int64(len(row)), *map(_at, places), c.c_void_p(pool.data_ptr()), *self._run(),
        )  # fmt: skip

    def owned(self, maps: NativeMaps, row: Tensor, column: Tensor, slot: Tensor, fill: Tensor, pool: Tensor) -> None:
        """Vectors of patches with missing values, all bands alike, into the slots of the pool."""
        places = [p.numpy() for p in (row, column, slot)]
        arrays = (maps.y, maps.joined, maps.sums7, maps.sums3, maps.missing)
        fills = fill.contiguous().numpy()
        self.library.owned_vectors(
            c.byref(self.packed.weights), *map(_at, arrays), maps.height, maps.width,
            c.c_int64(len(row)), *map(_at, places), _at(fills), c.c_void_p(pool.data_ptr()), *self._run(),
        )  # fmt: skip

    def forget(self) -> None:
        """Let go of the workspace."""
        self.workspace.forget()

    def _run(self) -> tuple[c.c_void_p, int]:
        threads = torch.get_num_threads()
        return _at(self.workspace.raw("frame scratch", threads * self.library.frame_scratch_bytes())), threads


class NativeContext:
    """The temporal part of an encoder; see `models.engine.dense.torch_frames.TorchContext`."""

    def __init__(
        self,
        encoder: ModalityEncoder,
        attention: str,
        library: c.CDLL,
        workspace: Workspace,
        rounded: bool = False,
    ) -> None:
        self.encoder = encoder
        self.library = library
        self.packed = ContextPacker(encoder, self_alone=attention == "self", rounded=rounded)
        self.workspace = workspace

    def encode(self, pool: Tensor, index: Tensor, days: Tensor) -> Tensor:
        """Bottlenecks of windows: vectors ``pool[index]`` (n, 11, 256) at ``days`` (n, 11) from the first frame."""
        n, threads = len(index), torch.get_num_threads()
        narrowed = torch.empty(n, FRAMES, TOKEN)
        scratch = self.workspace.raw("context scratch", threads * self.library.context_scratch_bytes())
        index, days = index.contiguous(), days.contiguous()
        self.library.encode_context(
            c.byref(self.packed.weights), c.c_void_p(pool.data_ptr()), c.c_int64(n), c.c_void_p(index.data_ptr()),
            c.c_void_p(days.data_ptr()), c.c_void_p(narrowed.data_ptr()), _at(scratch), threads,
        )  # fmt: skip
        return self.encoder.reduce(narrowed)


def _at(array: NDArray[np.generic] | None) -> c.c_void_p:
    return c.c_void_p(None if array is None else array.ctypes.data)
