"""The temporal part of an encoder on a GPU."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from models.engine.dense.gpu import token_kernels as kernels
from models.engine.dense.gpu.launch import ON_GPU, Blocks, launch, programs
from models.engine.dense.gpu.weights import Buffers, Product, linear
from models.network.attention import AttentionAxis, TransformerLayer
from models.network.frame_encoder import FRAME_VECTOR
from models.network.modality import FRAMES, ModalityEncoder

WINDOWS = 4096  # at once: 46 MB of tokens


class Layer:
    """A transformer layer's weights; what is no matrix product stays float32."""

    def __init__(self, layer: TransformerLayer, self_alone: bool, dtype: torch.dtype) -> None:
        width = layer.qkv.in_features
        self.heads = layer.heads
        qkv = linear(layer.qkv, dtype)
        # Attending to itself alone, a token's value passes through.
        self.mix = Product(qkv.weight[:, 2 * width :], qkv.bias[2 * width :]) if self_alone else qkv
        self.out = linear(layer.out, dtype)
        up, down = linear(layer.up, torch.float32), linear(layer.down, torch.float32)
        norms = (layer.norm1, layer.norm2)
        self.hidden = layer.up.out_features
        self.rest = (
            up.weight.T.contiguous(), up.bias, down.weight.contiguous(), down.bias,
            *(p.detach() for norm in norms for p in (norm.weight, norm.bias)),
        )  # fmt: skip


class TritonContext:
    """Bottlenecks from frame vectors; see `models.engine.dense.torch_frames.TorchContext`.

    Parameters are those of `TritonFrames`.
    """

    def __init__(
        self,
        encoder: ModalityEncoder,
        attention: AttentionAxis,
        buffers: Buffers,
        rounded: bool = False,
        blocks: Blocks = ON_GPU,
    ) -> None:
        self.encoder, self.buffers, self.rounded, self.blocks = encoder, buffers, rounded, blocks
        self.self_alone = attention == "self"
        dtype = torch.bfloat16 if rounded else torch.float32
        positions = encoder.context.positions
        self.positions = positions.table.weight.detach() * positions.scale
        self.layers = [Layer(layer, self.self_alone, dtype) for layer in _layers(encoder)]
        self.like = self.layers[0].out.weight

    def encode(self, pool: Tensor, index: Tensor, days: Tensor) -> Tensor:
        """Bottlenecks of windows: vectors ``pool[index]`` (n, 11, 256) at ``days`` (n, 11) from the first frame."""
        index, days = index.contiguous(), days.contiguous()
        parts = [slice(i, i + WINDOWS) for i in range(0, len(index), WINDOWS)]
        return torch.cat([self._encode(pool, index[p], days[p]) for p in parts])

    def _encode(self, pool: Tensor, index: Tensor, days: Tensor) -> Tensor:
        rows, get, tokens = index.numel(), self.buffers.get, self.blocks.tokens
        grid = (programs(rows, tokens),)
        x = get("tokens", (rows, FRAME_VECTOR), self.positions)
        taken = get("tokens rounded", x.shape, self.like) if self.rounded else x
        sizes = {"W": FRAME_VECTOR, "ROUNDED": self.rounded, "ROWS": tokens}
        launch(kernels.place_tokens, grid, pool, index, days, self.positions, x, taken, rows, **sizes)
        for layer in self.layers:
            attended = layer.out(self._mixed(layer, taken), get("attended", x.shape, self.like))
            launch(kernels.feed_forward, grid, x, attended, *layer.rest, taken, rows, HIDDEN=layer.hidden, **sizes)
        narrow = self.encoder.narrow
        narrowed = torch.addmm(narrow.bias, x, narrow.weight.T)
        return self.encoder.reduce(narrowed.view(len(index), FRAMES, -1))

    def _mixed(self, layer: Layer, x: Tensor) -> Tensor:
        """What a layer's attention lets through of all tokens' values, before its last linear layer."""
        mixed = self.buffers.get("mixed", x.shape, self.like)
        if self.self_alone:
            return layer.mix(x, mixed)
        qkv = layer.mix(x, self.buffers.get("wide", (len(x), 3 * FRAME_VECTOR), self.like))
        depth = FRAME_VECTOR // layer.heads
        launch(
            kernels.attend, (len(x) // FRAMES, layer.heads), qkv, mixed, depth**-0.5, T=FRAMES, W=FRAME_VECTOR,
            TOKENS=16, DEPTH=depth, warps=1,
        )  # fmt: skip
        return mixed


def _layers(encoder: ModalityEncoder) -> list[TransformerLayer]:
    layers = [layer for layer in encoder.context.layers if isinstance(layer, TransformerLayer)]
    assert len(layers) == len(encoder.context.layers)
    assert all(isinstance(layer.norm1, nn.LayerNorm) and not layer.pre_norm for layer in layers)
    return layers
