"""The dense engine over a cube: sensor by sensor, then the fusion."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Literal, get_args

import numpy as np
import torch
from numpy.typing import NDArray

from models.engine.dense.native.build import library
from models.engine.dense.native.kernels import NativeContext, NativeFrames, Workspace
from models.engine.dense.sensor import SensorEngine
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
        Whether to use the compiled kernels; by default where there are any for the model's device.
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
        kernels = library(rounded) if model.device.type == "cpu" and compiled is not False else None
        if compiled and kernels is None:
            raise ValueError("There are no compiled kernels for this device and precision; the log says why")
        self.compiled = kernels is not None
        # Compiled kernels round by themselves; the few layers after them stay exact.
        self._autocast = rounded and not self.compiled
        workspace = Workspace()
        self._sensors = {}
        for m in model.encoders:
            encoder, attention = model.encoder(m), model.card.attention
            if kernels is None:
                frames, context = TorchFrames(encoder.frame), TorchContext(encoder, attention)
                self._sensors[m] = SensorEngine(model, m, frames, context, thrifty)
            else:
                fast = NativeFrames(encoder.frame, kernels, workspace, rounded)
                own = NativeContext(encoder, attention, kernels, workspace, rounded)
                self._sensors[m] = SensorEngine(model, m, fast, own, thrifty)

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
        # On GPUs torch lets convolutions round their inputs to 10 bits unless told not to: far from 5e-6.
        exact = torch.backends.cudnn.flags(enabled=True, allow_tf32=False)
        rounded = torch.autocast(device.type, torch.bfloat16, enabled=self._autocast)
        with torch.inference_mode(), exact, rounded:
            z = {m: self._sensors[m].encode(cube, windows, progress) for m, cube in cubes.items()}
            delta = torch.from_numpy(windows.delta).to(device)
            out = torch.empty(len(windows), self.model.card.size, device=device)
            for begin in range(0, len(windows), FUSED):
                part = slice(begin, begin + FUSED)
                out[part] = self.model.fusion({m: v[part] for m, v in z.items()}, delta[part]).float()
        return {name: values.cpu().numpy() for name, values in {**z, "embedding": out}.items()}
