"""Matrix products with what follows them: by kernels of our own on matrix units, or by cuBLAS and Triton between."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from models.engine.dense.gpu import kernels, product_kernels
from models.engine.dense.gpu.launch import ON_GPU, Blocks, launch, programs
from models.engine.dense.gpu.weights import WIDE, Buffers, widened
from models.network.frame_encoder import WIDTH

PADDED = 160  # what joins two scales, to whole steps


@dataclass(frozen=True)
class Setting:
    """What all parts of the GPU path have in common.

    Attributes
    ----------
    buffers : Buffers
        Sensors, their frames and their temporal parts take turns.
    rounded : bool
        Whether maps and what goes into matrix products are bf16; sums and statistics stay float32.
    units : bool
        Whether kernels of our own multiply on matrix units; else cuBLAS does.
    blocks : Blocks
        How much of the work a program does.
    """

    buffers: Buffers
    rounded: bool = False
    units: bool = True
    blocks: Blocks = ON_GPU

    @property
    def dtype(self) -> torch.dtype:
        """Of maps and of what goes into products."""
        return torch.bfloat16 if self.rounded else torch.float32

    def packed(self, weight: Tensor) -> Tensor:
        """A matrix (out, in) as matrix units take it: (1, out, in) or, float32, (2, out, in)."""
        return weight[None].to(self.dtype).contiguous() if self.rounded else split(weight)


class Product:
    """A linear layer or a padded convolution of patches, with its activation.

    Parameters
    ----------
    weight : (out, size * size * in)
        By rows of taps.
    bias : (out,)
    activation : {"", "leaky", "silu"}
    """

    def __init__(self, weight: Tensor, bias: Tensor, setting: Setting, activation: str = "", size: int = 1) -> None:
        self.setting, self.activation, self.size = setting, activation, size
        self.width, self.channels = len(weight), weight.shape[1] // size**2
        if setting.units:
            self.weight, self.bias = setting.packed(weight), bias.float()
        else:
            self.weight, self.bias = weight.T.to(setting.dtype).contiguous(), bias.to(setting.dtype)

    @classmethod
    def linear(cls, layer: nn.Linear, setting: Setting) -> Product:
        """A linear layer."""
        return cls(layer.weight.detach(), layer.bias.detach(), setting)

    @classmethod
    def strided(cls, conv: nn.Conv2d, setting: Setting, wide: int | None = None) -> Product:
        """A convolution with SiLU, of what each output's taps meet; inputs in `wide` channels."""
        return cls(_by_taps(conv, wide), bias_of(conv), setting, "silu")

    @classmethod
    def padded(cls, conv: nn.Conv2d, setting: Setting) -> Product:
        """A convolution at stride 1 with LeakyReLU 0.01."""
        return cls(_by_taps(conv), bias_of(conv), setting, "leaky", conv.kernel_size[0])

    def __call__(self, x: Tensor, name: str, side: int = 1) -> Tensor:
        """``x`` (n * side * side, in) -> (n * side * side, out), in the buffer of that name."""
        out = self.setting.buffers.get(name, (len(x), self.width), x)
        if self.setting.units:
            self._on_units(x, out, side)
            return out
        torch.addmm(self.bias, self._neighbours(x, side), self.weight, out=out)
        if self.activation == "leaky":
            return F.leaky_relu_(out, 0.01)
        return F.silu(out, inplace=True) if self.activation else out

    def _on_units(self, x: Tensor, out: Tensor, side: int) -> None:
        b, columns = self.setting.blocks, min(self.width, self.setting.blocks.columns)
        depth = min(self.channels & -self.channels, b.depth // x.element_size())
        launch(
            product_kernels.multiply, (self.width // columns, programs(len(x), b.rows)), x, self.weight, self.bias,
            out, len(x), S=side, SIZE=self.size, C=self.channels, N=self.width, SPLIT=not self.setting.rounded,
            ACTIVATION=self.activation, ROWS=b.rows, COLUMNS=columns, DEPTH=depth, STAGES=b.stages,
            warps=b.warps if columns > 32 else 4,
        )  # fmt: skip

    def _neighbours(self, x: Tensor, side: int) -> Tensor:
        """What a padded convolution multiplies: (n * side * side, c) -> (n * side * side, 9 * c)."""
        if self.size == 1:
            return x
        rows, width = x.shape
        out, block = self.setting.buffers.get("wide", (rows, 9 * width), x), self.setting.blocks.flat
        launch(kernels.neighbours, (programs(out.numel(), block),), x, out, rows, S=side, W=width, BLOCK=block)
        return out


class Join:
    """block1's 1x1 convolution that joins both scales, with its activation; features in rows of 152."""

    def __init__(self, conv: nn.Conv2d, setting: Setting) -> None:
        self.setting = setting
        both = conv.weight.detach().flatten(1).view(WIDTH, 2, WIDTH).transpose(0, 1)  # (scale, out, in)
        more = (PADDED if setting.units else WIDE) - WIDTH
        self.small, self.large = (self._matrix(F.pad(w, (0, more, 0, more))) for w in both)
        self.bias = widened(bias_of(conv))
        self.nothing = torch.zeros_like(self.bias)

    def _matrix(self, weight: Tensor) -> Tensor:
        return self.setting.packed(weight) if self.setting.units else weight.T.to(self.setting.dtype).contiguous()

    def part(self, a3: Tensor, name: str) -> Tensor:
        """The 3x3's part, from its activated sums (rows, 152), in the buffer of that name."""
        out = self.setting.buffers.get(name, (len(a3), WIDE), a3)
        if self.setting.units:
            self._on_units(a3, self.small, self.bias, a3, out, add=False)
            return out
        return torch.addmm(self.bias.to(out.dtype), a3, self.small, out=out)

    def add(self, a7: Tensor, joined: Tensor) -> None:
        """Joined features, where the 3x3's part stands (rows, 152), with the 7x7's part of ``a7`` (rows, 152)."""
        F.leaky_relu_(joined.addmm_(a7, self.large), 0.01)

    def kinds(self, a7: Tensor, part3: Tensor, out: Tensor) -> None:
        """Joined features ``out`` (pixels * 49, 152) of ``a7`` and of the 3x3's part (pixels * 9, 152), by kind."""
        if self.setting.units:
            self._on_units(a7, self.large, self.nothing, part3, out, add=True)
            return
        torch.mm(a7, self.large, out=out)
        block = self.setting.blocks.flat
        launch(kernels.join_kinds, (programs(out.numel(), block),), out, part3, len(out), W=WIDE, BLOCK=block)

    def _on_units(self, x: Tensor, weight: Tensor, bias: Tensor, other: Tensor, out: Tensor, *, add: bool) -> None:
        b = self.setting.blocks
        launch(
            product_kernels.join, (programs(len(x), b.joined),), x, weight, bias, other, out, len(x), W=WIDE,
            SPLIT=not self.setting.rounded, ADD=add, ROWS=b.joined, DEPTH=b.joined_depth, STAGES=b.stages, warps=8,
        )  # fmt: skip


def split(weight: Tensor) -> Tensor:
    """The leading 11 bits of float32 numbers, and what is left: (2, ...)."""
    lead = ((weight.contiguous().view(torch.int32) + 4096) & -8192).view(torch.float32)
    return torch.stack([lead, weight - lead])


def bias_of(conv: nn.Conv2d) -> Tensor:
    """A convolution's bias."""
    assert conv.bias is not None
    return conv.bias.detach()


def _by_taps(conv: nn.Conv2d, wide: int | None = None) -> Tensor:
    """(out, in, n, n) -> (out, n * n * wide)."""
    weight = conv.weight.detach().permute(0, 2, 3, 1)
    return F.pad(weight, (0, (wide or conv.in_channels) - conv.in_channels)).flatten(1)
