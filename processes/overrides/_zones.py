"""Which pixels of a cube geometries cover, and their values."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import numpy as np
import rasterio.features
import shapely
import xarray as xr
from affine import Affine

from processes.overrides._dims import (
    Callback,
    da,
    reduce_axis,
)


class Zones:
    """The pixels of a cube (..., y, x) that geometries in its reference system cover."""

    def __init__(self, cube: xr.DataArray, shapes: list[Any]) -> None:
        self.values = cube.data
        self.y, self.x = (np.asarray(cube[d].values, float) for d in cube.dims[-2:])
        self.pixels = [self._pixels_of(shape) for shape in shapes]

    def reduce(self, reducer: Callback, context: Any, with_counts: bool) -> Any:
        """Return (geometry, ...) or, with counts, (geometry, ..., 3): value, all pixels, valid pixels."""
        lazy = isinstance(self.values, da.Array)
        join = da.stack if lazy else np.stack
        chosen = np.unique(np.concatenate([*self.pixels, np.empty(0, int)]).astype(int))
        # Each block is read once and only the pixels of geometries go on; (..., n).
        stored, at = self._gather(chosen)
        rank = np.empty(len(chosen), int)
        rank[np.searchsorted(chosen, at)] = np.arange(len(at))
        lead = self.values.shape[:-2]
        results = []
        for pixels in self.pixels:
            if not len(pixels):
                empty = da.full(lead, np.nan) if lazy else np.full(lead, np.nan)
                zero = np.zeros_like(empty)
                results.append(join([empty, zero, zero], axis=-1) if with_counts else empty)
                continue
            values = stored[..., np.sort(rank[np.searchsorted(chosen, pixels)])]
            result = reduce_axis(values, reducer, values.ndim - 1, np.arange(len(pixels)), context)
            if with_counts:
                valid = (np.isfinite(values) if values.dtype.kind == "f" else values == values).sum(axis=-1)
                result = join([result, np.full_like(valid, len(pixels)), valid], axis=-1)
            results.append(result)
        return join(results, axis=0) if results else np.empty((0, *lead))

    def _gather(self, chosen: np.ndarray) -> tuple[Any, np.ndarray]:
        """Return the values of pixels (flat positions), (..., n), and which pixel each of the n is."""
        rows, columns = np.divmod(chosen, len(self.x))
        if not isinstance(self.values, da.Array):
            return self.values[..., rows, columns], chosen
        parts, at = [], []
        for top, height in _offsets(self.values.chunks[-2]):
            for left, width in _offsets(self.values.chunks[-1]):
                inside = (rows >= top) & (rows < top + height) & (columns >= left) & (columns < left + width)
                if inside.any():
                    block = self.values[..., top : top + height, left : left + width]
                    parts.append(_pick(block, rows[inside] - top, columns[inside] - left))
                    at.append(chosen[inside])
        if not parts:
            return None, chosen
        return _merged(da.concatenate(parts, axis=-1)), np.concatenate(at)

    def _pixels_of(self, shape: Any) -> np.ndarray:
        """Return the flat positions of the pixels that belong to a geometry, ascending."""
        if shape is None or shape.is_empty:
            return np.empty(0, int)
        kind = shapely.get_dimensions(shape)
        if shape.geom_type == "GeometryCollection":
            return np.unique(np.concatenate([self._pixels_of(part) for part in shape.geoms]).astype(int))
        if kind == 0:
            return self._nearest(shapely.get_coordinates(shape))
        west, south, east, north = shape.bounds
        half_y, half_x = _spacing(self.y) / 2, _spacing(self.x) / 2
        rows = np.flatnonzero((self.y >= south - half_y) & (self.y <= north + half_y))
        columns = np.flatnonzero((self.x >= west - half_x) & (self.x <= east + half_x))
        if not len(rows) or not len(columns):
            return np.empty(0, int)
        inside = self._covered(shape, rows, columns) if kind == 2 else self._touched(shape, rows, columns)
        r, c = np.nonzero(inside)
        return np.sort(rows[r] * len(self.x) + columns[c])

    def _covered(self, shape: Any, rows: np.ndarray, columns: np.ndarray) -> np.ndarray:
        shapely.prepare(shape)
        xs, ys = np.meshgrid(self.x[columns], self.y[rows])
        return np.asarray(shapely.intersects_xy(shape, xs, ys))

    def _touched(self, shape: Any, rows: np.ndarray, columns: np.ndarray) -> np.ndarray:
        y, x = self.y[rows], self.x[columns]
        dy, dx = np.sign(self.y[-1] - self.y[0] or -1) * _spacing(self.y), _spacing(self.x)
        if len(self.x) > 1 and self.x[-1] < self.x[0]:
            dx = -dx
        place = Affine(dx, 0, x[0] - dx / 2, 0, dy, y[0] - dy / 2)
        size = (len(rows), len(columns))
        burnt = rasterio.features.rasterize([shape], size, transform=place, all_touched=True, dtype="uint8")
        return np.asarray(burnt, bool)

    def _nearest(self, points: np.ndarray) -> np.ndarray:
        """Return the closest pixels of points that lie inside of the cube's bounds."""
        found = []
        for px, py in points:
            column, row = int(np.abs(self.x - px).argmin()), int(np.abs(self.y - py).argmin())
            if abs(self.x[column] - px) <= _spacing(self.x) / 2 and abs(self.y[row] - py) <= _spacing(self.y) / 2:
                found.append(row * len(self.x) + column)
        return np.unique(np.asarray(found, int))


def _spacing(centres: np.ndarray) -> float:
    """Return the pixel size; unlimited where a single pixel does not tell it."""
    return abs(float(centres[1] - centres[0])) if len(centres) > 1 else np.inf


def _offsets(chunks: tuple[int, ...]) -> Iterator[tuple[int, int]]:
    """Yield start and length of each chunk."""
    start = 0
    for length in chunks:
        yield start, length
        start += length


def _pick(block: Any, rows: np.ndarray, columns: np.ndarray) -> Any:
    """Return the pixels of one spatial block, (..., y, x) to (..., n)."""
    return block.map_blocks(
        lambda part: part[..., rows, columns],
        dtype=block.dtype,
        drop_axis=block.ndim - 1,
        chunks=(*block.chunks[:-2], (len(rows),)),
        meta=np.empty((0,) * (block.ndim - 1), block.dtype),
    )


def _merged(pixels: Any) -> Any:
    """Return few pixels of many dates in one chunk per block of pixels: each geometry costs tasks per chunk."""
    limit = 64 * 2**20
    lead = int(np.prod(pixels.shape[:-1]))
    largest = max(pixels.chunks[-1])
    if lead * largest * pixels.dtype.itemsize > limit:
        return pixels
    return pixels.rechunk(dict.fromkeys(range(pixels.ndim - 1), -1))
