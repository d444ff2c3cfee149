"""Values as they are handed to users' code: named dimensions in their usual order, in blocks of bounded size."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import numpy as np
import xarray as xr

from processes.errors import OpenEOError
from processes.overrides._dims import TEMPORAL_NAMES, X_NAMES, Y_NAMES, da
from udf.user_code import Given

BANDS = "bands"
_MIB = 2**20
# Users' code mostly needs several times the memory of what it gets.
SHARE = 8
BLOCK_BYTES = 128 * _MIB


def usual_order(dims: Iterable[str]) -> list[str]:
    """Return dimensions in the order that users' code knows them in: t, bands, y, x, then the others as they are."""

    def place(dim: str) -> int:
        known = (TEMPORAL_NAMES, (BANDS,), Y_NAMES, X_NAMES)
        return next((i for i, names in enumerate(known) if dim in names), len(known))

    return sorted(dims, key=place)


def known_coords(sizes: Mapping[str, int], coords: Mapping[str, xr.Variable]) -> dict[str, xr.Variable]:
    """Return the coordinates that lie along dimensions of these sizes and are as long."""
    fits = {name: c for name, c in coords.items() if c.dims and all(c.sizes[d] == sizes.get(str(d)) for d in c.dims)}
    return {name: c.to_base_variable() for name, c in fits.items()}


def in_blocks(values: Any, dims: Sequence[str], dim: str | None, memory: int) -> Any:
    """Return a lazy array in blocks of bounded size, each with all of `dim` and, where there is room, all bands.

    Raises
    ------
    OpenEOError
        ProcessGraphComplexity where even one element of the other dimensions is too much.
    """
    lazy = values if isinstance(values, da.Array) else da.from_array(np.asarray(values), chunks=-1)
    limit = min(BLOCK_BYTES, memory // SHARE)
    needed = {i: -1 for i, name in enumerate(dims) if name == dim}
    wished = {i: -1 for i, name in enumerate(dims) if name in (dim, BANDS)}
    for axes in (wished, needed):
        merged = lazy.rechunk(axes) if axes else lazy
        if _block_bytes(merged) <= limit:
            return merged
        if _least(lazy, axes) <= limit:
            others = {i: "auto" for i in range(lazy.ndim) if i not in axes}
            return lazy.rechunk({**axes, **others}, block_size_limit=limit)
    raise too_much(_least(lazy, needed), limit, [str(dim)])


def _least(values: Any, axes: Iterable[int]) -> int:
    """Return how many bytes the smallest block has that holds all of these axes."""
    return int(np.prod([values.shape[i] for i in axes])) * int(values.dtype.itemsize)


def require_room(values: Any, dims: Sequence[str], memory: int) -> None:
    """Refuse a cube that is too large to be handed over as a whole."""
    limit = memory // SHARE
    if values.nbytes > limit:
        raise too_much(int(values.nbytes), limit, dims)


def too_much(size: int, limit: int, dims: Sequence[str]) -> OpenEOError:
    """Return the error for values that must be handed over at once, and are too many."""
    given = f"'run_udf' would hand {size / _MIB:,.0f} MiB to the code at once, all of {', '.join(dims)}"
    remedy = "Run it in apply_neighborhood, apply_dimension or reduce_dimension, or choose a smaller extent."
    message = f"{given}; {limit / _MIB:,.0f} MiB are possible. {remedy}"
    return OpenEOError("ProcessGraphComplexity", message)


def _block_bytes(values: Any) -> int:
    return int(np.prod([max(sizes, default=0) for sizes in values.chunks])) * int(values.dtype.itemsize)


def result_type(dtype: np.dtype[Any]) -> np.dtype[Any]:
    """Return the type of what comes out: 32 bits, as cubes have it, unless what goes in needs more."""
    small = (dtype.kind == "f" and dtype.itemsize <= 4) or (dtype.kind in "biu" and dtype.itemsize <= 2)
    return np.dtype(np.float32 if small else np.float64)


def made_up(given: Given, sizes: Mapping[str, int], dtype: np.dtype[Any]) -> np.ndarray:
    """Return values for a trial, the same ones each time: between 0 and 1, integers below 100."""
    shape = [sizes[dim] for dim in given.dims]
    rng = np.random.default_rng(0)
    if dtype.kind in "iu":
        return rng.integers(0, 100, shape).astype(dtype)
    return (rng.random(shape) > 0.5) if dtype.kind == "b" else rng.random(shape).astype(dtype)
