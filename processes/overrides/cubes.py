"""Dimensions and labels of cubes: added, dropped, renamed, listed; and the NDVI, which drops one."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import xarray as xr
from numpy.typing import NDArray

from processes.errors import OpenEOError, invalid
from processes.overrides._dims import require_cube, require_dimension
from processes.overrides.math import normalized_difference
from processes.sources import BAND_COORDINATES, parse_instant

BANDS = "bands"
_TYPES = ("spatial", "temporal", "bands", "geometry", "other")


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
    require_cube(data, "add_dimension")
    if name in data.dims:
        raise _exists(name, data)
    if type not in _TYPES:
        raise invalid("type", "add_dimension", f"{type!r} is none of {', '.join(_TYPES)}.")
    if type == "spatial" and {"x", "y", "z"} <= set(data.dims):
        raise OpenEOError(
            "DimensionExists", "The cube has the spatial dimensions x, y and z already; choose another type."
        )
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
    require_dimension(data, dimension, "rename_labels")
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
    require_dimension(data, dimension, "dimension_labels")
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
    require_cube(data, "ndvi")
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
    further = [str(name) for name, c in data.coords.items() if name != dimension and dimension in c.dims]
    known = {name: (dimension, [BAND_COORDINATES[name]]) for name in further if name in BAND_COORDINATES}
    bare = data.drop_vars([name for name in further if name not in known])
    return xr.concat([bare, added.assign_coords(known)], dim=dimension, join="exact", combine_attrs="override")


def band_dimension(data: xr.DataArray) -> str | None:
    """Return the name of the dimension of bands, None where there is none."""
    named = [str(d) for d in data.dims if d == BANDS or (d in data.coords and data[d].attrs.get("type") == BANDS)]
    return BANDS if BANDS in named else named[0] if named else None


def band_positions(data: xr.DataArray, dimension: str, name: str) -> list[int]:
    """Return where the band of that name is; else where the bands with that common name are."""
    labels = data[dimension].to_numpy().tolist()
    if name in labels:
        return [labels.index(name)]
    known = band_coordinate(data, dimension, "common_name")
    return [] if known is None or not name else np.flatnonzero(known == name).tolist()


def band_coordinate(data: xr.DataArray, dimension: str, name: str) -> NDArray[Any] | None:
    """Return one of `BAND_COORDINATES`, (bands,); None where the cube does not have it."""
    if name not in data.coords or data[name].dims != (dimension,):
        return None
    return data[name].to_numpy()


def described_bands(data: xr.DataArray, dimension: str) -> str:
    """Return the bands' names for a message, common names in brackets."""
    labels = labels_of(data, dimension)
    known = band_coordinate(data, dimension, "common_name")
    names = [""] * len(labels) if known is None else known.tolist()
    return _listed(f"{label} ({name})" if name else label for label, name in zip(labels, names, strict=True))


def labels_of(data: xr.DataArray, dimension: str) -> list[Any]:
    """Return the labels as text and numbers; 0, 1, 2, ... where there are none."""
    values = data[dimension].to_numpy()
    return [_instant_text(value) for value in values] if values.dtype.kind == "M" else values.tolist()


def labels_array(labels: Sequence[Any]) -> Any:
    """Return labels as an array of their common type; of objects where they are mixed."""
    kinds = {str if isinstance(label, str) else type(label) for label in labels}
    return np.array(labels) if len(kinds) < 2 or str not in kinds else np.array(labels, dtype=object)


def _one_band(data: xr.DataArray, dimension: str, name: str, which: str) -> xr.DataArray:
    found = band_positions(data, dimension, name)
    if len(found) == 1:
        return data.isel({dimension: found[0]}, drop=True)
    raise OpenEOError(
        "NirBandAmbiguous" if which == "nir" else "RedBandAmbiguous",
        f"The {which} band can't be resolved: {len(found) or 'no'} bands have the name or common name '{name}'. Pass "
        f"the name of one as parameter '{which}' of 'ndvi'; the cube has {described_bands(data, dimension)}.",
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
