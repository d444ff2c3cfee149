"""One frame to one vector: (n, channels, 15, 15) -> (n, 256). Works frame by frame, knows no time."""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from models.network.attention import ConvBlockAttention

WIDTH = 149  # channels at full resolution
FRAME_VECTOR = 256  # 16 channels x 4 x 4 positions


class MultiScaleBlock(nn.Module):
    """3x3 and 7x7 convolutions side by side, joined by a 1x1 convolution, then attention."""

    def __init__(self, channels: int, width: int = WIDTH) -> None:
        super().__init__()
        self.conv3 = nn.Conv2d(channels, width, 3, padding=1)
        self.conv7 = nn.Conv2d(channels, width, 7, padding=3)
        self.fuse = nn.Conv2d(2 * width, width, 1)
        self.attention = ConvBlockAttention(width, reduction=8, kernel=7)

    def forward(self, y: Tensor) -> Tensor:
        """Map ``y`` (n, channels, h, w) to (n, width, h, w)."""
        out: Tensor = self.attention(self.features(y))
        return out

    def features(self, y: Tensor) -> Tensor:
        """What the attention weighs: both scales, joined; (n, channels, h, w) -> (n, width, h, w)."""
        scales = torch.cat([F.leaky_relu(self.conv3(y), 0.1), F.leaky_relu(self.conv7(y), 0.1)], dim=1)
        return F.leaky_relu(self.fuse(scales), 0.01)


class AttentionBlock(nn.Module):
    """3x3 convolution, LeakyReLU 0.01, attention."""

    def __init__(self, channels: int, width: int, reduction: int, kernel: int) -> None:
        super().__init__()
        self.conv = nn.Conv2d(channels, width, 3, padding=1)
        self.attention = ConvBlockAttention(width, reduction, kernel)

    def forward(self, x: Tensor) -> Tensor:
        """Map ``x`` (n, channels, h, w) to (n, width, h, w)."""
        out: Tensor = self.attention(F.leaky_relu(self.conv(x), 0.01))
        return out


def pool_and_add(x: Tensor, skip: Tensor) -> Tensor:
    """3x3 max-pooling at stride 1 of ``x``, plus ``skip``; all (n, c, h, w)."""
    return F.max_pool2d(x, 3, stride=1, padding=1) + skip


class FrameEncoder(nn.Module):
    """The convolutional part of a modality encoder.

    Parameters
    ----------
    channels : int
        Channels of the sensor.
    """

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.conv0 = nn.Conv2d(channels, WIDTH, 1)
        self.block1 = MultiScaleBlock(WIDTH)
        self.conv1 = nn.Conv2d(WIDTH, 128, 2, stride=2)
        self.block2 = AttentionBlock(128, 128, reduction=8, kernel=7)
        self.conv2 = nn.Conv2d(128, 64, 2, stride=2, padding=1)
        self.block3 = AttentionBlock(64, 16, reduction=2, kernel=3)

    def forward(self, x: Tensor) -> Tensor:
        """Encode frames without missing values: ``x`` (n, channels, 15, 15) -> (n, 256), channel-major."""
        y = F.silu(self.conv0(x))
        return self.encode_features(self.block1.features(y), y)

    def encode_features(self, f: Tensor, y: Tensor) -> Tensor:
        """From ``y`` after `conv0` and ``f``, block1's joined features, both (n, 149, 15, 15), to (n, 256)."""
        x = pool_and_add(self.block1.attention(f), y)  # (n, 149, 15, 15)
        x = F.dropout2d(F.silu(self.conv1(x)), 0.07, self.training)  # (n, 128, 7, 7)
        x = pool_and_add(self.block2(x), x)
        x = F.dropout2d(F.silu(self.conv2(x)), 0.07, self.training)  # (n, 64, 4, 4)
        out: Tensor = self.block3(x).flatten(1)  # (n, 16, 4, 4) -> (n, 256)
        return out
