"""openeo-processes-dask's functions of single numbers, with null, integers and undefined results as openEO has them."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial, wraps
from typing import Any

import dask.array as da
import numpy as np
from dask.array.core import elemwise


def on_numbers(function: Callable[..., Any]) -> Callable[..., Any]:
    """Return a function of numbers that passes null through and follows IEEE 754 without warnings.

    Arrays, lazy or not, are worked on element by element. Integers become floats first: those of images would wrap
    around at 0 and 255. Operands are passed by keyword or position, as to `function`.
    """

    @wraps(getattr(function, "func", function))
    def call(*values: Any, **named: Any) -> Any:
        operands = [*values, *named.values()]
        if any(operand is None for operand in operands):
            return None
        quiet = partial(_quietly, function, len(values), tuple(named))
        if any(isinstance(operand, da.Array) for operand in operands):
            return elemwise(quiet, *map(_floating, operands))  # type: ignore[no-untyped-call]
        if any(isinstance(operand, np.ndarray) for operand in operands):
            return quiet(*map(_floating, operands))
        # NumPy's numbers, unlike Python's, can be divided by 0.
        result = float(quiet(*map(np.float64, operands)))
        are_integers = all(isinstance(operand, int) for operand in operands) and result.is_integer()
        return int(result) if are_integers else result

    return call


def _quietly(function: Callable[..., Any], positional: int, names: tuple[str, ...], *operands: Any) -> Any:
    with np.errstate(all="ignore"):
        named = dict(zip(names, operands[positional:], strict=True))
        return function(*operands[:positional], **named)


def _floating(operand: Any) -> Any:
    """Return integers of arrays as floats, as narrow as holds them."""
    if isinstance(operand, np.ndarray | da.Array) and operand.dtype.kind in "biu":
        return operand.astype(np.result_type(operand.dtype, np.float32))
    return operand
