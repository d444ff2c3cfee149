"""Preprocessing by the name that a model card gives."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
from numpy.typing import NDArray

from models.preprocessing.sentinel1 import normalise_power, rolling_mean, rolling_mean_of_valid
from models.preprocessing.sentinel2 import clip_reflectance

Array = NDArray[np.float32]


def _sentinel1(values: Array, frames: str) -> Array:
    mean = rolling_mean_of_valid(values) if frames == "local" else rolling_mean(values)
    return normalise_power(mean)


def _sentinel2(values: Array, frames: str) -> Array:
    return clip_reflectance(values)


PREPROCESSING: dict[str, Callable[[Array, str], Array]] = {
    "sentinel1-power": _sentinel1,
    "sentinel2-reflectance": _sentinel2,
}


def preprocess(values: Array, name: str, frames: str) -> Array:
    """Preprocess `values` (bands, t, y, x), physical units, for the frame rule `frames`.

    Raises
    ------
    ValueError
        No preprocessing of that name.
    """
    if name not in PREPROCESSING:
        raise ValueError(f"There is no preprocessing {name!r}; known: {', '.join(sorted(PREPROCESSING))}")
    return PREPROCESSING[name](values, frames)
