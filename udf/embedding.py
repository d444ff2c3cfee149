"""The embedding as lazy tiles: a task holds all loaded dates of a spatial tile and seven pixels round it."""

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
from udf.model_shelf import ModelReference, model_on_this_worker

SMALLEST, LARGEST = 8, 32  # pixels on a tile's side
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
    height, width = next(iter(cubes.values())).values.shape[2:]
    side = tile or tile_side(max(rows.stop - rows.start, columns.stop - columns.start))
    block = dask.delayed(embed_block, pure=True, traverse=False)
    blocks = []
    for y in _cuts(rows, side):
        line = []
        for x in _cuts(columns, side):
            around = (_widened(y, height), _widened(x, width))
            inside = (_relative(y, around[0]), _relative(x, around[1]))
            values = {m: c.values[:, :, *around] for m, c in cubes.items()}
            classes = {m: c.classes[:, *around] for m, c in cubes.items() if c.classes is not None}
            times = {m: c.times for m, c in cubes.items()}
            # A mapping of lazy arrays would be looked into for arrays; lists of names and arrays travel as they are.
            part = block(
                model, list(values), list(values.values()), list(classes), list(classes.values()), times, wanted, inside
            )
            shape = (model.card.size, int(wanted.sum()), y.stop - y.start, x.stop - x.start)
            line.append(da.from_delayed(part, shape, np.float32))
        blocks.append(line)
    whole: da.Array = da.block(blocks)
    return whole


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
    from models import embed_cube

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
    network = model_on_this_worker(model)
    return embed_cube(network, cubes, times, frames="local", wanted=wanted)[:, wanted][:, :, *inside]


def tile_side(longest: int) -> int:
    """Side of a tile in pixels for an area whose longer side is `longest`.

    Sixteen tiles or more, so that all workers get some and progress shows; the halo is read again for each, but
    computing a pixel takes far longer than reading its surroundings.
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
