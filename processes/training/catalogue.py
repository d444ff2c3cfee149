"""Blocks of pixels from collections, read when they are wanted: no copy of the training data is written."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import xarray as xr
from numpy.typing import NDArray

from models.card import Modality
from models.preprocessing import mask_clouds, preprocess
from models.training.blocks import Block, Span, split_blocks
from models.training.errors import TrainingError
from processes.grids import overlaps, to_grid_of
from processes.sources import CollectionSource, LoadRequest, bands_of, first_with, open_source

CLASSES = "SCL"
Interval = tuple[np.datetime64, np.datetime64]


@dataclass(frozen=True)
class Holdout:
    """What a site keeps for validation: a share of its blocks, and, where there is one, an interval of dates.

    Attributes
    ----------
    share : float
        Of the blocks; 0 keeps none.
    side : int
        Pixels on a block's side, about.
    interval : (datetime64, datetime64), optional
        Half-open. Training sees no date in it, validation no other.
    seed : int
        Of the drawing of the blocks.
    """

    share: float = 0.2
    side: int = 64
    interval: Interval | None = None
    seed: int = 0


def open_site(paths: Path | Mapping[str, Path], modalities: Sequence[Modality]) -> dict[str, CollectionSource]:
    """Open the collection of each modality: at its own path, or the one with its bands at the one path.

    Raises
    ------
    TrainingError
        No collection there has a modality's bands, or one has no path.
    """
    found = {}
    for modality in modalities:
        if isinstance(paths, Mapping) and modality.id not in paths:
            raise TrainingError(f"The site has no path for {modality.id}; it has {', '.join(paths)}")
        path = paths[modality.id] if isinstance(paths, Mapping) else paths
        sources = open_source(path)
        source = first_with(sources, modality.bands)
        if source is None:
            there = "; ".join(", ".join(bands_of(s)) for s in sources)
            raise TrainingError(f"{modality.id} needs the bands {', '.join(modality.bands)}; {path} has {there}")
        found[modality.id] = source
    return found


def site_blocks(
    sources: Mapping[str, CollectionSource], modalities: Sequence[Modality], reference: str, holdout: Holdout
) -> tuple[CatalogueBlocks, CatalogueBlocks]:
    """Cut a site into training and validation blocks that share no pixel (and no date, if so wished).

    Raises
    ------
    TrainingError
        The site is too small for two blocks, or the modalities' collections do not overlap.
    """
    cubes = {m.id: sources[m.id].load(LoadRequest(bands=m.bands)) for m in modalities}
    classes = None
    if CLASSES in bands_of(sources[reference]):
        classes = sources[reference].load(LoadRequest(bands=(CLASSES,))).isel(bands=0)
    grid = cubes[reference]
    for id, cube in cubes.items():
        if not overlaps(cube, grid):
            raise TrainingError(f"The collections of {id} and {reference} do not overlap in space")
    site = _Site(tuple(modalities), reference, cubes, classes)
    height, width = grid.sizes["y"], grid.sizes["x"]
    training, validation = split_blocks(height, width, holdout.side, holdout.share, holdout.seed)
    inside = holdout.interval
    return CatalogueBlocks(site, training, inside, within=False), CatalogueBlocks(site, validation, inside, within=True)


@dataclass(frozen=True)
class _Site:
    modalities: tuple[Modality, ...]
    reference: str
    cubes: Mapping[str, xr.DataArray]  # lazy, (t, bands, y, x)
    classes: xr.DataArray | None


class CatalogueBlocks:
    """Some squares of a site; a `models.training.blocks.BlockSource`."""

    def __init__(self, site: _Site, squares: Sequence[tuple[Span, Span]], interval: Interval | None, *, within: bool):
        self._site, self._squares, self._interval, self._within = site, list(squares), interval, within

    def __len__(self) -> int:
        return len(self._squares)

    def shape(self, index: int) -> tuple[int, int, int]:
        """Return dates of the reference, rows and columns of a square."""
        rows, columns = self._squares[index]
        dates = self._wanted(self._site.cubes[self._site.reference]["t"].values).sum()
        return int(dates), rows[1] - rows[0], columns[1] - columns[0]

    def load(self, index: int) -> Block:
        """Read a square of all sensors and preprocess it as the service does."""
        rows, columns = self._squares[index]
        reference = self._site.cubes[self._site.reference]
        target = reference.isel(y=slice(*rows), x=slice(*columns))
        cubes, times = {}, {}
        for modality in self._site.modalities:
            cube = self._site.cubes[modality.id]
            own = modality.id == self._site.reference
            part = (target if own else to_grid_of(cube, target)).sortby("t")
            part = part.isel(t=np.flatnonzero(self._wanted(part["t"].values)))
            values = part.transpose("bands", "t", "y", "x").values.astype(np.float32, copy=False)
            if own and self._site.classes is not None:
                values = mask_clouds(values, self._classes_like(part))
            values = preprocess(values, modality.preprocessing, "local")
            cubes[modality.id] = np.where(np.isfinite(values), values, np.float32(np.nan))
            times[modality.id] = part["t"].values
        return Block(cubes, times)

    def _classes_like(self, part: xr.DataArray) -> NDArray[Any]:
        classes = self._site.classes
        assert classes is not None  # for the type checker
        same = classes.sel(t=part["t"].values, y=part["y"].values, x=part["x"].values)
        return np.asarray(same.transpose("t", "y", "x").values)

    def _wanted(self, times: NDArray[np.datetime64]) -> NDArray[np.bool_]:
        if self._interval is None:
            return np.ones(len(times), bool)
        inside = (times >= self._interval[0]) & (times < self._interval[1])
        return inside if self._within else ~inside
