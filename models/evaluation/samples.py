"""Sites, and the pixels and dates of them that have an embedding, with the bands of the same moment beside it."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from models.embed import Embedder, list_windows
from models.frames import EDGE, FRAMES, WindowList
from models.frames.windows import NONE
from models.network import TwoStageModel

NO_CLASS = -1
MIDDLE = FRAMES // 2

Table = NDArray[np.float32]
Numbers = NDArray[np.int64]


@dataclass(frozen=True)
class Site:
    """A place with all that is known of it.

    Attributes
    ----------
    name : str
    cubes : mapping of modality to (channels, t, y, x) float32
        Preprocessed, NaN = missing.
    times : mapping of modality to (t,) datetime64[ns]
    land_cover : (y, x) int
        Class of each pixel, -1 where it is not known.
    classes : mapping of int to str
        The classes' names.
    fields : (y, x) int
        Which field, stand or water a pixel belongs to, -1 where that is not known.
    days : (d,) datetime64[D], optional
    productivity : (d, y, x) float32, optional
        Gross primary production of each of the `days`, g C m-2 d-1.
    """

    name: str
    cubes: Mapping[str, Table]
    times: Mapping[str, NDArray[np.datetime64]]
    land_cover: Numbers
    classes: Mapping[int, str]
    fields: Numbers
    days: NDArray[np.datetime64] | None = None
    productivity: Table | None = None


@dataclass(frozen=True)
class Samples:
    """Pixels and dates of one site that have an embedding and no missing band, sorted by pixel, then date.

    Attributes
    ----------
    site : Site
    embedding : (n, size) float32
    bands : (n, channels of all modalities) float32
        Preprocessed values at the pixel: of the date, and of the other sensors' frames paired with it.
    row, column : (n,) int
    time : (n,) datetime64[ns]
    """

    site: Site
    embedding: Table
    bands: Table
    row: Numbers
    column: Numbers
    time: NDArray[np.datetime64]

    def __len__(self) -> int:
        """Return their number."""
        return len(self.row)

    @property
    def land_cover(self) -> Numbers:
        """Class of each sample, (n,)."""
        return np.asarray(self.site.land_cover[self.row, self.column])

    @property
    def field(self) -> Numbers:
        """Field of each sample, (n,)."""
        return np.asarray(self.site.fields[self.row, self.column])

    @property
    def pixel(self) -> Numbers:
        """A number for each sample's pixel, (n,)."""
        return np.asarray(self.row * self.site.land_cover.shape[1] + self.column)


def take_samples(
    model: TwoStageModel, site: Site, progress: Callable[[int, int], None] | None = None, engine: Embedder | None = None
) -> Samples:
    """Embed a whole site by the rule `local` and line up the bands of the same pixels and dates."""
    reference = model.card.reference
    out = (engine or Embedder(model)).embed(site.cubes, site.times, "local", progress=progress)
    windows = windows_of(model, site)
    row, column, bands = windows.row + EDGE, windows.column + EDGE, _bands(model, site, windows)
    dates = windows.frames[reference][:, MIDDLE]
    embedding = out[:, dates, row, column].T
    kept = np.flatnonzero(np.isfinite(embedding).all(1) & np.isfinite(bands).all(1))
    kept = kept[np.lexsort((dates[kept], column[kept], row[kept]))]
    return Samples(site, embedding[kept], bands[kept], row[kept], column[kept], site.times[reference][dates[kept]])


def windows_of(model: TwoStageModel, site: Site) -> WindowList:
    """The windows of a site by the rule `local` that lack no sensor: only they can be compared with bands."""
    wanted = np.ones(len(site.times[model.card.reference]), bool)
    windows = list_windows(model, site.cubes, site.times, "local", wanted)
    complete = np.all([frames[:, 0] != NONE for frames in windows.frames.values()], axis=0)
    return windows.take(np.flatnonzero(complete))


def _bands(model: TwoStageModel, site: Site, windows: WindowList) -> Table:
    row, column = windows.row + EDGE, windows.column + EDGE
    middle = {m.id: windows.frames[m.id][:, MIDDLE] for m in model.card.modalities}
    values = [site.cubes[m.id][:, middle[m.id], row, column].T for m in model.card.modalities]
    return np.concatenate(values, axis=1)
