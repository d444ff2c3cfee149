"""Weights to begin a short fit with."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import numpy as np
import torch
from torch import Tensor

from models.engine.windows import frame_vectors
from models.network import TwoStageModel
from models.training.scenes import DECODED, TrainingScene, draw, targets

_LAYERS = (torch.nn.Conv2d, torch.nn.ConvTranspose2d, torch.nn.Linear)


def initialise(model: TwoStageModel, scenes: Sequence[TrainingScene], runs: int = 12, seed: int = 0) -> None:
    """Draw weights, then scale them by data: every layer's outputs get mean 0 and deviation 1 (Kraehenbuehl 2016).

    With torch's defaults the differences between windows shrink from layer to layer against what they have in common,
    and a short fit learns the mean alone. The last layer begins at the mean of the values to reconstruct, with little
    round it: were it louder, the first thing to be learned would be to silence the bottleneck.
    """
    random = np.random.default_rng(seed)
    generator = torch.Generator().manual_seed(seed)
    for name, parameter in model.named_parameters():
        if parameter.ndim > 1 and "table" not in name and "types" not in name:
            parameter.data.normal_(0, (2 / parameter[0].numel()) ** 0.5, generator=generator)
        elif name.endswith("bias"):
            parameter.data.zero_()
    scene = scenes[0]
    windows = draw(scene.windows, runs, random)
    for m in model.encoders:
        encoder, decoder = model.encoder(m), model.decoders[m]
        target, valid = targets(scene.patches[m], windows, m)
        mean, deviation = _moments(torch.where(valid, target, torch.nan).flatten(0, 1), 1)
        last = (mean, 0.1 * deviation)
        hooks = [
            layer.register_forward_hook(_standardise(last if name == "frame.refine2" else None))
            for part in (encoder, decoder)
            for name, layer in part.named_modules()
            if isinstance(layer, _LAYERS) and "attention" not in name and "layers" not in name
        ]
        gaps = torch.from_numpy(windows.gaps[m])
        with torch.no_grad():
            vectors = frame_vectors(model, m, scene.patches[m], windows, batch=10**6)
            decoder(encoder.encode_vectors(vectors, gaps, model.card.attention), gaps, encoder.context, DECODED)
        for hook in hooks:
            hook.remove()


def _standardise(wanted: tuple[Tensor, Tensor] | None) -> Callable[..., Tensor]:
    """A forward hook that scales a layer so that its outputs have the `wanted` mean and deviation."""

    def hook(layer: torch.nn.Module, _: object, out: Tensor) -> Tensor:
        channel = 1 if out.ndim == 4 else out.ndim - 1
        mean, deviation = _moments(out, channel)
        to_mean, to_deviation = wanted or (torch.zeros_like(mean), torch.ones_like(deviation))
        scale = to_deviation / deviation.clamp(min=1e-4)
        weight, bias = layer.weight, layer.bias
        assert isinstance(weight, Tensor)  # for the type checker
        assert isinstance(bias, Tensor)
        outputs = 1 if isinstance(layer, torch.nn.ConvTranspose2d) else 0
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
