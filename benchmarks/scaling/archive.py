"""Cubes in blocks as the catalogue has them, of which nothing is read, and small ones of which all is."""

from __future__ import annotations

from typing import Any

import dask.array as da
import numpy as np
import rioxarray  # noqa: F401
import xarray as xr

from models.folders import PACKAGED
from processes.sources._blocks import StorageChunks, dask_array, plan_chunks
from processes.sources._grid import Window
from udf import ModelShelf, SensorCube, embed_lazily

DAY = np.timedelta64(1, "D")
PIXEL = 10
STORAGE = StorageChunks((512, 512), (512, 512))
EDGE = 7


class Unread:
    """Stands for an archive that nothing is read from."""

    ndim = 4

    def __init__(self, shape: tuple[int, ...]) -> None:
        self.shape, self.dtype = shape, np.dtype(np.float32)

    def __getitem__(self, key: object) -> np.ndarray:
        raise NotImplementedError("the graph is not computed")


def archive(name: str, bands: list[str], times: np.ndarray, size: int) -> xr.DataArray:
    """A cube in blocks as the catalogue's collections have them."""
    shape = (len(times), len(bands), size, size)
    chunks = plan_chunks(shape, Window((0, size), (0, size)), STORAGE, 4)
    place = np.arange(size) * float(PIXEL)
    return xr.DataArray(
        dask_array(Unread(shape), chunks, f"load-{name}-{size}"),
        dims=("t", "bands", "y", "x"),
        coords={"t": times, "bands": bands, "y": -place, "x": place},
    ).rio.write_crs("EPSG:32632")


def plain(count: int) -> da.Array:
    """Blocks of 1024 x 1024 pixels and 8 MB (t, bands, y, x) that are made at once."""

    def made(block_id: tuple[int, ...]) -> np.ndarray:
        return np.full((2, 1, 1024, 1024), sum(block_id), np.float32)

    chunks = ((2,), (1,), (1024,) * (count // 4), (1024,) * 4)
    return da.map_blocks(made, chunks=chunks, dtype=np.float32, meta=np.empty((0,) * 4, np.float32))


def small(size: tuple[int, int]) -> da.Array:
    """Real embeddings of two dates of a small cube, in tiles of 8 x 8 pixels, made block by block."""
    random = da.random.default_rng(0)
    rows, columns = size[0] + 2 * EDGE, size[1] + 2 * EDGE
    s2 = random.random((10, 12, rows, columns), chunks=(10, 12, 32, 32), dtype=np.float32) * np.float32(0.5)
    s1 = random.random((2, 14, rows, columns), chunks=(2, 14, 64, 64), dtype=np.float32) * np.float32(0.2)
    start = np.datetime64("2022-03-01", "ns")
    sensors = {
        "s1": SensorCube(s1, start - 5 * DAY + np.arange(14) * 5 * DAY),
        "s2": SensorCube(s2, start + np.arange(12) * 5 * DAY),
    }
    model = ModelShelf((PACKAGED,), "demo").get(None)
    inside = slice(EDGE, rows - EDGE), slice(EDGE, columns - EDGE)
    return embed_lazily(model, sensors, np.ones(12, bool), *inside, 8)


def on_a_grid(values: Any) -> xr.DataArray:
    """Return values (t, bands, y, x) as a cube."""
    times, bands, rows, columns = values.shape
    coords = {"t": np.datetime64("2022-01-01", "ns") + np.arange(times) * DAY, "bands": [f"B{n}" for n in range(bands)]}
    place = {"y": -np.arange(rows) * float(PIXEL), "x": np.arange(columns) * float(PIXEL)}
    cube = xr.DataArray(values, dims=("t", "bands", "y", "x"), coords={**coords, **place})
    return cube.rio.write_crs("EPSG:32632")
