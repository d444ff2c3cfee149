"""What a process asks of a cube before it begins, with the errors that say what is wrong."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import xarray as xr

from processes.errors import OpenEOError

DIMENSIONS = ("t", "bands", "y", "x")


def require_dimensions(cube: xr.DataArray, parameter: str, process: str) -> None:
    """Raise DimensionMissing unless `cube` has x, y, t and bands and nothing else."""
    if not isinstance(cube, xr.DataArray):
        raise OpenEOError(
            "ProcessParameterInvalid",
            f"The value passed for parameter '{parameter}' in process '{process}' is invalid: it must be a raster "
            f"cube, not {type(cube).__name__}.",
        )
    missing = [d for d in DIMENSIONS if d not in cube.dims]
    if missing:
        raise OpenEOError(
            "DimensionMissing",
            f"The cube passed for parameter '{parameter}' of '{process}' lacks the dimension(s) {', '.join(missing)}; "
            f"it has {', '.join(map(str, cube.dims)) or 'none'}. Pass a cube with x, y, t and bands.",
        )
    extra = [str(d) for d in cube.dims if d not in DIMENSIONS]
    if extra:
        raise OpenEOError(
            "ProcessParameterInvalid",
            f"The cube passed for parameter '{parameter}' of '{process}' has the dimension(s) {', '.join(extra)} "
            f"beside x, y, t and bands. Reduce or drop them first.",
        )


def require_dates(cube: xr.DataArray, parameter: str, process: str) -> None:
    """Raise unless the labels of t are distinct dates."""
    if not np.issubdtype(cube["t"].dtype, np.datetime64):
        raise OpenEOError(
            "ProcessParameterInvalid",
            f"The labels of t in parameter '{parameter}' of '{process}' are no dates "
            f"({', '.join(map(str, cube['t'].values[:2]))}, ...). Pass a cube whose dates were not aggregated away.",
        )
    if len(np.unique(cube["t"].values)) != cube.sizes["t"]:
        raise OpenEOError(
            "ProcessParameterInvalid",
            f"Some dates of t in parameter '{parameter}' of '{process}' occur more than once. Mosaic them first.",
        )


def band_labels(cube: xr.DataArray) -> list[str]:
    """The labels of the bands as text."""
    return [str(label) for label in cube["bands"].values]


def missing_bands(cube: xr.DataArray, bands: Sequence[str]) -> list[str]:
    """Which of `bands` the cube lacks."""
    there = set(band_labels(cube))
    return [b for b in bands if b not in there]
