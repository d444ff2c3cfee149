"""One vector to one frame: (n, 256) -> (n, channels, 15, 15). For training and the quality layer."""

from __future__ import annotations

from torch import Tensor, nn
from torch.nn import functional as F

from models.network.frame_encoder import WIDTH, AttentionBlock, MultiScaleBlock, pool_and_add

SIDE = 15  # of a frame, in pixels


class FrameDecoder(nn.Module):
    """The convolutional part of a modality decoder.

    Parameters
    ----------
    channels : int
        Channels of the sensor.
    """

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.block1 = AttentionBlock(16, 16, reduction=8, kernel=7)
        self.up1 = nn.ConvTranspose2d(16, 64, 2, stride=2)
        self.block2 = AttentionBlock(64, 64, reduction=8, kernel=7)
        self.up2 = nn.ConvTranspose2d(64, 128, 2, stride=2, padding=1, output_padding=1)
        self.block3 = MultiScaleBlock(128)
        self.refine1 = nn.Conv2d(WIDTH, channels, 3, padding=1)
        self.refine2 = nn.Conv2d(channels, channels, 3, padding=1)

    def forward(self, v: Tensor) -> Tensor:
        """Decode frame vectors ``v`` (n, 256) to frames (n, channels, 15, 15)."""
        out: Tensor = self.refine2(F.silu(self.refine1(self.block3(self._upsampled(v)))))
        return out

    def centre_of(self, f: Tensor) -> Tensor:
        """Decode the centre pixels alone, (n, channels), from block3's features ``f`` (n, 149, 15, 15).

        They are the numbers of `forward` at ``[:, :, 7, 7]``.
        """
        x = self.block3.attention.inside(f, SIDE // 2 - 2)  # (n, 149, 5, 5): what two 3x3 kernels look at
        x = F.silu(F.conv2d(x, self.refine1.weight, self.refine1.bias))
        return F.conv2d(x, self.refine2.weight, self.refine2.bias)[:, :, 0, 0]

    def before_upsampling(self, v: Tensor) -> Tensor:
        """(n, 256) -> (n, 64, 8, 8)."""
        x = v.view(-1, 16, 4, 4)
        x = pool_and_add(self.block1(x), x)
        x = F.dropout2d(F.silu(self.up1(x)), 0.1, self.training)
        return pool_and_add(self.block2(x), x)

    def _upsampled(self, v: Tensor) -> Tensor:
        return F.dropout2d(self.up2(self.before_upsampling(v)), 0.1, self.training)  # (n, 128, 15, 15)
