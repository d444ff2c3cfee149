"""Comparisons that tell types apart and know no data.

Single values answer with `bool`, or None when an operand is no data (null or NaN). Arrays answer with booleans where no
operand can hold no data, else with floats: 1, 0, and NaN wherever an operand is no data. So arrays of floats may hold
truth, and are equal to booleans as if they did.
"""

from __future__ import annotations

import math
import operator
from collections.abc import Callable
from functools import partial
from typing import Any

import numpy as np

from processes.overrides.elementwise import quietly
from processes.overrides.logic import and_, in_one_step, is_array, missing, outcome, plain_value

_ARRAY_KINDS = {"b": "boolean", "i": "number", "u": "number", "f": "number", "U": "string", "T": "string", "M": "time"}


def eq(x: Any, y: Any, delta: float | None = None, case_sensitive: bool = True) -> Any:
    """Return whether `x` is strictly equal to `y`, types included; 1 equals 1.0, but neither "1" nor true.

    Parameters
    ----------
    x, y : number, boolean, string, None or array
        Temporal strings are normal strings.
    delta : float, optional
        How far apart two numbers may lie and still be equal.
    case_sensitive : bool
        False compares strings without regard to case.
    """
    return _compare(partial(_same, delta, case_sensitive), x, y)


def neq(x: Any, y: Any, delta: float | None = None, case_sensitive: bool = True) -> Any:
    """Return whether `x` is *not* strictly equal to `y`; see `eq`."""
    return _compare(partial(_other, delta, case_sensitive), x, y)


def gt(x: Any, y: Any) -> Any:
    """Return whether `x` is strictly greater than `y`; false if any operand is not a number."""
    return _compare(partial(_ordered, operator.gt), x, y)


def gte(x: Any, y: Any) -> Any:
    """Return whether `x` is greater than or equal to `y`; false if they are neither equal nor both numbers."""
    return _compare(partial(_ordered_or_equal, operator.gt), x, y)


def lt(x: Any, y: Any) -> Any:
    """Return whether `x` is strictly less than `y`; false if any operand is not a number."""
    return _compare(partial(_ordered, operator.lt), x, y)


def lte(x: Any, y: Any) -> Any:
    """Return whether `x` is less than or equal to `y`; false if they are neither equal nor both numbers."""
    return _compare(partial(_ordered_or_equal, operator.lt), x, y)


def between(x: Any, min: Any, max: Any, exclude_max: bool = False) -> Any:
    """Return whether `x` lies between `min` and `max`, both inclusive unless `exclude_max`.

    Always false when `min` is greater than `max`; no data is passed through.
    """
    if not is_array(x) and missing(x):
        return _unknown(min, max)
    return and_(gte(x, min), lt(x, max) if exclude_max else lte(x, max))


def is_nan(x: Any) -> Any:
    """Return whether `x` is the special value NaN; false for everything that is no number."""
    if is_array(x):
        return np.isnan(x) if x.dtype.kind in "fc" else np.zeros_like(x, dtype=bool)
    x = plain_value(x)
    return isinstance(x, float) and math.isnan(x)


def is_nodata(x: Any) -> Any:
    """Return whether `x` is no data: null, or NaN, which is the no-data value of all data cubes here."""
    return missing(x)


def is_valid(x: Any) -> Any:
    """Return whether `x` is a finite number or any other value that is not no data; lists and texts always are."""
    if is_array(x):
        return np.isfinite(x) if x.dtype.kind in "fc" else ~missing(x)
    x = plain_value(x)
    return math.isfinite(x) if isinstance(x, float) else x is not None


def is_infinite(x: Any) -> Any:
    """Return whether `x` is an infinite number; false for everything that is no number."""
    if is_array(x):
        return np.isinf(x) if x.dtype.kind in "fc" else np.zeros_like(x, dtype=bool)
    x = plain_value(x)
    return isinstance(x, float) and math.isinf(x)


def _compare(test: Callable[[Any, Any], Any], x: Any, y: Any) -> Any:
    """Return `test(x, y)` where neither operand is no data."""
    if not is_array(x) and not is_array(y):
        return None if missing(x) or missing(y) else test(plain_value(x), plain_value(y))
    if any(not is_array(operand) and missing(operand) for operand in (x, y)):
        return _unknown(x, y)
    return in_one_step(partial(_compared, test), x, y)


def _compared(test: Callable[[Any, Any], Any], x: Any, y: Any) -> Any:
    true, known = test(x, y), _present(x) & _present(y)
    return outcome(true & known, ~true & known, x, y)


def _same(delta: float | None, case_sensitive: bool, x: Any, y: Any) -> Any:
    return _equal(*_as_truth(x, y), delta, case_sensitive)


def _other(delta: float | None, case_sensitive: bool, x: Any, y: Any) -> Any:
    return _negated(_same(delta, case_sensitive, x, y))


def _equal(x: Any, y: Any, delta: float | None = None, case_sensitive: bool = True) -> Any:
    kind = _kind(x)
    if kind != _kind(y):
        return _nowhere(x, y)
    if kind == "number" and delta is not None:
        return abs(_signed(x) - _signed(y)) <= delta
    if kind == "string" and not case_sensitive:
        x, y = _folded(x), _folded(y)
    return x == y


def _as_truth(x: Any, y: Any) -> tuple[Any, Any]:
    """Return both operands, booleans as 0 and 1 beside an array of floats: that may hold truth values with gaps."""
    floats = [is_array(operand) and operand.dtype.kind == "f" for operand in (x, y)]
    one, two = (
        operand * 1.0 if other and _kind(operand) == "boolean" else operand
        for operand, other in zip((x, y), reversed(floats), strict=True)
    )
    return one, two


def _ordered(test: Callable[[Any, Any], Any], x: Any, y: Any) -> Any:
    return test(x, y) if _kind(x) == _kind(y) == "number" else _nowhere(x, y)


def _ordered_or_equal(test: Callable[[Any, Any], Any], x: Any, y: Any) -> Any:
    return _either(_equal(x, y), _ordered(test, x, y))


def _kind(value: Any) -> str:
    """Return the openEO type of a value or of an array's elements."""
    if is_array(value):
        return _ARRAY_KINDS.get(value.dtype.kind, "other")
    if isinstance(value, bool):
        return "boolean"
    if isinstance(value, int | float):
        return "number"
    return "string" if isinstance(value, str) else "other"


def _signed(value: Any) -> Any:
    """Return numbers whose differences cannot wrap round."""
    return value.astype(np.float64) if is_array(value) and value.dtype.kind in "iu" else value


def _folded(value: Any) -> Any:
    if not is_array(value):
        return value.casefold()
    fold = np.vectorize(str.casefold, otypes=[str])
    return quietly(fold, value, dtype=value.dtype)


def _present(value: Any) -> Any:
    return ~missing(value) if is_array(value) and value.dtype.kind == "f" else True


def _negated(value: Any) -> Any:
    return ~value if is_array(value) else not value


def _either(x: Any, y: Any) -> Any:
    return x | y if is_array(x) or is_array(y) else bool(x or y)


def _unknown(*operands: Any) -> Any:
    """Return null, everywhere if an operand is an array."""
    nowhere = _nowhere(*operands)
    return outcome(nowhere, nowhere, None, *operands)


def _nowhere(*operands: Any) -> Any:
    """Return False in the common shape of the operands."""
    answer: Any = False
    for operand in operands:
        if is_array(operand):
            answer = np.zeros_like(operand, dtype=bool) | answer
    return answer
