"""Stage 2: the modalities' bottlenecks fused into one embedding."""

from __future__ import annotations

from collections.abc import Mapping

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from models.card import ModelCard
from models.network.attention import AttentionAxis, TransformerLayer
from models.network.modality import ModalityDecoder, ModalityEncoder
from models.network.positions import ScaledPositions

FUSION_WIDTH = 128
PAIR_POSITIONS = 351


class Fusion(nn.Module):
    """One token per modality, two transformer layers, their mean: the embedding.

    Parameters
    ----------
    bottlenecks : mapping of modality to its number of values, in the order of the type embedding
    reference : str
        The modality whose dates are embedded; its token is placed `delta` days from the others.
    size : int
        Numbers in an embedding.
    """

    def __init__(self, bottlenecks: Mapping[str, int], reference: str, size: int) -> None:
        super().__init__()
        self.reference = reference
        self.project = nn.ModuleDict({m: nn.Linear(b, FUSION_WIDTH) for m, b in bottlenecks.items()})
        self.types = nn.Embedding(len(bottlenecks), FUSION_WIDTH)
        self.positions = ScaledPositions(PAIR_POSITIONS, FUSION_WIDTH)
        self.layers = nn.ModuleList(
            TransformerLayer(FUSION_WIDTH, heads=4, hidden=256, dropout=0.1, pre_norm=True) for _ in range(2)
        )
        self.norm = nn.LayerNorm(FUSION_WIDTH)
        self.reduce = nn.Linear(FUSION_WIDTH, size)

    def forward(self, z: Mapping[str, Tensor], delta: Tensor, seen: Mapping[str, Tensor] | None = None) -> Tensor:
        """Fuse bottlenecks ``z[m]`` (n, b_m), `delta` (n,) in days, into embeddings (n, size).

        A modality that `z` has not, or whose ``seen[m]`` (n,) is false for a sample, has no token there.
        """
        ids = [m for m in self.project if m in z]
        tokens = torch.stack([self.project[m](z[m]) for m in ids], dim=1)
        days = torch.stack([delta if m == self.reference else torch.zeros_like(delta) for m in ids], 1)
        types = self.types.weight
        if len(ids) < len(self.project):  # only then: a GPU waits for such an index
            types = types[[m in z for m in self.project]]
        x = tokens + types + self.positions(days)
        if not seen:
            for layer in self.layers:
                x = layer(x)
            return F.softplus(self.reduce(self.norm(x.mean(1))))
        everywhere = torch.ones_like(delta, dtype=torch.bool)
        mask = torch.stack([seen.get(m, everywhere) for m in ids], dim=1)  # (n, tokens)
        for layer in self.layers:
            x = layer(x, seen=mask)
        mean = torch.where(mask[..., None], x, 0).sum(1) / mask.sum(1, keepdim=True)
        return F.softplus(self.reduce(self.norm(mean)))


class TwoStageModel(nn.Module):
    """Encoders, fusion and decoders as a card declares them.

    Parameters
    ----------
    card : ModelCard
        Modalities with channels, tokens and bottlenecks, the attention axis, the embedding's size.
    """

    def __init__(self, card: ModelCard) -> None:
        super().__init__()
        self.card = card
        sizes = {m.id: (len(m.bands), m.tokens, m.bottleneck) for m in card.modalities}
        self.encoders = nn.ModuleDict({m: ModalityEncoder(*s) for m, s in sizes.items()})
        self.fusion = Fusion({m: s[2] for m, s in sizes.items()}, card.reference, card.size)
        decoded = sizes if card.decoders else {}
        self.heads = nn.ModuleDict({m: nn.Linear(card.size, s[2]) for m, s in decoded.items()})
        self.decoders = nn.ModuleDict({m: ModalityDecoder(*s) for m, s in decoded.items()})

    @property
    def device(self) -> torch.device:
        """The device that the weights are on."""
        return self.fusion.types.weight.device

    def encoder(self, modality: str) -> ModalityEncoder:
        """Return the encoder of one modality."""
        encoder = self.encoders[modality]
        assert isinstance(encoder, ModalityEncoder)  # for the type checker: ModuleDict forgets
        return encoder

    def decoder(self, modality: str) -> ModalityDecoder:
        """Return the decoder of one modality; KeyError where the model has none."""
        decoder = self.decoders[modality]
        assert isinstance(decoder, ModalityDecoder)  # for the type checker: ModuleDict forgets
        return decoder

    def encode(
        self, x: Mapping[str, Tensor], gaps: Mapping[str, Tensor], axis: AttentionAxis | None = None
    ) -> dict[str, Tensor]:
        """Stage 1: windows ``x[m]`` (n, 11, c, 15, 15), ``gaps[m]`` (n, 10) -> bottlenecks (n, b)."""
        return {m: self.encoder(m)(x[m], gaps[m], axis or self.card.attention) for m in self.encoders}

    def decode(self, embedding: Tensor, gaps: Mapping[str, Tensor]) -> dict[str, Tensor]:
        """Reconstruct every modality's windows (n, 11, c, 15, 15) from ``embedding`` (n, size)."""
        return {
            m: decoder(self.heads[m](embedding), gaps[m], self.encoder(m).context)
            for m, decoder in self.decoders.items()
        }

    def forward(self, x: Mapping[str, Tensor], gaps: Mapping[str, Tensor], delta: Tensor) -> Tensor:
        """Embed windows without missing values: -> (n, size)."""
        out: Tensor = self.fusion(self.encode(x, gaps), delta)
        return out
