"""Sentinel-1 backscatter: gamma0 in linear power, by class, season, soil moisture and orbit, with speckle.

Vegetation is a water cloud (Attema and Ulaby 1978): ``gamma = V (1 - exp(-k b)) + soil exp(-k b)`` for biomass b. The
levels lie within the ranges that Sentinel-1 studies of European crops and forests report (such as Vreugdenhil et al.
2018, doi:10.3390/rs10091396).
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from processes.simulation.bands import (
    BUILT_UP,
    CEREAL,
    CONIFEROUS,
    DECIDUOUS,
    GRASSLAND,
    MAIZE,
    RAPESEED,
    WATER,
)
from processes.simulation.fields import Field, smooth_noise, spread_to_neighbours, stream
from processes.simulation.landscape import Landscape
from processes.simulation.orbits import TRACKS, Acquisition, seen
from processes.simulation.phenology import growth
from processes.simulation.spec import SceneSpec
from processes.simulation.weather import Weather

# Equivalent number of looks of the 10 m product.
LOOKS = 4.9
_REFERENCE_ANGLE = 38.0


class _Canopy(NamedTuple):
    """A full canopy's backscatter (dB), how fast biomass hides the soil, and the loss per degree of angle (dB)."""

    vv: float
    vh: float
    hide_vv: float
    hide_vh: float
    slope: float


# Upright cereals let VV through to the soil but weaken it; the pods of rapeseed and the leaves of maize scatter it.
_CANOPIES = {
    CEREAL: _Canopy(-15.5, -18.4, 2.2, 1.8, 0.06),
    MAIZE: _Canopy(-9.6, -15.4, 2.4, 2.6, 0.05),
    RAPESEED: _Canopy(-9.2, -14.0, 1.9, 2.4, 0.05),
    GRASSLAND: _Canopy(-12.6, -18.8, 2.4, 2.4, 0.07),
    DECIDUOUS: _Canopy(-9.2, -14.7, 3.2, 3.2, 0.02),
    CONIFEROUS: _Canopy(-8.9, -15.1, 3.2, 3.2, 0.02),
    BUILT_UP: _Canopy(-11.5, -17.5, 3.0, 3.0, 0.04),
}


@dataclass(frozen=True)
class Backscatter:
    """What can be prepared once: speckle-free maps of what does not change, (y, x) unless said otherwise.

    `houses` (2, y, x) are strong reflectors of a track, by relative orbit.
    """

    spec: SceneSpec
    weather: Weather
    ground: Landscape
    houses: dict[int, Field]

    def acquire(self, passage: Acquisition) -> Field:
        """Return a pass, (2, y, x): VV and VH in linear power, NaN outside of the swath."""
        rng = stream(self.spec.seed, "speckle", *passage.key)
        power = self._mean_power(passage)
        # Blur to the resolution of about 20 m.
        power = spread_to_neighbours(power, 0.2) * np.stack([_speckle(rng, self.spec.shape) for _ in range(2)])
        # Calibration and radiometric terrain correction leave about 0.15 dB between passes.
        power *= np.float32(10 ** (0.015 * rng.standard_normal()))
        power[:, ~seen(self.spec, passage)] = np.nan
        return np.asarray(power, np.float32)

    def _mean_power(self, passage: Acquisition) -> Field:
        ground = self.ground
        by_unit = self._unit_power(passage)
        power = by_unit[:, ground.unit]
        hedges = by_unit[:, ground.units.code == DECIDUOUS]
        if hedges.shape[1]:
            power += ground.hedge * (hedges.mean(axis=1)[:, None, None] - power)
        # Local moisture: some 8 dB from dry to wet for bare soil, less through vegetation; half of it on average.
        power *= np.exp(0.9 * ground.wetness * (ground.land_cover != WATER))
        built = ground.land_cover == BUILT_UP
        power[:, built] *= (1 - 0.7 * ground.sealed)[built]
        power += self.houses[passage.track.relative_orbit]
        # Crowns and furrows: a texture that stays.
        power *= ground.brightness
        return np.asarray(power, np.float32)

    def _unit_power(self, passage: Acquisition) -> Field:
        """Return the mean power of each unit, (2, units)."""
        units, day = self.ground.units, self.weather.index(passage.time)
        mass = growth(units, self.spec, passage.time).biomass
        tilt = passage.track.view_zenith - _REFERENCE_ANGLE
        soil = self._soil(day, tilt)
        power = np.empty_like(soil)
        for code, canopy in _CANOPIES.items():
            chosen = units.code == code
            level = np.array([[canopy.vv], [canopy.vh]]) - canopy.slope * tilt
            hidden = np.exp(-np.outer((canopy.hide_vv, canopy.hide_vh), mass[chosen]))
            # A wet or frozen canopy is a little brighter or darker than one of a normal day.
            wet = 0.6 * (self.weather.moisture[day] - 0.4) + self._frost(day) * 0.5
            power[:, chosen] = _linear(level + wet) * (1 - hidden) + soil[:, chosen] * hidden
        water = np.flatnonzero(units.code == WATER)
        power[:, water] = self._water(passage, tilt, water.size)
        return power

    def _soil(self, day: int, tilt: float) -> Field:
        """Return bare soil's power (2, units): rougher and wetter soil is brighter, frost and wet snow darken it."""
        moisture = self.weather.moisture[day]
        snow = -3.0 * (1 - np.exp(-self.weather.snow[day] / 15)) * (self.weather.temperature[day] > 0)
        level = -14.8 + 7.0 * moisture + self._frost(day) + snow - 0.13 * tilt + self.ground.units.rough
        return _linear(np.stack([level, level - 8.6 - 1.2 * moisture]))

    def _frost(self, day: int) -> float:
        return -3.0 if self.weather.temperature[day] < -3 else 0.0

    def _water(self, passage: Acquisition, tilt: float, count: int) -> Field:
        """Return the power of water (2, count): wind roughens it, the lake (the second) less than the river."""
        wind = stream(self.spec.seed, "wind", *passage.key).normal(0, 1.3)
        level = -21.0 + wind - 0.12 * tilt + np.array([0.8, -0.6])[:count]
        return _linear(np.stack([level, np.clip(level - 7.5, -30, -26)]))


def build_backscatter(spec: SceneSpec, weather: Weather, ground: Landscape) -> Backscatter:
    """Prepare the backscatter of a scene: houses reflect another way for each track."""
    orbits = [track.relative_orbit for track in TRACKS if track.mission == "S1"]
    return Backscatter(spec, weather, ground, {orbit: _houses(spec, ground, orbit) for orbit in orbits})


def _houses(spec: SceneSpec, ground: Landscape, orbit: int) -> Field:
    """Return double bounces between walls and ground (2, y, x): few pixels hold most of a village's power."""
    rng = stream(spec.seed, "houses", orbit)
    strength = np.exp(1.15 * smooth_noise(rng, spec.shape, 0.7) - 0.66)
    vv = 0.85 * ground.walls * strength
    vh = vv * _linear(-7.5 + 1.5 * smooth_noise(rng, spec.shape, 0.9))
    return np.stack([vv, vh]).astype(np.float32)


def _linear(decibel: NDArray[np.floating]) -> Field:
    return np.asarray(10 ** (decibel / 10), np.float32)


def _speckle(rng: np.random.Generator, shape: tuple[int, int]) -> Field:
    """Return gamma distributed speckle of mean 1 (y, x), correlated between neighbours: 20 m looks sampled at 10 m.

    Wilson and Hilferty's cube turns a normal into a gamma number; good to a percent for this many looks.
    """
    normal = _neighbourly_noise(rng, shape)
    third = np.float32(1 / (9 * LOOKS))
    return np.asarray(np.maximum(1 - third + normal * np.sqrt(third), 0.05) ** 3, np.float32)


def _neighbourly_noise(rng: np.random.Generator, shape: tuple[int, int]) -> Field:
    """Return normal noise of deviation 1 whose direct neighbours correlate by about 0.4."""
    white = rng.standard_normal((shape[0] + 2, shape[1] + 2), dtype=np.float32)
    side, middle = np.float32(0.25), np.float32(1.0)
    rows = side * (white[:-2] + white[2:]) + middle * white[1:-1]
    both = side * (rows[:, :-2] + rows[:, 2:]) + middle * rows[:, 1:-1]
    return np.asarray(both / (middle**2 + 2 * side**2), np.float32)
