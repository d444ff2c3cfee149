"""Random validity masks and dates for the frame rules, drawn by hypothesis."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from hypothesis import strategies as st

DAY = np.timedelta64(1, "D")


@dataclass(frozen=True)
class Sight:
    """What two sensors saw: validity (t, y, x), undecided values, dates."""

    valid: dict[str, np.ndarray]
    undecided: dict[str, np.ndarray]
    times: dict[str, np.ndarray]


@st.composite
def sights(draw, most_dates: int = 24) -> Sight:
    """Draw blobs of missing values, lost dates, swath edges, ties and long gaps."""
    random = np.random.default_rng(draw(st.integers(0, 2**32 - 1)))
    height, width = draw(st.integers(15, 20)), draw(st.integers(15, 20))
    s2, s1 = draw(st.integers(9, most_dates)), draw(st.integers(1, most_dates))
    step = draw(st.sampled_from([3, 9, 20]))
    times = {
        "s2": _times(random, s2, step, np.timedelta64(620, "m")),
        "s1": _times(random, s1, step, np.timedelta64(draw(st.sampled_from([620, 330])), "m")),
    }
    valid = {m: _mask(random, len(t), height, width) for m, t in times.items()}
    undecided = {m: np.zeros_like(v) for m, v in valid.items()}
    return Sight(valid, undecided, times)


def _times(random, n, step, clock):
    days = np.cumsum(random.integers(1, 2 * step, n)) - random.integers(0, 40)
    return np.datetime64("2022-01-01", "ns") + days * DAY + clock


def _mask(random, n, height, width):
    valid = np.ones((n, height, width), bool)
    for frame in valid:
        kind = random.integers(0, 6)
        if kind == 0:
            frame[:] = False
        elif kind == 1:
            frame[:, : random.integers(0, width)] = False
        elif kind == 2:
            y, x = random.integers(0, height), random.integers(0, width)
            frame[y : y + 6, x : x + 6] = False
    return valid
