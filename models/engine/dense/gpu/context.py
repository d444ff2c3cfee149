"""The temporal part of an encoder on a GPU."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from models.engine.dense.gpu import token_kernels as kernels
from models.engine.dense.gpu.launch import launch, programs
from models.engine.dense.gpu.products import Product, Setting
from models.network.attention import AttentionAxis, TransformerLayer
from models.network.frame_encoder import FRAME_VECTOR
from models.network.modality import FRAMES, ModalityEncoder

WINDOWS = 8192  # at once: 92 MB of tokens


class Layer:
    """A transformer layer's weights; what is no matrix product stays float32."""

    def __init__(self, layer: TransformerLayer, self_alone: bool, setting: Setting) -> None:
        self.heads, self.hidden = layer.heads, layer.up.out_features
        self.mix = None if self_alone else Product.linear(layer.qkv, setting)
        self.out = _through(layer, setting) if self_alone else Product.linear(layer.out, setting)
        self.rest = (
            layer.up.weight.detach().contiguous(), layer.up.bias.detach(), layer.down.weight.detach().T.contiguous(),
            layer.down.bias.detach(),
            *(p.detach() for norm in (layer.norm1, layer.norm2) for p in (norm.weight, norm.bias)),
        )  # fmt: skip


class TritonContext:
    """Bottlenecks from frame vectors; see `models.engine.dense.torch_frames.TorchContext`.

    Parameters are those of `TritonFrames`.
    """

    def __init__(self, encoder: ModalityEncoder, attention: AttentionAxis, setting: Setting) -> None:
        self.encoder, self.setting = encoder, setting
        positions = encoder.context.positions
        self.positions = positions.table.weight.detach() * positions.scale
        self.layers = [Layer(layer, attention == "self", setting) for layer in _layers(encoder)]

    def encode(self, pool: Tensor, index: Tensor, days: Tensor) -> Tensor:
        """Bottlenecks of windows: vectors ``pool[index]`` (n, 11, 256) at ``days`` (n, 11) from the first frame."""
        index, days = index.contiguous(), days.contiguous()
        parts = [slice(i, i + WINDOWS) for i in range(0, len(index), WINDOWS)]
        return torch.cat([self._encode(pool, index[p], days[p]) for p in parts])

    def _encode(self, pool: Tensor, index: Tensor, days: Tensor) -> Tensor:
        setting, rows, tokens = self.setting, index.numel(), self.setting.blocks.tokens
        grid = (programs(rows, tokens),)
        x = setting.buffers.get("tokens", (rows, FRAME_VECTOR), self.positions)
        taken = setting.buffers.get("tokens rounded", x.shape, self.layers[0].out.weight) if setting.rounded else x
        sizes = {"W": FRAME_VECTOR, "ROUNDED": setting.rounded, "ROWS": tokens}
        launch(kernels.place_tokens, grid, pool, index, days, self.positions, x, taken, rows, **sizes)
        for layer in self.layers:
            attended = layer.out(self._mixed(layer, taken), "filled")  # frames are done with it
            launch(kernels.feed_forward, grid, x, attended, *layer.rest, taken, rows, HIDDEN=layer.hidden, **sizes)
        narrow = self.encoder.narrow
        narrowed = torch.addmm(narrow.bias, x, narrow.weight.T)
        return self.encoder.reduce(narrowed.view(len(index), FRAMES, -1))

    def _mixed(self, layer: Layer, x: Tensor) -> Tensor:
        """What a layer's attention lets through of all tokens' values, before its last linear layer."""
        if layer.mix is None:
            return x
        qkv, mixed = layer.mix(x, "wide"), self.setting.buffers.get("kinds", x.shape, x)
        depth = FRAME_VECTOR // layer.heads
        launch(
            kernels.attend, (len(x) // FRAMES, layer.heads), qkv, mixed, depth**-0.5, T=FRAMES, W=FRAME_VECTOR,
            TOKENS=16, DEPTH=depth, warps=1,
        )  # fmt: skip
        return mixed


def _through(layer: TransformerLayer, setting: Setting) -> Product:
    """Attending to itself alone, a token's value passes through: both linear layers in one."""
    width = layer.qkv.in_features
    values, bias = layer.qkv.weight.detach()[2 * width :].double(), layer.qkv.bias.detach()[2 * width :].double()
    out = layer.out.weight.detach().double()
    return Product((out @ values).float(), (out @ bias + layer.out.bias.detach()).float(), setting)


def _layers(encoder: ModalityEncoder) -> list[TransformerLayer]:
    layers = [layer for layer in encoder.context.layers if isinstance(layer, TransformerLayer)]
    assert len(layers) == len(encoder.context.layers)
    assert all(isinstance(layer.norm1, nn.LayerNorm) and not layer.pre_norm for layer in layers)
    return layers
