"""`merge_cubes`: two cubes become one; labels are joined, and overlaps are resolved. Lazy."""

from __future__ import annotations

from collections.abc import Callable, Hashable, Mapping, Sequence
from typing import Any

import numpy as np
import odc.geo.xr  # noqa: F401  (cubes answer `.odc`)
import pyproj
import xarray as xr

from processes.errors import OpenEOError
from processes.grids import overlaps
from processes.overrides._dims import require_cube
from processes.overrides._joining import NOWHERE, as_slice, joined
from processes.overrides._vector_merge import with_equal_shapes, with_vector_coordinates
from processes.overrides.cubes import labels_array
from processes.overrides.resample import resample_cube_spatial
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
        round). Pixels of another grid than that of `cube1` are brought to those of `cube1` by nearest neighbour, as
        `resample_cube_spatial` does; those of the same grid may lie beyond. Geometries that are the same set of points
        are the same label.
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
        OverlapResolverMissing; IncompatibleGeometryTypes; IncompatibleDataCubes for different dimensions or kinds of
        labels, for geometries in other reference systems, and for other grids that share no area or cannot be
        resampled.
    """
    require_cube(cube1, "merge_cubes", "cube1")
    require_cube(cube2, "merge_cubes", "cube2")
    _check_dimensions(cube1, cube2)
    cube2 = with_equal_shapes(cube2, cube1)
    first, second = _bare(cube1), _bare(_fitted(cube2, cube1))
    first, second = _complete(first, second), _complete(second, first)
    second = second.transpose(*first.dims)
    _check_labels(first, second)
    ours, theirs = _labels(first), _labels(second)
    merged = _labels_joined(first, second)
    apart = [d for d in ours if not set(ours[d]) & set(theirs[d])]
    parts = [second, first]
    if not apart:
        parts.append(_resolved(first, second, _checked(overlap_resolver, ours, theirs), context))
    result = _joined(parts, merged)
    return _dressed(result, cube1, cube2)


def _check_dimensions(cube1: xr.DataArray, cube2: xr.DataArray) -> None:
    one, two = set(cube1.dims), set(cube2.dims)
    if not one <= two and not two <= one:
        raise _incompatible(
            f"cube1 has the dimensions {_listed(cube1.dims)}, cube2 {_listed(cube2.dims)}; one must have all "
            "dimensions of the other. Use add_dimension, drop_dimension or rename_dimension."
        )


def _fitted(cube: xr.DataArray, base: xr.DataArray) -> xr.DataArray:
    """Return `cube` with pixel centres of the grid of `base`, resampled only if it has another grid."""
    crs, other = base.odc.crs, cube.odc.crs
    if crs is not None and other is not None and crs != other:
        names = [crs_text(pyproj.CRS(str(one)))[:60] for one in (crs, other)]
        reason = f"cube1 is in {names[0]}, cube2 in {names[1]}"
    else:
        snapped, reason = _snapped(cube, base)
        if snapped is not None:
            return snapped
    if any(not set(_SPATIAL) <= set(one.dims) or one.odc.geobox is None or one.odc.crs is None for one in (cube, base)):
        raise _other_grid(reason)
    if not overlaps(cube, base):
        raise _incompatible(f"their grids differ ({reason}), and they share no area to resample cube2 in.")
    return resample_cube_spatial(cube, base)


def _check_labels(first: xr.DataArray, second: xr.DataArray) -> None:
    for name in first.dims:
        kinds = [cube[name].dtype.kind for cube in (first, second)]
        if (kinds[0] == "M") != (kinds[1] == "M"):
            raise _incompatible(f"the labels of '{name}' are dates in one cube only; use rename_labels.")
        for which, cube in (("cube1", first), ("cube2", second)):
            if len(set(cube[name].to_numpy().tolist())) != cube.sizes[name]:
                raise _incompatible(f"some labels of '{name}' occur more than once in {which}; aggregate them first.")


def _bare(cube: xr.DataArray) -> xr.DataArray:
    """Return the cube with a coordinate for each dimension, and no others."""
    cube = cube.drop_vars([name for name in cube.coords if name not in cube.dims])
    return cube.assign_coords({d: np.arange(cube.sizes[d]) for d in cube.dims if d not in cube.coords})


def _snapped(cube: xr.DataArray, base: xr.DataArray) -> tuple[xr.DataArray | None, str]:
    """Return `cube` with the pixel centres of the grid of `base`; None, and why, when it has another grid."""
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
            return None, f"{axis} of cube1 is {_span(ours)}, {axis} of cube2 {_span(theirs)}"
        known = {round((value - ours[0]) / step): value for value in ours.tolist()}
        places = np.round(offset).astype(int).tolist()
        cube = cube.assign_coords({axis: np.array([known.get(i, ours[0] + i * step) for i in places])})
    return cube, ""


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


def _resolved(first: xr.DataArray, second: xr.DataArray, resolver: Callable[..., Any], context: Any) -> xr.DataArray:
    """Return the resolver's values of the cells that both cubes have."""
    common = {d: _both(first, second, d) for d in first.dims}
    x, y = _at(first, common), _at(second, common)
    values = resolver(x.data, y.data, positional_parameters={"x": 0, "y": 1}, named_parameters={"context": context})
    if np.shape(values) not in ((), x.shape):
        raise _incompatible(f"the overlap resolver made {np.shape(values)} of values of shape {x.shape}.")
    return x.copy(data=values) if np.shape(values) else xr.full_like(x, values, dtype=np.asarray(values).dtype)


def _joined(parts: Sequence[xr.DataArray], merged: Mapping[Hashable, Any]) -> xr.DataArray:
    """Return a cube with the labels `merged`; values of later parts go before those of earlier ones."""
    sources = [[_source(part, d, labels) for d, labels in merged.items()] for part in parts]
    gaps = [{axis for axis, source in enumerate(one) if (source == NOWHERE).any()} for one in sources]
    if not gaps[-1]:
        return parts[-1]
    complete = not all(gaps[:2]) or (gaps[0] == gaps[1] and len(gaps[0]) == 1)
    free = [axis for axis, name in enumerate(merged) if name not in _SPATIAL]
    values = joined([part.data for part in parts], sources, free, complete)
    return xr.DataArray(values, dims=list(merged), coords={d: (d, labels) for d, labels in merged.items()})


def _source(cube: xr.DataArray, dimension: Hashable, labels: Any) -> Any:
    """Return, for each of `labels`, where the cube has it."""
    own = cube[dimension].to_numpy()
    if np.array_equal(own, labels):
        return np.arange(len(own))
    place = {label: i for i, label in enumerate(own.tolist())}
    return np.array([place.get(label, NOWHERE) for label in labels.tolist()], np.intp)


def _at(cube: xr.DataArray, labels: Mapping[Hashable, Any]) -> xr.DataArray:
    """Return the cube at some of its labels."""
    places = {d: as_slice(_source(cube, d, values), cube.sizes[d]) for d, values in labels.items()}
    some = {d: place for d, place in places.items() if not isinstance(place, slice) or place != slice(None)}
    return cube.isel(some) if some else cube


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
    result = result.assign_coords(_band_coordinates(result, cube1, cube2)).rename(None)
    return with_vector_coordinates(result, cube1, cube2)


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
