"""Learned positions, scaled by the square root of their width."""

from __future__ import annotations

import math

from torch import Tensor, nn
from torch.nn import functional as F


class ScaledPositions(nn.Module):
    """A table of learned positions in days: row ``p`` divided by ``sqrt(width)``.

    Positions beyond the table take its last row.
    """

    def __init__(self, rows: int, width: int) -> None:
        super().__init__()
        self.table = nn.Embedding(rows, width)
        self.scale = 1.0 / math.sqrt(width)

    def forward(self, days: Tensor) -> Tensor:
        """Return the positions (..., width) of whole ``days`` (...), int64 and not negative."""
        out: Tensor = self.table(days.clamp(max=self.table.num_embeddings - 1)) * self.scale
        return out


def cumulative_days(gaps: Tensor) -> Tensor:
    """Days from the first frame, (n, frames), from the ``gaps`` between consecutive frames, (n, frames - 1)."""
    return F.pad(gaps.cumsum(1), (1, 0))
