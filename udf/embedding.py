"""The embedding as lazy tiles: a task takes the loaded dates of a spatial tile and seven pixels round it.

Inside a task the engine goes through the dates in order and does no frame's work twice. Only intervals of many years
are cut, into blocks of dates that overlap by the model's reach.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import dask.array as da
import numpy as np
from dask.base import tokenize
from numpy.typing import NDArray

from models.card import QUALITY, Modality
from models.frames.windows import EDGE
from models.preprocessing import mask_clouds, preprocess
from udf.cluster import EMBEDDING
from udf.model_shelf import ModelReference, embedder_on_this_worker
from udf.tiling import Tile, tiled

SMALLEST, LARGEST = 16, 64  # pixels on a tile's side: the engine shares most work in large ones
FRAMES_IN_TASK = 800  # of all sensors: 230 MB of Sentinel-1 and 2 in a tile of the largest side
PARTNER_DAYS = 130  # beyond the reach: where other sensors' frames are looked for
MOSTLY = 0.5  # share of a block's values
BRIGHTEST = 2.0  # reflectance: clouds reach 1.2, snow and glint little more


class InputError(ValueError):
    """Values that cannot be what the model takes; the message says what they look like and what to do."""


class DeviceMemoryError(MemoryError):
    """A GPU's memory does not even do for the smallest tiles."""


@dataclass(frozen=True)
class SensorCube:
    """One sensor's lazy cube in physical units, on the grid of the embedding.

    Attributes
    ----------
    values : (bands, t, y, x) dask array
        In the order of the model's card, NaN = missing.
    times : (t,) datetime64[ns], ascending
    masked : bool
        Whether `values` have one band more: the scene classification that masks clouds.
    """

    values: da.Array
    times: NDArray[np.datetime64]
    masked: bool = False


def embed_lazily(
    model: ModelReference,
    cubes: Mapping[str, SensorCube],
    wanted: NDArray[np.bool_],
    rows: slice,
    columns: slice,
    tile: int | None = None,
    quality: bool = False,
) -> da.Array:
    """Plan the embedding of a part of a cube, with all the rest of it as context.

    Parameters
    ----------
    cubes : mapping of modality to SensorCube, on one grid
    wanted : (t,) bool
        Dates of the reference modality to embed.
    rows, columns : slice
        The part of the grid to embed, with explicit ends.
    tile : int, optional
        Side of a tile in pixels; by default by `tile_side`.
    quality : bool
        Whether the two numbers of quality follow those of the embedding; see `models.embed_cube`.

    Returns
    -------
    (size or size + 2, number of wanted dates, rows, columns) dask array, float32
    """
    side = tile or tile_side(max(rows.stop - rows.start, columns.stop - columns.start))
    blocks = _date_blocks(model, cubes, wanted)
    arrays = [c.values for c in cubes.values()]
    tiles = tuple(_cuts(rows, side)), tuple(_cuts(columns, side))
    plan = _Plan(model, tuple(blocks), *tiles, arrays[0].shape[2:], quality)
    chunks = (
        (model.card.size + len(QUALITY) * quality,),
        tuple(int(block.wanted.sum()) for block in blocks),
        tuple(part.stop - part.start for part in plan.rows),
        tuple(part.stop - part.start for part in plan.columns),
    )
    name = f"{EMBEDDING}-{tokenize(plan, [array.name for array in arrays])}"
    return tiled(name, embed_block, arrays, chunks, plan)


@dataclass(frozen=True)
class _Block:
    """Some dates to embed, with the frames round them that matter: the ``dates`` of each modality, and their times."""

    dates: Mapping[str, slice]
    times: Mapping[str, NDArray[np.datetime64]]
    wanted: NDArray[np.bool_]
    masked: tuple[str, ...]


@dataclass(frozen=True)
class _Plan:
    """Which part of each modality's values a tile takes.

    Called with a tile's place among the output's blocks: 0, block of dates, row, column.
    """

    model: ModelReference
    blocks: tuple[_Block, ...]
    rows: tuple[slice, ...]
    columns: tuple[slice, ...]
    size: tuple[int, int]
    quality: bool

    def __call__(self, index: tuple[int, ...]) -> Tile:
        block, tile = self.blocks[index[1]], (self.rows[index[2]], self.columns[index[3]])
        around = tuple(_widened(part, size) for part, size in zip(tile, self.size, strict=True))
        inside = tuple(_relative(part, wide) for part, wide in zip(tile, around, strict=True))
        bands = {m: slice(0, len(self.model.card.modality(m).bands) + (m in block.masked)) for m in block.dates}
        names = list(block.times), list(block.masked)
        about = (self.model, *names, block.times, block.wanted, inside, self.quality)
        return Tile(tuple((bands[m], dates, *around) for m, dates in block.dates.items()), about)


def _date_blocks(model: ModelReference, cubes: Mapping[str, SensorCube], wanted: NDArray[np.bool_]) -> list[_Block]:
    """Cut the wanted dates so that a task holds some hundred frames; all of them where there are no more."""
    frames = sum(len(c.times) for c in cubes.values())
    times, dates = cubes[model.card.reference].times, np.flatnonzero(wanted)
    n = min(math.ceil(frames / FRAMES_IN_TASK), max(len(dates), 1))
    if n == 1:
        return [_block(cubes, {m: slice(0, len(c.times)) for m, c in cubes.items()}, wanted, model.card.reference)]
    reach = np.timedelta64(model.card.reach_days + PARTNER_DAYS, "D")
    blocks = []
    for part in np.array_split(dates, n):
        ends = [times[part[0]] - reach, times[part[-1]] + reach]
        near = {m: slice(*np.searchsorted(c.times, ends).tolist()) for m, c in cubes.items()}
        own = np.zeros_like(wanted)
        own[part] = True
        blocks.append(_block(cubes, near, own, model.card.reference))
    return blocks


def _block(
    cubes: Mapping[str, SensorCube], dates: Mapping[str, slice], wanted: NDArray[np.bool_], reference: str
) -> _Block:
    times = {m: c.times[dates[m]] for m, c in cubes.items()}
    masked = tuple(m for m, c in cubes.items() if c.masked)
    return _Block(dates, times, wanted[dates[reference]], masked)


def embed_block(
    arrays: list[NDArray[Any]],
    model: ModelReference,
    modalities: list[str],
    masked: list[str],
    times: Mapping[str, NDArray[np.datetime64]],
    wanted: NDArray[np.bool_],
    inside: tuple[slice, slice],
    quality: bool = False,
) -> NDArray[np.float32]:
    """Embed one tile: mask clouds, preprocess, run the model, crop to the pixels `inside` the halo.

    `arrays` are the values of the `modalities`; the last band of those that are `masked` is their classification.
    """
    cubes = {}
    for m, cube in zip(modalities, arrays, strict=True):
        cube = np.asarray(cube, np.float32)
        sensor = model.card.modality(m)
        scene, cube = (cube[-1], cube[:-1]) if m in masked else (None, cube)
        _refuse_digital_numbers(cube, sensor)
        if scene is not None:
            cube = mask_clouds(cube, scene)
        cubes[m] = preprocess(cube, sensor.preprocessing, "local")
    try:
        out = embedder_on_this_worker(model).embed(cubes, times, "local", wanted=wanted, quality=quality)
    except RuntimeError as error:
        if type(error).__name__ != "OutOfMemoryError":  # torch's, which this module does not load
            raise
        raise DeviceMemoryError(str(error).splitlines()[0]) from None
    return out[:, wanted][:, :, *inside]


def tile_side(longest: int) -> int:
    """Side of a tile in pixels for an area whose longer side is `longest`.

    About sixteen tiles, so that all workers get some and progress shows, but none so small that the work on its halo
    outweighs that on its own pixels.
    """
    return min(max(math.ceil(longest / 4), SMALLEST), LARGEST)


def _refuse_digital_numbers(cube: NDArray[np.float32], sensor: Modality) -> None:
    reflectance = cube[[unit == "reflectance" for unit in sensor.band_units]]
    valid = reflectance[np.isfinite(reflectance)]
    if valid.size and np.mean(valid > BRIGHTEST) > MOSTLY:
        bands = ", ".join(b for b, u in zip(sensor.bands, sensor.band_units, strict=True) if u == "reflectance")
        raise InputError(
            f"The values of {bands} are digital numbers, not reflectance: their median is {np.median(valid):.0f}. "
            f"Divide them by 10000 if they are Sentinel-2's (from processing baseline 04.00 on, subtract 1000 first)."
        )


def _cuts(part: slice, side: int) -> list[slice]:
    return [slice(i, min(i + side, part.stop)) for i in range(part.start, part.stop, side)]


def _widened(part: slice, size: int) -> slice:
    return slice(max(part.start - EDGE, 0), min(part.stop + EDGE, size))


def _relative(part: slice, around: slice) -> slice:
    return slice(part.start - around.start, part.stop - around.start)
