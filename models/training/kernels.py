"""The 7 x 7 convolutions, left out while a network warms up: they are four fifths of the arithmetic."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

from torch import Tensor, nn

from models.network.frame_encoder import MultiScaleBlock


class Silent(nn.Module):
    """A convolution whose weights are 0, without computing it. Its parameters keep their names, and stay 0."""

    def __init__(self, conv: nn.Conv2d) -> None:
        super().__init__()
        self.weight, self.bias = conv.weight, conv.bias
        self.channels = conv.out_channels
        for parameter in self.parameters():
            parameter.requires_grad_(False)
            parameter.data.zero_()

    def forward(self, y: Tensor) -> Tensor:
        """Return zeros (n, channels, h, w)."""
        return y.new_zeros(len(y), self.channels, *y.shape[2:])


@contextmanager
def without_wide_kernels(task: nn.Module, without: bool = True) -> Iterator[None]:
    """Compute `task` as if its 7 x 7 convolutions were 0; they are, afterwards."""
    blocks = [block for block in task.modules() if isinstance(block, MultiScaleBlock)] if without else []
    kept = [block.conv7 for block in blocks]
    for block in blocks:
        block.conv7 = Silent(block.conv7)  # type: ignore[assignment]
    try:
        yield
    finally:
        for block, conv in zip(blocks, kept, strict=True):
            block.conv7 = conv
            for parameter in conv.parameters():
                parameter.requires_grad_(True)
