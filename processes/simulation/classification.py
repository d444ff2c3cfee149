"""The scene classification (SCL) that comes with each Sentinel-2 product: good, but not the truth.

Like Sen2Cor's it is decided at 20 m by thresholds on reflectances, so it misses thin cloud, calls some bright roofs
cloud and frays at the borders. Clouds and shadows are found from what the simulation knows, blurred by noise.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from processes.simulation.bands import S2_BANDS
from processes.simulation.clouds import Clouds
from processes.simulation.fields import Field, smooth_noise
from processes.simulation.sensor import block_mean, on_pixels
from processes.simulation.spec import SceneSpec

NO_DATA, DARK, SHADOW, VEGETATION, BARE, WATER, UNCLASSIFIED = 0, 2, 3, 4, 5, 6, 7
CLOUD_MEDIUM, CLOUD_HIGH, CIRRUS, SNOW = 8, 9, 10, 11

# Classes that users mask as cloudy.
CLOUD_CLASSES = (CLOUD_MEDIUM, CLOUD_HIGH, CIRRUS)

_GRID = 20


def classify(
    spec: SceneSpec,
    rng: np.random.Generator,
    measured: Field,
    clouds: Clouds,
    waters: NDArray[np.bool_],
    seen: NDArray[np.bool_],
) -> NDArray[np.uint8]:
    """Return the classes (y, x) of a measured image (12, y, x); pixels outside of the swath are 0.

    `waters` (y, x) is the map of permanent water that Sen2Cor consults, too: shadows and melting snow look like water.
    """
    wanted = [S2_BANDS.index(band) for band in ("B02", "B03", "B04", "B08", "B11")]
    blue, green, red, infrared, shortwave = block_mean(spec, measured[wanted], _GRID)
    ndvi = (infrared - red) / np.maximum(infrared + red, 0.01)
    ndsi = (green - shortwave) / np.maximum(green + shortwave, 0.01)
    fine, coarse = smooth_noise(rng, blue.shape, 0.7), smooth_noise(rng, blue.shape, 4.0)
    classes = np.where(ndvi > 0.36 + 0.015 * fine, np.uint8(VEGETATION), np.uint8(BARE))
    classes[(np.abs(ndvi - 0.33) < 0.03) & (fine + coarse > 1.3)] = UNCLASSIFIED
    classes[(infrared < 0.13) & (blue < 0.06) & (ndvi < 0.55) & (fine > -0.8)] = DARK
    classes[(ndsi > 0.4) & (infrared > 0.16) & (green > 0.16)] = SNOW
    known = block_mean(spec, waters.astype(np.float32), _GRID) > 0.5
    classes[known & (infrared < 0.12) & (ndvi < 0.08)] = WATER
    _mark_clouds(spec, classes, clouds, blue, ndsi, fine, coarse)
    return np.where(seen, on_pixels(spec, classes, _GRID), np.uint8(NO_DATA))


def _mark_clouds(
    spec: SceneSpec,
    classes: NDArray[np.uint8],
    clouds: Clouds,
    blue: Field,
    ndsi: Field,
    fine: Field,
    coarse: Field,
) -> None:
    """Overwrite shadows, then cirrus and clouds, where noisy evidence for them is strong enough."""
    water, cirrus, sunlit = (
        block_mean(spec, layer, _GRID)
        for layer in (clouds.opacity_of_water(), clouds.opacity_of_cirrus(), clouds.sunlit)
    )
    wobble = np.exp(0.18 * fine + 0.28 * coarse)
    darkness = (1 - sunlit) * (0.9 + 0.12 * fine + 0.10 * coarse)
    classes[(darkness > 0.42) & (classes != WATER)] = SHADOW
    classes[cirrus * wobble > 0.045] = CIRRUS
    evidence = (water + 0.5 * cirrus) * wobble
    classes[(evidence > 0.045) & (classes != CIRRUS)] = UNCLASSIFIED
    classes[(evidence > 0.10)] = CLOUD_MEDIUM
    # Halls and gravel that are as bright as thin cloud, and not as blue as snow.
    classes[(blue > 0.235) & (ndsi < 0.3) & (classes == BARE)] = CLOUD_MEDIUM
    classes[evidence > 0.24] = CLOUD_HIGH
