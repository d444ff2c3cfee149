"""Values inside of callbacks: one number, or one array, for each pixel of the surrounding cube, as one lazy array.

A callback such as ``subtract(max(data), min(data))`` is written for the array of one pixel and evaluated once, for all
pixels: what is an array in it is a cube that still has the dimension `dim`, what is a number is a cube without it.
Dimensions have names, so that values that have lost some of them still find their pixels.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any, Protocol, runtime_checkable
from uuid import uuid4

import dask.array as da
import numpy as np
import xarray as xr
from numpy.typing import NDArray

from processes.errors import OpenEOError


def fresh_dim() -> str:
    """Return a name for a dimension that no cube and no other callback has."""
    return f"array-{uuid4().hex}"


@dataclass(frozen=True, eq=False)
class PerPixel:
    """A value of each pixel.

    Parameters
    ----------
    variable : xr.Variable
        All pixels, lazy if the cube is; its dimensions are those of the cube.
    dim : str, optional
        The dimension along which the array of each pixel lies; None when each pixel has a single value.
    labels : array, optional
        The labels of the array's elements.
    """

    variable: xr.Variable
    dim: str | None = None
    labels: NDArray[Any] | None = None

    @property
    def axis(self) -> int:
        """Return the position of `dim`."""
        return self.variable.dims.index(self.dim)

    def __len__(self) -> int:
        return int(self.variable.sizes[self.dim]) if self.dim is not None else 1

    def rename(self, dim: str) -> PerPixel:
        """Return the same arrays along a dimension of another name."""
        if self.dim in (None, dim):
            return self
        return replace(self, variable=rename_dim(self.variable, self.dim, dim), dim=dim)


def rename_dim(variable: xr.Variable, old: Any, new: Any) -> xr.Variable:
    """Return the same values with one dimension named differently."""
    return xr.Variable([new if dim == old else dim for dim in variable.dims], variable.data)


def aligned(variable: xr.Variable, dims: Any) -> xr.Variable:
    """Return the values with exactly these dimensions, in this order; missing ones get length 1, or a given size."""
    sizes = dims if isinstance(dims, Mapping) else {}
    single_only = [dim for dim, size in sizes.items() if variable.sizes.get(dim) == 1 != size]
    expanded: xr.Variable = variable.squeeze(single_only).set_dims(dims)
    return expanded.transpose(*dims)


def single(value: Any) -> PerPixel:
    """Return a constant as the single value of every pixel; null is NaN."""
    if isinstance(value, PerPixel):
        return value
    return PerPixel(xr.Variable((), np.asarray(np.nan if value is None else value)))


def array_of(value: Any) -> PerPixel:
    """Return an array (of constants, of values of pixels, or of both) as the array of each pixel."""
    if isinstance(value, PerPixel):
        if value.dim is None:
            message = (
                "A process inside of a callback got a single value as its array; pass `data`, or use array_create."
            )
            raise OpenEOError("ProcessParameterInvalid", message)
        return value
    items = list(value)
    if any(isinstance(item, PerPixel) for item in items):
        return stack(items)
    dim = fresh_dim()
    return PerPixel(xr.Variable((dim,), constants(items)), dim)


def constants(items: Any) -> NDArray[Any]:
    """Return a list as a one-dimensional array; null among numbers is NaN."""
    if isinstance(items, np.ndarray):
        return items
    items = list(items)
    if any(item is None for item in items) and all(item is None or _is_number(item) for item in items):
        items = [np.nan if item is None else item for item in items]
    kinds = {type(item) for item in items}
    if not items:
        return np.empty(0, np.float64)
    if kinds <= {int, float} or (len(kinds) == 1 and kinds <= {bool, str, np.str_, np.bool_}):
        return np.asarray(items)
    if all(_is_number(item) for item in items):
        return np.asarray(items, np.float64)
    mixed = np.empty(len(items), object)
    mixed[:] = items
    return mixed


def _is_number(item: Any) -> bool:
    return isinstance(item, int | float | np.number) and not isinstance(item, bool)


def stack(items: list[Any]) -> PerPixel:
    """Return the array whose elements are single values, of pixels or constant; constants do not widen the type."""
    variables = [single(item).variable for item in items]
    plain = [np.nan if item is None else item for item in items if isinstance(item, int | float | None)]
    dtypes = [item.variable.dtype for item in items if isinstance(item, PerPixel)]
    dtype = _holding(np.result_type(*dtypes), plain)
    dims = common_dims(variables)
    data = [aligned(variable, dims).data.astype(dtype) for variable in variables]
    library = da if any(is_lazy(part) for part in data) else np
    joined = library.stack(list(library.broadcast_arrays(*data)), axis=-1)
    dim = fresh_dim()
    return PerPixel(xr.Variable((*dims, dim), joined), dim)


def _holding(dtype: np.dtype[Any], numbers: list[Any]) -> np.dtype[Any]:
    """Return the type that holds numbers beside values of `dtype`; small integers would wrap round."""
    for number in numbers:
        if dtype.kind in "iu" and isinstance(number, int):
            dtype = np.result_type(dtype, np.min_scalar_type(number))
        else:
            dtype = np.result_type(dtype, number)
    return dtype


def is_lazy(data: Any) -> bool:
    """Whether an array is a Dask array."""
    return isinstance(data, da.Array)


def common_dims(variables: list[xr.Variable]) -> tuple[Any, ...]:
    """Return all dimensions, in the order of the variable that has the most of them."""
    ordered = sorted(variables, key=lambda variable: -variable.ndim)
    return tuple(dict.fromkeys(dim for variable in ordered for dim in variable.dims))


@runtime_checkable
class HasDims(Protocol):
    """A callback: it is told what the axes of the plain arrays are that it will be called with."""

    def among(self, dims: Sequence[Any], /) -> Any:
        """Return the callback that knows the names of the dimensions."""
        ...


def has_pixels(value: Any) -> bool:
    """Whether a value is, or contains, values of pixels."""
    return isinstance(value, PerPixel) or (isinstance(value, list) and any(has_pixels(item) for item in value))


def call_on_pixels(
    function: Callable[..., Any], arguments: Mapping[str, Any], arrays: frozenset[str], accepted: frozenset[str]
) -> Any:
    """Call a function of plain arrays for all pixels at once.

    Parameters
    ----------
    function : callable
        Works element by element; or, if it accepts `axis`, on the arrays that lie along that axis. It may also accept
        `dim_labels`, the labels along it, and `keepdims`, which is left at its default.
    arguments : mapping
        Some are `PerPixel`, or lists that contain such.
    arrays : frozenset of str
        The names of the parameters that stand for arrays.
    accepted : frozenset of str
        The names of all that the function accepts.
    """
    prepared = {name: _prepare(value, name in arrays) for name, value in arguments.items()}
    pixels = {name: value for name, value in prepared.items() if isinstance(value, PerPixel)}
    first = next((value for value in pixels.values() if value.dim is not None), None)
    dim = first.dim if first is not None else None
    if dim is not None:
        pixels = {name: value.rename(dim) for name, value in pixels.items()}
    dims = common_dims([value.variable for value in pixels.values()])
    raw = {name: aligned(value.variable, dims).data for name, value in pixels.items()}
    special: dict[str, Any] = {
        name: value.among(dims) for name, value in arguments.items() if isinstance(value, HasDims)
    }
    if dim is not None and "axis" in accepted:
        special["axis"] = dims.index(dim)
    if first is not None and "dim_labels" in accepted:
        special["dim_labels"] = first.labels
    return _wrap(function(**{**prepared, **raw, **special}), dims, first)


def _prepare(value: Any, is_array: bool) -> Any:
    return array_of(value) if has_pixels(value) and (is_array or isinstance(value, list)) else value


def _wrap(result: Any, dims: tuple[Any, ...], array: PerPixel | None) -> Any:
    """Return what a function made of plain arrays with names for its dimensions; constants stay as they are."""
    if not isinstance(result, np.ndarray | da.Array | np.generic):
        return result
    if result.ndim == 0 and not isinstance(result, da.Array):
        return result.item()  # of an array that is the same for all pixels
    if array is None:
        return PerPixel(xr.Variable(dims, result)) if result.ndim == len(dims) else result
    if result.ndim == len(dims):
        length = result.shape[dims.index(array.dim)]
        return PerPixel(xr.Variable(dims, result), array.dim, array.labels if length == len(array) else None)
    if result.ndim == len(dims) - 1:
        return PerPixel(xr.Variable(tuple(dim for dim in dims if dim != array.dim), result))
    return result
