"""Dates: which acquisition of another sensor is nearest, and how many calendar days lie between."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

Times = NDArray[np.datetime64]


def nearest_earlier_on_tie(times: Times, others: Times) -> NDArray[np.intp]:
    """For each of `times` the index of the nearest of `others` (ascending); on a tie the earlier one."""
    after = np.searchsorted(others, times)
    before = np.clip(after - 1, 0, len(others) - 1)
    after = np.clip(after, 0, len(others) - 1)
    closer = np.abs(others[after] - times) < np.abs(times - others[before])
    return np.where(closer, after, before)


def calendar_days(times: Times) -> NDArray[np.int64]:
    """The calendar date (UTC) of each time, as whole days since 1970."""
    return times.astype("datetime64[D]").astype(np.int64)
