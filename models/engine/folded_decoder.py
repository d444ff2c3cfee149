"""The decoder's centre pixel, quicker: two linear layers on each other are folded into one.

Between the upsampling to 15 x 15 pixels (transposed convolution, 64 to 128 channels) and the 7x7 and 3x3 convolutions
after it nothing but sums happens. A 7x7 patch there depends on 4 x 4 pixels of 64 channels before the upsampling,
1024 numbers instead of 6272. Folded, each pixel before gives the four (phase ``p, q``) that it becomes after.

The upsampled image begins half a pixel before the frame does: what would lie at row or column -1 is cut off. The folded
kernels would let it in; the first rows and columns are corrected for it.
"""

from __future__ import annotations

import torch
from torch import Tensor
from torch.nn import functional as F

from models.network.frame_decoder import SIDE, FrameDecoder
from models.network.frame_encoder import WIDTH


class FoldedDecoder:
    """A frame decoder for the centre pixel, with kernels folded once.

    Parameters
    ----------
    decoder : FrameDecoder
        In evaluation mode; its weights are copied.
    """

    def __init__(self, decoder: FrameDecoder) -> None:
        self.decoder = decoder
        block, up = decoder.block3, decoder.up2
        assert up.bias is not None  # for the type checker
        self._scales = [FoldedScale(up.weight, up.bias, c.weight, c.bias) for c in (block.conv7, block.conv3)]
        fuse = block.fuse.weight[:, :, 0, 0]
        self._fuse = torch.cat([fuse[:, WIDTH:], fuse[:, :WIDTH]], dim=1)  # the order of the scales here

    def centre(self, v: Tensor) -> Tensor:
        """Decode the centre pixels (n, channels) of frames from their vectors ``v`` (n, 256)."""
        return self.decoder.centre_of(self.features(self.decoder.before_upsampling(v)))

    def features(self, u: Tensor) -> Tensor:
        """`MultiScaleBlock.features` of the upsampled ``u`` (n, 64, 8, 8): (n, 149, 15, 15)."""
        u = u.permute(0, 2, 3, 1).contiguous()  # channels last: all that follows are products of matrices
        scales = u.new_empty(len(u), SIDE, SIDE, 2 * WIDTH)
        for i, scale in enumerate(self._scales):
            scale(u, scales[..., i * WIDTH : (i + 1) * WIDTH])
        out = F.linear(F.leaky_relu_(scales, 0.1), self._fuse, self.decoder.block3.fuse.bias)
        return F.leaky_relu_(out, 0.01).permute(0, 3, 1, 2)


class FoldedScale:
    """``conv(up(u))`` as one convolution of ``u`` and a correction of the first rows and columns.

    Parameters
    ----------
    up : (inner, middle, 2, 2)
        Weights of a transposed convolution of stride 2, padding 1, output padding 1; `up_bias` (middle,).
    conv : (outer, middle, size, size)
        Weights of a convolution padded to keep the size; `conv_bias` (outer,).
    """

    def __init__(self, up: Tensor, up_bias: Tensor, conv: Tensor, conv_bias: Tensor | None) -> None:
        outer, inner, self.reach = conv.shape[0], up.shape[0], conv.shape[-1] // 2
        # [outer, inner, y tap, x tap, a, b]: what a tap adds of a pixel that became the (a, b)-th of its four
        both = torch.einsum("omde,imab->oideab", conv.double(), up.double())
        self.first = (1 - self.reach) // 2  # pixels before `u`'s own that a kernel begins at
        self.size = (self.reach + 2) // 2 - self.first + 1
        square = both.new_zeros(outer, 2, 2, inner, self.size, self.size)
        row = both.new_zeros(outer, self.reach, 2, inner, self.size)  # of row -1, by output row and phase
        column = torch.zeros_like(row)
        corner = both.new_zeros(outer, self.reach, self.reach, inner)
        for p, d, k, a in self._taps():
            for o in range(self.reach):
                row[:, o, p, :, k] += both[:, :, self.reach - 1 - o, d, 0, a]
                column[:, o, p, :, k] += both[:, :, d, self.reach - 1 - o, a, 0]
            for q, e, m, b in self._taps():
                square[:, p, q, :, k, m] += both[:, :, d, e, a, b]
        for o in range(self.reach):
            for w in range(self.reach):
                corner[:, o, w] = both[:, :, self.reach - 1 - o, self.reach - 1 - w, 0, 0]
        # Matrices: what is met, in the order of `u`'s memory, to what it becomes, channels last.
        self.square = square.permute(1, 2, 0, 4, 5, 3).reshape(4 * outer, -1).to(up.dtype)
        self.row, self.column = (k.permute(1, 2, 0, 4, 3).flatten(3).flatten(0, 2).to(up.dtype) for k in (row, column))
        self.corner = corner.permute(1, 2, 0, 3).flatten(0, 2).to(up.dtype)
        flat = up_bias.double()[None, :, None, None].expand(1, -1, SIDE, SIDE)
        bias = None if conv_bias is None else conv_bias.double()
        self.bias = F.conv2d(flat, conv.double(), bias, padding=self.reach)[0].permute(1, 2, 0).to(up.dtype)

    def _taps(self) -> list[tuple[int, int, int, int]]:
        """Along one axis: phase of the output, tap, the pixel of ``u`` it meets, and which of its two."""
        met = [(p, d, divmod(p + d + 1 - self.reach, 2)) for p in (0, 1) for d in range(2 * self.reach + 1)]
        return [(p, d, k - self.first, a) for p, d, (k, a) in met]

    def __call__(self, u: Tensor, out: Tensor) -> None:
        """Map ``u`` (n, 8, 8, inner) into ``out`` (n, 15, 15, outer)."""
        n, edge, reach = len(u), (-self.first, self.size - 1 + self.first), self.reach
        met = F.pad(u, (0, 0, *edge, *edge)).unfold(1, self.size, 1).unfold(2, self.size, 1)  # (n, 8, 8, inner, k, m)
        four = F.linear(met.permute(0, 1, 2, 4, 5, 3).flatten(3), self.square).view(n, 8, 8, 2, 2, -1)
        torch.add(four.transpose(2, 3).reshape(n, 16, 16, -1)[:, :SIDE, :SIDE], self.bias, out=out)
        out[:, :reach] -= self._line(u[:, 0], edge, self.row)
        out[:, :, :reach] -= self._line(u[:, :, 0], edge, self.column).transpose(1, 2)
        out[:, :reach, :reach] += F.linear(u[:, 0, 0], self.corner).view(n, reach, reach, -1)

    def _line(self, u: Tensor, edge: tuple[int, int], kernel: Tensor) -> Tensor:
        """What a line ``u`` (n, 8, inner) adds to the first lines beside it: (n, reach, 15, outer)."""
        met = F.pad(u, (0, 0, *edge)).unfold(1, self.size, 1).transpose(2, 3).flatten(2)  # (n, 8, size * inner)
        two = F.linear(met, kernel).view(len(u), 8, self.reach, 2, -1)
        return two.transpose(1, 2).flatten(2, 3)[:, :, :SIDE]
