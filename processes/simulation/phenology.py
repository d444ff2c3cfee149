"""The year of each land-cover class: green and dry cover, colour and biomass for every day.

Curves are sums of logistic steps. The dates are those of central European lowlands (as in the German weather service's
phenological calendars); a warmer climate brings spring forward and autumn back by about four days per
degree. A unit's `shift` and `luck` move it within its class.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray
from scipy import special

from processes.simulation.bands import (
    BUILT_UP,
    CEREAL,
    CONIFEROUS,
    DECIDUOUS,
    GRASSLAND,
    MAIZE,
    RAPESEED,
)
from processes.simulation.fields import Field
from processes.simulation.landscape import Units
from processes.simulation.spec import SceneSpec

# The mean temperature for which the dates below are written, and the days that one degree more is worth.
_REFERENCE_TEMPERATURE = 9.5
_DAYS_PER_DEGREE = 4.0
_YEAR_DAYS = 365.25


class Growth(NamedTuple):
    """The state of each unit, (n,) each.

    Shares of the ground that is `green`, has `colour` (flowers of rapeseed, autumn leaves) or is `dry`; the rest is
    bare.
    `biomass` goes from 0 to about 1.
    """

    green: Field
    colour: Field
    dry: Field
    biomass: Field


def growth(units: Units, spec: SceneSpec, time: np.datetime64) -> Growth:
    """Return the state of each unit at a time; water has no growth."""
    day = _season_day(spec, time)
    states = np.zeros((4, units.code.size), np.float32)
    for code, curve in _CURVES.items():
        chosen = units.code == code
        states[:, chosen] = curve(day - units.shift[chosen], units.luck[chosen])
    green = np.clip(states[0] * units.vigour, 0, 1)
    dry = np.clip(states[2], 0, 1 - green)
    colour = np.clip(states[1], 0, 1) * green
    return Growth(green - colour, colour, dry, np.clip(states[3] * units.vigour, 0, 1.2))


def _season_day(spec: SceneSpec, time: np.datetime64) -> float:
    """Return the day of the year in the reference climate's calendar: early dates stretch to where spring begins."""
    start = time.astype("datetime64[Y]").astype("datetime64[D]")
    day = float((time - start) / np.timedelta64(1, "s")) / 86_400
    if spec.latitude < 0:
        day = (day + _YEAR_DAYS / 2) % _YEAR_DAYS
    warmer = np.clip(spec.climate.mean_temperature - _REFERENCE_TEMPERATURE, -6, 6)
    # Forward in spring, back in autumn, nothing at midsummer and midwinter: the year stays closed.
    return float(day + warmer * _DAYS_PER_DEGREE * np.sin(2 * np.pi * (day - 5) / _YEAR_DAYS))


def _step(day: Field, middle: Field | float, days: float) -> Field:
    return np.asarray(special.expit((day - middle) / np.float32(days)), np.float32)


def _cereal(day: Field, luck: Field) -> NDArray[np.float32]:
    """Winter wheat and barley: tillers over winter, shoots in April, ripe in July, next crop from October."""
    harvest, plough = 196 + 5 * luck[:, 0], 242 + 12 * luck[:, 1]
    winter = 0.30 + 0.06 * luck[:, 2]
    new = _step(day, 312, 8)
    weeds = 0.2 * (_step(day, 214, 6) - _step(day, plough, 1))
    green = winter * (1 - _step(day, 98, 9)) + 0.92 * (_step(day, 98, 9) - _step(day, 166, 5)) + weeds + winter * new
    dry = 0.8 * _step(day, 168, 5) - 0.32 * _step(day, harvest, 0.7) - 0.42 * _step(day, plough, 0.7) - 0.06 * new
    mass = 0.12 + 0.88 * _step(day, 122, 9) - 0.35 * _step(day, 176, 7) - 0.6 * _step(day, harvest, 0.7) + 0.07 * new
    return np.stack([green, np.zeros_like(day), dry, np.maximum(mass, 0.04)])


def _maize(day: Field, luck: Field) -> NDArray[np.float32]:
    """Maize: bare until mid May, closed in July, cut in September; every second field has a catch crop in winter."""
    harvest, plough = 266 + 7 * luck[:, 0], 108 + 6 * luck[:, 1]
    catch = np.clip(0.12 + 0.3 * luck[:, 2], 0.03, 0.6)
    green = 0.93 * (_step(day, 168, 6.5) - _step(day, np.minimum(258, harvest), 5))
    catch = catch * (1 - _step(day, plough, 1.5) + _step(day, 306, 8))
    # Ripe leaves and then stubble; part of it lies until the field is ploughed in spring.
    dry = 0.6 * _step(day, 257, 5) - 0.36 * _step(day, harvest, 0.7) - 0.10 * _step(day, 318, 6)
    dry = dry + 0.14 * (1 - _step(day, plough, 1.5))
    mass = 1.05 * _step(day, 184, 9) - 0.25 * _step(day, 258, 7) - 0.8 * _step(day, harvest, 0.7)
    return np.stack([green + catch, np.zeros_like(day), dry, np.maximum(mass, 0) + 0.25 * catch])


def _rapeseed(day: Field, luck: Field) -> NDArray[np.float32]:
    """Winter rapeseed: green rosettes in winter, yellow from late April, ripe in July, sown again in August."""
    harvest, plough = 198 + 4 * luck[:, 0], 226 + 6 * luck[:, 1]
    winter = 0.52 + 0.08 * luck[:, 2]
    new = _step(day, 274, 8)
    green = winter * (1 - _step(day, 84, 8)) + 0.93 * (_step(day, 84, 8) - _step(day, 176, 6)) + winter * new
    green = green + 0.22 * (_step(day, 212, 5) - _step(day, plough, 1))
    flower = 0.8 * (_step(day, 112, 2.5) - _step(day, 133, 3.5))
    dry = 0.82 * _step(day, 179, 5) - 0.34 * _step(day, harvest, 0.7) - 0.44 * _step(day, plough, 0.7) - 0.04 * new
    mass = 0.3 + 0.75 * _step(day, 110, 8) - 0.25 * _step(day, 182, 7) - 0.77 * _step(day, harvest, 0.7) + 0.27 * new
    return np.stack([green, flower, dry, np.maximum(mass, 0.03)])


def _grass(day: Field, luck: Field) -> NDArray[np.float32]:
    """Meadows: two to four cuts from mid May on, each followed by a month of regrowth."""
    season = _step(day, 86, 9) - _step(day, 312, 13)
    green = 0.52 + 0.36 * season
    standing = np.ones_like(day)
    for number, (middle, spread) in enumerate(((140, 9), (184, 9), (229, 10), (268, 8))):
        since = day - (middle + spread * luck[:, number])
        # Meagre meadows are spared the second and the last cut.
        kept = (luck[:, 4] < -0.3) & (number in (1, 3))
        standing = np.where((since > 0) & ~kept, np.minimum(standing, 1 - np.exp(-since / 15)), standing)
    cut = 1 - standing
    dry = 0.34 - 0.22 * season + 0.22 * cut
    mass = (0.2 + 0.4 * season) * (0.35 + 0.65 * standing)
    return np.stack([green * (1 - 0.55 * cut), np.zeros_like(day), dry, mass])


def _deciduous(day: Field, luck: Field) -> NDArray[np.float32]:
    """Beech and oak: leaves from mid April, yellow in October; branches and litter else."""
    spring, autumn = 108 + 2 * luck[:, 0], 297 + 4 * luck[:, 1]
    leaves = _step(day, spring, 3.5) - _step(day, autumn, 6)
    yellow = _step(day, autumn - 12, 5) - _step(day, autumn + 12, 5)
    green = 0.06 + 0.9 * leaves
    return np.stack([green, 0.85 * yellow, 0.9 * (1 - green), 0.75 + 0.25 * leaves])


def _coniferous(day: Field, luck: Field) -> NDArray[np.float32]:
    """Spruce and pine: nearly the same all year, a flush of young needles in June."""
    flush = _step(day, 140, 10) - _step(day, 250, 25)
    green = 0.9 + 0.05 * flush + 0.01 * luck[:, 0]
    return np.stack([green, np.zeros_like(day), 0.8 * (1 - green), np.ones_like(day)])


def _gardens(day: Field, luck: Field) -> NDArray[np.float32]:
    """Lawns and trees among houses."""
    season = _step(day, 98, 9) - _step(day, 306, 10)
    return np.stack([0.42 + 0.34 * season, np.zeros_like(day), 0.32 - 0.2 * season, 0.3 + 0.2 * season])


_CURVES: dict[int, Callable[[Field, Field], NDArray[np.float32]]] = {
    CEREAL: _cereal,
    MAIZE: _maize,
    RAPESEED: _rapeseed,
    GRASSLAND: _grass,
    DECIDUOUS: _deciduous,
    CONIFEROUS: _coniferous,
    BUILT_UP: _gardens,
}
