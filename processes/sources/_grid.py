"""The pixel grid of a collection: centres, CRS, and the window that a bounding box cuts out of it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np
import pyproj
import xarray as xr
from numpy.typing import NDArray

from processes.errors import OpenEOError
from processes.sources.extents import Bbox, crs_text, invalid, transformed_bounds

Bounds = tuple[float, float, float, float]
Span = tuple[int, int]


@dataclass(frozen=True)
class Window:
    """Rows and columns of a grid, each as (start, stop)."""

    rows: Span
    cols: Span


@dataclass(frozen=True, eq=False)
class Grid:
    """Pixel centres `x` (rising) and `y` (falling) in `crs`; `step` is the size of a pixel in x and y."""

    x: NDArray[np.float64]
    y: NDArray[np.float64]
    step: tuple[float, float]
    crs: str

    @classmethod
    def of(cls, x: Any, y: Any, crs: Any) -> Grid:
        """Return the grid of these centres; ValueError where they are not a regular north-up grid."""
        xs, ys = np.asarray(x, dtype=np.float64), np.asarray(y, dtype=np.float64)
        if xs.ndim != 1 or ys.ndim != 1 or max(len(xs), len(ys)) < 2:
            raise ValueError("x and y must be one-dimensional, and one of them longer than 1")
        dx, dy = _step(xs), -_step(ys)
        # A single row or column has no step of its own: its pixels are taken as square.
        step = (dx if len(xs) > 1 else dy, dy if len(ys) > 1 else dx)
        if min(step) <= 0:
            raise ValueError("x must rise and y must fall (north-up)")
        return cls(xs, ys, step, crs_text(pyproj.CRS.from_user_input(crs)))

    @cached_property
    def bounds(self) -> Bounds:
        """Return west, south, east, north: the outer edges of the outermost pixels."""
        half_x, half_y = self.step[0] / 2, self.step[1] / 2
        x, y = self.x, self.y
        return (float(x[0] - half_x), float(y[-1] - half_y), float(x[-1] + half_x), float(y[0] + half_y))

    def bounds_in(self, crs: str) -> Bounds:
        """Return the bounds of the grid in another CRS."""
        return transformed_bounds(self.bounds, self.crs, crs)

    @cached_property
    def epsg(self) -> int | None:
        """Return the EPSG code of the CRS, None where it has none."""
        return int(self.crs[5:]) if self.crs.startswith("EPSG:") else None

    @cached_property
    def longitude(self) -> float:
        """Return the longitude of the middle, in degrees."""
        west, south, east, north = self.bounds
        to_geographic = pyproj.Transformer.from_crs(self.crs, "EPSG:4326", always_xy=True)
        return float(to_geographic.transform((west + east) / 2, (south + north) / 2)[0])

    def window(self, bbox: Bbox | None, margin: int = 0) -> Window:
        """Return the pixels whose centres lie in `bbox`, edges included, and `margin` more on each side.

        `OpenEOError` NoDataAvailable when there is none. The margin ends where the grid ends.
        """
        if bbox is None:
            return Window((0, len(self.y)), (0, len(self.x)))
        bounds = self._bounds_here(bbox)
        cols = _inside(self.x, bounds[0], bounds[2])
        rows = _inside(-self.y, -bounds[3], -bounds[1])
        if cols[0] >= cols[1] or rows[0] >= rows[1]:
            raise self._outside(bbox)
        return Window(_widened(rows, margin, len(self.y)), _widened(cols, margin, len(self.x)))

    def spatial_ref(self) -> xr.Variable:
        """Return the CF grid mapping variable of the CRS.

        It names no GeoTransform: that would no longer hold after the cube is cropped.
        """
        crs = pyproj.CRS(self.crs)
        attributes = dict(crs.to_cf())
        attributes["spatial_ref"] = attributes["crs_wkt"]
        return xr.Variable((), np.int32(self.epsg or 0), attributes)

    def _bounds_here(self, bbox: Bbox) -> Bounds:
        near = self._neighbourhood(bbox.crs)
        clipped = (
            max(bbox.west, near[0]),
            max(bbox.south, near[1]),
            min(bbox.east, near[2]),
            min(bbox.north, near[3]),
        )
        if clipped[0] >= clipped[2] or clipped[1] >= clipped[3]:
            raise self._outside(bbox)
        bounds = transformed_bounds(clipped, bbox.crs, self.crs)
        if not np.isfinite(bounds).all():
            raise invalid("spatial_extent", f"{bbox} cannot be transformed to the collection's {self.crs}.")
        return bounds

    def _neighbourhood(self, crs: str) -> Bounds:
        """Return the bounds in `crs`, some hundred kilometres wider.

        A box is cut to it before it is transformed: map projections turn far-away corners (those of the whole
        world, say) into nonsense.
        """
        west, south, east, north = self.bounds_in(crs)
        if not np.isfinite((west, south, east, north)).all() or west > east:
            return (-np.inf, -np.inf, np.inf, np.inf)
        pad = 5.0 if pyproj.CRS(crs).is_geographic else 500_000.0
        return (west - pad, south - pad, east + pad, north + pad)

    def _outside(self, bbox: Bbox) -> OpenEOError:
        return OpenEOError(
            "NoDataAvailable",
            f"There is no data for the extent {describe_bounds(bbox.bounds)} (west, south, east, north in "
            f"{bbox.crs[:40]}) of parameter 'spatial_extent': the collection covers "
            f"{describe_bounds(self.bounds_in(bbox.crs))}, and no pixel's centre lies in both.",
        )


def describe_bounds(bounds: Sequence[float]) -> str:
    """Return bounds as text of readable length."""
    return "[" + ", ".join(f"{value:.9g}" for value in bounds) + "]"


def _step(centres: NDArray[np.float64]) -> float:
    if len(centres) < 2:
        return 0.0
    step = float(centres[-1] - centres[0]) / (len(centres) - 1)
    if not np.allclose(np.diff(centres), step, rtol=1e-3, atol=0):
        raise ValueError("x and y must be evenly spaced")
    return step


def _inside(rising: NDArray[np.float64], low: float, high: float) -> Span:
    return (int(np.searchsorted(rising, low, "left")), int(np.searchsorted(rising, high, "right")))


def _widened(span: Span, margin: int, size: int) -> Span:
    return (max(span[0] - margin, 0), min(span[1] + margin, size))
