"""Frame rule `local`: a pixel's own acquisitions, so that an embedding depends on place and date alone.

Every decision here looks at what is within the patch and within reach of the date, never at how much was loaded.
Where the loaded data cannot decide, there is no window: an embedding may be missing, never different.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping

import numpy as np
from numpy.typing import NDArray

from models.frames.windows import EDGE, FRAMES, HALF, NEAR_DAYS, NONE, Bools, Ints, WindowList, build_windows, sees
from models.preprocessing.pairing import calendar_days

Times = NDArray[np.datetime64]


def local_windows(
    valid: Mapping[str, Bools],
    undecided: Mapping[str, Bools],
    times: Mapping[str, Times],
    reference: str,
    wanted: Bools,
    reach_days: int,
    optional: Collection[str] = (),
) -> WindowList:
    """List the windows of a cube whose sensors keep their own dates.

    Parameters
    ----------
    valid, undecided : mapping of modality to (t, y, x) bool
        Where any channel has a value; where any is `models.preprocessing.UNDECIDED`.
    times : mapping of modality to (t,) datetime64, ascending
    reference : str
        The modality whose dates are embedded.
    wanted : (t,) bool
        Dates of the reference to embed.
    reach_days : int
        Calendar days that a frame may be away from the centre date.
    optional : collection of str
        Modalities that a window can do without: where no acquisition within `NEAR_DAYS` of the centre date sees the
        pixel, their frames are `NONE`. So near the loaded data always decide, whatever was asked for.
    """
    days = {m: calendar_days(t) for m, t in times.items()}
    seen = sees(valid[reference])
    centres = valid[reference][:, EDGE:-EDGE, EDGE:-EDGE] & wanted[:, None, None]
    date, row, column, window = _reference_frames(seen, centres, days[reference], reach_days)
    frames, missing = {}, {}
    for m in times:
        if m == reference:
            frames[m] = window
            continue
        sight = sees(valid[m]) if len(times[m]) else None
        partner = _partners(sight, sees(undecided[m]), times[reference], times[m])
        frames[m] = partner[window, row[:, None], column[:, None]]
        if m in optional:
            missing[m] = ~_near(sight, days[reference], days[m], seen.shape)[date, row, column]
            frames[m] = np.where(missing[m][:, None], NONE, frames[m])
    keep = np.all([(f != NONE).all(axis=1) | missing.get(m, False) for m, f in frames.items()], axis=0)
    frames = {m: f[keep] for m, f in frames.items()}
    return build_windows(reference, (date[keep], row[keep], column[keep]), frames, days)


def _reference_frames(seen: Bools, centres: Bools, days: Ints, reach: int) -> tuple[Ints, Ints, Ints, Ints]:
    """Centres (date, row, column) that have five acquisitions on each side within reach, and the frames."""
    listed = np.argsort(~seen, axis=0, kind="stable")  # (k, y, x): the pixel's k-th acquisition, then the rest
    rank = np.cumsum(seen, axis=0) - 1
    count = seen.sum(axis=0)
    date, row, column = np.nonzero(centres & (rank >= HALF) & (rank < count - HALF))
    k = rank[date, row, column]
    window = listed[k[:, None] + np.arange(FRAMES) - HALF, row[:, None], column[:, None]]
    near = (days[date] - days[window[:, 0]] <= reach) & (days[window[:, -1]] - days[date] <= reach)
    return date[near], row[near], column[near], window[near]


def _partners(seen: Bools | None, undecided: Bools, times: Times, others: Times) -> Ints:
    """For every date and pixel the nearest acquisition that sees the pixel, (t, y, x); `NONE` where undecided.

    The nearest of those loaded is the nearest of all only if nothing closer can lie before the first or after the
    last acquisition loaded.
    """
    if seen is None:
        return np.full((len(times), *undecided.shape[1:]), NONE)
    n = len(others)
    index = np.arange(n).reshape(n, 1, 1)
    before = np.maximum.accumulate(np.where(seen, index, NONE), axis=0)
    after = np.minimum.accumulate(np.where(seen, index, n)[::-1], axis=0)[::-1]
    partner = np.full((len(times), *seen.shape[1:]), NONE)
    for i, time in enumerate(times):
        j = int(np.searchsorted(others, time, side="right"))
        early = before[j - 1] if j > 0 else np.full(seen.shape[1:], NONE)
        late = after[j] if j < n else np.full(seen.shape[1:], n)
        partner[i] = _nearer(early, late, time, others)
    row, column = np.indices(seen.shape[1:])
    hidden = (partner != NONE) & undecided[partner, row, column]
    return np.where(hidden, NONE, partner)


def _near(seen: Bools | None, days: Ints, others: Ints, shape: tuple[int, ...]) -> Bools:
    """Whether an acquisition that sees the pixel lies within `NEAR_DAYS` of each date, (t, y, x)."""
    near = np.zeros(shape, bool)
    if seen is None:
        return near
    for i, day in enumerate(days):
        near[i] = seen[np.abs(others - day) <= NEAR_DAYS].any(axis=0)
    return near


def _nearer(early: Ints, late: Ints, time: np.datetime64, others: Times) -> Ints:
    """The nearer of two candidates per pixel, the earlier on a tie; `NONE` where one not loaded could be nearer."""
    far = np.iinfo(np.int64).max // 2
    clock = others.astype("datetime64[ns]").astype(np.int64)
    now = int(time.astype("datetime64[ns]").astype(np.int64))
    to_early = np.where(early >= 0, now - clock[np.maximum(early, 0)], far)
    to_late = np.where(late < len(others), clock[np.minimum(late, len(others) - 1)] - now, far)
    distance = np.minimum(to_early, to_late)
    decided = (distance < far) & (clock[0] <= now - distance) & (now + distance <= clock[-1])
    return np.where(decided, np.where(to_late < to_early, late, early), NONE)
