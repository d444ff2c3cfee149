"""Which pixels of a cube geometries cover, and their values."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import numpy as np
import rasterio.features
import shapely
import xarray as xr
from affine import Affine

from processes.graph.references import leaves
from processes.overrides._dims import Callback, da, reduce_axis, within
from processes.overrides._joining import NOWHERE, joined, picked
from processes.overrides.reduce import PIXELS

_BLOCK_BYTES = 64 * 2**20
# How much shorter than the longest one of its group a geometry's pixels may be.
_PADDING = 0.2
# Reducers that leave no-data values out by default.
_IGNORING = frozenset(
    {"all", "any", "count", "extrema", "first", "last", "max", "mean", "median", "min", "product", "quantiles", "sd"}
    | {"sum", "variance"}
)


def pixels_of(cube: xr.DataArray, shapes: list[Any]) -> list[np.ndarray]:
    """Return the pixels of a cube (..., y, x) that each geometry covers: flat positions, ascending; none computed."""
    return Zones(cube, shapes).pixels


class Zones:
    """The pixels of a cube (..., y, x) that geometries in its reference system cover."""

    def __init__(self, cube: xr.DataArray, shapes: list[Any]) -> None:
        self.values = cube.data
        self.names = [str(d) for d in cube.dims]
        self.coords = {name: c.variable for name, c in cube.coords.items() if not {*cube.dims[-2:]} & {*c.dims}}
        self.y, self.x = (np.asarray(cube[d].values, float) for d in cube.dims[-2:])
        self.pixels = [self._pixels_of(shape) for shape in shapes]

    def reduce(self, reducer: Callback, context: Any, with_counts: bool) -> Any:
        """Return (geometry, ...) or, with counts, (geometry, ..., 3): value, all pixels, valid pixels.

        Geometries of about the same size are reduced together: thousands cost a few calls of the reducer.
        """
        sizes = np.array([len(pixels) for pixels in self.pixels], int)
        if not sizes.any():
            return self._nothing(with_counts)
        chosen = np.unique(np.concatenate(self.pixels).astype(int))
        # Each block is read once and only the pixels of geometries go on; (..., n).
        stored, at = self._gather(chosen)
        rank = np.empty(len(chosen), int)
        rank[np.searchsorted(chosen, at)] = np.arange(len(at))
        # Row by row, so that the order of the values does not depend on the chunks.
        places = [rank[np.searchsorted(chosen, pixels)] for pixels in self.pixels]
        padded = stored.dtype.kind == "f" and ignores_nodata(reducer)
        results, order = [], []
        most = _most_elements(stored)
        for members in _of_a_size(sizes, padded, most):
            # Those of the same blocks stand together.
            members = members[np.argsort([places[i][0] for i in members], kind="stable")]
            values = elements(stored, [places[i] for i in members], most)
            called = self._told(reducer, members, at[_index([places[i] for i in members], most)])
            result = reduce_axis(values, called, values.ndim - 1, np.arange(values.shape[-1]), context)
            results.append(self._counted(result, values, sizes[members]) if with_counts else result)
            order.append(members)
        return self._in_order(results, np.concatenate(order), 1 if with_counts else 0)

    def _told(self, reducer: Callback, members: np.ndarray, pixels: np.ndarray) -> Callback:
        """Return the reducer with what it may know of geometries and their pixels (flat positions, (group, n))."""
        rows, columns = np.divmod(pixels, len(self.x))
        y, x = self.names[-2:]
        dims = ("geometry", PIXELS)
        placed = {"geometry": xr.Variable("geometry", members)}
        placed |= {y: xr.Variable(dims, self.y[rows]), x: xr.Variable(dims, self.x[columns])}
        return within(reducer, (*self.names[:-2], *dims), {**self.coords, **placed})

    def _nothing(self, with_counts: bool) -> Any:
        shape = (len(self.pixels), *self.values.shape[:-2])
        full = da.full if isinstance(self.values, da.Array) else np.full
        if not with_counts:
            return full(shape, np.nan)
        return np.stack([full(shape, np.nan), full(shape, 0.0), full(shape, 0.0)], axis=-1)

    def _counted(self, result: Any, values: Any, sizes: np.ndarray) -> Any:
        """Return value, all pixels and valid pixels, (..., geometry, 3)."""
        total = np.broadcast_to(sizes, result.shape)
        valid = np.isfinite(values).sum(axis=-1) if values.dtype.kind == "f" else total
        if not isinstance(result, da.Array):
            return np.stack([result, total, valid], axis=-1)
        lazy = [da.asarray(part).rechunk(result.chunks) for part in (total, valid)]
        return da.stack([result, *lazy], axis=-1).rechunk({-1: -1})

    def _in_order(self, results: list[Any], order: np.ndarray, after: int) -> Any:
        """Return results (..., some geometries, after) as (geometry, ..., after); no data for empty geometries."""
        lazy = any(isinstance(result, da.Array) for result in results)
        axis = results[0].ndim - 1 - after
        whole = (da if lazy else np).concatenate(results, axis=axis)
        source = np.full(len(self.pixels), NOWHERE)
        source[order] = np.arange(len(order))
        sources = [source if a == axis else np.arange(n) for a, n in enumerate(whole.shape)]
        if lazy:
            chunks = tuple((len(source),) if a == axis else c for a, c in enumerate(whole.chunks))
            ordered = picked(whole, sources, chunks)
        else:
            ordered = joined([whole], [sources], (), complete=bool((source != NOWHERE).all()))
        made = np.moveaxis(ordered, axis, 0)
        if after and (source == NOWHERE).any():
            made = _with_zero_counts(made, source == NOWHERE)
        return made

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


def ignores_nodata(reducer: Callback) -> bool:
    """Tell whether further no-data values at the end of an array make no difference to a reducer."""
    graph = getattr(reducer, "graph", None)
    return graph is not None and all(_ignores(node) for node in graph.nodes.values())


def _ignores(node: Any) -> bool:
    found = list(leaves(node.arguments))
    if any(hasattr(leaf, "nodes") for leaf in found):  # a callback of its own, which may look at `data`
        return False
    data = [leaf for leaf in found if getattr(leaf, "from_parameter", None) == "data"]
    ignoring = node.process_id in _IGNORING and node.arguments.get("ignore_nodata", True) is True
    return not data or (ignoring and len(data) == 1 and node.arguments.get("condition") is None)


def _most_elements(stored: Any) -> int:
    """Return how many pixels (..., n) may lie in one block, with all that a block of theirs has besides."""
    if not isinstance(stored, da.Array):
        return int(stored.size)
    lead = int(np.prod([max(sizes) for sizes in stored.chunks[:-1]]))
    return max(1, _BLOCK_BYTES // int(lead * stored.dtype.itemsize))


def _of_a_size(sizes: np.ndarray, padded: bool, most: int) -> Iterator[np.ndarray]:
    """Yield groups of geometries: of the same number of pixels or, where `padded`, of up to a fifth less.

    Those of more than `most` pixels are alone.
    """
    order = np.argsort(sizes, kind="stable")[::-1]
    order = order[sizes[order] > 0]
    while len(order):
        largest = sizes[order[0]]
        if largest > most:
            yield order[:1]
            order = order[1:]
            continue
        alike = sizes[order] >= (largest * (1 - _PADDING) if padded else largest)
        yield order[alike]
        order = order[~alike]


def elements(stored: Any, places: list[np.ndarray], most: int) -> Any:
    """Return elements of the last axis (..., n) as (..., group, longest), NaN behind the shorter groups.

    Blocks hold up to `most` of them: several groups, or a part of a single one.
    """
    index = _index(places, most if isinstance(stored, da.Array) else None)
    longest = index.shape[-1]
    *lead, _ = stored.shape
    if not isinstance(stored, da.Array):
        complete = bool((index != NOWHERE).all())
        flat = joined([stored], [[*map(np.arange, lead), index.ravel()]], (), complete)
        return flat.reshape(*lead, *index.shape)
    whole = [np.arange(n) for n in lead]
    if longest > most:  # a single one
        chunks = (*stored.chunks[:-1], _pieces(longest, most))
        return picked(stored, [*whole, index[0]], chunks)[..., np.newaxis, :]
    groups = _pieces(len(places), max(1, most // longest))
    chunks = (*stored.chunks[:-1], tuple(n * longest for n in groups))
    flat = picked(stored, [*whole, index.ravel()], chunks)
    return flat.map_blocks(
        lambda block: block.reshape(*block.shape[:-1], -1, longest),
        dtype=flat.dtype,
        new_axis=flat.ndim,
        chunks=(*stored.chunks[:-1], groups, (longest,)),
        meta=np.empty((0,) * (flat.ndim + 1), flat.dtype),
    )


def _index(places: list[np.ndarray], most: int | None) -> np.ndarray:
    """Return elements (group, longest), nowhere behind the shorter groups.

    A single group of more than `most` is sorted, so that each part of it comes from few blocks.
    """
    longest = max(map(len, places))
    index = np.full((len(places), longest), NOWHERE)
    for row, place in zip(index, places, strict=True):
        row[: len(place)] = place
    return np.sort(index) if most is not None and longest > most else index


def _pieces(length: int, size: int) -> tuple[int, ...]:
    return tuple(min(size, length - start) for start in range(0, length, size))


def _with_zero_counts(made: Any, empty: np.ndarray) -> Any:
    """Return (geometry, ..., 3) with no pixels counted for empty geometries."""
    rows = empty.reshape(-1, *(1,) * (made.ndim - 1))
    return np.where(rows & (np.arange(made.shape[-1]) > 0), 0, made)


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
    """Return few pixels of many dates in one chunk per block of pixels: each group costs tasks per chunk."""
    lead = int(np.prod(pixels.shape[:-1]))
    if lead * max(pixels.chunks[-1]) * pixels.dtype.itemsize > _BLOCK_BYTES:
        return pixels
    return pixels.rechunk(dict.fromkeys(range(pixels.ndim - 1), -1))
