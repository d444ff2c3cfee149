"""Warping: arrays brought to another grid block by block, with the numbers of doing it at once. Lazy.

Each block of the result is computed from a window of the source that reaches as far beyond the block as the method
looks: where the source's own blocks end makes no difference. Between reference systems GDAL interpolates positions,
each block's for itself, with errors of up to an eighth of a pixel; nearest neighbours are looked up here, exactly.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import product
from typing import Any

import numpy as np
import odc.geo.xr  # noqa: F401  (cubes answer `.odc`)
import pyproj
import rasterio.warp
import xarray as xr
from affine import Affine
from dask._task_spec import Task, TaskRef
from dask.base import tokenize
from dask.highlevelgraph import HighLevelGraph
from numpy.typing import NDArray
from odc.geo.geobox import GeoBox
from odc.geo.xr import xr_coords
from rasterio.enums import Resampling

from processes.overrides._dims import Chunks, da

Span = tuple[int, int]
Box = tuple[Span, Span]  # rows and columns
# How many pixels round a place a method looks at, where the pixels of both grids are of one size.
_RADIUS = {"near": 1, "bilinear": 1, "cubic": 2, "cubicspline": 2, "lanczos": 3}
_METHODS = {"near": "nearest", "cubicspline": "cubic_spline"}  # those that rasterio spells differently
# A block is looked up at so many places along each axis, and what lies between them is allowed for.
_PLACES = 17


@dataclass(frozen=True)
class Warp:
    """How arrays on the grid `source` are brought to the grid `target`.

    Attributes
    ----------
    source, target : GeoBox
    method : str
        Named as in gdalwarp.
    nodata : float or None
        What the result holds where the source has nothing; NaN in the source is nothing.
    """

    source: GeoBox
    target: GeoBox
    method: str
    nodata: float | None

    def __call__(self, values: Any) -> Any:
        """Return `values` (..., y, x) on the target grid; lazy if they are."""
        if not isinstance(values, da.Array):
            whole = _whole(self.source)
            return self.block(values, within=whole, to=_whole(self.target), step=self.step)
        return _by_graph(self, values, self.chunks(values.chunks))

    def chunks(self, chunks: Chunks) -> Chunks:
        """Return the blocks of the result: of as many pixels as those of the source, or of as much area."""
        sizes = [
            min(math.ceil(max(own) / step), length)
            for own, step, length in zip(chunks[-2:], self.step[::-1], self.target.shape, strict=True)
        ]
        return (*chunks[:-2], *(_cut(n, size) for n, size in zip(self.target.shape, sizes, strict=True)))

    @property
    def step(self) -> tuple[float, float]:
        """Return how many pixels of the source one of the target is wide and high, in the middle; at least 1.

        So far the smoothing methods widen, as in gdalwarp, which takes it from the extents: those of grids that are
        turned against each other tell too much, and those of blocks something else for each.
        """
        rows, columns = self.target.shape
        covered = _seen(_Lookup(self.source, self.target), _whole(self.source), _whole(self.target))
        (top, bottom), (left, right) = covered if _size(covered) else ((0, rows), (0, columns))
        x, y = (left + right) / 2, (top + bottom) / 2
        there = _Lookup(self.target, self.source)
        c, r = there(np.array([x - 0.5, x + 0.5, x, x]), np.array([y, y, y - 0.5, y + 0.5]))
        wide, high = math.hypot(c[1] - c[0], r[1] - r[0]), math.hypot(c[3] - c[2], r[3] - r[2])
        return (_at_least_one(wide), _at_least_one(high))

    def block(self, values: NDArray[Any], within: Box, to: Box, step: tuple[float, float]) -> NDArray[Any]:
        """Return the pixels `to` of the target from the pixels `within` of the source, (..., y, x)."""
        shape = tuple(end - start for start, end in to)
        made = np.full((*values.shape[:-2], *shape), 0 if self.nodata is None else self.nodata, values.dtype)
        if self.method == "near" and self.source.crs != self.target.crs:
            return self._nearest(values, made, within, to)
        if self.method == "sum" and self.source.crs == self.target.crs:
            return self._summed(values, made, within, to)
        planes, results = (array.reshape(-1, *array.shape[-2:]) for array in (values, made))
        for plane, result in zip(planes, results, strict=True):
            rasterio.warp.reproject(
                plane,
                result,
                src_transform=_corner(self.source, within),
                src_crs=str(self.source.crs),
                dst_transform=_corner(self.target, to),
                dst_crs=str(self.target.crs),
                resampling=Resampling[_METHODS.get(self.method, self.method)],
                src_nodata=np.nan if values.dtype.kind == "f" else None,
                dst_nodata=self.nodata,
                XSCALE=1 / step[0],
                YSCALE=1 / step[1],
            )
        return made

    def _nearest(self, values: NDArray[Any], made: NDArray[Any], within: Box, to: Box) -> NDArray[Any]:
        """Fill the pixels `to` with those of `values` that hold their centres."""
        columns, rows = np.meshgrid(*(np.arange(*span) + 0.5 for span in to[::-1]))
        c, r = _Lookup(self.target, self.source)(columns, rows)
        (top, bottom), (left, right) = within
        inside = (r >= top) & (r < bottom) & (c >= left) & (c < right)  # false where they are infinite
        made[..., inside] = values[..., r[inside].astype(int) - top, c[inside].astype(int) - left]
        return made

    def _summed(self, values: NDArray[Any], made: NDArray[Any], within: Box, to: Box) -> NDArray[Any]:
        """Fill the pixels `to` with the sums of what they cover of `values`; GDAL 3.10 adds too much at some sizes."""
        lookup = _Lookup(self.target, self.source)
        columns, rows = (np.arange(start, end + 1, dtype=float) for start, end in to[::-1])
        x, y = lookup(columns, np.zeros_like(columns))[0], lookup(np.zeros_like(rows), rows)[1]
        across, down = (_overlaps(edges, span) for edges, span in zip((x, y), within[::-1], strict=True))
        known = np.isfinite(values)
        total, count = (down @ part.astype(float) @ across.T for part in (np.where(known, values, 0), known))
        made[...] = np.where(count > 1e-9, total, made)
        return made


def on_grid(data: xr.DataArray, grid: GeoBox, method: str, nodata: float | None) -> xr.DataArray:
    """Return the cube on another grid, by `Warp`."""
    ordered = data.transpose(..., "y", "x")
    warp = Warp(data.odc.geobox, grid, method, nodata)
    kept = {name: coord for name, coord in data.coords.items() if coord.dims and not {"x", "y"} & {*coord.dims}}
    coords = {**kept, **xr_coords(grid, always_yx=True)}
    moved = xr.DataArray(warp(ordered.data), coords, ordered.dims, data.name, dict(data.attrs))
    moved.encoding["grid_mapping"] = "spatial_ref"
    return moved.transpose(*data.dims)


class _Lookup:
    """Turns places on one grid (columns, rows; pixel edges are whole numbers) into those on another."""

    def __init__(self, source: GeoBox, target: GeoBox) -> None:
        self._source, self._target = source.transform, ~target.transform
        self.linear = source.crs == target.crs
        self._between = (
            None
            if self.linear
            else pyproj.Transformer.from_crs(str(source.crs), str(target.crs), always_xy=True).transform
        )

    def __call__(self, columns: NDArray[Any], rows: NDArray[Any]) -> tuple[NDArray[Any], NDArray[Any]]:
        x, y = _moved(self._source, columns, rows)
        if self._between is not None:
            x, y = self._between(x, y)
        with np.errstate(invalid="ignore"):  # infinite where a projection does not reach
            return _moved(self._target, x, y)


def _moved(by: Affine, x: NDArray[Any], y: NDArray[Any]) -> tuple[NDArray[Any], NDArray[Any]]:
    return by.a * x + by.b * y + by.c, by.d * x + by.e * y + by.f


def _by_graph(warp: Warp, values: Any, chunks: Chunks) -> Any:
    name = f"warp-{tokenize(values, warp.source, warp.target, warp.method, warp.nodata)}"
    step, backward = warp.step, _Lookup(warp.target, warp.source)
    covered = _seen(_Lookup(warp.source, warp.target), _whole(warp.source), _whole(warp.target), margin=2)
    reach = tuple(math.ceil(_RADIUS.get(warp.method, 1) * size) + 2 for size in step)
    rows, columns = (_spans(sizes) for sizes in chunks[-2:])
    stored = [_spans(sizes) for sizes in values.chunks[-2:]]
    fill = 0 if warp.nodata is None else warp.nodata
    graph: dict[Any, Any] = {}
    for (i, row), (j, column) in product(enumerate(rows), enumerate(columns)):
        to = (row, column)
        window = _seen(backward, _shared(to, covered), _whole(warp.source), margin=max(reach))
        parts = _parts(stored, window)
        for lead in product(*(range(len(sizes)) for sizes in chunks[:-2])):
            key = (name, *lead, i, j)
            if not parts:
                shape = [sizes[k] for sizes, k in zip(chunks, (*lead, i, j), strict=True)]
                graph[key] = Task(key, np.full, tuple(shape), fill, values.dtype)
                continue
            blocks = [TaskRef((values.name, *lead, *place)) for place, _, _ in parts]
            moves = [move[1:] for move in parts]
            graph[key] = Task(key, _warped, warp, *blocks, moves=moves, window=window, to=to, step=step)
    layered = HighLevelGraph.from_collections(name, graph, dependencies=[values])
    return da.Array(layered, name, chunks=chunks, dtype=values.dtype, meta=np.empty((0,) * values.ndim, values.dtype))


def _warped(
    warp: Warp, *blocks: Any, moves: Sequence[tuple[Any, Any]], window: Box, to: Box, step: tuple[float, float]
) -> Any:
    """Return one block of the result, from parts of blocks of the source that make up a window."""
    shape = tuple(end - start for start, end in window)
    values = np.empty((*blocks[0].shape[:-2], *shape), blocks[0].dtype)
    for block, (there, here) in zip(blocks, moves, strict=True):
        values[(..., *there)] = block[(..., *here)]
    return warp.block(values, window, to, step)


def _parts(stored: Sequence[list[Span]], window: Box) -> list[tuple[tuple[int, ...], Any, Any]]:
    """Return the blocks that a window lies in: which, where in the window, and where in the block."""
    if not _size(window):
        return []
    axes = []
    for spans, (start, end) in zip(stored, window, strict=True):
        common = [(i, max(a, start), min(b, end), a) for i, (a, b) in enumerate(spans) if a < end and b > start]
        axes.append([(i, slice(a - start, b - start), slice(a - own, b - own)) for i, a, b, own in common])
    return [
        (tuple(part[0] for part in pair), tuple(part[1] for part in pair), tuple(part[2] for part in pair))
        for pair in product(*axes)
    ]


def _seen(lookup: _Lookup, box: Box, limits: Box, margin: int = 0) -> Box:
    """Return where the pixels `box` of one grid lie on another: rows and columns within `limits`, and a margin."""
    if not _size(box):
        return ((0, 0), (0, 0))
    count = 2 if lookup.linear else _PLACES
    rows, columns = (np.linspace(*span, count) for span in box)
    c, r = (found.ravel() for found in lookup(*np.meshgrid(columns, rows)))
    known = np.isfinite(c) & np.isfinite(r)
    if not known.any():
        return ((0, 0), (0, 0))
    (top, bottom), (left, right) = (_around(found[known], margin, lookup.linear) for found in (r, c))
    return _shared(((top, bottom), (left, right)), limits)


def _around(found: NDArray[Any], margin: int, linear: bool) -> Span:
    low, high = float(found.min()), float(found.max())
    between = 0.0 if linear else (high - low) / (2 * _PLACES)
    return (math.floor(low - between + 1e-6) - margin, math.ceil(high + between - 1e-6) + margin)


def _shared(box: Box, other: Box) -> Box:
    (top, bottom), (left, right) = (
        (max(one[0], two[0]), max(min(one[1], two[1]), max(one[0], two[0])))
        for one, two in zip(box, other, strict=True)
    )
    return ((top, bottom), (left, right))


def _at_least_one(step: float) -> float:
    """Return how much coarser a grid is; whole numbers without rounding errors."""
    if not math.isfinite(step) or step <= 1:
        return 1.0
    return float(round(step)) if abs(step - round(step)) < 1e-6 * step else step


def _overlaps(edges: NDArray[Any], span: Span) -> NDArray[Any]:
    """Return how much pixels, told by their edges on another grid, cover of that grid's pixels in `span`."""
    pixels = np.arange(*span, dtype=float)
    low, high = (pick(edges[:-1], edges[1:])[:, np.newaxis] for pick in (np.minimum, np.maximum))
    shares: NDArray[Any] = np.clip(np.minimum(high, pixels + 1) - np.maximum(low, pixels), 0, None)
    return shares


def _corner(grid: GeoBox, box: Box) -> Affine:
    return grid.transform * Affine.translation(box[1][0], box[0][0])


def _whole(grid: GeoBox) -> Box:
    return ((0, grid.shape[0]), (0, grid.shape[1]))


def _size(box: Box) -> int:
    return (box[0][1] - box[0][0]) * (box[1][1] - box[1][0])


def _cut(length: int, size: int) -> tuple[int, ...]:
    return tuple(min(size, length - start) for start in range(0, length, size))


def _spans(sizes: tuple[int, ...]) -> list[Span]:
    ends = np.cumsum(sizes).tolist()
    return [(end - size, end) for size, end in zip(sizes, ends, strict=True)]
