"""Means over consecutive acquisitions, for sensors with speckle."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

# A value that exists, but whose rolling mean needs an acquisition that was not loaded.
UNDECIDED = np.float32(np.inf)

Array = NDArray[np.float32]


def rolling_mean(values: Array, acquisitions: int = 3) -> Array:
    """Centred mean over consecutive acquisitions, as published (frame rule `cube`).

    Parameters
    ----------
    values : (..., t, y, x) float32
        NaN = missing.
    acquisitions : int
        How many, an odd number.

    Returns
    -------
    (..., t, y, x) float32
        The mean of the valid ones among them; so a gap between valid acquisitions is filled. At both ends fewer
        acquisitions.
    """
    valid = np.isfinite(values)
    known = np.where(valid, values, 0).astype(np.float64)
    sums, counts = known.copy(), valid.astype(np.int64)
    for distance in range(1, acquisitions // 2 + 1):
        before, after = slice(None, -distance), slice(distance, None)
        for own, other in ((after, before), (before, after)):
            sums[..., own, :, :] += known[..., other, :, :]
            counts[..., own, :, :] += valid[..., other, :, :]
    with np.errstate(invalid="ignore"):
        return (sums / np.where(counts > 0, counts, np.nan)).astype(np.float32)


def rolling_mean_of_valid(values: Array, acquisitions: int = 3) -> Array:
    """Mean of a pixel's own valid value and as many valid ones before as after it (frame rule `local`).

    A pixel without a value stays without one, and how many acquisitions lie between does not matter: the number
    depends on the pixel alone. The first and last valid values of a pixel are `UNDECIDED`, because the neighbours
    beyond the loaded interval are not known.

    Parameters
    ----------
    values : (..., t, y, x) float32
        NaN = missing.
    acquisitions : int
        How many, an odd number.
    """
    valid = np.isfinite(values)
    before = _valid_before(values, valid, acquisitions // 2)
    after = _valid_before(values[..., ::-1, :, :], valid[..., ::-1, :, :], acquisitions // 2)
    total = np.zeros(values.shape)
    for part in (*reversed(before), values, *(a[..., ::-1, :, :] for a in after)):
        total += part
    mean = (total / acquisitions).astype(np.float32)
    undecided = valid & ~np.isfinite(mean)
    return np.where(undecided, UNDECIDED, mean)


def _valid_before(values: Array, valid: NDArray[np.bool_], n: int) -> list[Array]:
    """For every acquisition the pixel's latest valid value before it, the one before that, and so on: n of them.

    NaN where there is none.
    """
    t = values.shape[-3]
    order = np.arange(t).reshape(t, 1, 1)
    latest = np.maximum.accumulate(np.where(valid, order, -1), axis=-3)
    before = np.concatenate([np.full_like(latest[..., :1, :, :], -1), latest[..., :-1, :, :]], axis=-3)
    found, index = [], before
    for i in range(n):
        if i:
            index = np.where(index >= 0, np.take_along_axis(before, np.maximum(index, 0), axis=-3), -1)
        own = np.take_along_axis(values, np.maximum(index, 0), axis=-3)
        found.append(np.where(index >= 0, own, np.float32(np.nan)))
    return found
