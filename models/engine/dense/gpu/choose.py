"""Which kernels do the work on a GPU: the first that give the right numbers, tried before their first use.

No GPU gives wrong numbers because nobody has tried the kernels on it: they are held against float64 with this very
model's weights on a small frame, with values missing and without. Plain torch works everywhere.
"""

from __future__ import annotations

import copy
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
ROUNDED = 2.0  # or so many times what plain torch of the same precision is off

SIZE = (PATCH + 2, PATCH + 4)  # of the frame that is tried, in pixels
PATCHES, WINDOWS = 5, 7
STRONG = ((8, 0), (9, 0), (10, 0), (10, 3))  # compute capabilities

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
    kernels, reasons = None, []
    for units in ways(model.device, rounded):
        try:
            kernels = _tried(model, rounded, units)
            break
        except torch.OutOfMemoryError:  # says nothing of the kernels
            raise
        except Exception as error:  # whatever a compiler, a driver or a GPU comes up with
            said = str(error).strip().splitlines() or [""]
            reasons.append(f"{type(error).__name__}: {said[0][:300]}")
            _require_usable(model.device, reasons[-1])
    instead = (
        "plain torch on this GPU, not on Triton's kernels" if kernels is None else "cuBLAS instead of matrix units"
    )
    if reasons:
        _say(f"The dense engine runs on {instead}: {'; '.join(dict.fromkeys(reasons))}")
    return kernels


def ways(device: torch.device, rounded: bool) -> tuple[bool, ...]:
    """Whether kernels of our own multiply on matrix units, or cuBLAS does without them: what promises more comes first.

    Three products on matrix units are faster than one without where units are strong: on GPUs of data centres.
    """
    if device.type == "cuda" and not rounded and torch.cuda.get_device_capability(device) not in STRONG:
        return (False,)
    return (True, False)


def _tried(model: TwoStageModel, rounded: bool, units: bool) -> dict[str, Kernels]:
    """Every sensor's kernels, proven."""
    from models.engine.dense.gpu.context import TritonContext
    from models.engine.dense.gpu.frames import TritonFrames
    from models.engine.dense.gpu.launch import blocks_of
    from models.engine.dense.gpu.products import Setting
    from models.engine.dense.gpu.weights import Buffers

    setting = Setting(Buffers(), rounded, units, blocks_of(model.device, rounded))
    kernels: dict[str, Kernels] = {}
    for m in model.encoders:
        encoder = model.encoder(m)
        kernels[m] = TritonFrames(encoder.frame, setting), TritonContext(encoder, model.card.attention, setting)
        prove(model, m, kernels[m], rounded)
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
    """Hold kernels against float64.

    Raises
    ------
    KernelsDisagree
        They differ by more than rounding.
    """
    for name, (off, most) in compare(model, modality, kernels, rounded).items():
        if not off <= most:  # NaN is no number to be trusted, either
            raise KernelsDisagree(f"{modality}: {name} are off by {off:.1e}, allowed is {most:.1e}")


def compare(model: TwoStageModel, modality: str, kernels: Kernels, rounded: bool) -> dict[str, tuple[float, float]]:
    """How far kernels are off float64, and how far they may be: by `TOLERANCE`, or where plain torch is off, too."""
    encoder, attention, device = model.encoder(modality), model.card.attention, model.device
    exact = copy.deepcopy(encoder).double()
    with torch.inference_mode(), exact_products(device):
        expected = _numbers(exact, (TorchFrames(exact.frame), TorchContext(exact, attention)), device)
        ours = _numbers(encoder, kernels, device)
        with torch.autocast(device.type, torch.bfloat16, enabled=rounded):
            usual = _numbers(encoder, (TorchFrames(encoder.frame), TorchContext(encoder, attention)), device)
    off = {name: (_off(ours[name], e), ROUNDED * _off(usual[name], e)) for name, e in expected.items()}
    return {name: (mine, max(TOLERANCE, usually)) for name, (mine, usually) in off.items()}


def _numbers(encoder: ModalityEncoder, kernels: Kernels, device: torch.device) -> dict[str, Tensor]:
    """What kernels make of a random frame and of random windows."""
    random = torch.Generator().manual_seed(0)
    frames, context = kernels
    channels, dtype = encoder.frame.conv0.in_channels, encoder.frame.conv0.weight.dtype
    values, missing = torch.rand(*SIZE, channels, generator=random), torch.rand(SIZE, generator=random) < 0.3
    values = values.masked_fill(missing[..., None], 0).to(device, dtype)
    row, column = (torch.randint(0, s - PATCH + 1, (PATCHES,), generator=random).to(device) for s in SIZE)
    slot, fill = torch.arange(PATCHES, device=device).flip(0), torch.rand(PATCHES, channels, generator=random)
    out = {}
    for name, keep_sums in (("vectors of clear patches", False), ("vectors of clouded patches", True)):
        pool = torch.zeros(PATCHES, FRAME_VECTOR, device=device)
        maps = frames.load(values, missing.to(device), keep_sums)
        if keep_sums:
            frames.owned(maps, row, column, slot, fill.to(device, dtype), pool)
        else:
            frames.shared(maps, row, column, slot, pool)
        out[name] = pool
    pool = torch.randn(4 * FRAMES, FRAME_VECTOR, generator=random).to(device, dtype)
    index = torch.randint(0, len(pool), (WINDOWS, FRAMES), generator=random)
    days = torch.randint(0, 18, (WINDOWS, FRAMES), generator=random).cumsum(1)
    out["bottlenecks"] = context.encode(pool, index.to(device), (days - days[:, :1]).to(device))
    return out


def _off(ours: Tensor, expected: Tensor) -> float:
    """Largest difference, in units of the largest number where that is more than 1."""
    return float((ours.double() - expected.double()).abs().max() / expected.double().abs().max().clamp(min=1))


def _say(text: str) -> None:
    if text not in _said:
        _said.add(text)
        log.warning(text)
