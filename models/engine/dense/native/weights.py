"""A network's weights as the compiled kernels take them."""

from __future__ import annotations

import ctypes as c

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from models.network.attention import ConvBlockAttention, TransformerLayer
from models.network.frame_encoder import WIDTH, FrameEncoder
from models.network.modality import ModalityEncoder

PANEL = 32  # columns of packed weights that lie together
PADDED = 160  # 149 channels in whole panels
LANES = 16  # channels of attention weights in whole vectors, of either kind

Floats = NDArray[np.float32]

# What winograd.h takes of a filter's three taps for four positions, and for three.
_FOUR = [
    [1 / 4, 0, 0],
    [1 / 6, 1 / 6, 1 / 6],
    [1 / 6, -1 / 6, 1 / 6],
    [1 / 24, 1 / 12, 1 / 6],
    [1 / 24, -1 / 12, 1 / 6],
    [0, 0, 1],
]
_THREE = [[1 / 2, 0, 0], [1 / 2, 1 / 2, 1 / 2], [1 / 6, -1 / 6, 1 / 6], [1 / 6, 1 / 3, 2 / 3], [0, 0, 1]]
FILTERS = {7: np.array(_FOUR + _THREE), 4: np.array(_FOUR)}


class AttentionWeights(c.Structure):
    """`Attention` of frames.cpp."""

    _fields_ = [
        ("squeeze", c.c_void_p),
        ("excite", c.c_void_p),
        ("spatial", c.c_void_p),
        ("bias", c.c_float),
        ("hidden", c.c_int),
    ]


class FrameWeights(c.Structure):
    """`FrameWeights` of frames.cpp."""

    _fields_ = [
        ("channels", c.c_int),
        *(
            (name, c.c_void_p)
            for name in ("conv0", "bias0", "taps7", "bias7", "taps3", "bias3", "join7", "join3", "bias_join")
        ),
        ("attention1", AttentionWeights),
        *((name, c.c_void_p) for name in ("conv1", "bias1", "block2", "bias2")),
        ("attention2", AttentionWeights),
        *((name, c.c_void_p) for name in ("conv2", "bias_conv2", "block3", "bias3b")),
        ("attention3", AttentionWeights),
    ]


class LayerWeights(c.Structure):
    """`LayerWeights` of context.cpp."""

    _fields_ = [
        (name, c.c_void_p)
        for name in (
            "qkv", "bias_qkv", "out", "bias_out", "up", "bias_up", "down", "bias_down",
            "gain1", "shift1", "gain2", "shift2",
        )
    ]  # fmt: skip


class ContextWeights(c.Structure):
    """`ContextWeights` of context.cpp."""

    _fields_ = [
        ("self_alone", c.c_int),
        ("positions", c.c_void_p),
        ("layer", LayerWeights * 3),
        ("narrow", c.c_void_p),
        ("bias_narrow", c.c_void_p),
    ]


class Packer:
    """Packs weights, and keeps the arrays alive that the structures point to.

    Parameters
    ----------
    rounded : bool
        Whether what goes into matrix products is bf16, rows of a matrix in pairs: [depth / 2][PANEL][2].
    """

    def __init__(self, rounded: bool) -> None:
        self.rounded = rounded
        self.kept: list[NDArray[np.generic]] = []

    def matrix(self, weight: Floats) -> int:
        """(out, in) -> [panel][in][PANEL]."""
        return self.panels(weight.T[None])

    def panels(self, taps: Floats) -> int:
        """(taps, in, out) -> [panel][tap][in][PANEL]."""
        n, depth, out = taps.shape
        odd = depth % 2 if self.rounded else 0
        padded = np.pad(taps, ((0, 0), (0, odd), (0, -out % PANEL)))
        panels = padded.reshape(n, depth + odd, -1, PANEL).transpose(2, 0, 1, 3)
        if not self.rounded:
            return self.keep(panels)
        pairs = panels.reshape(*panels.shape[:2], -1, 2, PANEL).swapaxes(3, 4)
        return self.keep(torch.from_numpy(np.ascontiguousarray(pairs)).bfloat16().view(torch.int16).numpy())

    def bias(self, layer: nn.Conv2d | nn.Linear) -> int:
        """(out,) in whole panels."""
        assert layer.bias is not None
        values = _array(layer.bias)
        return self.keep(np.pad(values, (0, -len(values) % PANEL)))

    def keep(self, array: NDArray[np.generic]) -> int:
        """Return the address of the array."""
        self.kept.append(np.ascontiguousarray(array))
        return self.kept[-1].ctypes.data


class FramePacker(Packer):
    """A frame encoder's weights."""

    def __init__(self, encoder: FrameEncoder, *, rounded: bool = False) -> None:
        super().__init__(rounded)
        self._exact = Packer(rounded=False)
        block = encoder.block1
        join = _array(block.fuse.weight)[:, :, 0, 0]
        w = self.weights = FrameWeights(channels=encoder.conv0.in_channels)
        w.conv0 = self._exact.matrix(_array(encoder.conv0.weight)[:, :, 0, 0])  # few channels: no matrix product
        w.bias0 = self.bias(encoder.conv0)
        w.taps7, w.bias7 = self._convolution(block.conv7, by_column=True), self.bias(block.conv7)
        w.taps3, w.bias3 = self._convolution(block.conv3, by_column=True), self.bias(block.conv3)
        w.join3, w.join7 = self.matrix(join[:, :WIDTH]), self.matrix(join[:, WIDTH:])
        w.bias_join = self.bias(block.fuse)
        w.attention1 = self._attention(block.attention)
        w.conv1, w.bias1 = self._convolution(encoder.conv1), self.bias(encoder.conv1)
        w.block2, w.bias2 = self._small_convolution(encoder.block2.conv, 7), self.bias(encoder.block2.conv)
        w.attention2 = self._attention(encoder.block2.attention)
        w.conv2, w.bias_conv2 = self._convolution(encoder.conv2), self.bias(encoder.conv2)
        w.block3, w.bias3b = self._small_convolution(encoder.block3.conv, 4), self.bias(encoder.block3.conv)
        w.attention3 = self._attention(encoder.block3.attention)

    def _convolution(self, conv: nn.Conv2d, by_column: bool = False) -> int:
        """(out, in, n, n) -> [panel][tap][in][PANEL], the taps by row, or by column."""
        weight = _array(conv.weight)
        taps = weight.transpose((3, 2, 1, 0) if by_column else (2, 3, 1, 0))  # (n, n, in, out)
        return self.panels(taps.reshape(-1, *taps.shape[2:]))

    def _small_convolution(self, conv: nn.Conv2d, side: int) -> int:
        """(out, in, 3, 3) -> [panel][product][in][PANEL], or as it is: bf16 is too coarse for minimal filtering."""
        if self.rounded:
            return self._convolution(conv)
        sums = FILTERS[side]
        products = np.einsum("ia,jb,ocab->ijco", sums, sums, _array(conv.weight).astype(np.float64))
        return self.panels(products.reshape(-1, *products.shape[2:]).astype(np.float32))

    def _attention(self, attention: ConvBlockAttention) -> AttentionWeights:
        squeeze, excite = _array(attention.squeeze.weight)[:, :, 0, 0], _array(attention.excite.weight)[:, :, 0, 0].T
        hidden, channels = squeeze.shape
        padding = ((0, 0), (0, -channels % LANES))
        spatial = attention.spatial
        assert spatial.bias is not None
        return AttentionWeights(
            self.keep(np.pad(squeeze, padding)),
            self.keep(np.pad(excite, padding)),
            self.keep(_array(spatial.weight)),
            spatial.bias.item(),
            hidden,
        )


class ContextPacker(Packer):
    """The weights of an encoder's temporal part."""

    def __init__(self, encoder: ModalityEncoder, *, self_alone: bool, rounded: bool = False) -> None:
        super().__init__(rounded)
        w = self.weights = ContextWeights(self_alone=self_alone)
        positions = encoder.context.positions
        w.positions = self.keep(_array(positions.table.weight) * np.float32(positions.scale))
        w.layer = (LayerWeights * 3)(*(self._layer(layer) for layer in encoder.context.layers))
        w.narrow, w.bias_narrow = self._linear(encoder.narrow)

    def _layer(self, layer: nn.Module) -> LayerWeights:
        assert isinstance(layer, TransformerLayer)
        linears = (a for part in (layer.qkv, layer.out, layer.up, layer.down) for a in self._linear(part))
        norms = (self.keep(_array(p)) for n in (layer.norm1, layer.norm2) for p in (n.weight, n.bias))
        return LayerWeights(*linears, *norms)

    def _linear(self, layer: nn.Linear) -> tuple[int, int]:
        return self.matrix(_array(layer.weight)), self.bias(layer)


def _array(parameter: Tensor) -> Floats:
    values: Floats = parameter.detach().cpu().numpy()
    return values
