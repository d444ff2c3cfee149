"""Weights to begin a short training with: scaled by data, and looking at the centre first."""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor, nn

from models.frames import FRAMES, PATCH
from models.network.attention import TransformerLayer
from models.training.batches import WindowBatch
from models.training.losses import decoded_frames
from models.training.tasks import ModalityTask

_LAYERS = (nn.Conv2d, nn.ConvTranspose2d, nn.Linear)
ASIDE = 0.02  # weight of what is off the way from the centre pixel to the bottleneck
BRANCH = 0.1  # deviation of what the encoder's blocks add to their inputs
# Where the centre pixel goes: (7, 7) of the frame, (3, 3) of conv1's map, (2, 2) of the last, 4 x 4.
CONV1_TAP, CONV2_TAP, CELL = (1, 1), (0, 0), (2, 2)
# Deviation and mean of outputs where not 1 and 0. Activations lose little where their inputs are mostly positive.
WANTED = {
    "encoder.frame.block1.fuse": (BRANCH, 0.0),
    "encoder.frame.block2.conv": (BRANCH, 0.0),
    "encoder.frame.conv0": (1.0, 1.5),
    "encoder.frame.conv1": (1.0, 1.5),
    "encoder.frame.conv2": (1.0, 1.5),
    "encoder.frame.block3.conv": (1.0, 2.0),
    "encoder.bottleneck": (1.0, 1.5),
}


def initialise(task: ModalityTask, batch: WindowBatch, seed: int = 0) -> None:
    """Draw weights so that the bottleneck tells the windows of `batch` apart by their centre.

    Layers' outputs get mean 0 and deviation 1 by the batch (Kraehenbuehl 2016); with torch's defaults the
    differences between windows shrink from layer to layer against what they have in common, and a short training
    learns the mean alone. What leads from the centre pixel and frame to the bottleneck is loud, all else quiet; the
    bottleneck begins as what tells most of the centre's values. The last layer begins at the mean of the
    values to reconstruct, with little round it: were it louder, the first thing to be learned would be to silence the
    bottleneck. All weights are trained afterwards. `batch` should hold a few hundred windows.
    """
    generator = torch.Generator().manual_seed(seed)
    for name, parameter in task.named_parameters():
        if parameter.ndim > 1 and "table" not in name:
            drawn = torch.randn(parameter.shape, generator=generator)
            parameter.data.copy_(drawn * (2 / parameter[0].numel()) ** 0.5)
        elif name.endswith("bias"):
            parameter.data.zero_()
    _look_at_centre(task, generator)
    frames = batch.frames[task.modality.id]
    mean, deviation = _moments(frames.flatten(0, 1), 1)
    hooks = []
    for name, layer in task.named_modules():
        if not isinstance(layer, _LAYERS) or "attention" in name or "layers" in name:
            continue
        if name == "encoder.bottleneck":
            hooks.append(layer.register_forward_pre_hook(_aim_bottleneck(batch, task.modality.id)))
        if name == "encoder.frame.block3.conv":
            hooks.append(layer.register_forward_pre_hook(_aim_last_map(batch, task.modality.id)))
        wanted: tuple[Tensor | float, Tensor | float] = WANTED.get(name, (1.0, 0.0))
        if name == "decoder.frame.refine2":
            wanted = (0.1 * deviation.nan_to_num(), mean.nan_to_num())
        hooks.append(layer.register_forward_hook(_standardise(*wanted)))
    task.arrange(training=False)
    with torch.no_grad():
        task.reconstruct(batch, task.frames)
    for hook in hooks:
        hook.remove()


def _look_at_centre(task: ModalityTask, generator: torch.Generator) -> None:
    """Quieten all that is off the way from the centre pixel and frame to the bottleneck."""
    encoder = task.encoder
    for conv, tap in ((encoder.frame.conv1, CONV1_TAP), (encoder.frame.conv2, CONV2_TAP)):
        _quieten(conv.weight, (..., *tap))
    last = encoder.frame.block3.conv.weight.data
    last[:, :, 1, 1] = nn.init.orthogonal_(torch.empty(last.shape[:2]), generator=generator)
    _quieten(encoder.frame.block3.conv.weight, (..., 1, 1))
    cells = encoder.narrow.weight.data.view(len(encoder.narrow.weight), -1, 4, 4)
    cells[..., CELL[0], CELL[1]] = nn.init.orthogonal_(torch.empty(cells.shape[:2]), generator=generator)
    _quieten(cells, (..., *CELL))
    frames = encoder.reduce_frames.weight.data
    centre = frames[:, FRAMES // 2].sign() * frames.abs().mean()
    frames *= ASIDE
    frames[:, FRAMES // 2] = centre * FRAMES**0.5
    for layer in encoder.context.layers:
        assert isinstance(layer, TransformerLayer)  # for the type checker
        layer.out.weight.data *= ASIDE
        layer.down.weight.data *= ASIDE
    encoder.context.positions.table.weight.data *= BRANCH


def _quieten(weight: Tensor, kept: tuple[object, ...]) -> None:
    loud = weight.data[kept].clone()  # type: ignore[index]
    weight.data *= ASIDE
    weight.data[kept] = loud  # type: ignore[index]


def _telling(x: Tensor, centre: Tensor, count: int) -> Tensor:
    """Directions (at most count, features) of ``x`` (n, features) that tell ``centre`` (n, channels), NaN = missing.

    Those are the principal components of the values as far as a linear readout of the inputs gives them.
    """
    known = centre.isfinite().all(1)
    x, centre = x[known] - x[known].mean(0), centre[known] - centre[known].mean(0)
    centre = centre / centre.std(0).clamp(min=1e-3)
    ridge = 1e-3 * len(x) * torch.eye(x.shape[1])
    readout = torch.linalg.solve(x.T @ x + ridge, x.T @ centre)  # (features, channels)
    _, _, directions = torch.linalg.svd(x @ readout, full_matrices=False)
    found: Tensor = directions[:count] @ readout.T
    return found


def _aim_bottleneck(batch: WindowBatch, modality: str) -> Callable[..., None]:
    """A hook before the bottleneck's linear layer: it takes what tells the windows' centres."""
    frames = batch.windows(batch.frames[modality], decoded_frames(1))
    centre = frames[:, 0, :, PATCH // 2, PATCH // 2]

    def hook(layer: nn.Module, inputs: tuple[Tensor]) -> None:
        assert isinstance(layer, nn.Linear)  # for the type checker
        found = _telling(inputs[0], centre, layer.out_features)
        layer.weight.data[: len(found)] = found

    return hook


def _aim_last_map(batch: WindowBatch, modality: str) -> Callable[..., None]:
    """A hook before block3's convolution: its first channels take what tells the frames' centres."""
    centre = batch.frames[modality].flatten(0, 1)[..., PATCH // 2, PATCH // 2]

    def hook(layer: nn.Module, inputs: tuple[Tensor]) -> None:
        assert isinstance(layer, nn.Conv2d)  # for the type checker
        found = _telling(inputs[0][..., CELL[0], CELL[1]], centre, layer.out_channels)
        weight = layer.weight.data[: len(found)]
        weight *= (found.norm(dim=1) / weight[:, :, 1, 1].norm(dim=1))[:, None, None, None]
        weight[:, :, 1, 1] = found

    return hook


def _standardise(deviation_wanted: Tensor | float, mean_wanted: Tensor | float = 0.0) -> Callable[..., Tensor]:
    """A forward hook that scales a layer so that its outputs have the wanted mean and deviation."""

    def hook(layer: nn.Module, _: object, out: Tensor) -> Tensor:
        channel = 1 if out.ndim == 4 else out.ndim - 1
        mean, deviation = _moments(out, channel)
        to_mean = torch.as_tensor(mean_wanted).expand_as(mean)
        scale = torch.as_tensor(deviation_wanted) / deviation.clamp(min=1e-4)
        weight, bias = layer.weight, layer.bias
        assert isinstance(weight, Tensor)  # for the type checker
        assert isinstance(bias, Tensor)
        outputs = 1 if isinstance(layer, nn.ConvTranspose2d) else 0
        weight.data *= scale.view([-1 if d == outputs else 1 for d in range(weight.ndim)])
        bias.data = (bias.data - mean) * scale + to_mean
        shape = [-1 if d == channel else 1 for d in range(out.ndim)]
        return (out - mean.view(shape)) * scale.view(shape) + to_mean.view(shape)

    return hook


def _moments(values: Tensor, channel: int) -> tuple[Tensor, Tensor]:
    """Mean and deviation of the values of each channel, NaN left out."""
    flat = values.movedim(channel, 0).flatten(1)
    mean = flat.nanmean(1)
    return mean, (flat - mean[:, None]).square().nanmean(1).sqrt()
