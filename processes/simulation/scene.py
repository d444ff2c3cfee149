"""A simulated scene: pass by pass, or as a whole in memory."""

from __future__ import annotations

from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from processes.simulation.backscatter import Backscatter, build_backscatter
from processes.simulation.bands import S1_BANDS, S2_BANDS, WATER
from processes.simulation.classification import classify
from processes.simulation.clouds import THIN, simulate_clouds
from processes.simulation.fields import Field, stream
from processes.simulation.landscape import Landscape, build_landscape
from processes.simulation.orbits import Acquisition, acquisitions, seen
from processes.simulation.sensor import correction_error, measure
from processes.simulation.spec import SceneSpec
from processes.simulation.sun import brdf_factors, sun_position
from processes.simulation.surface import Surface, build_surface
from processes.simulation.weather import Weather, simulate_weather

# Reflectances that are stored: digital numbers above 0 with offset -0.1; bright clouds exceed 1.
LOWEST, HIGHEST = -0.09, 1.2
# Value of `Scene.clouds` outside of the swath.
UNSEEN = 255


class OpticalImage(NamedTuple):
    """One Sentinel-2 pass.

    `reflectance` (bands, y, x), NaN outside of the swath; `scl` (y, x); `clouds` (y, x): 0 clear, 1 shadow, 2 thin and
    3 thick cloud, 255 outside of the swath; `cloud_cover`: percent of the seen pixels that are truly cloudy.
    """

    reflectance: Field
    scl: NDArray[np.uint8]
    clouds: NDArray[np.uint8]
    cloud_cover: float


class Simulation:
    """A scene whose passes are made one at a time: memory does not grow with the number of dates.

    Parameters
    ----------
    spec : SceneSpec

    Attributes
    ----------
    optical_passes, radar_passes : list of Acquisition
        In order of time.
    ground : Landscape
    weather : Weather
    """

    def __init__(self, spec: SceneSpec) -> None:
        self.spec = spec
        self.weather: Weather = simulate_weather(spec)
        self.ground: Landscape = build_landscape(spec)
        self.optical_passes: list[Acquisition] = acquisitions(spec, "S2")
        self.radar_passes: list[Acquisition] = acquisitions(spec, "S1")
        self._surface: Surface = build_surface(spec, self.weather, self.ground)
        self._backscatter: Backscatter = build_backscatter(spec, self.weather, self.ground)

    def optical(self, passage: Acquisition) -> OpticalImage:
        """Return a Sentinel-2 pass."""
        spec, track = self.spec, passage.track
        rng = stream(spec.seed, "optical", *passage.key)
        sun = sun_position(passage.time, spec.latitude, spec.longitude)
        clouds = simulate_clouds(spec, self.weather, passage, sun)
        factors = brdf_factors(sun, np.radians(track.view_zenith), np.radians(track.view_azimuth))
        light = self._surface.reflectance(passage.time)
        light *= np.array([factors[band] for band in S2_BANDS], np.float32)[:, None, None]
        light = measure(spec, rng, correction_error(rng, clouds.over(light)))
        inside = seen(spec, passage)
        scl = classify(spec, rng, light, clouds, self.ground.land_cover == WATER, inside)
        truth = np.where(inside, clouds.truth(), np.uint8(UNSEEN))
        wanted = [S2_BANDS.index(band) for band in spec.bands]
        reflectance = np.clip(light[wanted], LOWEST, HIGHEST)
        reflectance[:, ~inside] = np.nan
        cloudy = (truth >= THIN) & inside
        cover = 100.0 * float(cloudy.sum()) / max(1, int(inside.sum()))
        return OpticalImage(reflectance, scl, truth, cover)

    def radar(self, passage: Acquisition) -> Field:
        """Return a Sentinel-1 pass (2, y, x): VV and VH, gamma0 in linear power, NaN outside of the swath."""
        return self._backscatter.acquire(passage)


@dataclass(frozen=True)
class Scene:
    """A simulated scene in memory.

    Attributes
    ----------
    spec : SceneSpec
    land_cover : uint8 (y, x)
        Codes of `LAND_COVER_CLASSES`.
    s2_time, s1_time : datetime64[ns] (t,)
        UTC, in order.
    s2 : float32 (t, bands, y, x)
        Surface reflectance in the order of `spec.bands`, NaN outside of the swath.
    scl : uint8 (t, y, x)
        Scene classification as a user gets it.
    clouds : uint8 (t, y, x)
        The truth: 0 clear, 1 shadow, 2 thin and 3 thick cloud, 255 outside of the swath.
    cloud_cover : float64 (t,)
        Percent of the seen pixels that are truly cloudy.
    s1 : float32 (t, 2, y, x)
        VV and VH, gamma0 in linear power, NaN outside of the swath.
    s2_passes, s1_passes : tuple of Acquisition
        Orbits and platforms, one for each time.
    """

    spec: SceneSpec
    land_cover: NDArray[np.uint8]
    s2_time: NDArray[np.datetime64]
    s2: Field
    scl: NDArray[np.uint8]
    clouds: NDArray[np.uint8]
    cloud_cover: NDArray[np.float64]
    s1_time: NDArray[np.datetime64]
    s1: Field
    s2_passes: tuple[Acquisition, ...]
    s1_passes: tuple[Acquisition, ...]


def simulate_scene(spec: SceneSpec) -> Scene:
    """Return a whole scene in memory: about 4 bytes for each pixel, band and date.

    See `Simulation` for scenes that should not be held as a whole.
    """
    simulation = Simulation(spec)
    optical, radar = simulation.optical_passes, simulation.radar_passes
    count, shape = len(optical), spec.shape
    s2 = np.empty((count, len(spec.bands), *shape), np.float32)
    scl, clouds = np.empty((count, *shape), np.uint8), np.empty((count, *shape), np.uint8)
    cover = np.empty(count)
    for index, passage in enumerate(optical):
        s2[index], scl[index], clouds[index], cover[index] = simulation.optical(passage)
    s1 = np.empty((len(radar), len(S1_BANDS), *shape), np.float32)
    for index, passage in enumerate(radar):
        s1[index] = simulation.radar(passage)
    return Scene(
        spec=spec,
        land_cover=simulation.ground.land_cover,
        s2_time=np.array([passage.time for passage in optical], "datetime64[ns]"),
        s2=s2,
        scl=scl,
        clouds=clouds,
        cloud_cover=cover,
        s1_time=np.array([passage.time for passage in radar], "datetime64[ns]"),
        s1=s1,
        s2_passes=tuple(optical),
        s1_passes=tuple(radar),
    )
