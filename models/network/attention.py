"""Attention inside one frame (CBAM) and over tokens (transformer layers)."""

from __future__ import annotations

from typing import Literal

import torch
from torch import Tensor, nn
from torch.nn import functional as F

AttentionAxis = Literal["frames", "self", "batch"]


class ConvBlockAttention(nn.Module):
    """Convolutional block attention (Woo et al. 2018) with a residual: ``g * s + f``, ``g = f * a``.

    Parameters
    ----------
    channels : int
        Channels of the feature map.
    reduction : int
        The channel MLP's hidden layer has ``channels // reduction`` units.
    kernel : int
        Side of the spatial attention's convolution.
    """

    def __init__(self, channels: int, reduction: int, kernel: int) -> None:
        super().__init__()
        self.squeeze = nn.Conv2d(channels, channels // reduction, 1, bias=False)
        self.excite = nn.Conv2d(channels // reduction, channels, 1, bias=False)
        self.spatial = nn.Conv2d(2, 1, kernel, padding=kernel // 2)

    def forward(self, f: Tensor) -> Tensor:
        """Weigh channels, then positions, of ``f`` (n, channels, h, w); the shape is kept."""
        a = torch.sigmoid(self._mlp(f.amax((2, 3), keepdim=True)) + self._mlp(f.mean((2, 3), keepdim=True)))
        g = f * a
        s = torch.sigmoid(self.spatial(torch.cat([g.amax(1, keepdim=True), g.mean(1, keepdim=True)], dim=1)))
        return g * s + f

    def inside(self, f: Tensor, edge: int) -> Tensor:
        """As `forward`, but only at positions at least `edge` from the border, which must be half a kernel or more.

        Channels are still weighed by all positions; of the rest only what these positions depend on is computed.
        """
        a = torch.sigmoid(self._mlp(f.amax((2, 3), keepdim=True)) + self._mlp(f.mean((2, 3), keepdim=True)))
        reach = self.spatial.kernel_size[0] // 2
        begin = edge - reach
        g = f[:, :, begin : f.shape[2] - begin, begin : f.shape[3] - begin] * a
        pooled = torch.cat([g.amax(1, keepdim=True), g.mean(1, keepdim=True)], dim=1)
        s = torch.sigmoid(F.conv2d(pooled, self.spatial.weight, self.spatial.bias))
        return g[:, :, reach:-reach, reach:-reach] * s + f[:, :, edge : f.shape[2] - edge, edge : f.shape[3] - edge]

    def _mlp(self, pooled: Tensor) -> Tensor:  # (n, channels, 1, 1)
        out: Tensor = self.excite(F.relu(self.squeeze(pooled)))
        return out


class TransformerLayer(nn.Module):
    """One layer of a transformer encoder with ReLU feed-forward; LayerNorm before (`pre_norm`) or after.

    `axis` says what attends to what in (n, tokens, width): "frames" lets the tokens of a sample attend to each
    other, "self" every token to itself alone, "batch" (parity tests only) the samples of a batch at equal token.
    """

    def __init__(self, width: int, heads: int, hidden: int, dropout: float, *, pre_norm: bool = False) -> None:
        super().__init__()
        self.heads = heads
        self.pre_norm = pre_norm
        self.qkv = nn.Linear(width, 3 * width)
        self.out = nn.Linear(width, width)
        self.up = nn.Linear(width, hidden)
        self.down = nn.Linear(hidden, width)
        self.norm1 = nn.LayerNorm(width)
        self.norm2 = nn.LayerNorm(width)
        self.dropout = dropout

    def forward(self, x: Tensor, axis: AttentionAxis = "frames", seen: Tensor | None = None) -> Tensor:
        """Transform ``x`` (n, tokens, width); the shape is kept. Tokens not ``seen`` (n, tokens) are not looked at."""
        if self.pre_norm:
            x = x + self._drop(self._attend(self.norm1(x), axis, seen))
            return x + self._drop(self._feed_forward(self.norm2(x)))
        x = self.norm1(x + self._drop(self._attend(x, axis)))
        out: Tensor = self.norm2(x + self._drop(self._feed_forward(x)))
        return out

    def _attend(self, x: Tensor, axis: AttentionAxis, seen: Tensor | None = None) -> Tensor:
        if axis == "self":  # softmax over one token is 1: the value passes through
            values = F.linear(x, self.qkv.weight[2 * x.shape[-1] :], self.qkv.bias[2 * x.shape[-1] :])
            mixed = self._drop(values) if self.training else values
        else:
            mixed = self._mix(x.transpose(0, 1) if axis == "batch" else x, seen)
            mixed = mixed.transpose(0, 1) if axis == "batch" else mixed
        out: Tensor = self.out(mixed)
        return out

    def _mix(self, x: Tensor, seen: Tensor | None = None) -> Tensor:
        n, tokens, width = x.shape
        qkv = self.qkv(x).view(n, tokens, 3, self.heads, width // self.heads)
        q, k, v = qkv.permute(2, 0, 3, 1, 4)  # each (n, heads, tokens, width / heads)
        mask = None if seen is None else seen[:, None, None, :]
        dropout = self.dropout if self.training else 0.0
        mixed = F.scaled_dot_product_attention(q, k, v, attn_mask=mask, dropout_p=dropout)
        return mixed.transpose(1, 2).reshape(n, tokens, width)

    def _feed_forward(self, x: Tensor) -> Tensor:
        out: Tensor = self.down(self._drop(F.relu(self.up(x))))
        return out

    def _drop(self, x: Tensor) -> Tensor:
        return F.dropout(x, self.dropout, self.training)
