"""Clouds: how thick they are where, what light they reflect and let through, and where their shadows fall.

The fields are made on a periodic 20 m grid larger than the scene. A layer of optical thickness t reflects
``(1 - g) t / (2 + (1 - g) t)`` of the light (two-stream approximation for a non-absorbing cloud, g the asymmetry of
scattering), and the ground is seen through what it transmits, down and up.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy import fft, ndimage, special

from processes.simulation.bands import S2_BAND_FACTS, S2_BANDS
from processes.simulation.fields import Field, fractal_noise, resample, stream
from processes.simulation.orbits import Acquisition
from processes.simulation.spec import SceneSpec
from processes.simulation.sun import Sun
from processes.simulation.weather import Weather

CELL_METRES = 20.0
CLEAR, SHADOW, THIN, THICK = 0, 1, 2, 3

# Cells round the scene that keep the two sides of the periodic grid apart, and pixels in a cell's side.
_MARGIN_CELLS = 32
_PIXELS_PER_CELL = 2
_DROPLET_ASYMMETRY, _CRYSTAL_ASYMMETRY = 0.85, 0.78
# Metres on the ground per metre of height and second between bands: 7.4 km/s seen from 786 km.
_PARALLAX = 7.4 / 786
_PARALLAX_ROWS = 20
# Reflectance of thick cloud relative to the blue one: droplets and crystals absorb in the shortwave infrared.
_CLOUD_COLOUR = np.array([1.0, 1.0, 0.96, 0.97, 0.99, 1.02, 1.04, 1.06, 1.07, 0.85, 0.68, 0.54], np.float32)
# Share of the light that comes from the sky, not from the sun: what is left in a shadow.
_SKY_LIGHT = np.array([0.30, 0.25, 0.19, 0.15, 0.14, 0.13, 0.12, 0.11, 0.10, 0.10, 0.06, 0.05], np.float32)


@dataclass(frozen=True)
class Clouds:
    """Clouds of one pass.

    `water` and `cirrus` are the shares of light that the layers reflect, (y + 2 * 20, x): the margin serves the bands'
    different views of them. `shine` scales the brightness of water clouds on the same grid; `sunlit` (y, x) is the
    share of direct light that reaches the ground.
    """

    water: Field
    cirrus: Field
    shine: Field
    sunlit: Field
    gain: float
    height: float
    cirrus_height: float

    def opacity(self) -> Field:
        """Return the share of green light that all clouds reflect, (y, x)."""
        water, cirrus = self._layers("B03")
        return water + cirrus * (1 - water)

    def opacity_of_water(self) -> Field:
        """Return the share of green light that water clouds reflect, (y, x)."""
        return self._layers("B03")[0]

    def opacity_of_cirrus(self) -> Field:
        """Return the share of green light that ice clouds reflect, (y, x)."""
        return self._layers("B03")[1]

    def truth(self) -> NDArray[np.uint8]:
        """Return 0 clear, 1 in shadow, 2 thin cloud, 3 thick cloud (y, x)."""
        opacity = self.opacity()
        truth = np.where(self.sunlit < 0.7, np.uint8(SHADOW), np.uint8(CLEAR))
        truth[opacity >= 0.035] = THIN
        truth[opacity >= 0.25] = THICK
        return truth

    def over(self, ground: Field) -> Field:
        """Return what is seen of `ground` (12, y, x) through and between the clouds; it is overwritten."""
        for index, band in enumerate(S2_BANDS):
            water, cirrus = self._layers(band)
            shine = _rows(self.shine, self._shift(band, self.height))
            values = ground[index]
            values *= _SKY_LIGHT[index] + (1 - _SKY_LIGHT[index]) * self.sunlit
            opacity = water + cirrus * (1 - water)
            values *= (1 - opacity) ** 2 / (1 - np.clip(values, 0, 0.9) * opacity)
            values += (water * shine + cirrus * (1 - water)) * _CLOUD_COLOUR[index] * np.float32(self.gain)
        return ground

    def _layers(self, band: str) -> tuple[Field, Field]:
        return (
            _rows(self.water, self._shift(band, self.height)),
            _rows(self.cirrus, self._shift(band, self.cirrus_height)),
        )

    @staticmethod
    def _shift(band: str, height: float) -> int:
        """Return by how many rows a layer is displaced in a band against the green one."""
        delay = S2_BAND_FACTS[band].delay - S2_BAND_FACTS["B03"].delay
        return int(np.clip(round(height * _PARALLAX * delay / 10.0), -_PARALLAX_ROWS, _PARALLAX_ROWS))


def _rows(padded: Field, shift: int) -> Field:
    start = _PARALLAX_ROWS + shift
    return padded[start : start + padded.shape[0] - 2 * _PARALLAX_ROWS]


def cloud_cover(spec: SceneSpec, weather: Weather, passage: Acquisition) -> float:
    """Return the share of the sky that water clouds cover, 0 to 1: often all or nothing, seldom between."""
    rng = stream(spec.seed, "cover", *passage.key)
    index = float(0.85 * weather.unsettled[weather.index(passage.time)])
    rank = float(special.ndtr(index + float(np.sqrt(1 - 0.85**2)) * float(rng.standard_normal())))
    cloudy = spec.climate.cloudiness
    if rank < 1 - cloudy:
        return float(0.5 * max(0.0, (rank / (1 - cloudy) - 0.62) / 0.38) ** 1.4)
    return 0.5 + 0.5 * min(1.0, (rank - 1 + cloudy) / cloudy / 0.35)


def simulate_clouds(spec: SceneSpec, weather: Weather, passage: Acquisition, sun: Sun) -> Clouds:
    """Return the clouds of a pass."""
    rng = stream(spec.seed, "clouds", *passage.key)
    cover = cloud_cover(spec, weather, passage)
    size = fft.next_fast_len(-(-max(*spec.shape, 256) // _PIXELS_PER_CELL) + 2 * _MARGIN_CELLS, real=True)
    height = float(rng.uniform(700, 2200)) * (1.0 if cover < 0.9 else 0.7)
    thickness, shine = _water_cloud(rng, size, cover, sun)
    cirrus = _cirrus(rng, size, with_probability=0.24 * min(1.0, 4 * spec.climate.cloudiness))
    padded = (spec.height + 2 * _PARALLAX_ROWS, spec.width)
    corner = (_MARGIN_CELLS - _PARALLAX_ROWS / _PIXELS_PER_CELL, float(_MARGIN_CELLS))
    return Clouds(
        water=_reflected(resample(thickness, padded, corner, _PIXELS_PER_CELL), _DROPLET_ASYMMETRY),
        cirrus=_reflected(resample(cirrus, padded, corner, _PIXELS_PER_CELL), _CRYSTAL_ASYMMETRY),
        shine=resample(shine, padded, corner, _PIXELS_PER_CELL),
        sunlit=_sunlit(thickness, sun, height, spec.shape),
        gain=float(rng.uniform(0.7, 1.2)),
        height=height,
        cirrus_height=float(rng.uniform(7500, 11000)),
    )


def _reflected(thickness: Field, asymmetry: float) -> Field:
    scattered = np.float32(1 - asymmetry) * thickness
    return np.asarray(scattered / (2 + scattered), np.float32)


def _water_cloud(rng: np.random.Generator, size: int, cover: float, sun: Sun) -> tuple[Field, Field]:
    """Return optical thickness and relative brightness (size, size): heaps with sharp edges, or even sheets."""
    sheet = rng.random() < (0.8 if cover > 0.9 else 0.3)
    depth = float(np.exp(rng.normal(np.log(22 if sheet else 30), 0.45)))
    # Heaps of some hundred metres come in groups of a few kilometres.
    single = fractal_noise(rng, size, 3.3 if sheet else 2.9, 70.0 if sheet else float(rng.uniform(12, 45)))
    group = fractal_noise(rng, size, 3.5, 90.0)
    mix = 0.5 if sheet else float(rng.uniform(0.35, 0.75))
    noise = np.float32(np.sqrt(1 - mix**2)) * single + np.float32(mix) * group
    if cover <= 0.01:
        return np.zeros_like(noise), np.ones_like(noise)
    # A full cover lies a good way below the field's minimum: no holes.
    edge = float(np.quantile(noise, 1 - cover)) - (1.2 * (cover - 0.9) / 0.1 if cover > 0.9 else 0.0)
    softness = 1.6 if sheet else 1.0
    thickness = depth * (np.maximum(noise - edge, 0) / softness) ** 1.6
    return thickness.astype(np.float32), _shine(noise, sun, 0.35 if sheet else 1.0)


def _shine(noise: Field, sun: Sun, relief: float) -> Field:
    """Return the brightness of the cloud's slopes: those that face the sun are brighter."""
    smooth = ndimage.gaussian_filter(noise, 1.2, mode="wrap")
    south, east = np.gradient(smooth)
    facing = -(east * np.sin(sun.azimuth) - south * np.cos(sun.azimuth))
    # A slope faces the sun where the top falls towards it. A low sun brings the relief out.
    return np.asarray(np.clip(1 + relief * 0.9 * np.sin(sun.zenith) * facing, 0.6, 1.35), np.float32)


def _cirrus(rng: np.random.Generator, size: int, with_probability: float) -> Field:
    """Return the optical thickness of high, thin, streaky ice cloud; mostly there is none."""
    present, turn, stretch = rng.random() < with_probability, rng.uniform(0, np.pi), rng.uniform(1.8, 4.0)
    peak, cover = float(np.exp(rng.normal(np.log(0.28), 0.6))), rng.uniform(0.3, 1.0)
    if not present:
        return np.zeros((size, size), np.float32)
    noise = fractal_noise(rng, size, 3.6, 90.0)
    cos, sin = np.cos(turn), np.sin(turn)
    matrix = np.array([[cos, -sin], [sin / stretch, cos / stretch]])
    streaks = ndimage.affine_transform(noise, matrix, (0.0, 0.0), mode="grid-wrap", order=1)
    excess = np.maximum(streaks - np.quantile(streaks, 1 - cover), 0)
    return np.asarray(np.minimum(peak * excess, 2.0), np.float32)


def _sunlit(thickness: Field, sun: Sun, height: float, shape: tuple[int, int]) -> Field:
    """Return the share of direct light at the ground: the cloud seen from there in the direction of the sun."""
    reach = height * np.tan(sun.zenith) / CELL_METRES
    # The grid is periodic: a shadow of a cloud beyond its border is that of the cloud on the other side.
    toward = (_MARGIN_CELLS - reach * np.cos(sun.azimuth), _MARGIN_CELLS + reach * np.sin(sun.azimuth))
    whole = np.floor(toward).astype(int)
    turned = np.roll(thickness, (-int(whole[0]), -int(whole[1])), axis=(0, 1))
    rest = (toward[0] - whole[0], toward[1] - whole[1])
    blocked = resample(ndimage.gaussian_filter(turned, 0.8, mode="wrap"), shape, rest, _PIXELS_PER_CELL)
    return np.asarray(np.exp(-0.4 * blocked), np.float32)
