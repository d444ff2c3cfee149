"""Gross primary production of a simulated scene, day by day: a light-use efficiency model (Monteith 1972).

As in MOD17 (Running et al. 2004, doi:10.1641/0006-3568(2004)054[0547:ACSMOG]2.0.CO;2): light that green leaves absorb,
times an efficiency that cold and drought lower. It knows the same greenness as the simulated reflectances, and the
weather.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray
from scipy import special

from processes.simulation.bands import BUILT_UP, CEREAL, CONIFEROUS, DECIDUOUS, GRASSLAND, MAIZE, RAPESEED
from processes.simulation.fields import Field
from processes.simulation.phenology import growth
from processes.simulation.scene import Simulation

# Largest efficiency, g C per MJ of absorbed light: about MOD17's for forests and grass; crops lie higher, maize (a C4
# plant) highest.
EFFICIENCY = {
    DECIDUOUS: 1.17, CONIFEROUS: 0.96, GRASSLAND: 0.86, CEREAL: 1.4, RAPESEED: 1.3, MAIZE: 2.2, BUILT_UP: 0.86,
}  # fmt: skip
_SOLAR_CONSTANT = 0.0820  # MJ m-2 min-1 (FAO 56)
_LIGHT = 0.45  # share of the sun's energy between 400 and 700 nm
_COLDEST, _WARM = -8.0, 10.0  # daily mean, degrees C: no growth below, no loss above
_ROOT_DAYS = 30  # the root zone remembers the top soil's moisture for about so long


def gross_primary_production(simulation: Simulation) -> tuple[NDArray[np.datetime64], Field]:
    """Return the scene's days (d,) and their gross primary production (d, y, x), g C m-2 d-1."""
    spec, ground, weather = simulation.spec, simulation.ground, simulation.weather
    days = np.arange(spec.start, spec.stop)
    unit = ground.unit
    efficiency = np.zeros(256, np.float32)
    efficiency[list(EFFICIENCY)] = list(EFFICIENCY.values())
    open_ground = (1 - ground.sealed) * (1 - ground.gaps) * efficiency[ground.units.code][unit]
    first = weather.index(days[0].astype("datetime64[ns]"))
    part = slice(first, first + len(days))
    light = _light(days, spec.latitude, weather.unsettled[part])
    warmth = np.clip((weather.temperature[part] - _COLDEST) / (_WARM - _COLDEST), 0, 1)
    water = 0.5 + 0.5 * np.clip(_remembered(weather.moisture)[part] / 0.35, 0, 1)
    factor = (light * warmth * water).astype(np.float32)
    production = np.empty((len(days), *spec.shape), np.float32)
    for i, day in enumerate(days):
        state = growth(ground.units, spec, day.astype("datetime64[ns]") + np.timedelta64(12, "h"))
        green = np.clip(state.green + 0.5 * state.colour, 0, 1)
        production[i] = factor[i] * 0.95 * green[unit] * open_ground
    return days, production


def _light(days: NDArray[np.datetime64], latitude: float, unsettled: NDArray[np.float64]) -> NDArray[np.float64]:
    """Light for photosynthesis at the ground, MJ m-2 d-1: FAO 56 outside the atmosphere, dimmed by the day's clouds."""
    day = (days - days.astype("datetime64[Y]").astype("datetime64[D]")).astype(int) + 1
    angle = 2 * np.pi * day / 365
    distance, declination = 1 + 0.033 * np.cos(angle), 0.409 * np.sin(angle - 1.39)
    phi = np.radians(latitude)
    sunset = np.arccos(np.clip(-np.tan(phi) * np.tan(declination), -1, 1))
    above = sunset * np.sin(phi) * np.sin(declination) + np.cos(phi) * np.cos(declination) * np.sin(sunset)
    outside = 24 * 60 / np.pi * _SOLAR_CONSTANT * distance * above
    clearness = 0.75 - 0.5 * special.expit(1.5 * unsettled)
    return np.asarray(_LIGHT * clearness * outside)


def _remembered(moisture: NDArray[np.float64]) -> NDArray[np.float64]:
    """Exponential mean of a daily series over the days before."""
    out = np.empty_like(moisture)
    state = moisture[0]
    for i, value in enumerate(moisture):
        state += (value - state) / _ROOT_DAYS
        out[i] = state
    return out
