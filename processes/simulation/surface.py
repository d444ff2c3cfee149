"""Reflectance of the ground as it is on a day: materials mixed in the shares that phenology and weather give."""

from __future__ import annotations

from dataclasses import dataclass

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
from processes.simulation.fields import Field
from processes.simulation.landscape import Landscape
from processes.simulation.phenology import growth
from processes.simulation.spec import SceneSpec
from processes.simulation.spectra import spectra
from processes.simulation.weather import Weather

# What living, coloured and dry vegetation of a class is made of.
_GREEN = {
    CEREAL: "crop", RAPESEED: "crop", MAIZE: "maize", GRASSLAND: "grass", BUILT_UP: "grass",
    DECIDUOUS: "leaf", CONIFEROUS: "needle",
}  # fmt: skip
_COLOUR = {RAPESEED: "rape", DECIDUOUS: "autumn"}
_DRY = dict.fromkeys((CEREAL, RAPESEED, MAIZE, GRASSLAND, BUILT_UP), "straw") | dict.fromkeys(
    (DECIDUOUS, CONIFEROUS), "litter"
)
_MIXED = (
    "crop", "maize", "grass", "leaf", "needle", "rape", "autumn", "straw", "litter", "water", "mud", "soil", "wet_soil",
)  # fmt: skip
_GREEN_ROWS = slice(0, 5)
_SOIL, _WET = _MIXED.index("soil"), _MIXED.index("wet_soil")
_SEALED = ("roof", "concrete", "asphalt")

# Days before and after an acquisition between which a unit's early and late spots lie.
_SPREAD_DAYS = 3.0
# Snow hides this share of the ground where there is enough of it: crowns and roofs shed it, water melts it.
_SNOW_SHARE = {DECIDUOUS: 0.55, CONIFEROUS: 0.3, BUILT_UP: 0.6, WATER: 0.0}


@dataclass(frozen=True)
class Surface:
    """What of the ground's reflectance can be prepared once: flat maps over the pixels (p,), spectra (bands, ...)."""

    spec: SceneSpec
    weather: Weather
    ground: Landscape
    mixed: Field
    sealed: Field
    late: Field
    snow: Field
    snow_share: Field

    def reflectance(self, time: np.datetime64) -> Field:
        """Return the reflectance (12, y, x) in nadir view with the sun at 45 degrees, without any atmosphere."""
        day = self.weather.index(time)
        values = self.mixed @ self._shares(time, day)
        values *= self.ground.brightness.ravel()
        covered = self.ground.sealed.ravel()
        values *= 1 - covered
        # Wet roofs and roads are darker.
        values += covered * self.sealed * np.float32(1 - 0.25 * self.weather.moisture[day])
        if self.weather.snow[day] > 0.05:
            patches = np.exp(4 * self.ground.wetness.ravel()) / 6
            cover = self.snow_share * (1 - np.exp(-np.float32(self.weather.snow[day]) * patches))
            values += cover * (self.snow - values)
        return values.reshape(-1, *self.spec.shape)

    def _shares(self, time: np.datetime64, day: int) -> Field:
        """Return the shares of `_MIXED` (materials, pixels)."""
        ground = self.ground
        spread = np.timedelta64(int(_SPREAD_DAYS * 86_400), "s")
        early, late = self._unit_shares(time - spread, day), self._unit_shares(time + spread, day)
        unit = ground.unit.ravel()
        shares = early[:, unit]
        shares += self.late * (late - early)[:, unit]
        _mix_in(shares, ground.margin.ravel(), 0.5 * (early + late)[:, ground.units.code == GRASSLAND])
        _mix_in(shares, ground.hedge.ravel(), 0.5 * (early + late)[:, ground.units.code == DECIDUOUS])
        green = shares[_GREEN_ROWS]
        bare = green.sum(axis=0) * ground.gaps.ravel()
        green *= 1 - ground.gaps.ravel()
        soil = shares[_SOIL] + bare * ground.units.soil[unit]
        wet = np.clip(np.float32(self.weather.moisture[day]) + ground.wetness.ravel(), 0, 1)
        shares[_SOIL], shares[_WET] = soil * (1 - wet), soil * wet
        return shares

    def _unit_shares(self, time: np.datetime64, day: int) -> Field:
        """Return the shares of `_MIXED` (materials, units); all soil is still dry, scaled by its brightness."""
        units = self.ground.units
        state = growth(units, self.spec, time)
        shares = np.zeros((len(_MIXED), units.code.size), np.float32)
        for names, part in ((_GREEN, state.green), (_COLOUR, state.colour), (_DRY, state.dry)):
            for code, name in names.items():
                chosen = units.code == code
                shares[_MIXED.index(name), chosen] += part[chosen]
        shares[_SOIL] = np.maximum(0, 1 - shares.sum(axis=0)) * units.soil
        water = np.flatnonzero(units.code == WATER)
        # After rain the river (the first water) carries mud; the lake stays clearer.
        recent = float(self.weather.rain[max(0, day - 2) : day + 1].sum())
        mud = np.array([0.25 + 0.7 * (1 - np.exp(-recent / 15)), 0.15], np.float32)
        shares[:, water] = 0
        shares[_MIXED.index("mud"), water] = mud
        shares[_MIXED.index("water"), water] = 1 - mud
        return shares


def _mix_in(shares: Field, part: Field, others: Field) -> None:
    """Replace `part` (p,) of each pixel by the mean of `others` (materials, units), in place."""
    if others.shape[1]:
        shares *= 1 - part
        shares += others.mean(axis=1)[:, None] * part


def build_surface(spec: SceneSpec, weather: Weather, ground: Landscape) -> Surface:
    """Prepare the reflectance of a scene's ground."""
    material = ground.material.reshape(len(_SEALED), -1)
    snow_share = np.ones(256, np.float32)
    snow_share[list(_SNOW_SHARE)] = list(_SNOW_SHARE.values())
    late: NDArray[np.float32] = np.clip(0.5 - ground.timing.ravel() / (2 * _SPREAD_DAYS), 0, 1)
    return Surface(
        spec=spec,
        weather=weather,
        ground=ground,
        mixed=spectra(_MIXED),
        sealed=spectra(_SEALED) @ material,
        late=late.astype(np.float32),
        snow=spectra(("snow",)),
        snow_share=snow_share[ground.land_cover.ravel()],
    )
