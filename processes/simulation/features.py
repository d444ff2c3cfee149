"""Water, village and road: the few things in a landscape that follow no field's border."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage

from processes.simulation.fields import Field, smooth_noise
from processes.simulation.parcels import cut_parcels
from processes.simulation.spec import SceneSpec

Mask = NDArray[np.bool_]


class Features(NamedTuple):
    """Maps (y, x): masks, the share of sealed ground, and the distance to the next river bank in pixels."""

    river: Mask
    lake: Mask
    village: Mask
    street: Mask
    hall: Mask
    road_core: Mask
    sealed: Field
    bank_distance: Field

    @property
    def water(self) -> Mask:
        """River and lake."""
        return self.river | self.lake


def draw_features(spec: SceneSpec, rng: np.random.Generator) -> Features:
    """Return the waters, the village and the road of a scene, each where the spec wants one."""
    size = float(min(spec.shape))
    row, column = np.mgrid[: spec.height, : spec.width].astype(np.float32)
    centre = rng.uniform(0.3, 0.7, 2) * spec.shape
    # Every part is drawn, wanted or not: one part more or less leaves the others where they are.
    road = _band(rng, row, column, (centre[0], centre[1]), 0.02 * size)
    angle = float(rng.uniform(0, np.pi))
    river_at = centre + 0.24 * size * np.array([np.sin(angle), np.cos(angle)])
    river = _band(rng, row, column, (river_at[0], river_at[1]), 0.06 * size)
    river_mask = (np.abs(river) < 2.6 + 0.5 * smooth_noise(rng, spec.shape, 12.0)) & spec.landscape.river
    lake = _lake(rng, row, column, centre, size) & spec.landscape.lake
    village, street, hall, houses = _village(rng, row, column, centre, size)
    if not spec.landscape.village:
        village, street, hall = (np.zeros(spec.shape, np.bool_) for _ in range(3))
    water = river_mask | lake
    village &= ~water
    asphalt = np.clip(1.25 - np.abs(road), 0, 0.85).astype(np.float32) * spec.landscape.road
    core = asphalt > 0.4
    sealed = np.where(village, houses, 0)
    sealed = np.where(water & ~core, 0, np.maximum(sealed, asphalt)).astype(np.float32)
    return Features(
        river=river_mask & ~core,
        lake=lake & ~core,
        village=village,
        street=(street & village) | core,
        hall=hall & village,
        road_core=core,
        sealed=sealed,
        bank_distance=_distance(river_mask),
    )


def _band(rng: np.random.Generator, row: Field, column: Field, through: tuple[float, float], swing: float) -> Field:
    """Return the signed distance to a winding line through a point, in pixels."""
    angle = float(rng.uniform(0, np.pi))
    along = (column - through[1]) * np.cos(angle) + (row - through[0]) * np.sin(angle)
    across = (row - through[0]) * np.cos(angle) - (column - through[1]) * np.sin(angle)
    phase = rng.uniform(0, 2 * np.pi, 2)
    length = np.array([1.0, 0.43]) * rng.uniform(16, 22) * swing
    first = np.sin(2 * np.pi * along / length[0] + phase[0]) - np.sin(phase[0])
    second = np.sin(2 * np.pi * along / length[1] + phase[1]) - np.sin(phase[1])
    slope = 2 * np.pi * swing * np.cos(2 * np.pi * along / length[0] + phase[0]) / length[0]
    return np.asarray((across - swing * (first + 0.35 * second)) / np.sqrt(1 + slope**2), np.float32)


def _lake(rng: np.random.Generator, row: Field, column: Field, away: NDArray[np.float64], size: float) -> Mask:
    """Return a pond with an uneven shore, far from the village."""
    places = rng.uniform(0.12, 0.88, (12, 2)) * row.shape
    place = places[np.argmax(np.hypot(*(places - away).T))]
    turn = float(rng.uniform(0, np.pi))
    along = (column - place[1]) * np.cos(turn) + (row - place[0]) * np.sin(turn)
    across = (row - place[0]) * np.cos(turn) - (column - place[1]) * np.sin(turn)
    radius = min(13.0, 0.09 * size) * (1 + 0.22 * smooth_noise(rng, (row.shape[0], row.shape[1]), 6.0))
    return np.asarray(np.hypot(along / 1.5, across) < radius, np.bool_)


def _village(
    rng: np.random.Generator, row: Field, column: Field, centre: NDArray[np.float64], size: float
) -> tuple[Mask, Mask, Mask, Field]:
    """Return a village, its streets, its halls and the share of sealed ground: denser towards the middle."""
    shape = (row.shape[0], row.shape[1])
    radius = min(30.0, 0.16 * size)
    distance = np.hypot(row - centre[0], column - centre[1]) / radius
    density = 1.15 - distance + 0.28 * smooth_noise(rng, shape, 6.0)
    village = np.asarray(density > 0.15, np.bool_)
    blocks = cut_parcels(rng, village, 30, 110, float(rng.uniform(0, np.pi)))
    street = np.asarray(village & (blocks.level < 5), np.bool_)
    hall = village & (rng.random(blocks.total + 1) < 0.06)[blocks.label] & ~street
    houses = 0.26 + 0.3 * np.clip(density, 0, 1) + 0.2 * smooth_noise(rng, shape, 0.8)
    houses = np.where(street, 0.75, np.where(hall, 0.93, np.clip(houses, 0.05, 0.9)))
    return village, street, hall, houses.astype(np.float32)


def _distance(mask: Mask) -> Field:
    if not mask.any():
        return np.full(mask.shape, 1e3, np.float32)
    return np.asarray(ndimage.distance_transform_edt(~mask), np.float32)
