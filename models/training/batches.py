"""Training batches: series of frames, and the windows drawn from them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Protocol

import torch
from torch import Tensor


@dataclass(repr=False)
class WindowBatch:
    """Windows of 11 frames, drawn from `series` runs of frames at one place each; `draws` windows from each.

    Attributes
    ----------
    frames : mapping of modality to (series, length, channels, 15, 15) float32
        NaN = missing. All modalities have one frame for each of the reference's.
    order : (series, draws, 11) int64
        The windows' frames, ascending.
    gaps : mapping of modality to (series, draws, 10) int64
        Days between consecutive frames.
    delta : (series, draws) int64
        Days between the centre frame and the acquisition paired to it.
    present : mapping of modality to (series, draws) bool
        Whether the modality has a frame near the centre date.
    """

    frames: Mapping[str, Tensor]
    order: Tensor
    gaps: Mapping[str, Tensor]
    delta: Tensor
    present: Mapping[str, Tensor]

    def __len__(self) -> int:
        """Count the windows."""
        return self.order.shape[0] * self.order.shape[1]

    def to(self, device: torch.device | str, **_: object) -> WindowBatch:
        """Return the batch on a device (Lightning passes further arguments)."""
        return WindowBatch(
            {m: v.to(device) for m, v in self.frames.items()},
            self.order.to(device),
            {m: v.to(device) for m, v in self.gaps.items()},
            self.delta.to(device),
            {m: v.to(device) for m, v in self.present.items()},
        )

    def tensors(self) -> dict[str, Tensor]:
        """Return everything by name, for a safetensors file."""
        named = {"order": self.order, "delta": self.delta}
        for group in ("frames", "gaps", "present"):
            named |= {f"{group}.{m}": v.contiguous() for m, v in getattr(self, group).items()}
        return named

    def filled(self, modality: str) -> tuple[Tensor, Tensor]:
        """Return a modality's frames with missing values filled, and where values are valid.

        The fill is the mean of the channel's valid values over the series, 0 without any. With one draw of a series
        of 11 frames that is the window's own mean, as in inference.
        """
        frames = self.frames[modality]
        valid = frames.isfinite()
        values = torch.where(valid, frames, 0)
        count = valid.sum((1, 3, 4), keepdim=True).clamp(min=1)
        return torch.where(valid, values, values.sum((1, 3, 4), keepdim=True) / count), valid

    def windows(self, values: Tensor, frames: slice = slice(None)) -> Tensor:
        """Arrange what belongs to frames, (series, length, ...), as windows: (series * draws, frames, ...)."""
        order = self.order[..., frames]
        series = torch.arange(len(order), device=order.device)[:, None, None]
        return values[series, order].flatten(0, 1)


class WindowSource(Protocol):
    """Where training windows come from. Batches are by number: the same number gives the same batch, always."""

    @property
    def steps_per_epoch(self) -> int:
        """How many batches show every place once."""
        ...

    def batch(self, step: int) -> WindowBatch:
        """Return the training batch of that number, counted over all epochs."""
        ...

    def validation(self) -> Sequence[WindowBatch]:
        """Return the validation windows: the same in every epoch and run."""
        ...
