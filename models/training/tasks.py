"""What is fitted in the two stages: batches in, losses and errors out."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Protocol

import torch
from torch import Tensor, nn

from models.card import Modality, ModelCard
from models.frames import FRAMES, PATCH
from models.network import TwoStageModel
from models.network.attention import AttentionAxis
from models.network.frame_encoder import FRAME_VECTOR
from models.network.modality import ModalityDecoder, ModalityEncoder, TemporalContext
from models.training.batches import WindowBatch
from models.training.losses import decoded_frames, loss_weights, reconstruction_loss

DROPPED = 0.25  # share of windows that lose an optional modality in training, so that the fusion learns to do without


class Task(Protocol):
    """A network with its loss; also an `nn.Module`."""

    def losses(self, batch: WindowBatch) -> dict[str, Tensor]:
        """Return ``total`` and its parts."""
        ...

    def errors(self, batch: WindowBatch) -> dict[str, tuple[Tensor, Tensor]]:
        """Return by modality the sum of the absolute errors at the centre's valid values, and their number."""
        ...

    def trained(self) -> Iterable[nn.Parameter]:
        """Return the parameters to fit."""
        ...

    def arrange(self, training: bool) -> None:
        """Set which parts are in training mode."""
        ...


class ModalityTask(nn.Module):
    """Stage 1: the encoder and decoder of one modality.

    Parameters
    ----------
    modality : Modality
    attention : {"frames", "self"}
    decoded : int
        How many of a window's frames are decoded, odd; see `losses.reconstruction_loss`.
    """

    def __init__(self, modality: Modality, attention: AttentionAxis = "frames", decoded: int = FRAMES) -> None:
        super().__init__()
        sizes = (len(modality.bands), modality.tokens, modality.bottleneck)
        self.modality, self.attention, self.frames = modality, attention, decoded_frames(decoded)
        self.encoder = ModalityEncoder(*sizes)
        self.decoder = ModalityDecoder(*sizes)

    def reconstruct(self, batch: WindowBatch, frames: slice) -> tuple[Tensor, Tensor, Tensor]:
        """Return output, target and validity of the windows' `frames`, (n, frames, channels, 15, 15)."""
        m = self.modality.id
        values, valid = batch.filled(m)
        z = encode(self.encoder, values, batch, m, self.attention)
        output = self.decoder(z, batch.gaps[m].flatten(0, 1), self.encoder.context, frames)
        return output.float(), batch.windows(values, frames), batch.windows(valid, frames)

    def losses(self, batch: WindowBatch) -> dict[str, Tensor]:
        """See `Task`."""
        weights = loss_weights(len(self.modality.bands), stage=1)
        return reconstruction_loss(*self.reconstruct(batch, self.frames), weights, self.frames)

    def errors(self, batch: WindowBatch) -> dict[str, tuple[Tensor, Tensor]]:
        """See `Task`."""
        m = self.modality.id
        z = encode(self.encoder, batch.filled(m)[0], batch, m, self.attention)
        return {m: centre_error(self.decoder, z, batch.gaps[m].flatten(0, 1), self.encoder.context, centre(batch, m))}

    def trained(self) -> Iterable[nn.Parameter]:
        """See `Task`."""
        return self.parameters()

    def arrange(self, training: bool) -> None:
        """See `Task`."""
        self.train(training)


class FusionTask(nn.Module):
    """Stage 2: the fusion, heads and decoders on encoders that are kept as they are, unless `finetune`.

    Parameters
    ----------
    card : ModelCard
    decoded : int
        As for `ModalityTask`.
    finetune : bool
        Whether the encoders are fitted, too.
    """

    def __init__(self, card: ModelCard, decoded: int = FRAMES, *, finetune: bool = False) -> None:
        super().__init__()
        self.model = TwoStageModel(card)
        self.frames, self.finetune = decoded_frames(decoded), finetune
        self.model.encoders.requires_grad_(finetune)
        self.optional = [m.id for m in card.modalities if m.optional and m.id != card.reference]

    def embed(self, batch: WindowBatch) -> tuple[Tensor, dict[str, Tensor]]:
        """Return the windows' embeddings (n, size) and which windows saw which modality."""
        z = {}
        for m in self.model.encoders:
            with torch.set_grad_enabled(self.finetune and torch.is_grad_enabled()):
                values, _ = batch.filled(m)
                z[m] = encode(self.model.encoder(m), values, batch, m, self.model.card.attention)
        present = {m: batch.present[m].flatten() for m in z}
        return self._fused(z, batch, present), present

    def _fused(self, z: Mapping[str, Tensor], batch: WindowBatch, present: dict[str, Tensor]) -> Tensor:
        seen = None
        if self.optional:
            seen = {m: present[m] for m in self.optional}
            if self.training:
                seen = {m: p & (torch.rand(p.shape, device=p.device) >= DROPPED) for m, p in seen.items()}
        out: Tensor = self.model.fusion(z, batch.delta.flatten(), seen)
        return out

    def reconstruct(self, batch: WindowBatch, frames: slice) -> dict[str, tuple[Tensor, Tensor, Tensor]]:
        """Return by modality output, target and validity of `frames` in the windows that have it."""
        embedding, present = self.embed(batch)
        found = {}
        for m, decoder in self.model.decoders.items():
            rows = present[m] if m in self.optional else slice(None)
            values, valid = batch.filled(m)
            gaps, context = batch.gaps[m].flatten(0, 1)[rows], self.model.encoder(m).context
            output = decoder(self.model.heads[m](embedding[rows]), gaps, context, frames)
            found[m] = output.float(), batch.windows(values, frames)[rows], batch.windows(valid, frames)[rows]
        return found

    def losses(self, batch: WindowBatch) -> dict[str, Tensor]:
        """See `Task`; the parts are each modality's total."""
        totals = {}
        for m, parts in self.reconstruct(batch, self.frames).items():
            if len(parts[0]):
                weights = loss_weights(parts[0].shape[2], stage=2)
                totals[m] = reconstruction_loss(*parts, weights, self.frames)["total"]
        return {"total": torch.stack(list(totals.values())).mean(), **totals}

    def errors(self, batch: WindowBatch) -> dict[str, tuple[Tensor, Tensor]]:
        """See `Task`."""
        embedding, present = self.embed(batch)
        found = {}
        for m in self.model.decoders:
            rows = present[m] if m in self.optional else slice(None)
            z, gaps = self.model.heads[m](embedding[rows]), batch.gaps[m].flatten(0, 1)[rows]
            context = self.model.encoder(m).context
            found[m] = centre_error(self.model.decoder(m), z, gaps, context, centre(batch, m)[rows])
        return found

    def trained(self) -> Iterable[nn.Parameter]:
        """See `Task`."""
        return (p for p in self.model.parameters() if p.requires_grad)

    def arrange(self, training: bool) -> None:
        """See `Task`; frozen encoders stay as in inference."""
        self.train(training)
        if not self.finetune:
            self.model.encoders.eval()


def encode(
    encoder: ModalityEncoder, values: Tensor, batch: WindowBatch, modality: str, attention: AttentionAxis
) -> Tensor:
    """Bottlenecks (n, b) of a batch's windows from filled frames: each frame's vector is computed once."""
    vectors = encoder.frame(values.flatten(0, 1)).view(*values.shape[:2], FRAME_VECTOR)
    return encoder.encode_vectors(batch.windows(vectors), batch.gaps[modality].flatten(0, 1), attention)


def centre(batch: WindowBatch, modality: str) -> Tensor:
    """The windows' centre pixels at their centre dates, (n, channels), NaN = missing."""
    frames = batch.frames[modality][..., PATCH // 2, PATCH // 2]
    return batch.windows(frames, decoded_frames(1))[:, 0]


def centre_error(
    decoder: ModalityDecoder, z: Tensor, gaps: Tensor, context: TemporalContext, target: Tensor
) -> tuple[Tensor, Tensor]:
    """Sum of the absolute errors at the centre's valid values, and their number, decoding that frame alone."""
    output = decoder(z, gaps, context, decoded_frames(1))[:, 0, :, PATCH // 2, PATCH // 2].float()
    valid = target.isfinite()
    return torch.where(valid, (output - target).abs(), 0).sum(), valid.sum()
