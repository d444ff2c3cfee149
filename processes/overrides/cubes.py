"""Dimensions and labels of cubes: added, dropped, renamed, listed; and the NDVI, which drops one."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import xarray as xr
from dask.base import compute

from processes.errors import OpenEOError
from processes.overrides.math import normalized_difference
from processes.sources import parse_instant

BANDS = "bands"
_TYPES = ("spatial", "temporal", "bands", "geometry", "other")
# Coordinates along the bands that may hold their common names.
_COMMON_NAMES = ("common_name", "eo:common_name")


def create_data_cube() -> xr.DataArray:
    """Create a data cube without dimensions; `add_dimension` adds some."""
    return xr.DataArray(np.float32(np.nan))


def add_dimension(data: xr.DataArray, name: str, label: float | str, type: str = "other") -> xr.DataArray:
    """Add a new named dimension with one label to the data cube.

    Parameters
    ----------
    data : xr.DataArray
    name : str
        DimensionExists when there is one of that name.
    label : str or number
        A date as the label of a temporal dimension becomes a point in time.
    type : str
        spatial, temporal, bands, geometry or other.

    Returns
    -------
    xr.DataArray
        Time comes first, everything else before the spatial dimensions.
    """
    require_cube(data, "data", "add_dimension")
    if name in data.dims:
        raise _exists(name, data)
    if type not in _TYPES:
        raise invalid("type", "add_dimension", f"{type!r} is none of {', '.join(_TYPES)}.")
    if type == "spatial" and {"x", "y", "z"} <= set(data.dims):
        raise OpenEOError("DimensionExists", "The cube has spatial dimensions for all the axes x, y and z already.")
    labels = [parse_instant(label, "label", "add_dimension")] if type == "temporal" else [label]
    first = [d for d, size in enumerate(data.dims) if size in ("y", "x")]
    position = 0 if type == "temporal" else min(first, default=data.ndim)
    added = data.drop_vars(name, errors="ignore").expand_dims({name: labels_array(labels)}, axis=position)
    if type in ("temporal", "bands"):
        added[name].attrs["type"] = type
    return added


def drop_dimension(data: xr.DataArray, name: str) -> xr.DataArray:
    """Drop a dimension that has a single label left; DimensionLabelCountMismatch when it has more."""
    require_dimension(data, name, "drop_dimension", "name")
    if data.sizes[name] != 1:
        raise OpenEOError(
            "DimensionLabelCountMismatch",
            f"The dimension '{name}' has {data.sizes[name]} labels; only one with a single label can be dropped. "
            "Filter it down to one label, or use reduce_dimension.",
        )
    return data.isel({name: 0}, drop=True)


def rename_dimension(data: xr.DataArray, source: str, target: str) -> xr.DataArray:
    """Rename a dimension in the data cube while preserving all other properties."""
    require_dimension(data, source, "rename_dimension", "source")
    if target in data.dims:
        raise _exists(target, data)
    return data.drop_vars(target, errors="ignore").rename({source: target})


def rename_labels(
    data: xr.DataArray, dimension: str, target: Sequence[Any] = (), source: Sequence[Any] = ()
) -> xr.DataArray:
    """Rename the labels of the dimension from `source` to `target`; order and data stay.

    Parameters
    ----------
    data : xr.DataArray
    dimension : str
    target : list of str or number
        The new names. When it is empty, `source` holds them.
    source : list of str or number
        The names to replace. When it is empty, the labels must be enumerated (0, 1, 2, ...): `target` names the
        first of them.

    Raises
    ------
    OpenEOError
        LabelsNotEnumerated, LabelMismatch, LabelNotAvailable; LabelExists when a target is the name of a label that
        is not renamed itself.
    """
    require_dimension(data, dimension, "rename_labels", "dimension")
    labels = labels_of(data, dimension)
    new, old = (list(target), list(source)) if target else (list(source), [])
    if not old:
        if labels != list(range(len(labels))):
            raise OpenEOError(
                "LabelsNotEnumerated",
                f"The labels of '{dimension}' are not enumerated: {_listed(labels)}. Pass those to rename as 'source'.",
            )
        old = labels[: len(new)]
    _check_renaming(labels, old, new, dimension)
    renamed = dict(zip(old, new, strict=True))
    values = labels_array([renamed.get(label, label) for label in labels])
    return data.assign_coords({dimension: (dimension, values, data[dimension].attrs)})


def dimension_labels(data: xr.DataArray, dimension: str) -> list[Any]:
    """Give all labels for a dimension in the data cube, in its order; dates as text (RFC 3339)."""
    require_dimension(data, dimension, "dimension_labels", "dimension")
    return labels_of(data, dimension)


def ndvi(data: xr.DataArray, nir: str = "nir", red: str = "red", target_band: str | None = None) -> xr.DataArray:
    """Compute the Normalized Difference Vegetation Index, ``(nir - red) / (nir + red)``.

    Parameters
    ----------
    data : xr.DataArray
        A cube with bands.
    nir, red : str
        Names or common names of the two bands.
    target_band : str, optional
        Adds the index as a band of this name; without it, the dimension of the bands is dropped.

    Raises
    ------
    OpenEOError
        DimensionAmbiguous, NirBandAmbiguous, RedBandAmbiguous, BandExists.
    """
    require_cube(data, "data", "ndvi")
    dimension = band_dimension(data)
    if dimension is None:
        raise OpenEOError("DimensionAmbiguous", f"The cube has no dimension of bands; it has {_listed(data.dims)}.")
    first, second = _one_band(data, dimension, nir, "nir"), _one_band(data, dimension, red, "red")
    index = first.copy(data=normalized_difference(first.data, second.data))
    if target_band is None:
        return index
    if target_band in data[dimension].values:
        message = (
            f"A band '{target_band}' exists; choose another target_band than {_listed(labels_of(data, dimension))}."
        )
        raise OpenEOError("BandExists", message)
    added = index.expand_dims({dimension: np.array([target_band])}, axis=data.get_axis_num(dimension))
    spare = [name for name, c in data.coords.items() if name != dimension and dimension in c.dims]
    return xr.concat([data.drop_vars(spare), added], dim=dimension, join="exact", combine_attrs="override")


def trim_cube(data: xr.DataArray) -> xr.DataArray:
    """Remove the labels that hold nothing but no data.

    Regular dimensions (x, y) lose them at both ends only, others in the middle as well. What holds data is known
    from the data alone, so this computes (and keeps only one boolean per label).
    """
    require_cube(data, "data", "trim_cube")
    valid = data.notnull()
    held = [valid.any([other for other in data.dims if other != d]).data for d in data.dims]
    kept = {}
    evaluated: Any = compute  # untyped
    for dimension, there in zip(data.dims, evaluated(*held), strict=True):
        positions = np.flatnonzero(there)
        if dimension in ("x", "y") and len(positions):
            positions = np.arange(positions[0], positions[-1] + 1)
        kept[dimension] = positions
    return data.isel(kept)


def band_dimension(data: xr.DataArray) -> str | None:
    """Return the name of the dimension of bands, None where there is none."""
    named = [str(d) for d in data.dims if d == BANDS or (d in data.coords and data[d].attrs.get("type") == BANDS)]
    return BANDS if BANDS in named else named[0] if named else None


def band_positions(data: xr.DataArray, dimension: str, name: str) -> list[int]:
    """Return where the band of that name is; else where the bands with that common name are."""
    labels = data[dimension].to_numpy().tolist()
    if name in labels:
        return [labels.index(name)]
    for coordinate in _COMMON_NAMES:
        if coordinate in data.coords and data[coordinate].dims == (dimension,):
            return np.flatnonzero(data[coordinate].to_numpy() == name).tolist()
    return []


def labels_of(data: xr.DataArray, dimension: str) -> list[Any]:
    """Return the labels as text and numbers; 0, 1, 2, ... where there are none."""
    values = data[dimension].to_numpy()
    return [_instant_text(value) for value in values] if values.dtype.kind == "M" else values.tolist()


def labels_array(labels: Sequence[Any]) -> Any:
    """Return labels as an array of their common type; of objects where they are mixed."""
    kinds = {str if isinstance(label, str) else type(label) for label in labels}
    return np.array(labels) if len(kinds) < 2 or str not in kinds else np.array(labels, dtype=object)


def require_cube(data: Any, parameter: str, process: str) -> None:
    """Raise ProcessParameterInvalid unless `data` is a raster cube."""
    if not isinstance(data, xr.DataArray):
        raise invalid(parameter, process, f"it must be a data cube, not {type(data).__name__}.")


def require_dimension(data: Any, name: str, process: str, parameter: str) -> None:
    """Raise DimensionNotAvailable unless the cube `data` has that dimension."""
    require_cube(data, "data", process)
    if name not in data.dims:
        raise OpenEOError(
            "DimensionNotAvailable",
            f"There is no dimension '{name}' (parameter '{parameter}' of '{process}'); there are {_listed(data.dims)}.",
        )


def invalid(parameter: str, process: str, reason: str) -> OpenEOError:
    """Return the error for a parameter value that cannot be used."""
    message = f"The value passed for parameter '{parameter}' in process '{process}' is invalid: {reason}"
    return OpenEOError("ProcessParameterInvalid", message)


def _one_band(data: xr.DataArray, dimension: str, name: str, which: str) -> xr.DataArray:
    found = band_positions(data, dimension, name)
    if len(found) == 1:
        return data.isel({dimension: found[0]}, drop=True)
    raise OpenEOError(
        "NirBandAmbiguous" if which == "nir" else "RedBandAmbiguous",
        f"The {which} band can't be resolved: {len(found)} bands are named '{name}'. Pass the band's name as "
        f"'{which}'; the cube has {_listed(labels_of(data, dimension))}.",
    )


def _check_renaming(labels: list[Any], old: list[Any], new: list[Any], dimension: str) -> None:
    if len(old) != len(new):
        message = f"The number of labels in the parameters `source` ({len(old)}) and `target` ({len(new)}) don't match."
        raise OpenEOError("LabelMismatch", message)
    unknown = [label for label in old if label not in labels]
    if unknown:
        message = f"The dimension '{dimension}' has no label {_listed(unknown)}; it has {_listed(labels)}."
        raise OpenEOError("LabelNotAvailable", message)
    kept = [label for label in labels if label not in old]
    taken = [label for i, label in enumerate(new) if label in kept or label in new[:i]]
    if taken:
        message = f"The dimension '{dimension}' would have two labels {_listed(taken)}; choose other target labels."
        raise OpenEOError("LabelExists", message)


def _exists(name: str, data: xr.DataArray) -> OpenEOError:
    return OpenEOError("DimensionExists", f"A dimension '{name}' exists; the cube has {_listed(data.dims)}.")


def _instant_text(value: np.datetime64) -> str:
    whole = value == value.astype("datetime64[s]")
    return str(np.datetime_as_string(value, unit="s" if whole else "ms")) + "Z"


def _listed(names: Any) -> str:
    shown = [str(name) for name in names]
    return ", ".join(shown[:20]) + (", ..." if len(shown) > 20 else "") if shown else "none"
