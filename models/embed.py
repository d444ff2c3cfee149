"""`embed_cube`: from preprocessed cubes to a cube of embeddings."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Literal

import numpy as np
from numpy.typing import ArrayLike, NDArray

from models.engine.windows import BATCH, run_windows
from models.frames import EDGE, PATCH, WindowList, cube_windows, local_windows
from models.network import TwoStageModel

FrameRule = Literal["local", "cube"]
Engine = Literal["auto", "windows"]
Cube = NDArray[np.float32]


def embed_cube(
    model: TwoStageModel,
    cubes: Mapping[str, ArrayLike],
    times: Mapping[str, ArrayLike],
    frames: FrameRule = "local",
    engine: Engine = "auto",
    *,
    wanted: ArrayLike | None = None,
    batch: int = BATCH,
    progress: Callable[[int, int], None] | None = None,
) -> Cube:
    """Embed every pixel and date of a cube that can be embedded.

    Parameters
    ----------
    model : TwoStageModel
        From `load_model`.
    cubes : mapping of modality to (channels, t, y, x) float32
        Preprocessed (`models.preprocessing`), NaN = missing, on one grid.
    times : mapping of modality to (t,) datetime64, ascending, UTC
    frames : {"local", "cube"}
        Which frames a window holds. ``local``: the pixel's own acquisitions within reach, other sensors paired to
        them here; the number depends on place and date alone. ``cube``: as published, consecutive acquisitions of
        this cube, sensors paired by the caller (all time axes of one length).
    engine : {"auto", "windows"}
        How to compute; the numbers are the same.
    wanted : (t,) bool, optional
        Dates of the reference modality to embed; all by default. The others serve as context only.
    batch : int
        Patches through the frame encoder at once.
    progress : callable, optional
        Called with (windows done, windows in all).

    Returns
    -------
    (size, t, y, x) float32
        On the reference modality's dates and the cubes' grid; NaN where there is no embedding: within 7 pixels of
        the edge, without five acquisitions on each side, or where the centre pixel is missing at that date.

    Raises
    ------
    ValueError
        A modality is missing, shapes do not fit, times do not ascend, or a rule or engine is not known.

    Notes
    -----
    Method: Peters et al. 2026, arXiv 2511.11706.
    """
    if engine not in ("auto", "windows"):
        raise ValueError(f"engine is {engine!r}; it must be 'auto' or 'windows'")
    checked, axes = _check(model, cubes, times)
    reference = model.card.reference
    dates = len(axes[reference])
    chosen = np.ones(dates, bool) if wanted is None else np.asarray(wanted, bool)
    out = np.full((model.card.size, dates, *checked[reference].shape[2:]), np.nan, np.float32)
    if min(out.shape[2:]) < PATCH:
        return out
    windows = list_windows(model, checked, axes, frames, chosen)
    values = run_windows(model, checked, windows, batch=batch, progress=progress)["embedding"]
    out[:, windows.date, windows.row + EDGE, windows.column + EDGE] = values.T
    return out


def list_windows(
    model: TwoStageModel,
    cubes: Mapping[str, Cube],
    times: Mapping[str, NDArray[np.datetime64]],
    frames: FrameRule,
    wanted: NDArray[np.bool_],
) -> WindowList:
    """List the windows that a frame rule finds in a cube; see `embed_cube` for the parameters."""
    valid = {m: np.asarray(~np.isnan(c).all(axis=0)) for m, c in cubes.items()}
    if frames == "cube":
        return cube_windows(valid, times, model.card.reference, wanted)
    if frames == "local":
        undecided = {m: np.asarray(np.isinf(c).any(axis=0)) for m, c in cubes.items()}
        return local_windows(valid, undecided, times, model.card.reference, wanted, model.card.reach_days)
    raise ValueError(f"frames is {frames!r}; it must be 'local' or 'cube'")


def _check(
    model: TwoStageModel, cubes: Mapping[str, ArrayLike], times: Mapping[str, ArrayLike]
) -> tuple[dict[str, Cube], dict[str, NDArray[np.datetime64]]]:
    """Order the modalities as the card does, as arrays; raise ValueError where something does not fit."""
    checked, axes = {}, {}
    for m in model.card.modalities:
        if m.id not in cubes or m.id not in times:
            raise ValueError(f"The model needs {m.id!r} ({', '.join(m.bands)}) in both cubes and times")
        cube, axis = np.asarray(cubes[m.id], np.float32), np.asarray(times[m.id], "datetime64[ns]")
        if cube.ndim != 4 or cube.shape[:2] != (len(m.bands), len(axis)):
            raise ValueError(
                f"{m.id} must have the shape ({len(m.bands)}, {len(axis)}, y, x) by its bands and times; "
                f"got {cube.shape}"
            )
        if (np.diff(axis) < np.timedelta64(0)).any():
            raise ValueError(f"The times of {m.id} must ascend")
        checked[m.id], axes[m.id] = cube, axis
    grids = {m: c.shape[2:] for m, c in checked.items()}
    if len(set(grids.values())) > 1:
        raise ValueError(f"All modalities must lie on one grid; got {grids}")
    return checked, axes
