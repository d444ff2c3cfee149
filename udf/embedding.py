"""The embedding as lazy tiles: a task holds the loaded dates of a spatial tile and seven pixels round it.

Inside a task the engine goes through the dates in order and does no frame's work twice. Only intervals of many years
are cut, into blocks of dates that overlap by the model's reach.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass

import dask
import dask.array as da
import numpy as np
from numpy.typing import NDArray

from models.frames.windows import EDGE
from models.preprocessing import mask_clouds, preprocess
from udf.model_shelf import ModelReference, embedder_on_this_worker

SMALLEST, LARGEST = 16, 64  # pixels on a tile's side: the engine shares most work in large ones
FRAMES_IN_TASK = 800  # of all sensors: 230 MB of Sentinel-1 and 2 in a tile of the largest side
PARTNER_DAYS = 130  # beyond the reach: where other sensors' frames are looked for
MOSTLY = 0.5  # share of a block's values
BRIGHTEST = 2.0  # reflectance: clouds reach 1.2, snow and glint little more


class InputError(ValueError):
    """Values that cannot be what the model takes; the message says what they look like and what to do."""


@dataclass(frozen=True)
class SensorCube:
    """One sensor's lazy cube in physical units, on the grid of the embedding.

    Attributes
    ----------
    values : (bands, t, y, x) dask array
        In the order of the model's card, NaN = missing.
    times : (t,) datetime64[ns], ascending
    classes : (t, y, x) dask array, optional
        Scene classification that masks clouds.
    """

    values: da.Array
    times: NDArray[np.datetime64]
    classes: da.Array | None = None


def embed_lazily(
    model: ModelReference,
    cubes: Mapping[str, SensorCube],
    wanted: NDArray[np.bool_],
    rows: slice,
    columns: slice,
    tile: int | None = None,
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

    Returns
    -------
    (size, number of wanted dates, rows, columns) dask array, float32
    """
    side = tile or tile_side(max(rows.stop - rows.start, columns.stop - columns.start))
    dates = []
    for block in _date_blocks(model, cubes, wanted):
        line = [[_tile(model, block, (y, x)) for x in _cuts(columns, side)] for y in _cuts(rows, side)]
        dates.append(da.block(line))
    whole: da.Array = da.concatenate(dates, axis=1)
    return whole


@dataclass(frozen=True)
class _Block:
    """Some dates to embed, with the frames round them that matter."""

    cubes: Mapping[str, SensorCube]
    wanted: NDArray[np.bool_]


def _date_blocks(model: ModelReference, cubes: Mapping[str, SensorCube], wanted: NDArray[np.bool_]) -> list[_Block]:
    """Cut the wanted dates so that a task holds some hundred frames; all of them where there are no more."""
    frames = sum(len(c.times) for c in cubes.values())
    times, dates = cubes[model.card.reference].times, np.flatnonzero(wanted)
    n = min(math.ceil(frames / FRAMES_IN_TASK), max(len(dates), 1))
    if n == 1:
        return [_Block(cubes, wanted)]
    reach = np.timedelta64(model.card.reach_days + PARTNER_DAYS, "D")
    blocks = []
    for part in np.array_split(dates, n):
        near = {
            m: slice(*np.searchsorted(c.times, [times[part[0]] - reach, times[part[-1]] + reach]))
            for m, c in cubes.items()
        }
        own = np.zeros_like(wanted)
        own[part] = True
        blocks.append(_Block({m: _between(c, near[m]) for m, c in cubes.items()}, own[near[model.card.reference]]))
    return blocks


def _between(cube: SensorCube, dates: slice) -> SensorCube:
    classes = None if cube.classes is None else cube.classes[dates]
    return SensorCube(cube.values[:, dates], cube.times[dates], classes)


def _tile(model: ModelReference, block: _Block, tile: tuple[slice, slice]) -> da.Array:
    """One task: a tile with its halo, all frames of the block."""
    task = dask.delayed(embed_block, pure=True, traverse=False)
    sizes = next(iter(block.cubes.values())).values.shape[2:]
    around = tuple(_widened(part, size) for part, size in zip(tile, sizes, strict=True))
    inside = tuple(_relative(part, wide) for part, wide in zip(tile, around, strict=True))
    values = {m: c.values[:, :, *around] for m, c in block.cubes.items()}
    classes = {m: c.classes[:, *around] for m, c in block.cubes.items() if c.classes is not None}
    times = {m: c.times for m, c in block.cubes.items()}
    # A mapping of lazy arrays would be looked into for arrays; lists of names and arrays travel as they are.
    part = task(
        model, list(values), list(values.values()), list(classes), list(classes.values()), times, block.wanted, inside
    )
    shape = (model.card.size, int(block.wanted.sum()), *(s.stop - s.start for s in tile))
    lazy: da.Array = da.from_delayed(part, shape, np.float32)
    return lazy


def embed_block(
    model: ModelReference,
    modalities: list[str],
    values: list[NDArray[np.float32]],
    masked: list[str],
    classes: list[NDArray[np.generic]],
    times: Mapping[str, NDArray[np.datetime64]],
    wanted: NDArray[np.bool_],
    inside: tuple[slice, slice],
) -> NDArray[np.float32]:
    """Embed one tile: mask clouds, preprocess, run the model, crop to the pixels `inside` the halo."""
    scenes = dict(zip(masked, classes, strict=True))
    cubes = {}
    for m, cube in zip(modalities, values, strict=True):
        cube = np.asarray(cube, np.float32)
        name = model.card.modality(m).preprocessing
        if name == "sentinel2-reflectance":
            _refuse_digital_numbers(cube)
        if m in scenes:
            cube = mask_clouds(cube, scenes[m])
        cubes[m] = preprocess(cube, name, "local")
    out = embedder_on_this_worker(model).embed(cubes, times, "local", wanted=wanted)
    return out[:, wanted][:, :, *inside]


def tile_side(longest: int) -> int:
    """Side of a tile in pixels for an area whose longer side is `longest`.

    About sixteen tiles, so that all workers get some and progress shows, but none so small that the work on its halo
    outweighs that on its own pixels.
    """
    return min(max(math.ceil(longest / 4), SMALLEST), LARGEST)


def _refuse_digital_numbers(reflectance: NDArray[np.float32]) -> None:
    valid = reflectance[np.isfinite(reflectance)]
    if valid.size and np.mean(valid > BRIGHTEST) > MOSTLY:
        raise InputError(
            f"The Sentinel-2 values of `data` are digital numbers, not reflectance: their median is "
            f"{np.median(valid):.0f}. Divide them by 10000 (from processing baseline 04.00 on, subtract 1000 first)."
        )


def _cuts(part: slice, side: int) -> list[slice]:
    return [slice(i, min(i + side, part.stop)) for i in range(part.start, part.stop, side)]


def _widened(part: slice, size: int) -> slice:
    return slice(max(part.start - EDGE, 0), min(part.stop + EDGE, size))


def _relative(part: slice, around: slice) -> slice:
    return slice(part.start - around.start, part.stop - around.start)
