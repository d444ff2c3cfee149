"""`apply_kernel`: weighted sums of each pixel's surroundings. Lazy, block by block."""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial
from typing import Any

import numpy as np
import scipy.ndimage
import xarray as xr
from numpy.typing import NDArray

from processes.errors import OpenEOError, invalid
from processes.overrides._dims import da, rebuild, require_cube, spatial_dimensions
from processes.overrides.elementwise import floats

# The specification's names for what lies beyond the border, as NumPy calls them.
BORDERS = {"replicate": "edge", "reflect": "symmetric", "reflect_pixel": "reflect", "wrap": "wrap"}


def apply_kernel(
    data: xr.DataArray,
    kernel: Sequence[Sequence[float]],
    factor: float = 1,
    border: float | str = 0,
    replace_invalid: float = 0,
) -> xr.DataArray:
    """Convolve the pixels of each date and band with a kernel.

    As in every convolution the kernel is turned by 180 degrees: its first row weighs what lies below the pixel.

    Parameters
    ----------
    data : xr.DataArray
        With x and y; integers and booleans become floats.
    kernel : list of list of numbers
        Rows from north to south of weights; as many rows and columns as no even number.
    factor : number
        Multiplied to each sum.
    border : number or str
        The value beyond the border, or how the cube goes on there: a key of `BORDERS`.
    replace_invalid : number
        What stands for no-data and infinite values.

    Raises
    ------
    OpenEOError
        KernelDimensionsUneven, DimensionNotAvailable, ProcessParameterInvalid.
    """
    cube = require_cube(data, "apply_kernel")
    y, x = spatial_dimensions(cube)
    weights = _weights(kernel)
    if isinstance(border, str) and border not in BORDERS:
        raise invalid("border", "apply_kernel", f"'{border}' is no number and none of {', '.join(BORDERS)}")
    depth = [n // 2 for n in weights.shape]
    ordered = cube.transpose(..., y, x)
    values = _finite(floats(ordered.data), replace_invalid)
    if any(deep > size for deep, size in zip(depth, values.shape[-2:], strict=True)) and isinstance(border, str):
        raise invalid("kernel", "apply_kernel", f"{weights.shape} is larger than the cube can go on by '{border}'")
    padded = _padded(values, depth, border)
    summed = partial(_convolved, weights * factor)
    if isinstance(padded, da.Array):
        axes = {padded.ndim - 2: depth[0], padded.ndim - 1: depth[1]}
        made = padded.map_overlap(summed, depth=axes, boundary="none", dtype=padded.dtype, meta=padded._meta)
    else:
        made = summed(padded)
    inner = made[..., depth[0] : depth[0] + cube.sizes[y], depth[1] : depth[1] + cube.sizes[x]]
    if isinstance(inner, da.Array):
        inner = inner.rechunk({inner.ndim - 2: values.chunks[-2], inner.ndim - 1: values.chunks[-1]})
    return rebuild(ordered, inner, map(str, ordered.dims)).transpose(*cube.dims)


def _weights(kernel: Sequence[Sequence[float]]) -> NDArray[np.float64]:
    lengths = {len(row) for row in kernel}
    if len(lengths) != 1:
        raise invalid("kernel", "apply_kernel", f"its rows have {sorted(lengths)} elements; they must be as many each")
    if not len(kernel) % 2 or not lengths.pop() % 2:
        message = f"The kernel has {len(kernel)} x {len(kernel[0])} elements; each must be an uneven number."
        raise OpenEOError("KernelDimensionsUneven", message)
    return np.array(kernel, np.float64)


def _finite(values: Any, replacement: float) -> Any:
    return np.where(np.isfinite(values), values, values.dtype.type(replacement))


def _padded(values: Any, depth: Sequence[int], border: float | str) -> Any:
    """Return the values with as many more on each side as the kernel reaches."""
    if not any(depth):
        return values
    widths = [(0, 0)] * (values.ndim - 2) + [(n, n) for n in depth]
    pad: Any = da.pad if isinstance(values, da.Array) else np.pad
    if isinstance(border, str):
        padded = pad(values, widths, mode=BORDERS[border])
    else:
        padded = pad(values, widths, mode="constant", constant_values=border)
    if not isinstance(padded, da.Array):
        return padded
    # The margin goes to the outermost blocks.
    sizes = [list(values.chunks[axis]) for axis in (-2, -1)]
    for size, n in zip(sizes, depth, strict=True):
        size[0] += n
        size[-1] += n
    return padded.rechunk({padded.ndim - 2: tuple(sizes[0]), padded.ndim - 1: tuple(sizes[1])})


def _convolved(weights: NDArray[np.float64], block: NDArray[Any]) -> NDArray[Any]:
    kernel = weights.reshape((1,) * (block.ndim - 2) + weights.shape)
    made: NDArray[Any] = scipy.ndimage.convolve(block, kernel, mode="constant")
    return made
