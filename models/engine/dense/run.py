"""The dense engine over a cube: sensor by sensor, then the fusion."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Literal, get_args

import numpy as np
import torch
from numpy.typing import NDArray

from models.engine.dense.exact import exact_products
from models.engine.dense.native.build import library
from models.engine.dense.native.kernels import NativeContext, NativeFrames, Workspace
from models.engine.dense.sensor import Kernels, Pool, SensorEngine
from models.engine.dense.torch_frames import TorchContext, TorchFrames
from models.frames import WindowList
from models.network import TwoStageModel

FUSED = 8192  # windows through the fusion at once

Precision = Literal["float32", "bf16"]


class DenseEngine:
    """A model's dense engine: weights made ready and memory for use on cube after cube.

    Parameters
    ----------
    model : TwoStageModel
    compiled : bool, optional
        Whether to use the compiled kernels, C++ on CPUs and Triton on GPUs; by default where there are any that work.
    thrifty : bool
        Compute a frame patch by patch where so few are wanted that sharing would be more work.

    Raises
    ------
    ValueError
        Compiled kernels were asked for and there are none.
    """

    def __init__(
        self,
        model: TwoStageModel,
        precision: Precision = "float32",
        *,
        compiled: bool | None = None,
        thrifty: bool = False,
    ) -> None:
        if precision not in get_args(Precision):
            raise ValueError(f"precision is {precision!r}; it must be 'float32' or 'bf16'")
        self.model = model
        rounded = precision == "bf16"
        kernels = None if compiled is False else _compiled(model, rounded)
        if compiled and kernels is None:
            raise ValueError("There are no compiled kernels for this device and precision; the log says why")
        self.compiled = kernels is not None
        # Compiled kernels round by themselves; the few layers after them stay exact.
        self._autocast = rounded and not self.compiled
        self._pool = Pool(model.device)
        self._sensors = {
            m: SensorEngine(model, m, *parts, self._pool, thrifty) for m, parts in (kernels or _plain(model)).items()
        }

    def run(
        self,
        cubes: Mapping[str, NDArray[np.float32]],
        windows: WindowList,
        progress: Callable[[], None] | None = None,
    ) -> dict[str, NDArray[np.float32]]:
        """Compute the embeddings of `windows`.

        Parameters
        ----------
        cubes : mapping of modality to (channels, t, y, x) float32
            Preprocessed, NaN = missing.
        progress : callable, optional
            Called after every frame of every sensor.

        Returns
        -------
        dict
            ``embedding`` (n, size) and every modality's bottleneck (n, b), float32.
        """
        device = self.model.device
        rounded = torch.autocast(device.type, torch.bfloat16, enabled=self._autocast)
        with torch.inference_mode(), exact_products(device), rounded:
            z = {m: self._sensors[m].encode(cube, windows, progress) for m, cube in cubes.items()}
            delta = torch.from_numpy(windows.delta).to(device)
            out = torch.empty(len(windows), self.model.card.size, device=device)
            for begin in range(0, len(windows), FUSED):
                part = slice(begin, begin + FUSED)
                out[part] = self.model.fusion({m: v[part] for m, v in z.items()}, delta[part]).float()
        return {name: values.cpu().numpy() for name, values in {**z, "embedding": out}.items()}

    def forget(self) -> None:
        """Let go of the memory kept for the next cube: where it does not do, smaller tiles need less."""
        self._pool.forget()
        for sensor in self._sensors.values():
            sensor.frames.forget()


def _compiled(model: TwoStageModel, rounded: bool) -> dict[str, Kernels] | None:
    """Every sensor's compiled kernels, or None, with a line in the log that says why not."""
    if model.device.type == "cuda":
        from models.engine.dense.gpu.choose import triton_kernels

        return triton_kernels(model, rounded)
    kernels = library(rounded) if model.device.type == "cpu" else None
    if kernels is None:
        return None
    workspace = Workspace()
    made: dict[str, Kernels] = {}
    for m in model.encoders:
        encoder = model.encoder(m)
        frames = NativeFrames(encoder.frame, kernels, workspace, rounded)
        made[m] = frames, NativeContext(encoder, model.card.attention, kernels, workspace, rounded)
    return made


def _plain(model: TwoStageModel) -> dict[str, Kernels]:
    """Every sensor's kernels in plain torch."""
    encoders = {m: model.encoder(m) for m in model.encoders}
    return {m: (TorchFrames(e.frame), TorchContext(e, model.card.attention)) for m, e in encoders.items()}
