"""Daily weather: what ties clouds, wet soils, snow and a season's timing together."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy import special

from processes.simulation.fields import stream
from processes.simulation.spec import SceneSpec

# Days simulated before the first year, so that soil moisture and snow have forgotten their start.
_SPIN_UP_DAYS = 120

Series = NDArray[np.float64]


@dataclass(frozen=True)
class Weather:
    """Daily series from `first` on.

    `unsettled` is a standard normal index that persists for days (high: cloudy, wet), `temperature` in degrees C,
    `rain` in mm, `moisture` of the top soil from 0 (dry) to 1 (saturated), `snow` in mm of water.
    """

    first: np.datetime64
    unsettled: Series
    temperature: Series
    rain: Series
    moisture: Series
    snow: Series

    def index(self, time: np.datetime64) -> int:
        """Return the position of a time's day in the series."""
        return int((time.astype("datetime64[D]") - self.first).astype(int))


def simulate_weather(spec: SceneSpec) -> Weather:
    """Return the weather from 120 days before the scene's first year to its end.

    It always starts there, so that a scene of a part of a year has that part's weather of the whole year.
    """
    first = spec.start.astype("datetime64[Y]").astype("datetime64[D]") - _SPIN_UP_DAYS
    count = int((spec.stop - first).astype(int)) + 1
    # One draw of three numbers a day keeps a longer series equal to a shorter one where they overlap.
    draws = stream(spec.seed, "weather", int(first.astype(int))).standard_normal((count, 3))
    unsettled = _persistent(draws[:, 0], 0.68)
    temperature = _temperature(spec, first, draws[:, 1]) - 1.5 * unsettled * _summer(spec, first, count)
    rain = _rain(spec, unsettled, draws[:, 2])
    moisture, snow = _water_balance(temperature, rain)
    return Weather(first, unsettled, temperature, rain, moisture, snow)


def _persistent(noise: Series, memory: float) -> Series:
    values = np.empty_like(noise)
    state = noise[0]
    for day, shock in enumerate(noise):
        state = memory * state + np.sqrt(1 - memory**2) * shock if day else shock
        values[day] = state
    return values


def _summer(spec: SceneSpec, first: np.datetime64, count: int) -> Series:
    """Return 1 at the warmest time of the year (about 20 July in the north), -1 at the coldest."""
    day = (first - first.astype("datetime64[Y]").astype("datetime64[D]")).astype(int) + np.arange(count)
    warmest = 201 if spec.latitude >= 0 else 201 - 182.6
    return np.asarray(np.cos(2 * np.pi * (day - warmest) / 365.25), np.float64)


def _temperature(spec: SceneSpec, first: np.datetime64, noise: Series) -> Series:
    climate = spec.climate
    season = 0.5 * climate.temperature_range * _summer(spec, first, noise.size)
    return climate.mean_temperature + season + 3.0 * _persistent(noise, 0.8)


def _rain(spec: SceneSpec, unsettled: Series, noise: Series) -> Series:
    """Rain falls on the most unsettled days, in exponentially distributed amounts."""
    climate = spec.climate
    if climate.rain_days == 0:
        return np.zeros_like(unsettled)
    wet = unsettled > special.ndtri(1 - climate.rain_days)
    amount = -climate.daily_rain * np.log(np.maximum(special.ndtr(noise), 1e-6))
    return np.where(wet, amount, 0.0)


def _water_balance(temperature: Series, rain: Series) -> tuple[Series, Series]:
    """Return top soil moisture (an antecedent precipitation index) and snow water (a degree-day model)."""
    moisture, snow = np.empty_like(rain), np.empty_like(rain)
    store, pack = 0.4, 0.0
    for day, (warmth, water) in enumerate(zip(temperature, rain, strict=True)):
        fallen = water * float(special.expit((0.8 - warmth) / 0.5))
        melt = min(pack + fallen, max(0.0, 3.5 * (warmth + 1.0)))
        pack += fallen - melt
        # The top centimetres hold about 12 mm and dry within 3 days in summer, 12 in winter.
        days_to_dry = np.clip(12.0 - 0.45 * warmth, 2.5, 14.0)
        store = store * np.exp(-1 / days_to_dry) + (1 - store) * (1 - np.exp(-(water - fallen + melt) / 12.0))
        moisture[day], snow[day] = store, pack
    return moisture, snow
