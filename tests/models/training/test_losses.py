"""Losses whatever the precision that the network runs in."""

from __future__ import annotations

import pytest
import torch

from models.training.losses import structural_similarity


@pytest.mark.parametrize("shift", [0.0, 0.5])
def test_similarity_is_not_rounded_in_mixed_precision(shift):
    generator = torch.Generator().manual_seed(0)
    target = 0.3 + shift + 0.01 * torch.rand(8, 1, 10, 15, 15, generator=generator)
    output = target + 0.01 * torch.rand(target.shape, generator=generator)
    exact = structural_similarity(output.double(), target.double())
    with torch.autocast("cpu", torch.bfloat16):
        mixed = structural_similarity(output, target)
    assert mixed.dtype == torch.float32
    assert mixed.item() == pytest.approx(exact.item(), abs=1e-3)


def test_similarity_of_large_even_images_is_finite():
    target = torch.full((2, 1, 3, 15, 15), 3e4)
    output = target + 1
    assert torch.isfinite(structural_similarity(output, target))
