"""Whether Triton's kernels do the work on a GPU: where they give plain torch's numbers, tried before their first use.

No GPU gives wrong numbers because nobody has tried the kernels on it: they are compared with this very model's weights
on a small frame, with values missing and without.
"""

from __future__ import annotations

import logging

import torch
from torch import Tensor

from models.engine.dense.exact import exact_products
from models.engine.dense.sensor import Kernels
from models.engine.dense.torch_frames import TorchContext, TorchFrames
from models.frames import FRAMES, PATCH
from models.network import TwoStageModel
from models.network.frame_encoder import FRAME_VECTOR
from models.network.modality import ModalityEncoder

log = logging.getLogger(__name__)

TOLERANCE = 5e-6  # of the largest number, or of 1 where all are smaller
ROUNDED = 2.0  # bf16 may be off float32 by so many times what plain torch's bf16 is

SIZE = (PATCH + 2, PATCH + 4)  # of the frame that is tried, in pixels
PATCHES, WINDOWS = 5, 7

_said: set[str] = set()


class KernelsDisagree(Exception):
    """What differs from plain torch, and by how much."""


def triton_kernels(model: TwoStageModel, rounded: bool) -> dict[str, Kernels] | None:
    """Return every sensor's kernels, tried; None where plain torch is to do the work: the log says once why.

    Raises
    ------
    torch.OutOfMemoryError
        The GPU has no room for trying them.
    RuntimeError
        Trying them has left the GPU unusable.
    """
    try:
        from models.engine.dense.gpu.context import TritonContext
        from models.engine.dense.gpu.frames import TritonFrames
        from models.engine.dense.gpu.weights import Buffers

        buffers = Buffers()
        kernels: dict[str, Kernels] = {}
        for m in model.encoders:
            encoder = model.encoder(m)
            frames = TritonFrames(encoder.frame, buffers, rounded)
            kernels[m] = frames, TritonContext(encoder, model.card.attention, buffers, rounded)
            prove(model, m, kernels[m], rounded)
    except torch.OutOfMemoryError:  # says nothing of the kernels
        raise
    except Exception as error:  # whatever a compiler, a driver or a GPU comes up with
        said = str(error).strip().splitlines() or [""]
        reason = f"{type(error).__name__}: {said[0][:300]}"
        _require_usable(model.device, reason)
        _say(reason)
        return None
    return kernels


def _require_usable(device: torch.device, reason: str) -> None:
    """Raise RuntimeError where a failure has left a GPU unusable for this process: plain torch would fail, too."""
    if device.type != "cuda":
        return
    try:
        torch.cuda.synchronize(device)
    except Exception as error:
        raise RuntimeError(
            f"The GPU {device} cannot be used by this process any more, after its kernels were tried ({reason}). "
            "Restart the process; where this comes again, embed on the CPU and report it"
        ) from error


def prove(model: TwoStageModel, modality: str, kernels: Kernels, rounded: bool) -> None:
    """Hold kernels against plain torch.

    Raises
    ------
    KernelsDisagree
        They differ by more than rounding.
    """
    encoder = model.encoder(modality)
    plain = TorchFrames(encoder.frame), TorchContext(encoder, model.card.attention)
    with torch.inference_mode(), exact_products(model.device):
        ours = _numbers(encoder, kernels, model.device)
        expected = _numbers(encoder, plain, model.device)
        allowed = dict.fromkeys(expected, TOLERANCE)
        if rounded:
            with torch.autocast(model.device.type, torch.bfloat16):
                usual = _numbers(encoder, plain, model.device)
            allowed = {name: ROUNDED * _off(usual[name], expected[name]) for name in expected}
    for name, most in allowed.items():
        off = _off(ours[name], expected[name])
        if not off <= most:  # NaN is no number to be trusted, either
            raise KernelsDisagree(f"{modality}: {name} differ from plain torch by {off:.1e}, allowed is {most:.1e}")


def _numbers(encoder: ModalityEncoder, kernels: Kernels, device: torch.device) -> dict[str, Tensor]:
    """What kernels make of a random frame and of random windows."""
    random = torch.Generator().manual_seed(0)
    frames, context = kernels
    channels = encoder.frame.conv0.in_channels
    values, missing = torch.rand(*SIZE, channels, generator=random), torch.rand(SIZE, generator=random) < 0.3
    values = values.masked_fill(missing[..., None], 0).to(device)
    row, column = (torch.randint(0, s - PATCH + 1, (PATCHES,), generator=random).to(device) for s in SIZE)
    slot, fill = torch.arange(PATCHES, device=device).flip(0), torch.rand(PATCHES, channels, generator=random)
    out = {}
    for name, keep_sums in (("vectors of clear patches", False), ("vectors of clouded patches", True)):
        pool = torch.zeros(PATCHES, FRAME_VECTOR, device=device)
        maps = frames.load(values, missing.to(device), keep_sums)
        if keep_sums:
            frames.owned(maps, row, column, slot, fill.to(device), pool)
        else:
            frames.shared(maps, row, column, slot, pool)
        out[name] = pool
    pool = torch.randn(4 * FRAMES, FRAME_VECTOR, generator=random).to(device)
    index = torch.randint(0, len(pool), (WINDOWS, FRAMES), generator=random)
    days = torch.randint(0, 18, (WINDOWS, FRAMES), generator=random).cumsum(1)
    out["bottlenecks"] = context.encode(pool, index.to(device), (days - days[:, :1]).to(device)).float()
    return out


def _off(ours: Tensor, expected: Tensor) -> float:
    """Largest difference, in units of the largest number where that is more than 1."""
    return float((ours.float() - expected.float()).abs().max() / expected.float().abs().max().clamp(min=1))


def _say(reason: str) -> None:
    if reason not in _said:
        _said.add(reason)
        log.warning("The dense engine runs on plain torch on this GPU, not on Triton's kernels: %s", reason)
