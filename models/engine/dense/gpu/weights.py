"""A network's weights as the GPU path's matrix products take them, and the memory that calls use again."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional as F

from models.network.attention import ConvBlockAttention
from models.network.frame_encoder import WIDTH

WIDE = 152  # 149 channels and three of zeros: rows of either type begin at 16 bytes


class Buffers:
    """Memory for one step after the other, kept from frame to frame and tile to tile: as much as was ever needed."""

    def __init__(self) -> None:
        self._held: dict[str, Tensor] = {}

    def get(self, name: str, shape: tuple[int, ...], like: Tensor) -> Tensor:
        """Return a tensor of that shape, of the type and on the device of `like`; what it holds is garbage."""
        size = int(np.prod(shape)) * like.element_size()
        held = self._held.get(name)
        if held is None or held.numel() < size or held.device != like.device:
            self._held.pop(name, None)  # first let go: twice may be too much
            held = self._held[name] = torch.empty(size, dtype=torch.uint8, device=like.device)
        return held[:size].view(like.dtype).view(shape)

    def forget(self) -> None:
        """Let go of it."""
        self._held.clear()

    @property
    def size(self) -> int:
        """Bytes held."""
        return sum(held.numel() for held in self._held.values())


@dataclass(frozen=True)
class Taps:
    """A convolution of 149 channels by its taps: all tap products of a pixel are one matrix product.

    Attributes
    ----------
    by_row : (size, 152, size * 152)
    at_once : (152, size * size * 152)
    bias : (152,) float32
    """

    size: int
    by_row: Tensor
    at_once: Tensor
    bias: Tensor

    @classmethod
    def of(cls, conv: nn.Conv2d, dtype: torch.dtype) -> Taps:
        """Pack a convolution."""
        assert conv.bias is not None
        size, more = conv.kernel_size[0], WIDE - WIDTH
        weight = F.pad(conv.weight.detach().permute(2, 1, 3, 0), (0, more, 0, 0, 0, more)).to(dtype)  # row, in, column
        at_once = weight.transpose(0, 1).reshape(WIDE, -1).contiguous()
        return cls(size, weight.flatten(2).contiguous(), at_once, widened(conv.bias))


def widened(bias: Tensor) -> Tensor:
    """(149,) -> (152,) float32."""
    return F.pad(bias.detach(), (0, WIDE - WIDTH)).float()


class AttentionWeights:
    """Weights of a `ConvBlockAttention` over patches of `side` positions, for channels in rows of `wide`.

    Attributes
    ----------
    first, second : (hidden, wide)
        From channels to hidden units and back.
    spatial : (2 * positions, positions)
    bias : (1,)
    """

    def __init__(self, block: ConvBlockAttention, side: int, wide: int) -> None:
        more, conv = wide - block.squeeze.in_channels, block.spatial
        assert conv.bias is not None
        self.hidden = block.squeeze.out_channels
        self.first = F.pad(block.squeeze.weight.detach().flatten(1), (0, more))
        self.second = F.pad(block.excite.weight.detach().flatten(1).T, (0, more)).contiguous()
        self.spatial, self.bias = _as_matrix(conv.weight.detach()[0], side).contiguous(), conv.bias.detach()

    def of_positions(self, statistics: Tensor) -> Tensor:
        """Maxima and means (n, 2 * positions) -> weights (n, positions)."""
        return torch.addmm(self.bias, statistics, self.spatial).sigmoid_()


def _as_matrix(weight: Tensor, side: int) -> Tensor:
    """A padded convolution (in, n, n) of patches as a matrix (in * positions, positions)."""
    size = weight.shape[-1]
    axis = torch.arange(side, device=weight.device)
    tap = axis[:, None] - axis + size // 2  # from a source's row to a result's, or column
    tap, inside = tap.clamp(0, size - 1), (tap >= 0) & (tap < size)
    down, right = tap[:, None, :, None], tap[None, :, None, :]
    matrix = weight[:, down, right] * (inside[:, None, :, None] & inside[None, :, None, :])
    return matrix.reshape(-1, side * side)
