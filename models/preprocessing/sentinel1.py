"""Sentinel-1 RTC: a rolling mean of linear power in time, decibels, [-30, 5] dB to [0, 1]."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

FLOOR_DB, CEILING_DB = -30.0, 5.0

# A value that exists, but whose rolling mean needs an acquisition that was not loaded.
UNDECIDED = np.float32(np.inf)


def rolling_mean(power: NDArray[np.float32]) -> NDArray[np.float32]:
    """Centred mean over three consecutive acquisitions, as published (frame rule `cube`).

    Parameters
    ----------
    power : (..., t, y, x) float32
        Linear power, NaN = missing.

    Returns
    -------
    (..., t, y, x) float32
        The mean of the valid ones among the previous, own and next value; so a gap between two valid acquisitions
        is filled. At both ends two acquisitions.
    """
    valid = np.isfinite(power)
    values = np.where(valid, power, 0).astype(np.float64)
    sums, counts = values.copy(), valid.astype(np.int64)
    for own, other in ((slice(1, None), slice(None, -1)), (slice(None, -1), slice(1, None))):
        sums[..., own, :, :] += values[..., other, :, :]
        counts[..., own, :, :] += valid[..., other, :, :]
    with np.errstate(invalid="ignore"):
        return (sums / np.where(counts > 0, counts, np.nan)).astype(np.float32)


def rolling_mean_of_valid(power: NDArray[np.float32]) -> NDArray[np.float32]:
    """Mean of a pixel's previous, own and next valid value (frame rule `local`).

    A pixel without a value stays without one, and how many acquisitions lie between does not matter: the number
    depends on the pixel alone. The first and last valid value of a pixel are `UNDECIDED`, because the neighbour
    beyond the loaded interval is not known.

    Parameters
    ----------
    power : (..., t, y, x) float32
        Linear power, NaN = missing.
    """
    valid = np.isfinite(power)
    previous = _last_valid_before(power, valid)
    following = _last_valid_before(power[..., ::-1, :, :], valid[..., ::-1, :, :])[..., ::-1, :, :]
    mean = ((previous.astype(np.float64) + power + following) / 3).astype(np.float32)
    undecided = valid & ~np.isfinite(mean)
    return np.where(undecided, UNDECIDED, mean)


def normalise_power(power: NDArray[np.float32]) -> NDArray[np.float32]:
    """Linear power to decibels, clipped to [-30, 5] dB and scaled to [0, 1].

    No power (0 or, from noise removal, less) gives the floor; NaN and `UNDECIDED` stay what they are.
    """
    with np.errstate(divide="ignore", invalid="ignore"):
        decibels = 10 * np.log10(np.maximum(power, 0))
    scaled = (np.clip(decibels, FLOOR_DB, CEILING_DB) - FLOOR_DB) / (CEILING_DB - FLOOR_DB)
    return np.where(np.isposinf(power), UNDECIDED, scaled).astype(np.float32)


def _last_valid_before(power: NDArray[np.float32], valid: NDArray[np.bool_]) -> NDArray[np.float32]:
    """For every acquisition the pixel's latest valid value before it, NaN where there is none."""
    t = power.shape[-3]
    order = np.arange(t).reshape(t, 1, 1)
    latest = np.maximum.accumulate(np.where(valid, order, -1), axis=-3)
    before = np.concatenate([np.full_like(latest[..., :1, :, :], -1), latest[..., :-1, :, :]], axis=-3)
    values = np.take_along_axis(power, np.maximum(before, 0), axis=-3)
    return np.where(before >= 0, values, np.float32(np.nan))
