"""The grid that layers of several granules, pixel sizes and reference systems are brought to."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Sequence

import numpy as np
import pyproj
from numpy.typing import NDArray

from processes.sources._grid import Bounds, Grid
from processes.sources.extents import Bbox, crs_text, invalid, parse_crs, transformed_bounds
from processes.sources.stac.item import Layer

# Files are mostly stored in blocks of this size, counted from their upper left.
BLOCK = 512
_LONGEST = 400_000


def target_grid(
    layers: Sequence[Layer], outlines: Sequence[Bounds], bbox: Bbox | None, margin: int
) -> tuple[Grid, tuple[int, int]]:
    """Return the grid of most layers' reference system and of the finest among these.

    Also how many rows and columns its first pixel lies behind the boundary of a block of the finest layer.

    Parameters
    ----------
    layers : sequence of Layer
        At least one, with reference system and transform; others are ignored.
    outlines : sequence of bounds
        What the items cover, in longitude and latitude; used where layers do not tell their shape.
    bbox : Bbox, optional
        The grid ends around it.
    margin : int
        Pixels that will be wanted around the bounding box.

    Raises
    ------
    OpenEOError
        ProcessParameterInvalid where the grid would be too large.
    """
    placed = [layer for layer in layers if layer.crs is not None and layer.transform is not None]
    systems = {layer.crs: crs_text(parse_crs(layer.crs, "url", "load_stac")) for layer in placed}
    crs = Counter(systems[layer.crs] for layer in placed).most_common(1)[0][0]
    here = [layer for layer in placed if systems[layer.crs] == crs]
    finest = min(here, key=lambda layer: layer.resolution)
    step_x, step_y, left, top = _lattice(finest)
    bounds = _union([*_known_bounds(placed, systems, crs), *_outlines(outlines, placed, crs)])
    bounds = _cut(bounds, bbox, crs, ((margin + 1) * step_x, (margin + 1) * step_y))
    columns = _span(bounds[0] - left, bounds[2] - left, step_x)
    rows = _span(top - bounds[3], top - bounds[1], step_y)
    if max(columns[1] - columns[0], rows[1] - rows[0]) > _LONGEST:
        size = f"{columns[1] - columns[0]} x {rows[1] - rows[0]} pixels"
        raise invalid("spatial_extent", f"the data cover {size}; give a smaller extent.", "load_stac")
    x, y = left + _centres(columns) * step_x, top - _centres(rows) * step_y
    return Grid(x, y, (step_x, step_y), crs), (rows[0] % BLOCK, columns[0] % BLOCK)


def _lattice(layer: Layer) -> tuple[float, float, float, float]:
    """Return pixel sizes and the upper left corner of a layer; of rotated ones the sizes alone."""
    assert layer.transform is not None
    a, b, c, d, e, f = layer.transform
    if b == d == 0 and a > 0 > e:
        return a, -e, c, f
    size_x, size_y = math.hypot(a, d), math.hypot(b, e)
    bounds = layer.bounds or (c, f, c, f)
    return size_x, size_y, bounds[0], bounds[3]


def _known_bounds(layers: Sequence[Layer], systems: dict[str | None, str], crs: str) -> list[Bounds]:
    """Return the bounds that layers tell, in `crs`."""
    told = {(systems[layer.crs], layer.bounds) for layer in layers if layer.bounds is not None}
    return [_moved(bounds, source, crs) for source, bounds in told if bounds is not None]


def _outlines(outlines: Sequence[Bounds], layers: Sequence[Layer], crs: str) -> list[Bounds]:
    if all(layer.shape is not None for layer in layers):
        return []
    return [_moved(outline, "EPSG:4326", crs) for outline in outlines]


def _moved(bounds: Bounds, source: str, target: str) -> Bounds:
    if source == target:
        return bounds
    return transformed_bounds(bounds, source, target)


def _union(parts: Sequence[Bounds]) -> Bounds:
    finite = [part for part in parts if np.isfinite(part).all()]
    if not finite:
        raise invalid("url", "the items do not say what area they cover.", "load_stac")
    west, south, east, north = zip(*finite, strict=True)
    return (min(west), min(south), max(east), max(north))


def _cut(bounds: Bounds, bbox: Bbox | None, crs: str, pad: tuple[float, float]) -> Bounds:
    """Return the part of bounds that lies near a bounding box; all of it where they do not meet."""
    if bbox is None:
        return bounds
    source = pyproj.CRS(bbox.crs)
    near = bounds if source.equals(pyproj.CRS(crs)) else transformed_bounds(bounds, crs, bbox.crs)
    wide = 1.0 if source.is_geographic else 100_000.0
    clipped = (
        max(bbox.west, near[0] - wide),
        max(bbox.south, near[1] - wide),
        min(bbox.east, near[2] + wide),
        min(bbox.north, near[3] + wide),
    )
    if clipped[0] >= clipped[2] or clipped[1] >= clipped[3]:
        return bounds
    box = transformed_bounds(clipped, bbox.crs, crs)
    cut = (
        max(bounds[0], box[0] - pad[0]),
        max(bounds[1], box[1] - pad[1]),
        min(bounds[2], box[2] + pad[0]),
        min(bounds[3], box[3] + pad[1]),
    )
    return cut if np.isfinite(cut).all() and cut[0] < cut[2] and cut[1] < cut[3] else bounds


def _span(low: float, high: float, step: float) -> tuple[int, int]:
    """Return first and last pixel (exclusive) between two distances from the lattice's origin."""
    first = math.floor(low / step + 1e-6)
    return first, max(math.ceil(high / step - 1e-6), first + 1)


def _centres(span: tuple[int, int]) -> NDArray[np.float64]:
    return np.arange(span[0], span[1], dtype=np.float64) + 0.5
