"""Simulated scenes as models take them: each sensor's bands, clouds hidden, preprocessed as the service does."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from models.card import Modality
from models.preprocessing import mask_clouds, preprocess
from processes.simulation import S1_BANDS, Scene

Cubes = dict[str, NDArray[np.float32]]
Times = dict[str, NDArray[Any]]


def is_radar(modality: Modality) -> bool:
    """Whether the simulator's radar has all bands of a sensor."""
    return set(modality.bands) <= set(S1_BANDS)


def not_simulated(modalities: Iterable[Modality], optical: Sequence[str]) -> list[str]:
    """Return the bands of sensors that neither the radar nor the `optical` bands are."""
    return sorted({b for m in modalities if not is_radar(m) for b in m.bands} - set(optical))


def sensors_of(scene: Scene, modalities: Sequence[Modality]) -> tuple[Cubes, Times]:
    """Return what sensors see of a scene: cubes (bands, t, y, x) and their times, by the sensors' ids."""
    optical = mask_clouds(np.moveaxis(scene.s2, 1, 0), scene.scl)
    radar = np.moveaxis(scene.s1, 1, 0)
    cubes: Cubes = {}
    times: Times = {}
    for m in modalities:
        names, values, when = (
            (S1_BANDS, radar, scene.s1_time) if is_radar(m) else (scene.spec.bands, optical, scene.s2_time)
        )
        cubes[m.id] = preprocess(values[[names.index(b) for b in m.bands]], m.preprocessing, "local")
        times[m.id] = when
    return cubes, times
