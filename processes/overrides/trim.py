"""`trim_cube`. Which labels it removes is known only when the values are, so it is done when a result is saved."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any

import dask
import numpy as np
import xarray as xr
from numpy.typing import NDArray

from processes.errors import OpenEOError
from processes.overrides._dims import labels_of, require_cube
from processes.save import SaveRequest
from processes.save import save_result as save_untrimmed


@dataclass(frozen=True, eq=False)
class TrimmedResult(SaveRequest):
    """A lazy cube that is trimmed as soon as it has been computed, just before it is written."""

    def finish(self, computed: Any) -> Any:
        """Return the computed cube without its empty labels."""
        return trimmed(super().finish(computed))


def trim_cube(data: xr.DataArray) -> xr.DataArray | TrimmedResult:
    """Remove the labels under which there is nothing but no data.

    "If the dimension is irregular categorical then dimension labels in the middle can be removed": evenly spaced
    numbers and dates are trimmed at their ends only.

    Parameters
    ----------
    data : xr.DataArray

    Returns
    -------
    xr.DataArray or TrimmedResult
        The cube itself where its type has no no-data value; a promise, which only `save_result` takes, for a lazy
        cube: nothing computes while a graph is built.

    Raises
    ------
    OpenEOError
        DataCubeEmpty when there are no values at all; for lazy cubes when they are saved.
    """
    cube = require_cube(data, "trim_cube")
    if cube.dtype.kind in "iub":
        return cube
    if not dask.is_dask_collection(cube.data):
        return trimmed(cube)
    return TrimmedResult(cube, "GTiff" if {"x", "y"} <= set(cube.dims) else "JSON")


def save_result(data: Any, format: str, options: Mapping[str, Any] | None = None) -> SaveRequest:
    """Make the processed data available in a file format, trimmed if it comes from ``trim_cube``.

    See `processes.save.save_result`.
    """
    if not isinstance(data, TrimmedResult):
        return save_untrimmed(data, format, options)
    request = save_untrimmed(data.data, format, options)
    return replace(data, format=request.format, options=request.options)


def trimmed(cube: xr.DataArray) -> xr.DataArray:
    """Return a cube in memory without labels that hold no data only; DataCubeEmpty if that were all."""
    valid = cube.notnull()
    if not valid.any():
        message = "The cube that 'trim_cube' got holds nothing but no data; choose a larger extent, or mask less of it."
        raise OpenEOError("DataCubeEmpty", message)
    kept = {}
    for dim in map(str, cube.dims):
        some = np.flatnonzero(valid.any([d for d in cube.dims if d != dim]).to_numpy())
        kept[dim] = slice(some[0], some[-1] + 1) if _is_regular(labels_of(cube, dim)) else some
    return cube.isel(kept)


def _is_regular(labels: NDArray[Any]) -> bool:
    """Tell whether labels are numbers or dates at even distances, so that none in the middle may lack."""
    if labels.dtype.kind not in "iufM":
        return False
    steps = np.diff(labels).astype(float)
    return len(steps) == 0 or bool(np.allclose(steps, steps[0]))
