"""`merge_cubes`: two cubes become one; labels are joined, and overlaps are resolved. Lazy."""

from __future__ import annotations

from collections.abc import Callable, Hashable, Mapping
from typing import Any

import numpy as np
import odc.geo.xr  # noqa: F401  (cubes answer `.odc`)
import pyproj
import xarray as xr

from processes.errors import OpenEOError
from processes.overrides._dims import require_cube
from processes.overrides.cubes import labels_array, labels_of
from processes.sources import BAND_COORDINATES
from processes.sources.extents import crs_text

_SPATIAL = ("y", "x")
# Centres that differ by less of a pixel are the same.
_NOISE = 1e-3
Labels = dict[str, list[Any]]


def merge_cubes(
    cube1: xr.DataArray,
    cube2: xr.DataArray,
    overlap_resolver: Callable[..., Any] | None = None,
    context: Any = None,
) -> xr.DataArray:
    """Merge two compatible data cubes.

    Parameters
    ----------
    cube1 : xr.DataArray
        The base. Labels of dimensions without an order of their own (bands) come first.
    cube2 : xr.DataArray
        Has the dimensions of `cube1`, or lacks some: it is then merged with each of their labels (and the other way
        round). Its pixels must be those of the grid of `cube1`.
    overlap_resolver : callback, optional
        Gets the two values of cells that both cubes have: those whose labels overlap in *all* dimensions.
    context : Any
        Passed on to the resolver.

    Returns
    -------
    xr.DataArray
        All labels of both cubes; no data (NaN) in cells that neither of them has.

    Raises
    ------
    OpenEOError
        OverlapResolverMissing; IncompatibleDataCubes for different dimensions, grids, or kinds of labels.
    """
    require_cube(cube1, "merge_cubes", "cube1")
    require_cube(cube2, "merge_cubes", "cube2")
    _check_dimensions(cube1, cube2)
    _check_crs(cube1, cube2)
    first, second = _bare(cube1), _snapped(_bare(cube2), cube1)
    first, second = _complete(first, second), _complete(second, first)
    second = second.transpose(*first.dims)
    _check_labels(first, second)
    ours, theirs = _labels(first), _labels(second)
    merged = _labels_joined(first, second)
    apart = [d for d in ours if not set(ours[d]) & set(theirs[d])]
    if apart:
        result = _side_by_side(first, second, merged, "bands" if "bands" in apart else apart[0])
    else:
        result = _resolved(first, second, merged, _checked(overlap_resolver, ours, theirs), context)
    return _dressed(result, cube1, cube2)


def _check_dimensions(cube1: xr.DataArray, cube2: xr.DataArray) -> None:
    one, two = set(cube1.dims), set(cube2.dims)
    if not one <= two and not two <= one:
        raise _incompatible(
            f"cube1 has the dimensions {_listed(cube1.dims)}, cube2 {_listed(cube2.dims)}; one must have all "
            "dimensions of the other. Use add_dimension, drop_dimension or rename_dimension."
        )


def _check_crs(cube1: xr.DataArray, cube2: xr.DataArray) -> None:
    crs, other = cube1.odc.crs, cube2.odc.crs
    if crs is not None and other is not None and crs != other:
        names = [crs_text(pyproj.CRS(str(one)))[:60] for one in (crs, other)]
        raise _other_grid(f"cube1 is in {names[0]}, cube2 in {names[1]}")


def _check_labels(first: xr.DataArray, second: xr.DataArray) -> None:
    for name in first.dims:
        kinds = [cube[name].dtype.kind for cube in (first, second)]
        if (kinds[0] == "M") != (kinds[1] == "M"):
            raise _incompatible(f"the labels of '{name}' are dates in one cube only; use rename_labels.")
        for which, cube in (("cube1", first), ("cube2", second)):
            if len(set(labels_of(cube, str(name)))) != cube.sizes[name]:
                raise _incompatible(f"some labels of '{name}' occur more than once in {which}; aggregate them first.")


def _bare(cube: xr.DataArray) -> xr.DataArray:
    """Return the cube with a coordinate for each dimension, and no others."""
    cube = cube.drop_vars([name for name in cube.coords if name not in cube.dims])
    return cube.assign_coords({d: np.arange(cube.sizes[d]) for d in cube.dims if d not in cube.coords})


def _snapped(cube: xr.DataArray, base: xr.DataArray) -> xr.DataArray:
    """Return `cube` with the pixel centres of the grid of `base`; IncompatibleDataCubes when it has another grid."""
    for axis in _SPATIAL:
        if axis not in cube.dims or axis not in base.dims:
            continue
        ours, theirs = base[axis].to_numpy(), cube[axis].to_numpy()
        if np.array_equal(ours, theirs):
            continue
        steps = [_step(values) for values in (ours, theirs) if len(values) > 1]
        step = steps[0] if steps else 1.0
        offset = (theirs - ours[0]) / step
        if any(abs(s - step) > abs(step) * _NOISE for s in steps) or np.abs(offset - np.round(offset)).max() > _NOISE:
            raise _other_grid(f"{axis} of cube1 is {_span(ours)}, {axis} of cube2 {_span(theirs)}")
        known = {round((value - ours[0]) / step): value for value in ours.tolist()}
        places = np.round(offset).astype(int).tolist()
        cube = cube.assign_coords({axis: np.array([known.get(i, ours[0] + i * step) for i in places])})
    return cube


def _complete(cube: xr.DataArray, other: xr.DataArray) -> xr.DataArray:
    """Return the cube repeated for each label of the dimensions that only the other cube has."""
    lacking = {d: other[d].to_numpy() for d in other.dims if d not in cube.dims}
    return cube.expand_dims(lacking).transpose(*other.dims) if lacking else cube


def _labels(cube: xr.DataArray) -> Labels:
    return {str(d): cube[d].to_numpy().tolist() for d in cube.dims}


def _labels_joined(first: xr.DataArray, second: xr.DataArray) -> dict[Hashable, Any]:
    """Return the labels of the result: sorted where they have an order, else those of cube1, then the new ones."""
    joined: dict[Hashable, Any] = {}
    for name in first.dims:
        ours, theirs = first[name].to_numpy(), second[name].to_numpy()
        known = set(ours.tolist())
        new = np.array([value not in known for value in theirs.tolist()], dtype=bool)
        if not new.any():
            joined[name] = ours
        elif name in _SPATIAL or ours.dtype.kind == "M":
            rising = np.unique(np.concatenate([ours, theirs]))
            joined[name] = rising if not _falls(name, ours, theirs) else rising[::-1]
        else:
            joined[name] = labels_array([*ours.tolist(), *theirs[new].tolist()])
    return joined


def _falls(name: Hashable, ours: Any, theirs: Any) -> bool:
    """Whether labels go down: as those of the cubes do; y, where neither cube has two, does."""
    longer = ours if len(ours) > 1 else theirs
    return bool(longer[0] > longer[-1]) if len(longer) > 1 else name == "y"


def _side_by_side(
    first: xr.DataArray, second: xr.DataArray, merged: Mapping[Hashable, Any], dimension: str
) -> xr.DataArray:
    """Join cubes whose labels are disjoint in `dimension`."""
    others = {d: labels for d, labels in merged.items() if d != dimension}
    parts = [_at(cube, others) for cube in (first, second)]
    joined = xr.concat(
        parts, dim=dimension, join="exact", coords="minimal", compat="override", combine_attrs="override"
    )
    return _at(joined, {dimension: merged[dimension]})


def _resolved(
    first: xr.DataArray,
    second: xr.DataArray,
    merged: Mapping[Hashable, Any],
    resolver: Callable[..., Any],
    context: Any,
) -> xr.DataArray:
    """Join cubes that overlap: the resolver's values where both have some, else those of the cube that has."""
    common = {d: _both(first, second, d) for d in first.dims}
    x, y = _at(first, common), _at(second, common)
    values = resolver(x.data, y.data, positional_parameters={"x": 0, "y": 1}, named_parameters={"context": context})
    if np.shape(values) not in ((), x.shape):
        raise _incompatible(f"the overlap resolver made {np.shape(values)} of values of shape {x.shape}.")
    overlap = x.copy(data=values) if np.shape(values) else xr.full_like(x, values, dtype=np.asarray(values).dtype)
    if all(np.array_equal(common[d], merged[d]) for d in merged):
        return overlap
    outside = _at(first, merged).where(_has(first, merged), _at(second, merged))
    joined = _at(overlap, merged).where(_has(overlap, merged), outside).transpose(*first.dims)
    return _whole_as(joined, first, second)


def _whole_as(joined: xr.DataArray, first: xr.DataArray, second: xr.DataArray) -> xr.DataArray:
    """Return the result with one chunk along bands and dates where both cubes have one: reindexing breaks them up."""
    if not joined.chunks:
        return joined
    pieces = [cube.chunksizes for cube in (first, second)]
    whole = [d for d in joined.dims if d not in _SPATIAL and all(len(sizes.get(d, (1,))) == 1 for sizes in pieces)]
    return joined.chunk(dict.fromkeys(whole, -1)) if whole else joined


def _at(cube: xr.DataArray, labels: Mapping[Hashable, Any]) -> xr.DataArray:
    """Return the cube at these labels, with NaN at those it lacks."""
    wanted = {d: values for d, values in labels.items() if not np.array_equal(cube[d].to_numpy(), values)}
    if not wanted:
        return cube
    there = {d: set(cube[d].to_numpy().tolist()) for d in wanted}
    if cube.dtype == bool and any(set(v.tolist()) - there[d] for d, v in wanted.items()):
        cube = cube.astype(np.float32)
    return cube.reindex(wanted)


def _has(cube: xr.DataArray, labels: Mapping[Hashable, Any]) -> Any:
    """Return where the cube has cells, along the dimensions in which it does not have all `labels`."""
    mask: Any = xr.DataArray(True)
    for name, values in labels.items():
        there = np.isin(values, cube[name].to_numpy())
        if not there.all():
            mask = mask & xr.DataArray(there, dims=[name], coords={name: values})
    return mask


def _both(first: xr.DataArray, second: xr.DataArray, dimension: Hashable) -> Any:
    ours, theirs = first[dimension].to_numpy(), set(second[dimension].to_numpy().tolist())
    return ours[[value in theirs for value in ours.tolist()]]


def _checked(resolver: Callable[..., Any] | None, ours: Labels, theirs: Labels) -> Callable[..., Any]:
    if resolver is not None:
        return resolver
    shared = [f"{len(set(ours[d]) & set(theirs[d]))} in {d}" for d in ours]
    raise OpenEOError(
        "OverlapResolverMissing",
        f"Overlapping data cubes, but no overlap resolver has been specified: the cubes share labels in all dimensions "
        f"({', '.join(shared)}). "
        "Pass 'overlap_resolver' (max, say), or rename the labels of one cube.",
    )


def _dressed(result: xr.DataArray, cube1: xr.DataArray, cube2: xr.DataArray) -> xr.DataArray:
    """Return the result with the CRS and attributes of the inputs, the first going before."""
    for cube in (cube2, cube1):
        if "spatial_ref" in cube.coords:
            result = result.assign_coords(spatial_ref=cube.coords["spatial_ref"].variable)
    result.attrs = {**cube2.attrs, **cube1.attrs}
    for name in result.dims:
        known = cube1 if name in cube1.coords else cube2
        if name in known.coords:
            result[name].attrs.update(known[name].attrs)
    return result.assign_coords(_band_coordinates(result, cube1, cube2)).rename(None)


def _band_coordinates(result: xr.DataArray, cube1: xr.DataArray, cube2: xr.DataArray) -> dict[str, Any]:
    """Return common names and wavelengths of the merged bands; what cube1 says of a band goes before."""
    found: dict[str, Any] = {}
    for name, empty in BAND_COORDINATES.items():
        known: dict[Any, Any] = {}
        for cube in (cube2, cube1):
            if name in cube.coords and cube[name].ndim == 1:
                (dimension,) = cube[name].dims
                known |= dict(zip(cube[dimension].to_numpy().tolist(), cube[name].to_numpy().tolist(), strict=True))
        if known:
            labels = result[dimension].to_numpy().tolist()
            found[name] = (dimension, np.array([known.get(label, empty) for label in labels]))
    return found


def _step(values: Any) -> float:
    return float(values[-1] - values[0]) / (len(values) - 1)


def _span(values: Any) -> str:
    step = f" by {abs(_step(values)):.9g}" if len(values) > 1 else ""
    return f"{values[0]:.9g} to {values[-1]:.9g}{step}"


def _other_grid(reason: str) -> OpenEOError:
    return _incompatible(f"their grids differ: {reason}. Use resample_cube_spatial with cube1 as the target.")


def _incompatible(reason: str) -> OpenEOError:
    return OpenEOError("IncompatibleDataCubes", f"The cubes passed to 'merge_cubes' cannot be merged: {reason}")


def _listed(names: Any) -> str:
    return ", ".join(map(str, names)) or "none"
