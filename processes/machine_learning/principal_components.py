"""`principal_components`: the few numbers that keep most of what differs between pixels."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import dask
import dask.array
import numpy as np
import xarray as xr
from numpy.typing import NDArray

from processes.errors import invalid
from processes.machine_learning._pixels import complete_rows, feature_blocks
from processes.overrides._dims import rebuild, require_cube, require_dimension

PROCESS = "principal_components"

da: Any = dask.array


@dataclass(frozen=True)
class Moments:
    """Of n rows: their mean (features,) and the sum of products of deviations from it (features, features)."""

    count: int
    mean: NDArray[np.float64]
    products: NDArray[np.float64]


@dataclass(frozen=True)
class Axes:
    """Where the components lie: their origin (features,) and directions (features, n)."""

    mean: NDArray[np.float64]
    directions: NDArray[np.float64]


def principal_components(
    data: xr.DataArray, n: int = 3, dimension: str = "bands", standardize: bool = False
) -> xr.DataArray:
    """Replace the features along a dimension by their first principal components over all other dimensions.

    Parameters
    ----------
    data : xr.DataArray
    n : int
        Components to keep, from the largest variance to the smallest.
    dimension : str
        Along which the features lie.
    standardize : bool
        Whether each component is divided by its standard deviation.

    Returns
    -------
    xr.DataArray
        Lazy float32 with the labels ``PC1``, ``PC2``, ... along `dimension`; NaN where a feature is missing. The
        largest weight of each component is positive. Mean and covariance are those of all complete pixels, merged
        block by block, so that chunks change nothing beyond rounding.

    Raises
    ------
    OpenEOError
        DimensionNotAvailable, ProcessParameterInvalid.
    """
    cube = require_cube(data, PROCESS)
    name = require_dimension(cube, dimension, PROCESS)
    if not 1 <= n <= cube.sizes[name]:
        raise invalid("n", PROCESS, f"{n} is not between 1 and {cube.sizes[name]}, the number of labels of '{name}'")
    values, rest = feature_blocks(cube, name)
    projected = da.map_blocks(
        project,
        values,
        _axes(values, int(n), bool(standardize)),
        dtype=np.float32,
        chunks=(*values.chunks[:-1], (int(n),)),
        meta=np.empty((0,) * values.ndim, np.float32),
    )
    labels = [f"PC{i + 1}" for i in range(int(n))]
    result = rebuild(cube.transpose(*rest, name), projected, [*rest, name], {name: labels}).rename(None)
    result.attrs = {}
    if "type" in cube[name].attrs:
        result[name].attrs["type"] = cube[name].attrs["type"]
    return result.transpose(*cube.dims)


def _axes(values: Any, n: int, standardize: bool) -> Any:
    """Return the task that finds the components of lazy values (..., features)."""
    measure, merge = dask.delayed(moments, pure=True), dask.delayed(merged, pure=True)
    parts = [measure(block) for block in values.to_delayed().ravel()]
    while len(parts) > 1:
        parts = [merge(parts[i : i + 16]) for i in range(0, len(parts), 16)]
    return dask.delayed(find_axes, pure=True)(parts[0], n, standardize)


def moments(block: NDArray[Any]) -> Moments:
    """Return count, mean and products of the complete rows of a block (..., features)."""
    rows = complete_rows(block)
    features = rows.shape[1]
    if not len(rows):
        return Moments(0, np.zeros(features), np.zeros((features, features)))
    mean = rows.mean(axis=0)
    return Moments(len(rows), mean, (rows - mean).T @ (rows - mean))


def merged(parts: list[Moments]) -> Moments:
    """Return the moments of all rows together, after Chan, Golub and LeVeque (1983): no large numbers cancel."""
    total = parts[0]
    for part in parts[1:]:
        count = total.count + part.count
        if count:
            apart = part.mean - total.mean
            mean = total.mean + apart * (part.count / count)
            between = np.outer(apart, apart) * (total.count * part.count / count)
            total = Moments(count, mean, total.products + part.products + between)
    return total


def find_axes(of: Moments, n: int, standardize: bool) -> Axes:
    """Return the directions of the largest variances, their largest weight positive."""
    variances, vectors = np.linalg.eigh(of.products / max(of.count - 1, 1))
    first = np.argsort(-variances, kind="stable")[:n]
    directions = vectors[:, first]
    directions = directions * np.sign(directions[np.abs(directions).argmax(axis=0), np.arange(n)])
    if standardize:
        # A component without variance is 0 everywhere, not noise blown up.
        kept = variances[first] > np.finfo(np.float64).eps * max(variances.max(), 0) * len(variances)
        deviations = np.where(kept, np.sqrt(np.where(kept, variances[first], 1)), np.inf)
        directions = directions / deviations
    return Axes(of.mean, directions)


def project(values: NDArray[Any], axes: Axes) -> NDArray[np.float32]:
    """Return the components (..., n) of a block (..., features)."""
    with np.errstate(invalid="ignore"):  # infinite numbers are missing, too
        projected = ((np.asarray(values, np.float64) - axes.mean) @ axes.directions).astype(np.float32)
    # A missing feature is missing in every component, also where a weight is 0.
    missing = ~np.isfinite(values).all(axis=-1, keepdims=True)
    return np.where(missing, np.float32(np.nan), projected)
