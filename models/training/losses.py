"""Reconstruction losses of the two stages, for windows (n, 11, channels, 15, 15) with a validity mask."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor
from torch.nn import functional as F

from models.frames import FRAMES, PATCH

SSIM_WINDOW = 7
ALL = slice(None)


@dataclass(frozen=True)
class LossWeights:
    """How much each part counts, and the weight of the window's very centre in `mae`."""

    center_mae: float
    mae: float = 1.0
    sam: float = 0.0
    ssim: float = 0.0


STAGE1 = LossWeights(center_mae=1.0)
FUSION_S1 = LossWeights(center_mae=1.5)
FUSION_S2 = LossWeights(center_mae=1.75, mae=0.665, sam=0.315, ssim=0.02)


def loss_weights(channels: int, stage: int) -> LossWeights:
    """The published weights: those of S2 for sensors of three bands or more, those of S1 for the others."""
    if stage == 1:
        return STAGE1
    return FUSION_S2 if channels >= 3 else FUSION_S1


def decoded_frames(count: int) -> slice:
    """The middle `count` (odd) of a window's frames."""
    return slice(FRAMES // 2 - count // 2, FRAMES // 2 + count // 2 + 1)


def reconstruction_loss(
    output: Tensor, target: Tensor, valid: Tensor, weights: LossWeights, frames: slice = ALL
) -> dict[str, Tensor]:
    """Compare ``output`` with ``target``, both (n, 11, c, 15, 15), where ``valid`` (bool, the same shape).

    With `frames` all three hold those frames alone and the others count nothing. Of the weight of `mae`, 82 % are on
    the centre frame, 98.2 % on three frames, 99.8 % on five: so much of the loss is seen.

    Returns
    -------
    dict
        ``total`` and its parts ``mae``, ``sam`` (radians) and ``ssim`` (1 - similarity), 0 where a part has no
        weight; ``center``, the plain mean absolute error at the centre pixel and frame over all channels.
    """
    position = position_weights(weights.center_mae)
    share = position[frames] / (position.sum() * output.shape[2])
    parts = {
        "mae": weighted_mae(output, target, valid, share),
        "sam": spectral_angle(output, target, valid, position[frames]) if weights.sam else output.new_zeros(()),
        "ssim": 1 - structural_similarity(output, target) if weights.ssim else output.new_zeros(()),
    }
    total = weights.mae * parts["mae"] + weights.sam * parts["sam"] + weights.ssim * parts["ssim"]
    middle = (slice(None), FRAMES // 2 - (frames.start or 0), slice(None), PATCH // 2, PATCH // 2)
    return {**parts, "total": total, "center": (output[middle] - target[middle]).abs().mean()}


def position_weights(center: float) -> Tensor:
    """Weight of each frame and position, (11, 15, 15): tenfold less for each step away from the centre."""
    axis = (torch.arange(PATCH, dtype=torch.float64) - PATCH // 2).abs()
    distance = torch.maximum(axis[:, None], axis[None, :])  # Chebyshev
    space = torch.where(distance == 0, torch.ones_like(distance), 0.01 * 0.1 ** (distance - 1))
    time = 0.1 ** (torch.arange(FRAMES, dtype=torch.float64) - FRAMES // 2).abs()
    weight = time[:, None, None] * space
    weight[FRAMES // 2, PATCH // 2, PATCH // 2] = center
    return weight


def weighted_mae(output: Tensor, target: Tensor, valid: Tensor, weight: Tensor) -> Tensor:
    """Sum of the absolute errors times ``weight`` (frames, 15, 15), a mean over the samples."""
    error = torch.where(valid, (output - target).abs(), 0)
    return (error * weight.to(output)[:, None]).sum() / output.shape[0]


def spectral_angle(output: Tensor, target: Tensor, valid: Tensor, weight: Tensor) -> Tensor:
    """Angle between the channel vectors, radians: weighted mean over positions with all channels valid."""
    dot = (output * target).sum(2)
    cosine = dot / (output.norm(dim=2) * target.norm(dim=2) + 1e-8)
    weight = weight.to(output) * valid.all(2)
    # The arc cosine has no finite slope at its ends: keep training away from them.
    limit = 1 - 1e-7 if output.requires_grad else 1.0
    angle = torch.acos(cosine.clamp(-limit, limit))
    return (angle * weight).sum() / weight.sum().clamp(min=1e-12)


def structural_similarity(output: Tensor, target: Tensor) -> Tensor:
    """Mean SSIM (Wang et al. 2004) over frames and channels, 7 x 7 Gaussian window of sigma 1.5."""
    a, b = output.flatten(0, 2)[:, None], target.flatten(0, 2)[:, None]
    axis = torch.arange(SSIM_WINDOW, dtype=torch.float64) - SSIM_WINDOW // 2
    gauss = torch.exp(-(axis**2) / (2 * 1.5**2))
    kernel = (gauss[:, None] * gauss / gauss.sum() ** 2).to(output)[None, None]

    def blur(x: Tensor) -> Tensor:
        # Variances are small differences of these: rounded to bf16 they would be anything.
        with torch.autocast(x.device.type, enabled=False):
            return F.conv2d(x, kernel, padding=SSIM_WINDOW // 2)

    mean_a, mean_b = blur(a), blur(b)
    var_a, var_b = ((blur(x * x) - mean**2).clamp(min=0) for x, mean in ((a, mean_a), (b, mean_b)))
    covariance = blur(a * b) - mean_a * mean_b
    c1, c2 = 1e-4, 9e-4
    similarity = ((2 * mean_a * mean_b + c1) * (2 * covariance + c2)) / (
        (mean_a**2 + mean_b**2 + c1) * (var_a + var_b + c2)
    )
    return similarity.mean()
