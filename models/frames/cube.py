"""Frame rule `cube`, as published: the cube's own acquisitions, eleven consecutive ones a window."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
from numpy.typing import NDArray

from models.frames.windows import EDGE, FRAMES, HALF, Bools, WindowList, build_windows
from models.preprocessing.pairing import calendar_days


def cube_windows(
    valid: Mapping[str, Bools],
    times: Mapping[str, NDArray[np.datetime64]],
    reference: str,
    wanted: Bools,
    frames: NDArray[np.int64] | None = None,
) -> WindowList:
    """List the windows of a cube whose sensors were paired by the caller: one time axis length for all.

    Parameters
    ----------
    valid : mapping of modality to (t, y, x) bool
        Where any channel has a value.
    times : mapping of modality to (t,) datetime64
    reference : str
    wanted : (t,) bool
        Dates to embed.
    frames : (n,) int64, optional
        The acquisitions that count; by default those with any valid value of the reference, as published.
    """
    lengths = {m: len(t) for m, t in times.items()}
    if len(set(lengths.values())) > 1:
        raise ValueError(f"Under the frame rule 'cube' all sensors have the same number of dates; got {lengths}")
    if frames is None:
        frames = np.flatnonzero(valid[reference].any(axis=(1, 2)))
    centres = valid[reference][frames][:, EDGE:-EDGE, EDGE:-EDGE].copy()
    centres[:HALF] = centres[len(frames) - HALF :] = False
    centres &= wanted[frames][:, None, None]
    k, row, column = np.nonzero(centres)
    window = frames[k[:, None] + np.arange(FRAMES) - HALF]
    days = {m: calendar_days(t) for m, t in times.items()}
    return build_windows(reference, (frames[k], row, column), dict.fromkeys(times, window), days)
