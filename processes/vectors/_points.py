"""Sampled points as a vector cube: grouped by the geometry they come from, or each on its own."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import shapely
import xarray as xr
from numpy.typing import NDArray

from processes.vectors.cubes import with_shapes

Samples = Sequence[NDArray[np.float64]]


def points_cube(cube: xr.DataArray, dimension: str, samples: Samples, group: bool) -> xr.DataArray:
    """Return the samples with the values and properties of the geometries they come from.

    Parameters
    ----------
    cube : vector cube
    dimension : str
    samples : n arrays (points, 2)
        Per geometry; none for an empty one, which is passed through.
    group : bool
        One MultiPoint per geometry, else one label per point, without the geometries' identifiers.
    """
    if group:
        return with_shapes(cube, dimension, [shapely.MultiPoint(points) for points in samples])
    shapes: list[Any] = []
    origin: list[int] = []
    for index, points in enumerate(samples):
        found = list(shapely.points(points)) if len(points) else [cube[dimension].to_numpy()[index]]
        shapes += found
        origin += [index] * len(found)
    spread = cube.isel({dimension: origin})
    return with_shapes(spread.drop_vars("id", errors="ignore"), dimension, shapes)
