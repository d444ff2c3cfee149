"""Where the sun stands, and how surface reflectance depends on it (bidirectional reflectance, BRDF)."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

from processes.simulation.bands import S2_BANDS

# Sun zenith beyond which nothing is imaged (Sentinel-2 does not acquire below about 8 degrees of sun elevation).
LOWEST_SUN_DEGREES = 82.0

# Volume and geometry weights relative to the isotropic one: one global set of MODIS BRDF parameters, Roy et al. 2016
# (doi:10.1016/j.rse.2016.01.023), table 5; bands without an own entry take their neighbour's or a value between.
_VOLUME = dict(zip(S2_BANDS, (0.48, 0.48, 0.44, 0.34, 0.36, 0.42, 0.47, 0.50, 0.50, 0.50, 0.34, 0.24), strict=True))
_GEOMETRY = dict(zip(S2_BANDS, (0.10, 0.10, 0.14, 0.13, 0.13, 0.12, 0.11, 0.11, 0.11, 0.11, 0.13, 0.15), strict=True))


class Sun(NamedTuple):
    """Zenith angle and azimuth (clockwise from north) in radians."""

    zenith: float
    azimuth: float


def sun_position(time: np.datetime64, latitude: float, longitude: float) -> Sun:
    """Return where the sun stands at a UTC time; degrees in, radians out, good to about half a degree.

    Spencer's (1971) series for the declination and the equation of time.
    """
    day = time.astype("datetime64[D]")
    angle = 2 * np.pi * float((day - day.astype("datetime64[Y]")).astype(int)) / 365.25
    declination = (
        0.006918 - 0.399912 * np.cos(angle) + 0.070257 * np.sin(angle)
        - 0.006758 * np.cos(2 * angle) + 0.000907 * np.sin(2 * angle)
    )  # fmt: skip
    minutes = 229.18 * (
        0.000075 + 0.001868 * np.cos(angle) - 0.032077 * np.sin(angle)
        - 0.014615 * np.cos(2 * angle) - 0.040849 * np.sin(2 * angle)
    )  # fmt: skip
    hours = float((time - day) / np.timedelta64(1, "s")) / 3600 + longitude / 15 + minutes / 60
    hour_angle = np.radians(15 * (hours - 12))
    lat = np.radians(latitude)
    up = np.sin(lat) * np.sin(declination) + np.cos(lat) * np.cos(declination) * np.cos(hour_angle)
    north = np.cos(lat) * np.sin(declination) - np.sin(lat) * np.cos(declination) * np.cos(hour_angle)
    east = -np.cos(declination) * np.sin(hour_angle)
    zenith = min(float(np.arccos(np.clip(up, -1, 1))), float(np.radians(LOWEST_SUN_DEGREES)))
    return Sun(zenith, float(np.arctan2(east, north) % (2 * np.pi)))


def brdf_factors(sun: Sun, view_zenith: float, view_azimuth: float) -> dict[str, float]:
    """Return for each band the reflectance seen from there, relative to nadir view with the sun at 45 degrees."""
    volume, geometry = _kernels(sun.zenith, view_zenith, view_azimuth - sun.azimuth)
    volume0, geometry0 = _kernels(np.pi / 4, 0.0, 0.0)
    return {
        band: (1 + _VOLUME[band] * volume + _GEOMETRY[band] * geometry)
        / (1 + _VOLUME[band] * volume0 + _GEOMETRY[band] * geometry0)
        for band in S2_BANDS
    }


def _kernels(sun_zenith: float, view_zenith: float, azimuth: float) -> tuple[float, float]:
    """Return the Ross-thick and Li-sparse reciprocal kernels (h/b = 2, b/r = 1)."""
    # Beyond 70 degrees the kernels leave the range that they were made for.
    sun_zenith = min(sun_zenith, np.radians(70.0))
    cos_s, cos_v, sin_s, sin_v = np.cos(sun_zenith), np.cos(view_zenith), np.sin(sun_zenith), np.sin(view_zenith)
    cos_phase = np.clip(cos_s * cos_v + sin_s * sin_v * np.cos(azimuth), -1, 1)
    phase = np.arccos(cos_phase)
    ross = ((np.pi / 2 - phase) * cos_phase + np.sin(phase)) / (cos_s + cos_v) - np.pi / 4
    tan_s, tan_v = sin_s / cos_s, sin_v / cos_v
    distance = tan_s**2 + tan_v**2 - 2 * tan_s * tan_v * np.cos(azimuth)
    secants = 1 / cos_s + 1 / cos_v
    cos_t = np.clip(2 * np.sqrt(distance + (tan_s * tan_v * np.sin(azimuth)) ** 2) / secants, -1, 1)
    overlap = (np.arccos(cos_t) - np.sqrt(1 - cos_t**2) * cos_t) * secants / np.pi
    li = overlap - secants + (1 + cos_phase) / (2 * cos_s * cos_v)
    return float(ross), float(li)
