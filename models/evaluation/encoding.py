"""What a model makes of a site: windows, as many as there is time for, and their embeddings."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace

import numpy as np

from models.embed import list_windows
from models.engine.dense import DenseEngine
from models.engine.tiles import Tile, cut, each_tile, tile_side
from models.evaluation.samples import Samples, Site, Table
from models.frames import EDGE, FRAMES, WindowList
from models.frames.windows import NONE
from models.network import TwoStageModel

MIDDLE = FRAMES // 2
PAIR = 2  # pixels that stay together, along each axis
LARGEST_STEP = 16

Progress = Callable[[int, int], None]


@dataclass(frozen=True)
class Encoded:
    """Windows of one site and what a model makes of them.

    Attributes
    ----------
    site : Site
    windows : WindowList
    numbers : mapping of str to (n, size) float32
        ``embedding``, and by its id every sensor's bottleneck.
    """

    site: Site
    windows: WindowList
    numbers: Mapping[str, Table]


def windows_of(model: TwoStageModel, site: Site) -> WindowList:
    """The windows of a site by the rule `local` that lack no sensor: only they can be compared with bands."""
    wanted = np.ones(len(site.times[model.card.reference]), bool)
    windows = list_windows(model, site.cubes, site.times, "local", wanted)
    complete = np.all([frames[:, 0] != NONE for frames in windows.frames.values()], axis=0)
    return windows.take(np.flatnonzero(complete))


def thinned(windows: Sequence[WindowList], most: int) -> tuple[list[WindowList], int]:
    """Keep all dates of two by two pixels in every `step` by `step`, and the least such step (2: all pixels).

    Neighbours and whole series stay together, and every part of a site is represented.

    Parameters
    ----------
    windows : sequence of WindowList
        Of each site.
    most : int
        Windows to keep at most, of all sites together; where even single pairs are more, those are kept.
    """
    for step in range(PAIR, LARGEST_STEP + 1):
        kept = [w.take(np.flatnonzero((w.row % step < PAIR) & (w.column % step < PAIR))) for w in windows]
        if sum(map(len, kept)) <= most:
            break
    return kept, step


def encode(model: TwoStageModel, site: Site, windows: WindowList, progress: Progress | None = None) -> Encoded:
    """Run the dense engine on windows of a site, tile by tile; `progress` is called with frames done and in all."""
    frames, channels = (sum(c.shape[axis] for c in site.cubes.values()) for axis in (1, 0))
    side = tile_side(model.device, frames, channels, None)
    rows, columns = (size - 2 * EDGE for size in site.land_cover.shape)
    work = _Encoding(model, site, windows, progress, frames * len(list(cut(rows, columns, side))))
    each_tile(rows, columns, side, work, forget=work.forget)
    return Encoded(site, windows, work.numbers)


class _Encoding:
    """The work on one tile after another, and what has come of it."""

    def __init__(
        self, model: TwoStageModel, site: Site, windows: WindowList, progress: Progress | None, frames: int
    ) -> None:
        sizes = {"embedding": model.card.size, **{m.id: m.bottleneck for m in model.card.modalities}}
        self.numbers = {name: np.empty((len(windows), size), np.float32) for name, size in sizes.items()}
        self._engine = DenseEngine(model, thrifty=True)
        self._site, self._windows = site, windows
        self._progress, self._frames, self._done = progress, frames, 0

    def __call__(self, tile: Tile) -> None:
        (top, bottom), (left, right) = ((part.start, part.stop) for part in tile)
        row, column = self._windows.row, self._windows.column
        own = np.flatnonzero((row >= top) & (row < bottom) & (column >= left) & (column < right))
        if not len(own):
            return
        part = self._windows.take(own)
        part = replace(part, row=part.row - top, column=part.column - left)
        around = np.s_[:, :, top : bottom + 2 * EDGE, left : right + 2 * EDGE]
        found = self._engine.run({m: c[around] for m, c in self._site.cubes.items()}, part, self._advance)
        for name, values in found.items():
            self.numbers[name][own] = values

    def forget(self) -> None:
        """Let go of the engine's memory."""
        self._engine.forget()

    def _advance(self) -> None:
        self._done += 1
        if self._progress:
            self._progress(min(self._done, self._frames), self._frames)


def take_samples(model: TwoStageModel, encoded: Encoded) -> Samples:
    """Line up embeddings with the bands of the same pixels and dates."""
    site, windows, embedding = encoded.site, encoded.windows, encoded.numbers["embedding"]
    row, column, bands = windows.row + EDGE, windows.column + EDGE, _bands(model, site, windows)
    dates = windows.frames[model.card.reference][:, MIDDLE]
    kept = np.flatnonzero(np.isfinite(bands).all(1))
    kept = kept[np.lexsort((dates[kept], column[kept], row[kept]))]
    times = site.times[model.card.reference][dates[kept]]
    return Samples(site, embedding[kept], bands[kept], row[kept], column[kept], times)


def _bands(model: TwoStageModel, site: Site, windows: WindowList) -> Table:
    row, column = windows.row + EDGE, windows.column + EDGE
    middle = {m.id: windows.frames[m.id][:, MIDDLE] for m in model.card.modalities}
    values = [site.cubes[m.id][:, middle[m.id], row, column].T for m in model.card.modalities]
    return np.concatenate(values, axis=1)
