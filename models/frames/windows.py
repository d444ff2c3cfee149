"""The windows to embed, and what rules share: which acquisitions see a pixel, gaps in days."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace

import numpy as np
from numpy.lib.stride_tricks import sliding_window_view
from numpy.typing import NDArray

FRAMES = 11  # in a window
HALF = FRAMES // 2
PATCH = 15  # pixels on a side
EDGE = PATCH // 2
NONE = -1  # no acquisition, or none that the loaded interval can decide on
NEAR_DAYS = 30  # an optional sensor without an acquisition so near to the centre date counts as missing
LONGEST = 200  # days: a window that spans so many has all its gaps set to one

Bools = NDArray[np.bool_]
Ints = NDArray[np.int64]


@dataclass(frozen=True)
class WindowList:
    """Windows to embed, sorted by pixel, then date.

    Attributes
    ----------
    row, column : (n,) int64
        The centre pixel, counted without the 7-pixel border.
    date : (n,) int64
        Index of the centre date.
    frames : mapping of modality to (n, 11) int64
        Indices of the window's frames on the modality's own time axis; all `NONE` where an optional one is missing.
    gaps : mapping of modality to (n, 10) int64
        Days between consecutive frames.
    delta : (n,) int64
        Days between the centre frame and the acquisition paired to it.
    """

    row: Ints
    column: Ints
    date: Ints
    frames: Mapping[str, Ints]
    gaps: Mapping[str, Ints]
    delta: Ints

    def __len__(self) -> int:
        return len(self.date)

    def by_presence(self) -> list[tuple[list[str], Ints, WindowList]]:
        """Group the windows by which modalities they have: (ids, indices, windows that hold these alone).

        Returns
        -------
        list
            One group of all windows where none lacks anything.
        """
        has = np.stack([f[:, 0] != NONE for f in self.frames.values()], axis=1)
        groups = []
        for pattern in np.unique(has, axis=0):
            own = np.flatnonzero((has == pattern).all(axis=1))
            ids = [m for m, there in zip(self.frames, pattern, strict=True) if there]
            part = self.take(own)
            frames, gaps = ({m: values[m] for m in ids} for values in (part.frames, part.gaps))
            groups.append((ids, own, replace(part, frames=frames, gaps=gaps)))
        return groups

    def take(self, part: slice | Ints) -> WindowList:
        """Return some of the windows."""
        return WindowList(
            self.row[part],
            self.column[part],
            self.date[part],
            {m: f[part] for m, f in self.frames.items()},
            {m: g[part] for m, g in self.gaps.items()},
            self.delta[part],
        )


def sees(valid: Bools) -> Bools:
    """Which acquisitions have a valid value in a pixel's 15 x 15 patch.

    Parameters
    ----------
    valid : (t, y, x) bool
        Where any channel has a value.

    Returns
    -------
    (t, y - 14, x - 14) bool
    """
    rows = sliding_window_view(valid, PATCH, axis=1).any(-1)
    return np.asarray(sliding_window_view(rows, PATCH, axis=2).any(-1))


def build_windows(
    reference: str,
    places: tuple[Ints, Ints, Ints],
    frames: Mapping[str, Ints],
    days: Mapping[str, Ints],
) -> WindowList:
    """Assemble a list from the centres (date, row, column) and every modality's frames and calendar days.

    Sorted by pixel; gaps of windows that span 200 days or more are all 1, as published.
    """
    date, row, column = places
    order = np.lexsort((date, column, row))
    frames = {m: f[order] for m, f in frames.items()}
    gaps = {m: np.diff(days[m][f], axis=1) if len(days[m]) else np.zeros_like(f[:, 1:]) for m, f in frames.items()}
    long = gaps[reference].sum(axis=1, keepdims=True) >= LONGEST
    gaps = {m: np.where(long, 1, g) for m, g in gaps.items()}
    return WindowList(row[order], column[order], date[order], frames, gaps, _delta(reference, frames, days))


def _delta(reference: str, frames: Mapping[str, Ints], days: Mapping[str, Ints]) -> Ints:
    """Days between the centre frame and its partner; of several sensors the farthest away."""
    centre = days[reference][frames[reference][:, HALF]]
    others = [np.zeros_like(centre)]
    for m, f in frames.items():
        if m != reference and len(days[m]):
            others.append(np.where(f[:, HALF] == NONE, 0, np.abs(days[m][f[:, HALF]] - centre)))
    return np.asarray(np.max(others, axis=0))
