"""Preprocessing by a name that model cards use, or as a card declares it."""

from __future__ import annotations

from models.preprocessing.steps import Array, Clip, Decibel, MinMax, RollingMean, Step, apply_steps

FLOOR_DB, CEILING_DB = -30.0, 5.0

PREPROCESSING: dict[str, tuple[Step, ...]] = {
    # Sentinel-1 RTC: a rolling mean of linear power in time, decibels, [-30, 5] dB to [0, 1].
    "sentinel1-power": (
        RollingMean(3),
        Decibel(floor=FLOOR_DB),
        Clip(min=FLOOR_DB, max=CEILING_DB),
        MinMax(min=FLOOR_DB, max=CEILING_DB),
    ),
    # Sentinel-2 L2A: reflectance to [0, 1].
    "sentinel2-reflectance": (Clip(min=0.0, max=1.0),),
}


def preprocess(values: Array, preprocessing: str | tuple[Step, ...], frames: str) -> Array:
    """Preprocess `values` (bands, t, y, x), physical units, for the frame rule `frames`.

    Parameters
    ----------
    preprocessing : str or tuple of Step
        A name in `PREPROCESSING`, or steps: what a card's modality has.

    Raises
    ------
    ValueError
        No preprocessing of that name.
    """
    return apply_steps(values, steps_of(preprocessing), frames)


def steps_of(preprocessing: str | tuple[Step, ...]) -> tuple[Step, ...]:
    """Return the steps that a name stands for; steps as they are."""
    if not isinstance(preprocessing, str):
        return preprocessing
    if preprocessing not in PREPROCESSING:
        raise ValueError(f"There is no preprocessing {preprocessing!r}; known: {', '.join(sorted(PREPROCESSING))}")
    return PREPROCESSING[preprocessing]
