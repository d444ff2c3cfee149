"""Stage 1: one sensor's window of frames to a bottleneck of a few numbers, and back."""

from __future__ import annotations

from torch import Tensor, nn
from torch.nn import functional as F

from models.network.attention import AttentionAxis, TransformerLayer
from models.network.frame_decoder import FrameDecoder
from models.network.frame_encoder import FRAME_VECTOR, FrameEncoder
from models.network.positions import ScaledPositions, cumulative_days

FRAMES = 11
TOKEN = 16
POSITIONS = 201


class TemporalContext(nn.Module):
    """Positions and the transformer over a window's frames. The decoder runs the encoder's very own."""

    def __init__(self) -> None:
        super().__init__()
        self.positions = ScaledPositions(POSITIONS, FRAME_VECTOR)
        self.layers = nn.ModuleList(TransformerLayer(FRAME_VECTOR, heads=8, hidden=8, dropout=0.25) for _ in range(3))

    def forward(self, tokens: Tensor, gaps: Tensor, axis: AttentionAxis) -> Tensor:
        """Add positions to ``tokens`` (n, 11, 256) by ``gaps`` (n, 10) in days, then attend."""
        x: Tensor = tokens + self.positions(cumulative_days(gaps))
        for layer in self.layers:
            x = layer(x, axis)
        return x


class ModalityEncoder(nn.Module):
    """Encoder of one sensor.

    Parameters
    ----------
    channels, tokens, bottleneck : int
        Channels of the sensor, tokens after the reduction over frames, numbers in the bottleneck.
    """

    def __init__(self, channels: int, tokens: int, bottleneck: int) -> None:
        super().__init__()
        self.frame = FrameEncoder(channels)
        self.context = TemporalContext()
        self.narrow = nn.Linear(FRAME_VECTOR, TOKEN)
        self.reduce_frames = nn.Linear(FRAMES, tokens)
        self.bottleneck = nn.Linear(TOKEN * tokens, bottleneck)

    def forward(self, x: Tensor, gaps: Tensor, axis: AttentionAxis) -> Tensor:
        """Encode windows without missing values: ``x`` (n, 11, channels, 15, 15) -> (n, bottleneck)."""
        vectors = self.frame(x.flatten(0, 1))
        return self.encode_vectors(vectors.view(x.shape[0], FRAMES, FRAME_VECTOR), gaps, axis)

    def encode_vectors(self, vectors: Tensor, gaps: Tensor, axis: AttentionAxis) -> Tensor:
        """Encode windows whose frames are vectors already: (n, 11, 256), gaps (n, 10) -> (n, bottleneck)."""
        return self.reduce(self.narrow(self.context(vectors, gaps, axis)))

    def reduce(self, narrowed: Tensor) -> Tensor:
        """From narrowed tokens before their activation, (n, 11, 16), to the bottleneck."""
        x = F.selu(self.reduce_frames(F.selu(narrowed).transpose(1, 2)))  # (n, 16, tokens)
        return F.softplus(self.bottleneck(x.flatten(1)))


class ModalityDecoder(nn.Module):
    """Decoder of one sensor. Its temporal context is passed in: the weights are the encoder's."""

    def __init__(self, channels: int, tokens: int, bottleneck: int) -> None:
        super().__init__()
        self.tokens = tokens
        self.expand = nn.Linear(bottleneck, TOKEN * tokens)
        self.expand_frames = nn.Linear(tokens, FRAMES)
        self.widen = nn.Linear(TOKEN, FRAME_VECTOR)
        self.frame = FrameDecoder(channels)

    def forward(self, z: Tensor, gaps: Tensor, context: TemporalContext, frames: slice = slice(None)) -> Tensor:
        """Reconstruct windows (n, 11, channels, 15, 15), or some of their `frames`, from ``z`` (n, bottleneck)."""
        x = self.vectors(z, gaps, context)[:, frames]
        images: Tensor = self.frame(x.flatten(0, 1))
        return images.view(*x.shape[:2], *images.shape[1:])

    def vectors(self, z: Tensor, gaps: Tensor, context: TemporalContext) -> Tensor:
        """Return the vectors (n, 11, 256) that the frames are decoded from; parameters as for `forward`."""
        # (tokens, 16) here against (16, tokens) in the encoder: published so, trained so.
        x = F.softplus(self.expand(z)).view(-1, self.tokens, TOKEN)
        x = F.selu(self.expand_frames(x.transpose(1, 2))).transpose(1, 2)  # (n, 11, 16)
        out: Tensor = context(F.selu(self.widen(x)), gaps, "frames")
        return out
