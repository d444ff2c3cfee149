"""Feature maps of one frame, for every kind of position: plain torch, on any device."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache

import torch
from torch import Tensor
from torch.nn import functional as F

from models.engine.dense.kinds import KINDS, REACH, kinds_along_axis, small_kind
from models.frames import PATCH
from models.network.frame_encoder import WIDTH, FrameEncoder, MultiScaleBlock

STRIP = {"cpu": 8 << 20, "cuda": 64 << 20}  # bytes of all kinds' sums worked on at once


@dataclass(frozen=True)
class FrameMaps:
    """What is known of every pixel of a frame, whatever the patch it is looked at in.

    Attributes
    ----------
    y : (height * width, 149)
        After `conv0`; 0 where the frame is missing.
    joined : (height * width * 49, 149)
        block1's joined features, by pixel and kind.
    width : int
    missing : (height, width) bool
    sums7, sums3 : (height * width * 49, 149) and (height * width * 9, 149), optional
        The convolutions' sums before bias and activation, for patches with missing values.
    """

    y: Tensor
    joined: Tensor
    width: int
    missing: Tensor
    sums7: Tensor | None = None
    sums3: Tensor | None = None


class MapMaker:
    """Makes the maps of frames with one encoder's weights.

    Parameters
    ----------
    encoder : FrameEncoder
    """

    def __init__(self, encoder: FrameEncoder) -> None:
        block = encoder.block1
        self.encoder = encoder
        self.taps7 = _by_row(block.conv7.weight)
        self.taps3 = _by_row(block.conv3.weight)
        self.bias7, self.bias3 = _bias(block.conv7), _bias(block.conv3)
        self.join = Join(block)

    def maps(self, values: Tensor, missing: Tensor, keep_sums: bool) -> FrameMaps:
        """Make the maps of a frame.

        Parameters
        ----------
        values : (height, width, channels)
            0 where missing.
        missing : (height, width) bool
        keep_sums : bool
            Whether patches with missing values will ask for `FrameMaps.sums7` and `sums3`.
        """
        height, width, _ = values.shape
        y = self.after_conv0(values).masked_fill_(missing[..., None], 0)
        padded = F.pad(y, (0, 0, REACH, REACH, REACH, REACH))
        joined = y.new_empty(height, width, KINDS**2, WIDTH)
        sums7 = y.new_empty(height, width, KINDS**2, WIDTH) if keep_sums else None
        sums3 = y.new_empty(height, width, 9, WIDTH) if keep_sums else None
        strip = STRIP.get(y.device.type, STRIP["cpu"])
        rows = max(1, strip // (4 * KINDS**2 * WIDTH * width))
        for top in range(0, height, rows):
            part = slice(top, min(top + rows, height))
            a7 = _truncated_convolution(padded[part.start : part.stop + 2 * REACH], self.taps7)
            near = padded[part.start + REACH - 1 : part.stop + REACH + 1, REACH - 1 : width + REACH + 1]
            a3 = _truncated_convolution(near, self.taps3)
            if sums7 is not None and sums3 is not None:
                sums7[part], sums3[part] = a7, a3
            a7 = F.leaky_relu_(a7.add_(self.bias7), 0.1)
            a3 = F.leaky_relu_(a3.add_(self.bias3), 0.1)
            joined[part] = self.join.kinds(a7, a3)
        flat = [None if s is None else s.view(-1, WIDTH) for s in (sums7, sums3)]
        return FrameMaps(y.view(-1, WIDTH), joined.view(-1, WIDTH), width, missing, *flat)

    def after_conv0(self, values: Tensor) -> Tensor:
        """`conv0` and SiLU, pixel by pixel: (..., channels) -> (..., 149)."""
        conv = self.encoder.conv0
        return F.silu(F.linear(values, conv.weight.flatten(1), conv.bias))


class Join:
    """block1's 1x1 convolution that joins both scales, with its activation; channels last."""

    def __init__(self, block: MultiScaleBlock) -> None:
        weight = block.fuse.weight.flatten(1)
        self.from3, self.from7 = weight[:, :WIDTH].contiguous(), weight[:, WIDTH:].contiguous()
        self.bias = _bias(block.fuse)
        axis = torch.arange(KINDS).numpy()
        small = small_kind(axis)
        self.small = torch.from_numpy((small[:, None] * 3 + small).ravel()).to(weight.device)

    def kinds(self, a7: Tensor, a3: Tensor) -> Tensor:
        """Join activated maps by kind: (..., 49, 149) and (..., 9, 149) -> (..., 49, 149)."""
        out = F.linear(a7, self.from7)
        out += F.linear(a3, self.from3, self.bias)[..., self.small, :]
        return F.leaky_relu_(out, 0.01)

    def positions(self, a7: Tensor, a3: Tensor) -> Tensor:
        """Join activated features position by position: both (n, 149) -> (n, 149)."""
        out = F.linear(a7, self.from7)
        out += F.linear(a3, self.from3, self.bias)
        return F.leaky_relu_(out, 0.01)


@lru_cache(maxsize=64)  # a GPU would be waited for each time they are sent there
def patch_offsets(width: int, device: torch.device) -> tuple[Tensor, Tensor, Tensor]:
    """Where a patch's 225 positions lie in maps, relative to the patch's first pixel.

    Returns
    -------
    pixel, kind, kind3 : (225,) int64
        Pixel offsets in an image of that width, and the positions' kinds of both convolutions.
    """
    kind = kinds_along_axis()
    small = small_kind(kind)
    row = torch.arange(PATCH)
    pixel = (row[:, None] * width + row).flatten()
    kind7 = torch.from_numpy((kind[:, None] * KINDS + kind).ravel())
    kind3 = torch.from_numpy((small[:, None] * 3 + small).ravel())
    return pixel.to(device), kind7.to(device), kind3.to(device)


def truncated_sums(taps: Sequence[Tensor]) -> list[Tensor]:
    """Sums over the taps that each kind of position keeps, along one axis: 2 r + 1 taps -> 2 r + 1 kinds.

    Kind k up to r keeps taps r - k to the last, kind r + k the first to tap 2 r - k: prefix sums give all of them
    with few additions.
    """
    r = len(taps) // 2
    right = taps[r]
    for tap in taps[r + 1 :]:
        right = right + tap
    kinds = [right]
    left = taps[r - 1]
    for k in range(1, r + 1):
        if k > 1:
            left = left + taps[r - k]
        kinds.append(right + left)
    tail = [left + taps[r]]
    for k in range(1, r):
        tail.append(tail[-1] + taps[r + k])
    return kinds + tail[::-1]


def _truncated_convolution(padded: Tensor, taps: Tensor) -> Tensor:
    """All kinds of a convolution: (h + 2 r, w + 2 r, c) -> (h, w, kinds, c), without bias.

    `taps` (2 r + 1, (2 r + 1) * c, c): by the tap's row, for all its columns.
    """
    n = taps.shape[0]
    height, width, channels = padded.shape[0] - n + 1, padded.shape[1] - n + 1, padded.shape[2]
    rows = truncated_sums([F.linear(padded[i : i + height], taps[i]) for i in range(n)])  # n x (h, w + 2 r, n * c)
    out = padded.new_empty(height, width, n, n, channels)
    for a, sums in enumerate(rows):
        columns = sums.view(height, width + n - 1, n, channels)
        for b, values in enumerate(truncated_sums([columns[:, j : j + width, j] for j in range(n)])):
            out[:, :, a, b] = values
    return out.view(height, width, n * n, channels)


def _by_row(weight: Tensor) -> Tensor:
    """A convolution's weights (out, in, n, n) -> (n, n * out, in)."""
    out, channels, n, _ = weight.shape
    return weight.permute(2, 3, 0, 1).reshape(n, n * out, channels).contiguous()


def _bias(conv: torch.nn.Conv2d) -> Tensor:
    assert conv.bias is not None
    return conv.bias
