"""Several dimensions made one, and one made several. Lazy."""

from __future__ import annotations

import math
from collections.abc import Sequence
from itertools import product

import xarray as xr

from processes.errors import OpenEOError, invalid
from processes.overrides._dims import X_NAMES, Y_NAMES, rebuild, require_cube, require_dimension
from processes.overrides.cubes import labels_of

# Labels are texts in memory, one for each combination.
_MOST_LABELS = 1_000_000


def flatten_dimensions(
    data: xr.DataArray, dimensions: Sequence[str], target_dimension: str, label_separator: str = "~"
) -> xr.DataArray:
    """Combine dimensions into one, whose labels are theirs joined by the separator; the last varies fastest.

    Parameters
    ----------
    data : xr.DataArray
    dimensions : list of str
        In the order in which labels and values are combined.
    target_dimension : str
        The new dimension; it stands where the first of `dimensions` stood.
    label_separator : str
        Not part of any label, if the dimensions are to be had back.

    Raises
    ------
    OpenEOError
        DimensionNotAvailable, TargetDimensionExists, ProcessParameterInvalid.
    """
    cube = require_cube(data, "flatten_dimensions")
    names = [require_dimension(cube, name, "flatten_dimensions", "dimensions") for name in dimensions]
    if not names or len(set(names)) != len(names):
        raise invalid("dimensions", "flatten_dimensions", "it must name at least one dimension, and each only once")
    _refuse_existing(cube, target_dimension, "target_dimension", "flatten_dimensions")
    count = math.prod(cube.sizes[name] for name in names)
    if count > _MOST_LABELS:
        reason = f"it would have {count} labels, more than {_MOST_LABELS}; filter the cube first"
        raise invalid("dimensions", "flatten_dimensions", reason)
    labels = [label_separator.join(parts) for parts in product(*([str(x) for x in labels_of(cube, d)] for d in names))]
    order = [target_dimension if d == names[0] else str(d) for d in cube.dims if d == names[0] or d not in names]
    values = cube.variable.stack({target_dimension: names}).transpose(*order)
    return _rebuilt(cube, values, {target_dimension: labels})


def unflatten_dimension(
    data: xr.DataArray, dimension: str, target_dimensions: Sequence[str], label_separator: str = "~"
) -> xr.DataArray:
    """Split a dimension into several, along which its labels are taken apart at the separator.

    Parameters
    ----------
    data : xr.DataArray
        Each combination of the parts must be the label of one element, in any order.
    dimension : str
    target_dimensions : list of str
        The new dimensions, two or more, in the order of the parts; they stand where `dimension` stood. Their labels
        are texts, in the order in which they first appear.
    label_separator : str

    Raises
    ------
    OpenEOError
        DimensionNotAvailable, TargetDimensionExists, ProcessParameterInvalid.
    """
    cube = require_cube(data, "unflatten_dimension")
    dimension = require_dimension(cube, dimension, "unflatten_dimension")
    targets = list(target_dimensions)
    if len(targets) < 2 or len(set(targets)) != len(targets):
        raise invalid("target_dimensions", "unflatten_dimension", "it must name two or more different dimensions")
    for name in targets:
        _refuse_existing(cube, name, "target_dimensions", "unflatten_dimension")
    parts = [_parts(label, label_separator, len(targets)) for label in labels_of(cube, dimension)]
    labels = {name: list(dict.fromkeys(column)) for name, column in zip(targets, zip(*parts, strict=True), strict=True)}
    positions = _positions(parts, list(labels.values()), dimension)
    ordered = cube.variable if positions == sorted(positions) else cube.variable.isel({dimension: positions})
    order = [name for d in cube.dims for name in (targets if d == dimension else [str(d)])]
    values = ordered.unstack({dimension: {name: len(there) for name, there in labels.items()}}).transpose(*order)
    return _rebuilt(cube, values, labels)


def _refuse_existing(cube: xr.DataArray, name: str, parameter: str, process: str) -> None:
    if name in cube.dims:
        there = ", ".join(map(str, cube.dims))
        message = f"There is a dimension '{name}' already (parameter '{parameter}' of '{process}'); not {there}."
        raise OpenEOError("TargetDimensionExists", message)


def _rebuilt(cube: xr.DataArray, values: xr.Variable, labels: dict[str, list[str]]) -> xr.DataArray:
    """Return a cube with new dimensions; a reference system goes when x or y goes."""
    bare = cube.drop_vars(list(labels), errors="ignore")
    result = rebuild(bare, values.data, map(str, values.dims), labels)
    if (set(cube.dims) - set(values.dims)) & {*X_NAMES, *Y_NAMES}:
        result.encoding.pop("grid_mapping", None)
        result = result.drop_vars("spatial_ref", errors="ignore")
    return result


def _parts(label: object, separator: str, count: int) -> tuple[str, ...]:
    parts = tuple(str(label).split(separator))
    if len(parts) != count:
        reason = (
            f"the label '{label}' has {len(parts)} parts between '{separator}', but there are {count} target "
            "dimensions; name as many dimensions, or set 'label_separator'"
        )
        raise invalid("target_dimensions", "unflatten_dimension", reason)
    return parts


def _positions(parts: list[tuple[str, ...]], labels: list[list[str]], dimension: str) -> list[int]:
    """Return where the elements are, in the order of the combinations of labels."""
    place = {combination: i for i, combination in enumerate(parts)}
    if len(place) != len(parts) or len(place) != math.prod(map(len, labels)):
        lacking = next((c for c in product(*labels) if c not in place), None)
        what = "some label is there twice" if lacking is None else f"there is no label for {' and '.join(lacking)}"
        reason = f"'{dimension}' does not hold every combination of its labels' parts exactly once: {what}"
        raise invalid("data", "unflatten_dimension", reason)
    return [place[combination] for combination in product(*labels)]
